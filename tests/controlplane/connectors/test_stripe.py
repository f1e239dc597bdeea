"""The Stripe connector against a simulated account; where the vendor's description is at hand, every exchange is held against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as sampled
from hypothesis import strategies as st

from controlplane.connectors.builtin.stripe import signature
from controlplane.connectors.builtin.stripe.connector import StripeConnector
from controlplane.connectors.contract import Inbound, SignatureError
from controlplane.errors import BadInputError, ThrottledError, UnavailableError
from controlplane.sandbox.stripe.account import signed
from rules.model.messages import PaymentRecorded, parse
from tests.controlplane.connectors.conftest import START
from tests.controlplane.connectors.simulators import SPECS
from tests.controlplane.connectors.stripe_kit import Bench, an_account

FIXTURES = SPECS / "stripe/fixtures3.json"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with an_account() as found:
        yield found


def test_movements_are_read_with_their_order_exact_to_the_cent(bench: Bench) -> None:
    paid = bench.account.charge(1099, 62, order="#1001")
    bench.account.moved("refund", -500, 0, "re_1")
    bench.account.moved("adjustment", -1099, 1500, "dp_1")
    bench.account.moved("adjustment", 1099, 0, "dp_1")
    bench.account.moved("advance", 10)
    found = [parse(one.type, one.data) for one in bench.read("balance_transactions")]
    told = [(one.kind, one.amount, one.fee, one.net) for one in found if isinstance(one, PaymentRecorded)]
    assert told[::-1] == [
        ("charge", Decimal("10.99"), Decimal("0.62"), Decimal("10.37")),
        ("refund", Decimal("-5.00"), Decimal("0.00"), Decimal("-5.00")),
        ("dispute", Decimal("-10.99"), Decimal("15.00"), Decimal("-25.99")),
        ("dispute_won", Decimal("10.99"), Decimal("0.00"), Decimal("10.99")),
        ("other", Decimal("0.10"), Decimal("0.00"), Decimal("0.10")),
    ]
    charge = bench.moved()["charge"]
    assert (charge.about, charge.order_ref) == (paid, "#1001")


def test_currencies_without_hundredths_and_with_thousandths_are_scaled_as_stripe_scales_them(bench: Bench) -> None:
    for currency, units in (("jpy", 500), ("kwd", 1250), ("isk", 10000)):
        bench.account.moved("charge", units, 0, currency=currency)
    found = [parse(one.type, one.data) for one in bench.read("balance_transactions")]
    told = {one.currency: one.amount for one in found if isinstance(one, PaymentRecorded)}
    assert told == {"JPY": Decimal(500), "KWD": Decimal("1.250"), "ISK": Decimal(100)}


def test_all_pages_are_read_and_a_later_poll_reads_what_came_since(bench: Bench) -> None:
    for _ in range(250):
        bench.account.moved("charge", 100)
    assert len(bench.read("balance_transactions")) == 250
    cursor = bench.cursor("balance_transactions")
    bench.given.clock.advance(7200)
    bench.account.moved("refund", -100)
    assert {one.kind for one in bench.moved(cursor).values()} == {"charge", "refund"}, "an hour is read again"
    bench.given.clock.advance(7200)
    assert {one.kind for one in bench.moved(bench.cursor("balance_transactions")).values()} == {"refund"}


def test_a_payout_that_was_paid_and_then_failed_is_two_facts_however_late(bench: Bench) -> None:
    name = bench.account.pay_out(5000)
    assert bench.settled() == [(f"settlement.changed:{name}:in_transit", "in_transit", "")]
    cursor = bench.cursor("payouts")
    bench.given.clock.advance(2 * 86_400)
    bench.account.settle(name, "paid")
    assert bench.settled(cursor) == [(f"settlement.changed:{name}:paid", "paid", "")]
    bench.given.clock.advance(4 * 86_400)
    bench.account.settle(name, "failed", "account_closed")
    assert bench.settled(cursor) == [(f"settlement.changed:{name}:failed", "failed", "account_closed")]
    moved = bench.moved()
    assert moved["payout"].net + moved["payout_failure"].net == 0
    assert moved["payout_failure"].about == name


def test_an_event_and_a_poll_tell_the_same_fact_in_any_order(bench: Bench) -> None:
    name = bench.account.pay_out(5000)
    paid, failed = bench.account.settle(name, "paid"), bench.account.settle(name, "failed", "no_account")
    told = []
    for event in (failed, paid):
        body, mark = signed("whsec", bench.given.clock.now(), event)
        record = bench.connector.receive(Inbound({"stripe-signature": mark}, body))
        assert record.event_key == f"{event['type']}:{event['id']}"
        told += [draft.dedupe_key for draft in bench.connector.translate(record.topic, record.body)]
    assert told == [f"settlement.changed:{name}:failed", f"settlement.changed:{name}:paid"]
    assert [key for key, _, _ in bench.settled()] == [told[0]]
    assert bench.connector.translate("customer.created", b"{}") == []


def test_no_person_is_kept_with_a_movement(bench: Bench) -> None:
    bench.account.charge(1099, 62)
    [record] = [record for page in bench.connector.poll("balance_transactions", None) for record in page.records]
    assert b"ome" not in record.body, "neither somebody's address nor Some Body"


def test_a_signature_holds_for_five_minutes_under_any_secret_in_force(bench: Bench) -> None:
    now, event = bench.given.clock.now(), {"id": "evt_1", "type": "payout.paid"}
    body, mark = signed("whsec", now, event, "whsec_old")
    assert bench.connector.receive(Inbound({"stripe-signature": mark}, body)).topic == "payout.paid"
    wrong = [
        (body, ""), (body, "t=1,v1="), (body + b" ", mark), (body, signed("other", now, event)[1]), (body, mark.replace("t=", "t=1")),
        signed("whsec", now - timedelta(minutes=6), event), signed("whsec", now + timedelta(minutes=6), event),
        (body, mark + ",t=5"), (body, f"t={'9' * 40},v1=00"),
    ]  # fmt: skip
    for given, header in wrong:
        with pytest.raises(SignatureError, match="check webhook_secret"):
            bench.connector.receive(Inbound({"stripe-signature": header}, given))


@sampled(st.text(max_size=200), st.binary(max_size=50))
def test_no_header_crashes_the_check_or_passes_it(header: str, body: bytes) -> None:
    assert signature.check(header, body, "whsec", START)


def test_what_stripe_says_of_itself_is_told_by_class(bench: Bench) -> None:
    bench.account.throttled = 1
    with pytest.raises(ThrottledError):
        bench.connector.ping()
    bench.given.secrets["secret_key"] = "another-key"
    wrong = StripeConnector(bench.given.context())
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        wrong.ping()
    assert "another-key" not in str(raised.value.evidence)
    wrong.close()


@pytest.mark.parametrize(
    ("topic", "told", "names"),
    [
        ("balance_transactions", {}, "breaks Stripe's contract"),
        (
            "balance_transactions",
            {"id": "t", "type": "charge", "currency": "usd", "amount": 1.5},
            "no whole number of minor units",
        ),
        (
            "payouts",
            {"id": "p", "status": "lost", "currency": "usd", "created": 1, "arrival_date": 1},
            "no state that is known",
        ),
        (
            "balance_transactions",
            {"id": "t", "type": "charge", "currency": "usd", "amount": 1, "source": "ch_1"},
            "breaks Stripe's contract",
        ),
        ("payout.paid", {"data": {}}, "breaks Stripe's contract"),
        ("payout.paid", {"created": 10**30, "data": {"object": {}}}, "breaks Stripe's contract"),
    ],
)
def test_a_record_that_breaks_the_contract_is_refused_by_name(
    bench: Bench, topic: str, told: dict[str, Any], names: str
) -> None:
    with pytest.raises(BadInputError, match=names):
        bench.connector.translate(topic, json.dumps(told).encode())
