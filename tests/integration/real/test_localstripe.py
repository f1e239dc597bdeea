"""Refunds, payouts and signed webhooks against localstripe, a Stripe that somebody else wrote, as far as it goes.

It remembers no Idempotency-Key, and refuses `created[gte]` and the expansion that polls of the balance ask for: those are tried
against our own simulator only. TRUEUP_STRIPE_URL names a running one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from queue import Queue
from typing import Any

import httpx
import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.stripe.connector import StripeConnector
from controlplane.connectors.builtin.stripe.events import PAYOUTS
from controlplane.connectors.contract import Draft, Inbound, SignatureError, Write
from controlplane.sandbox.stripe.account import signed
from rules.model.messages import SettlementChanged, parse
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer
from tests.integration.real.systems import Mocks

pytestmark = pytest.mark.timeout(300)
KEY, SECRET = "sk_test_localstripe", "whsec_localstripe"  # theirs takes any key of this form


@pytest.fixture
def url(mocks: Mocks) -> str:
    return os.environ.get("TRUEUP_STRIPE_URL") or mocks.stripe


@pytest.fixture
def connector(url: str) -> Iterator[StripeConnector]:
    clock = ManualClock(datetime.now(UTC), pace=1.0)
    made = StripeConnector(
        Given(url, secrets={"secret_key": KEY, "webhook_secret": SECRET}, timeout=30, clock=clock).context()
    )
    yield made
    made.close()


def post(url: str, path: str, **form: str) -> dict[str, Any]:
    answer = httpx.post(f"{url}/v1/{path}", data=form, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def paid(url: str, amount: int, currency: str = "usd") -> str:
    """Somebody pays; return the payment's id."""
    card = {"card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2090", "card[cvc]": "123"}
    method, customer = (
        post(url, "payment_methods", type="card", **card),
        post(url, "customers", description="a customer"),
    )
    post(url, f"payment_methods/{method['id']}/attach", customer=customer["id"])
    form = {"amount": str(amount), "currency": currency, "customer": customer["id"], "source": method["id"]}
    return str(post(url, "charges", **form, **{"metadata[order_ref]": "#1001"})["id"])


def refund(payment: str, key: str = "delivery-1", currency: str = "USD") -> Write:
    told = {
        "ref": "R-1", "payment": payment, "amount": "5", "currency": currency, "requested_at": "2026-11-27T06:00:00+00:00",
    }  # fmt: skip
    return Write("refund", "R-1", key, parse("refund.requested", told).model_dump(mode="json"), "R-1")


def payouts(connector: StripeConnector) -> list[Draft]:
    records = [record for page in connector.poll("payouts", None) for record in page.records]
    return [draft for record in records for draft in connector.translate(record.topic, record.body)]


def test_a_refund_takes_effect_and_is_read_back_among_more_than_a_page_of_others(
    url: str, connector: StripeConnector
) -> None:
    connector.ping()
    payment = paid(url, 2000)
    asked = refund(payment)
    assert connector.read_back(asked).result is Result.ABSENT
    assert connector.write(asked).result is Result.DELIVERED
    for _ in range(105):
        post(url, "refunds", charge=payment, amount="1")
    found = connector.read_back(asked)
    assert found.result is Result.ALREADY_DELIVERED
    answer = httpx.get(f"{url}/v1/refunds/{found.native_id}", headers={"Authorization": f"Bearer {KEY}"})
    assert (answer.json()["amount"], answer.json()["charge"]) == (500, payment)
    assert connector.read_back(refund(payment, "delivery-2")).result is Result.ABSENT


def test_a_refund_of_another_currency_or_of_no_payment_is_refused(url: str, connector: StripeConnector) -> None:
    assert "was paid in EUR" in connector.write(refund(paid(url, 2000, "eur"))).detail
    outcome = connector.write(refund("ch_nobody"))
    assert (outcome.result, "404" in outcome.detail) == (Result.REJECTED, True)


def test_an_event_of_a_payment_brings_what_moved_with_its_order(url: str, connector: StripeConnector) -> None:
    payment = paid(url, 2000)
    connector.write(refund(payment))
    event = {
        "id": "evt_1",
        "type": "charge.refunded",
        "created": 1,
        "data": {"object": {"object": "charge", "id": payment}},
    }
    body, mark = signed(SECRET, connector.context.clock.now(), event)
    record = connector.receive(Inbound({"stripe-signature": mark}, body))
    moved = [draft.data for draft in connector.translate(record.topic, record.body)]
    assert [(one["kind"], one["amount"], one["order_ref"]) for one in moved] == [
        ("charge", "20.00", "#1001"), ("refund", "-5.00", "#1001"),
    ]  # fmt: skip


def test_payouts_are_told_by_webhooks_that_somebody_else_signed_and_failing_after_being_paid_is_a_fact_of_its_own(
    url: str, connector: StripeConnector
) -> None:
    heard: Queue[Inbound] = Queue()

    def hear(asked: Asked) -> Reply:
        heard.put(Inbound({name.lower(): value for name, value in asked.headers.items()}, asked.body))
        return Reply()

    with ExitStack() as after:
        server = ScriptedServer(hear)
        after.callback(server.close)
        asked = {"url": server.url, "secret": SECRET, "events": list(PAYOUTS)}
        httpx.post(f"{url}/_config/webhooks/ours", json=asked).raise_for_status()
        payout = post(url, "payouts", amount="5000", currency="eur", status="paid")
        told = [heard.get(timeout=30), heard.get(timeout=30)]
        post(url, f"payouts/{payout['id']}", status="failed", failure_code="account_closed")
        told.append(heard.get(timeout=30))
    records = [connector.receive(one) for one in told]
    assert sorted(record.topic for record in records) == ["payout.created", "payout.paid", "payout.updated"]
    assert len({record.event_key for record in records}) == 3
    drafts = {draft.dedupe_key: draft for record in records for draft in connector.translate(record.topic, record.body)}
    ref = payout["id"]
    assert set(drafts) == {f"settlement.changed:{ref}:paid", f"settlement.changed:{ref}:failed"}
    failed = parse("settlement.changed", drafts[f"settlement.changed:{ref}:failed"].data)
    assert isinstance(failed, SettlementChanged)
    assert (str(failed.amount), failed.currency, failed.reason) == ("50.00", "EUR", "account_closed")
    assert [one.dedupe_key for one in payouts(connector) if one.subject == ref] == [f"settlement.changed:{ref}:failed"]
    with pytest.raises(SignatureError):
        connector.receive(Inbound(told[0].headers, told[0].body + b" "))
