"""Money at a payment provider, the whole way: refunds out, once; movements and payouts in, each fact once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.connectors.contract import Inbound
from controlplane.sandbox.stripe.account import Account, signed
from controlplane.sandbox.stripe.app import KEY, create
from controlplane.store import Store
from controlplane.store import tables as t
from tests.addresses import pairs_of
from tests.controlplane.connectors.simulators import hanging_up
from tests.controlplane.sync.catalogue import START, Planed

POLICIES = """
apiVersion: trueup/v1
kind: Team
metadata: {name: finance}
spec: {members: [{username: controller, name: Controller}]}
---
apiVersion: trueup/v1
kind: System
metadata: {name: stripe}
spec:
  connector: stripe
  owner: finance
  role: payment
  endpoint: URL
  internal: [PAIR]
  secrets: {secret_key: env:STRIPE_KEY, webhook_secret: env:STRIPE_WEBHOOK}
---
apiVersion: trueup/v1
kind: System
metadata: {name: returns}
spec: {connector: webhook, owner: finance, role: shop, endpoint: https://returns.example.com, secrets: {token: env:STRIPE_KEY}}
---
apiVersion: trueup/v1
kind: System
metadata: {name: pager}
spec: {connector: webhook, owner: finance, role: incident, endpoint: https://pager.example.com, secrets: {token: env:STRIPE_KEY}}
---
apiVersion: trueup/v1
kind: RetryPolicy
metadata: {name: default}
spec: {first: 2s, cap: 5m, budget: 24h}
---
apiVersion: trueup/v1
kind: EscalationPath
metadata: {name: finance}
spec: {steps: [{after: 0s, team: finance, system: pager}]}
---
apiVersion: trueup/v1
kind: Domain
metadata: {name: finance}
spec:
  owner: finance
  entities:
    payment: {system_of_record: stripe}
    settlement: {system_of_record: stripe}
    refund: {system_of_record: returns}
  latency: 24h
  escalation: finance
"""
FLOW = """
---
apiVersion: trueup/v1
kind: Flow
metadata: {{name: {name}}}
spec: {{domain: finance, owner: finance, source: {source}, message_types: [{type}], retry: default, promise: 24h, {how}}}
"""


@dataclass
class Paid:
    """A plane beside an account."""

    plane: Planed
    account: Account

    def ask(self, ref: str, payment: str, amount: str = "5.00") -> None:
        """The returns desk asks for a refund, in a canonical message."""
        now = self.plane.clock.now().isoformat()
        data = {"ref": ref, "payment": payment, "amount": amount, "currency": "USD", "requested_at": now}
        told = {
            "specversion": "1.0",
            "id": ref,
            "source": "returns",
            "type": "refund.requested",
            "subject": ref,
            "time": now,
            "data": data,
        }
        assert not self.plane.sync.acceptor.accept(json.dumps(told).encode(), batch=False).refused
        self.plane.run()

    def hear(self, event: dict[str, Any]) -> bool:
        """Stripe tells an event; say whether it was new."""
        body, mark = signed("whsec", self.plane.clock.now(), event)
        return self.plane.sync.take_webhook("stripe", Inbound({"stripe-signature": mark}, body))

    def poll(self) -> None:
        for flow in ("movements", "payouts"):
            self.plane.sync.poll(flow)
        self.plane.run()

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What the ledger holds, in its order."""
        m = t.message.c
        with self.plane.store.read() as connection:
            rows = connection.execute(select(m.data).where(m.type == kind).order_by(m.id)).scalars().all()
        return [json.loads(row) if isinstance(row, str) else dict(row) for row in rows]

    def outcomes(self) -> list[tuple[str, str]]:
        a = t.attempt.c
        with self.plane.store.read() as connection:
            rows = connection.execute(select(a.kind, a.outcome).order_by(a.finished_at, a.number))
            return [(str(row.kind), str(row.outcome)) for row in rows]


@pytest.fixture
def paid(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paid]:
    monkeypatch.setenv("STRIPE_KEY", KEY)
    monkeypatch.setenv("STRIPE_WEBHOOK", "whsec")
    clock: list[Any] = []
    account = Account(lambda: clock[0].now() if clock else START)
    with hanging_up(create(account)) as port:
        url = f"http://127.0.0.1:{port}"
        text = POLICIES.replace("URL", url).replace("PAIR", next(iter(pairs_of(url))))
        for name, source, kind, how in (
            ("refunds", "returns", "refund.requested", "method: event, targets: [{system: stripe, entity: refund}]"),
            ("movements", "stripe", "payment.recorded", "method: poll, read: balance_transactions, poll_every: 5m"),
            ("payouts", "stripe", "settlement.changed", "method: poll, read: payouts, poll_every: 5m"),
        ):
            text += FLOW.format(name=name, source=source, type=kind, how=how)
        policies = tmp_path / "payments.yaml"
        policies.write_text(text, encoding="utf-8")
        plane = Planed(sqlite_store, tmp_path, policies)
        clock.append(plane.clock)
        yield Paid(plane, account)
        plane.close()


def given_back(paid: Paid) -> list[int]:
    return [one["amount"] for one in paid.account.refunds.values()]


@pytest.mark.parametrize("fault", ["", "lost", "broken", "broken_after", "throttled"])
def test_a_refund_that_is_asked_for_is_given_once_whatever_goes_wrong(paid: Paid, fault: str) -> None:
    payment = paid.account.charge(1099, 62, "#1001")
    if fault:
        setattr(paid.account, fault, 1)
    paid.ask("R-1", payment)
    assert given_back(paid) == [500]
    assert paid.plane.deliveries("stripe") == {"delivered": 1}
    paid.ask("R-1", payment)
    assert given_back(paid) == [500], "the same message again is the same refund"
    if fault in ("lost", "broken"):
        assert paid.outcomes()[0] == ("write", "unknown")
        assert paid.outcomes()[1][0] == "read-back"


def test_a_refund_that_stripe_refuses_waits_for_a_person_and_keeps_no_other_back(paid: Paid) -> None:
    payment = paid.account.charge(1099, 62, "#1001")
    paid.ask("R-1", payment, "20.00")
    paid.ask("R-2", payment, "3.00")
    assert paid.plane.deliveries("stripe") == {"quarantined": 1, "delivered": 1}
    assert given_back(paid) == [300]


def test_a_payout_that_was_paid_and_failed_days_later_is_two_facts_about_one_payout_and_neither_is_edited(
    paid: Paid,
) -> None:
    name = paid.account.pay_out(5000)
    paid.poll()
    settled = paid.account.settle(name, "paid")
    assert paid.hear(settled)
    assert not paid.hear(settled), "Stripe tells an event again until it is taken"
    paid.poll()
    paid.plane.clock.advance(4 * 86_400)
    paid.account.settle(name, "failed", "account_closed")
    paid.poll()
    told = paid.told("settlement.changed")
    assert {one["ref"] for one in told} == {name}
    assert [(one["state"], one["reason"]) for one in told] == [
        ("in_transit", ""),
        ("paid", ""),
        ("failed", "account_closed"),
    ]
    assert sum(Decimal(one["net"]) for one in paid.told("payment.recorded")) == 0, (
        "what left the balance came back to it"
    )


def test_what_events_and_polls_tell_of_a_payment_is_in_the_ledger_once(paid: Paid) -> None:
    charge = paid.account.charge(1099, 62, "#1001")
    paid.account.refund(charge, None, 500)
    dispute = paid.account.dispute(charge, 1500)
    paid.hear(paid.account.event("charge.dispute.created", paid.account.disputes[dispute]))
    paid.hear(paid.account.event("charge.refunded", paid.account.charges[charge]))
    paid.plane.run()
    first = paid.told("payment.recorded")
    paid.poll()
    assert paid.told("payment.recorded") == first
    assert sorted(one["kind"] for one in first) == ["charge", "dispute", "refund"]
    assert {one["order_ref"] for one in first} == {"#1001"}
