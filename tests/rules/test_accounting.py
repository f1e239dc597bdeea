"""Entries balance to zero before they leave, and amounts are exact to the minor unit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.accounting import DocumentLine, UnbalancedError, business_date, entry, totals
from rules.money import to_minor
from rules.policy.kinds import AccountingRuleSpec, AccountLine

PRICES = st.decimals(min_value=0, max_value=10**6, places=4)
LINES = st.lists(st.builds(DocumentLine, st.integers(-100, 1000), PRICES, PRICES), max_size=8)
CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD", "CLF"])


def rule(currency: str = "EUR", *lines: AccountLine) -> AccountingRuleSpec:
    """Return a rule that posts revenue, or the given lines."""
    revenue = (
        AccountLine(account="1100", side="debit", amount="price"),
        AccountLine(account="4000", side="credit", amount="price"),
    )
    return AccountingRuleSpec(
        on="shipment.shipped", owner="finance", entry="revenue", currency=currency, calendar="retail",
        lines=lines or revenue,
    )  # fmt: skip


@given(LINES, CURRENCIES)
def test_every_entry_that_leaves_balances_to_zero(lines: list[DocumentLine], currency: str) -> None:
    posted = entry(rule(currency), lines)
    assert sum((line.debit - line.credit for line in posted), Decimal(0)) == 0
    assert all(not (line.debit and line.credit) for line in posted)


@given(LINES, CURRENCIES)
def test_a_rule_whose_sides_differ_posts_nothing(lines: list[DocumentLine], currency: str) -> None:
    lopsided = rule(
        currency,
        AccountLine(account="1100", side="debit", amount="price"),
        AccountLine(account="5000", side="credit", amount="cost"),
    )
    amounts = totals(lines, currency)
    if amounts["price"] == amounts["cost"]:
        assert len(entry(lopsided, lines)) == 2
    else:
        with pytest.raises(UnbalancedError, match="out of balance by"):
            entry(lopsided, lines)


@given(PRICES, CURRENCIES)
def test_rounding_moves_an_amount_by_half_a_minor_unit_at_most(amount: Decimal, currency: str) -> None:
    rounded = to_minor(amount, currency)
    assert to_minor(rounded, currency) == rounded
    assert abs(rounded - amount) <= to_minor(Decimal(0), currency) + Decimal(1).scaleb(rounded.as_tuple().exponent) / 2


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("0.125", "EUR", "0.12"),
        ("0.135", "EUR", "0.14"),
        ("10.5", "JPY", "10"),
        ("11.5", "VND", "12"),
        ("1.0005", "KWD", "1.000"),
        ("1.00005", "CLF", "1.0000"),
    ],
)
def test_halves_are_rounded_to_even_in_the_currencys_own_digits(amount: str, currency: str, rounded: str) -> None:
    assert str(to_minor(Decimal(amount), currency)) == rounded


def test_the_parts_of_a_line_are_worth_what_the_line_is_to_the_cent() -> None:
    third = Decimal("3.333333333333")
    parts = [totals([DocumentLine(1, third, Decimal(0), before)], "EUR")["price"] for before in range(3)]
    assert (sum(parts), totals([DocumentLine(3, third, Decimal(0))], "EUR")["price"]) == (Decimal("10.00"),) * 2


def test_lines_are_rounded_one_by_one_as_they_are_printed() -> None:
    lines = [DocumentLine(1, Decimal("0.125"), Decimal(0))] * 2
    assert totals(lines, "EUR")["price"] == Decimal("0.24")


def test_a_document_without_lines_is_worth_zero_in_minor_units() -> None:
    assert str(totals([], "JPY")["price"]) == "0"
    assert str(totals([], "EUR")["cost"]) == "0.00"


@pytest.mark.parametrize(
    ("at", "zone", "day_starts", "date"),
    [
        (datetime(2026, 3, 2, 3, 59, tzinfo=UTC), "UTC", "04:00", "2026-03-01"),
        (datetime(2026, 3, 2, 4, 0, tzinfo=UTC), "UTC", "04:00", "2026-03-02"),
        (datetime(2026, 3, 2, 23, 30, tzinfo=UTC), "Europe/Berlin", "00:00", "2026-03-03"),
        (datetime(2026, 3, 2, 4, 30, tzinfo=UTC), "America/New_York", "00:00", "2026-03-01"),
        (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "Europe/Berlin", "03:00", "2026-03-29"),
        (datetime(2026, 1, 1, 1, 0, tzinfo=UTC), "UTC", "04:00", "2025-12-31"),
    ],
)
def test_the_business_date_begins_when_the_calendar_says(at: datetime, zone: str, day_starts: str, date: str) -> None:
    assert business_date(at, zone, day_starts) == date
