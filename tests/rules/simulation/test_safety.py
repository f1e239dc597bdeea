"""What other safety stock would have done to what was sold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from rules.simulation.safety import Effect, Offer, Safety, Sale, replay

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
PRICE = Decimal("10.00")


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def offer(minutes: float, quantity: int, sku: str = "A", under: int = 0) -> Offer:
    return Offer(at(minutes), sku, "WH1", quantity, Safety(under))


def sale(minutes: float, quantity: int, sellable: int | None, sku: str = "A") -> Sale:
    return Sale(at(minutes), sku, "WH1", quantity, PRICE, "EUR", sellable)


def effect(offers: list[Offer], sales: list[Sale], before: int, after: int) -> Effect:
    made = [replace(one, under=Safety(before)) for one in offers]
    return replay(made, sales, Safety(after)).get(("A", "EUR"), Effect())


def test_a_unit_that_would_not_have_been_shown_is_not_oversold() -> None:
    found = effect([offer(0, 2)], [sale(1, 1, 2), sale(2, 1, 0)], before=0, after=1)
    assert (found.oversold, found.avoided, found.missed) == (1, 1, 0)
    assert (found.oversold_money, found.avoided_money) == (PRICE, PRICE)


def test_a_sale_of_units_that_were_there_is_missed() -> None:
    found = effect([offer(0, 2)], [sale(1, 1, 2), sale(2, 1, 1)], before=0, after=1)
    assert (found.oversold, found.avoided, found.missed, found.missed_money) == (0, 0, 1, PRICE)


def test_a_line_that_is_oversold_in_part_is_avoided_and_missed_in_part() -> None:
    found = effect([offer(0, 5)], [sale(1, 5, 3)], before=0, after=1)
    assert (found.oversold, found.avoided, found.missed) == (2, 2, 3)


def test_units_that_were_not_sold_are_there_for_the_next_offer() -> None:
    sales = [sale(1, 2, 2), sale(3, 1, 1)]
    assert effect([offer(0, 2), offer(2, 1)], sales, before=0, after=1).missed == 2, (
        "two are kept, one of them is sold then"
    )


def test_less_safety_stock_refuses_nothing() -> None:
    found = effect([offer(0, 2)], [sale(1, 2, 2), sale(2, 1, 0)], before=3, after=0)
    assert (found.oversold, found.avoided, found.missed) == (1, 0, 0)


def test_a_sale_before_anything_was_offered_is_not_judged() -> None:
    assert effect([], [sale(1, 1, 0)], before=0, after=5) == Effect(oversold=1, oversold_money=PRICE, unknown=1)


def test_a_sale_whose_stock_was_not_known_is_not_oversold() -> None:
    assert effect([offer(0, 1)], [sale(1, 1, None)], before=0, after=0).oversold == 0


def test_a_sku_has_its_own_safety_stock() -> None:
    offers, sales = [offer(0, 1, "A"), offer(0, 1, "B")], [sale(1, 1, 1, "A"), sale(1, 1, 1, "B")]
    found = replay(offers, sales, Safety(0, {"B": 1}))
    assert (found["A", "EUR"].missed, found["B", "EUR"].missed) == (0, 1)


def test_each_offer_is_held_against_what_was_kept_back_when_it_was_made() -> None:
    offers = [offer(0, 2, under=0), offer(10, 2, under=3)]
    sales = [sale(1, 2, 2), sale(11, 2, 5)]
    assert replay(offers, sales, Safety(3))["A", "EUR"].missed == 2, (
        "the first two would not have been shown; the others were"
    )


def test_money_of_two_currencies_is_not_added_up() -> None:
    dollars = replace(sale(2, 1, 0), currency="USD")
    found = replay([offer(0, 2)], [sale(1, 1, 0), dollars], Safety(9))
    assert {key: one.avoided_money for key, one in found.items()} == {("A", "EUR"): PRICE, ("A", "USD"): PRICE}


HAPPENINGS = st.lists(
    st.one_of(
        st.builds(offer, st.floats(0, 100), st.integers(0, 20)),
        st.builds(sale, st.floats(0, 100), st.integers(1, 5), st.one_of(st.none(), st.integers(-5, 20))),
    ),
    max_size=30,
)


@given(HAPPENINGS, st.integers(0, 10))
def test_the_same_safety_stock_changes_nothing(happened: list[Offer | Sale], units: int) -> None:
    offers, sales = (
        [one for one in happened if isinstance(one, Offer)],
        [one for one in happened if isinstance(one, Sale)],
    )
    found = effect(offers, sales, units, units)
    assert (found.avoided, found.missed) == (0, 0)


@given(HAPPENINGS, st.integers(0, 10), st.integers(0, 10))
def test_no_more_is_avoided_than_was_oversold_and_no_more_missed_than_was_sold(
    happened: list[Offer | Sale], before: int, after: int
) -> None:
    offers, sales = (
        [one for one in happened if isinstance(one, Offer)],
        [one for one in happened if isinstance(one, Sale)],
    )
    found = effect(offers, sales, before, after)
    assert 0 <= found.avoided <= found.oversold == sum(one.oversold for one in sales)
    assert 0 <= found.missed <= sum(one.quantity - one.oversold for one in sales)
