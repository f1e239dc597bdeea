"""Stripe on trial, against a simulated account."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.stripe import events
from controlplane.connectors.builtin.stripe.connector import BALANCE, StripeConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.single import Single
from controlplane.connectors.contract import Connector, Inbound, Record, Write

SECRET = "whsec-of-the-bench"  # noqa: S105 - of a simulator
PAGE = 100
DISPUTES = tuple(topic for topic in events.MOVED if topic.startswith("charge.dispute."))
REFUNDS = tuple(topic for topic in events.MOVED if "refund." in topic)
CHARGES = tuple(topic for topic in events.MOVED if topic not in DISPUTES + REFUNDS)


class StripeBench(Bench):
    """Money moves on the balance, and goes to the bank."""

    connector: ClassVar[type[Connector]] = StripeConnector
    against = "a simulated account"
    several_pages: ClassVar = {"balance_transactions": 2 * PAGE + 1, "payouts": 2 * PAGE + 1}
    enums: ClassVar = {"balance_transactions": ("type",), "payouts": ("status",)}

    def start(self, folder: Path) -> Place:
        """Start an account on which nothing has moved."""
        self.account, self._next = Single("stripe", folder), count(1)
        return Place(self.account.url, {"secret_key": "sk_test_key", "webhook_secret": SECRET})

    def stop(self) -> None:
        """Stop it."""
        self.account.stop()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Have money move, or go to the bank."""
        while len(known := self._known(entity)) < at_least:
            for _ in range(at_least - len(known)):
                self.stir(entity)
        return known

    def _known(self, entity: str) -> set[str]:
        return {str(one["id"]) for one in self.account.known("balance" if entity == BALANCE else "payouts")}

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the movement, or the payout."""
        return {str(json.loads(record.body)["id"])}

    def stir(self, entity: str) -> None:
        """One more of it."""
        if entity == BALANCE:
            self.account.do("moved", kind="charge", amount=1234, fee=66)
        else:
            self.account.do("pay_out", amount=1234)

    def webhooks(self) -> Sequence[Inbound]:
        """Return what Stripe tells of a payout on its way, signed now."""
        name = self.account.do("pay_out", amount=1234)
        told = [self.account.do("settle", name=name, state=state) for state in ("paid", "failed", "canceled")]
        begun = [
            {**told[0], "id": f"{told[0]['id']}-{topic}", "type": f"payout.{topic}"} for topic in ("created", "updated")
        ]
        return [_signed(event) for event in (*begun, *told, *self._of_payments())]

    def _of_payments(self) -> Iterator[dict[str, Any]]:
        payment = self._paid()
        refund = self.account.do("refund", charge=payment, intent=None, amount=100)
        dispute = self.account.do("dispute", charge=self._paid(), fee=1500)
        for kind, topics, name in (
            ("charges", CHARGES, payment),
            ("refunds", REFUNDS, refund["id"]),
            ("disputes", DISPUTES, dispute),
        ):
            about = self.account.known(kind)[name]
            yield from (self.account.do("event", kind=topic, about=about) for topic in topics)

    # --- refunds ---
    def _paid(self) -> str:
        return str(self.account.do("charge", amount=123_456, fee=66, order="#1001"))

    def write(self, entity: str) -> Write:
        """Return a refund of a new payment, in part."""
        name = f"R-{next(self._next)}"
        data = {
            "ref": name, "payment": self._paid(), "order_ref": "#1001", "amount": "1234.55", "currency": "USD", "reason": "",
            "requested_at": self.clock.now().isoformat(),
        }  # fmt: skip
        return Write(entity, name, f"delivery-{name}", data, name)

    def effects(self, request: Write) -> int:
        """Count what the account gave back of the payment."""
        return sum(one["charge"] == request.payload["payment"] for one in self.account.known("refunds").values())

    def refused(self, entity: str) -> Write:
        """Return a refund of more than was paid."""
        good = self.write(entity)
        return replace(good, payload={**good.payload, "amount": "1234.57"})

    def is_write(self, asked: Asked) -> bool:
        """Whether something is posted."""
        return asked.method == "POST"


def _signed(event: object) -> Inbound:
    body, at = json.dumps(event).encode(), str(int(time.time()))
    mark = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return Inbound({"stripe-signature": f"t={at},v1={mark}"}, body)
