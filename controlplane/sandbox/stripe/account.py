"""One account: what moved on its balance, payments, refunds, disputes, payouts, and the events that it tells, signed."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any


class RefusedError(Exception):
    """Stripe does not do it; what it says, and its code."""

    def __init__(self, message: str, code: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass
class Account:
    """What Stripe knows of one account. `now` is the clock of both."""

    now: Callable[[], datetime]
    balance: list[dict[str, Any]] = field(default_factory=list)
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    payment_intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    payouts: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, tuple[dict[str, Any], int, bytes, int]] = field(default_factory=dict)
    """Idempotency key -> parameters, status, body, and when."""
    busy: set[str] = field(default_factory=set)
    """Keys with a request that is under way still."""
    throttled: int = 0
    """How many of the next requests are refused for their number."""
    lost: int = 0
    """How many of the next writes take effect and are not answered."""
    broken: int = 0
    """How many of the next writes fail without an effect, and are remembered."""
    broken_after: int = 0
    """How many of the next writes fail though they took effect, and are remembered."""
    numbers: Any = field(default_factory=lambda: count(1))
    lock: threading.RLock = field(default_factory=threading.RLock)

    def seconds(self) -> int:
        """Return the time as Stripe writes it."""
        return int(self.now().timestamp())

    def moved(self, kind: str, amount: int, fee: int = 0, source: str | None = None, currency: str = "usd") -> str:
        """Note a movement of the balance; return its id."""
        name, now = f"txn_{next(self.numbers)}", self.seconds()
        self.balance.append({
            "id": name, "object": "balance_transaction", "type": kind, "reporting_category": kind, "amount": amount, "fee": fee,
            "net": amount - fee, "fee_details": [], "currency": currency, "created": now, "available_on": now + 172_800,
            "status": "pending", "source": source, "description": None, "exchange_rate": None,
        })  # fmt: skip
        return name

    def charge(self, amount: int, fee: int, order: str = "", currency: str = "usd") -> str:
        """Somebody pays; return the payment's id."""
        name, intent = f"ch_{next(self.numbers)}", f"pi_{next(self.numbers)}"
        self.payment_intents[intent] = {
            "id": intent, "object": "payment_intent", "amount": amount, "capture_method": "automatic", "created": self.seconds(),
            "confirmation_method": "automatic", "currency": currency, "livemode": False, "payment_method_types": ["card"],
            "status": "succeeded",
        }  # fmt: skip
        self.charges[name] = {
            "id": name, "object": "charge", "amount": amount, "amount_refunded": 0, "captured": True, "created": self.seconds(),
            "currency": currency, "disputed": False, "livemode": False, "metadata": {"order_ref": order} if order else {}, "paid": True,
            "refunded": False, "status": "succeeded", "receipt_email": "somebody@example.test", "payment_intent": intent,
            "billing_details": {"address": None, "email": "somebody@example.test", "name": "Some Body", "phone": None},
            "refunds": {"object": "list", "data": [], "has_more": False, "url": f"/v1/charges/{name}/refunds"},
        }  # fmt: skip
        self.charges[name]["balance_transaction"] = self.moved("charge", amount, fee, name, currency)
        return name

    def refund(
        self, charge: str | None, intent: str | None, amount: int, reason: str | None = None, metadata: dict[str, str] | None = None
    ) -> dict[str, Any]:  # fmt: skip
        """Give money back; return the refund. Raises RefusedError."""
        found = [
            one for one in self.charges.values() if charge == one["id"] or (intent and intent == one["payment_intent"])
        ]
        if not found:
            raise RefusedError(f"No such charge: '{charge or intent}'", "resource_missing", 404)
        paid = found[0]
        left = paid["amount"] - paid["amount_refunded"]
        if not left:
            raise RefusedError(f"Charge {paid['id']} has already been refunded.", "charge_already_refunded")
        if amount > left:
            raise RefusedError(
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", "amount_too_large"
            )
        name = f"re_{next(self.numbers)}"
        self.refunds[name] = {
            "id": name, "object": "refund", "amount": amount, "charge": paid["id"], "created": self.seconds(), "currency": paid["currency"],
            "metadata": metadata or {}, "payment_intent": paid["payment_intent"], "reason": reason, "status": "succeeded",
            "receipt_number": None, "balance_transaction": self.moved("refund", -amount, 0, name, paid["currency"]),
        }  # fmt: skip
        paid["amount_refunded"] += amount
        paid["refunded"] = paid["amount_refunded"] == paid["amount"]
        return self.refunds[name]

    def refund_fails(self, name: str, why: str) -> dict[str, Any]:
        """The bank sends it back, days later; return the event."""
        held = self.refunds[name]
        returned = self.moved("refund_failure", held["amount"], 0, name, held["currency"])
        held |= {"status": "failed", "failure_reason": why, "failure_balance_transaction": returned}
        return self.event("charge.refund.updated", held)

    def dispute(self, charge: str, fee: int) -> str:
        """The bank takes the money back for somebody who says that he did not pay; return the dispute's id."""
        name, paid = f"dp_{next(self.numbers)}", self.charges[charge]
        taken = self.moved("adjustment", -paid["amount"], fee, name, paid["currency"])
        paid["disputed"] = True
        self.disputes[name] = {
            "id": name, "object": "dispute", "amount": paid["amount"], "charge": charge, "created": self.seconds(), "evidence": {},
            "currency": paid["currency"], "evidence_details": {"has_evidence": False, "past_due": False, "submission_count": 0},
            "is_charge_refundable": False, "livemode": False, "metadata": {}, "reason": "fraudulent", "status": "needs_response",
            "balance_transactions": [self._row(taken)],
        }  # fmt: skip
        return name

    def dispute_won(self, name: str) -> dict[str, Any]:
        """The money comes back; return the event."""
        held = self.disputes[name]
        held["balance_transactions"].append(
            self._row(self.moved("adjustment", held["amount"], 0, name, held["currency"]))
        )
        held["status"] = "won"
        return self.event("charge.dispute.closed", held)

    def pay_out(self, amount: int, state: str = "in_transit") -> str:
        """Money goes to the bank; return the payout's id."""
        name = f"po_{next(self.numbers)}"
        self.payouts.append({
            "id": name, "object": "payout", "amount": amount, "arrival_date": self.seconds() + 86_400, "automatic": True,
            "created": self.seconds(), "currency": "usd", "livemode": False, "metadata": {}, "method": "standard",
            "source_type": "card", "status": state, "type": "bank_account", "failure_code": None, "failure_message": None,
        })  # fmt: skip
        self.moved("payout", -amount, 0, name)
        return name

    def settle(self, name: str, state: str, why: str | None = None) -> dict[str, Any]:
        """The payout comes into another state; return the event."""
        [held] = [one for one in self.payouts if one["id"] == name]
        held |= {"status": state, "failure_code": why}
        if state == "failed":
            held["failure_balance_transaction"] = self.moved("payout_failure", held["amount"], 0, name)
        return self.event(f"payout.{state}", held)

    def event(self, kind: str, about: dict[str, Any]) -> dict[str, Any]:
        """Return an event with the object as it is now: it is told later, and the object goes on."""
        return {
            "id": f"evt_{next(self.numbers)}", "object": "event", "type": kind, "created": self.seconds(), "livemode": False,
            "pending_webhooks": 1, "data": {"object": json.loads(json.dumps(about))},
        }  # fmt: skip

    def _row(self, name: str) -> dict[str, Any]:
        return next(row for row in self.balance if row["id"] == name)


def signed(secret: str, at: datetime, told: dict[str, Any], *others: str) -> tuple[bytes, str]:
    """Return the body of a webhook and its signature; `others`: secrets that are in force beside it."""
    body, time = json.dumps(told).encode(), str(int(at.timestamp()))
    marks = [
        hmac.new(one.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest() for one in (*others, secret)
    ]
    return body, ",".join([f"t={time}", *(f"v1={mark}" for mark in marks), "v0=older"])
