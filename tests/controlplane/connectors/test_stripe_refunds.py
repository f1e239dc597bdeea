"""Refunds at Stripe: once, whatever is lost, and whatever the key remembers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as sampled
from hypothesis import strategies as st

from controlplane.connectors.builtin.stripe import money
from controlplane.connectors.contract import Write
from rules.model.messages import parse
from rules.outcomes import Result
from tests.controlplane.connectors.stripe_kit import Bench, an_account


@pytest.fixture
def bench() -> Iterator[Bench]:
    with an_account() as found:
        yield found


def refund(payment: str, amount: str = "5.00", key: str = "delivery-1", **changes: Any) -> Write:
    told = {
        "ref": "R-1", "payment": payment, "order_ref": "#1001", "amount": amount, "currency": "USD",
        "reason": "requested_by_customer", "requested_at": "2026-11-27T06:00:00+00:00",
    } | changes  # fmt: skip
    data = parse("refund.requested", told).model_dump(mode="json")
    return Write("refund", "R-1", key, data, "R-1")


def given_back(bench: Bench) -> list[int]:
    return [one["amount"] for one in bench.account.refunds.values()]


def test_a_refund_is_given_once_however_often_it_is_told(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62))
    assert bench.connector.read_back(asked).result is Result.ABSENT
    first, again = bench.connector.write(asked), bench.connector.write(asked)
    assert (first.result, again.result) == (Result.DELIVERED, Result.DELIVERED)
    assert first.native_id == again.native_id
    assert given_back(bench) == [500]
    [made] = bench.account.refunds.values()
    assert made["metadata"] == {"trueup_key": "delivery-1", "trueup_ref": "R-1"}
    assert made["reason"] == "requested_by_customer"
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED


def test_a_refund_whose_answer_was_lost_is_found_by_its_key_also_when_stripe_has_forgotten_the_header(
    bench: Bench,
) -> None:
    asked = refund(bench.account.charge(1099, 62))
    bench.account.lost = 1
    assert bench.connector.write(asked).result is Result.UNKNOWN
    bench.given.clock.advance(2 * 86_400)
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED
    assert given_back(bench) == [500]


def test_a_refund_is_found_among_more_than_a_page_of_others(bench: Bench) -> None:
    payment = bench.account.charge(100_000, 62)
    bench.connector.write(refund(payment))
    for _ in range(120):
        bench.account.refund(payment, None, 1)
    assert bench.connector.read_back(refund(payment)).result is Result.ALREADY_DELIVERED
    assert bench.connector.read_back(refund(payment, key="delivery-2")).result is Result.ABSENT


def test_a_failure_that_the_key_remembers_keeps_no_refund_back_and_doubles_none(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62))
    bench.account.broken = 1
    assert bench.connector.write(asked).result is Result.UNKNOWN
    assert bench.connector.read_back(asked).result is Result.ABSENT
    assert bench.connector.write(asked).result is Result.DELIVERED, (
        "under the next key, for the first one fails for a day"
    )
    assert sorted(bench.account.keys) == ["delivery-1", "delivery-1~2"]
    assert given_back(bench) == [500]


def test_a_failure_after_the_effect_is_known_by_what_is_there(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62))
    bench.account.broken_after = 1
    assert bench.connector.write(asked).result is Result.UNKNOWN
    assert bench.connector.write(asked).result is Result.ALREADY_DELIVERED
    assert given_back(bench) == [500]


def test_a_refusal_that_the_key_remembers_is_asked_again_when_its_reason_is_gone(bench: Bench) -> None:
    payment = bench.account.charge(1099, 62)
    asked = refund(payment, "20.00")
    assert "greater than unrefunded amount" in bench.connector.write(asked).detail
    assert bench.connector.write(asked).result is Result.REJECTED
    bench.account.charges[payment]["amount"] = 5000
    assert bench.connector.write(asked).result is Result.DELIVERED
    assert given_back(bench) == [2000]


def test_keys_do_not_grow_for_ever(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62), "20.00")
    for _ in range(5):
        assert "greater than" in bench.connector.write(asked).detail
    outcome = bench.connector.write(asked)
    assert outcome.result is Result.REJECTED
    assert "under each of 5 keys" in outcome.detail
    assert len(bench.account.keys) == 5


def test_another_request_under_the_same_key_leaves_the_outcome_open(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62))
    bench.account.busy.add("delivery-1")
    assert bench.connector.write(asked).result is Result.UNKNOWN
    bench.account.busy.clear()
    assert bench.connector.write(asked).result is Result.DELIVERED


def test_a_key_with_another_content_waits_for_a_person(bench: Bench) -> None:
    payment = bench.account.charge(1099, 62)
    assert bench.connector.write(refund(payment)).result is Result.DELIVERED
    outcome = bench.connector.write(refund(payment, "6.00"))
    assert outcome.result is Result.REJECTED
    assert "something else under the key of R-1" in outcome.detail
    assert given_back(bench) == [500]


def test_a_refund_in_another_currency_than_was_paid_is_refused_before_anything_is_sent(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62, currency="jpy"), "10.99")
    outcome = bench.connector.write(asked)
    assert outcome.result is Result.REJECTED
    assert "was paid in JPY" in outcome.detail
    assert bench.account.keys == {}


@pytest.mark.parametrize(
    ("currency", "amount", "units"), [("JPY", "500", 500), ("KWD", "1.250", 1250), ("ISK", "100", 10_000)]
)
def test_minor_units_are_those_of_stripe(bench: Bench, currency: str, amount: str, units: int) -> None:
    payment = bench.account.charge(50_000, 62, currency=currency.lower())
    assert bench.connector.write(refund(payment, amount, currency=currency)).result is Result.DELIVERED
    assert given_back(bench) == [units]


@sampled(st.sampled_from([*money.DIGITS, "USD", "EUR"]), st.integers(-(10**11), 10**11))
def test_minor_units_come_back_as_they_were_whatever_the_currency(currency: str, units: int) -> None:
    worth = money.amount(units, currency)
    assert money.units(worth, currency) == units
    with pytest.raises(ValueError, match="no whole number of minor units"):
        money.units(worth + Decimal("0.00001"), currency)


def test_a_payment_is_named_by_its_intent_too_and_by_nothing_else(bench: Bench) -> None:
    intent = bench.account.charges[bench.account.charge(1099, 62)]["payment_intent"]
    assert bench.connector.write(refund(intent)).result is Result.DELIVERED
    assert bench.connector.read_back(refund(intent)).result is Result.ALREADY_DELIVERED
    for wrong in ("#1001", "ch_/../balance"):
        assert "names the payment" in bench.connector.write(refund(wrong)).detail
    assert "resource_missing" in bench.connector.write(refund("ch_404")).detail


def test_a_refund_that_failed_days_later_is_read_back_as_refused(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62))
    bench.connector.write(asked)
    [name] = bench.account.refunds
    event = bench.account.refund_fails(name, "lost_or_stolen_card")
    outcome = bench.connector.read_back(asked)
    assert (outcome.result, outcome.native_id) == (Result.REJECTED, name)
    assert "lost_or_stolen_card" in outcome.detail
    moved = [parse(one.type, one.data) for one in bench.told(event)]
    assert [(one.kind, one.amount) for one in moved] == [
        ("refund", Decimal("-5.00")),
        ("refund_failed", Decimal("5.00")),
    ]


def test_too_many_requests_are_waited_out_and_remembered_by_no_key(bench: Bench) -> None:
    asked = refund(bench.account.charge(1099, 62))
    bench.account.throttled = 1
    assert bench.connector.write(asked).result is Result.THROTTLED
    assert bench.connector.write(asked).result is Result.DELIVERED


def test_a_message_of_a_refund_is_exact_and_positive() -> None:
    for wrong in (
        {"amount": "5.001"},
        {"amount": "-5.00"},
        {"amount": "0"},
        {"amount": "5.5", "currency": "JPY"},
        {"reason": "because"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            refund("ch_1", **{"amount": "5.00", **wrong})
