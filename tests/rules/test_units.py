"""Units of measure, and what a piece costs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.money import to_minor
from rules.units import exact, pieces_in, price_of_piece


@pytest.mark.parametrize(("unit", "pieces"), [("EA", 1), ("12 EA", 12), ("1 EA", 1)])
def test_a_unit_is_so_many_pieces(unit: str, pieces: int) -> None:
    assert pieces_in(unit) == pieces


@pytest.mark.parametrize("unit", ["", "12", "EA 12", "0 EA", "1.5 EA", "12 ea", "box", "12  EA"])
def test_what_is_no_number_of_pieces_is_refused(unit: str) -> None:
    with pytest.raises(ValueError, match="for instance '12 EA'"):
        pieces_in(unit)


@given(st.decimals(Decimal("0.01"), Decimal(9999), places=2), st.integers(1, 144), st.integers(-500, 500).filter(bool))
def test_pieces_times_their_price_is_the_amount_of_the_row(price: Decimal, pieces: int, quantity: int) -> None:
    single = price_of_piece(price, pieces, quantity, "EUR")
    assert to_minor(single * pieces * quantity, "EUR") == to_minor(price * quantity, "EUR")


def test_a_price_that_no_piece_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be written as the price of one"):
        price_of_piece(Decimal("0.01"), 7, 10**9, "EUR")


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "two", "1E999999999", "1E-999999999", "9" * 60])
def test_a_number_that_nobody_counts_in_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is (no number|larger or finer)"):
        exact(text)


def test_a_number_is_read_exactly() -> None:
    assert [exact(" 1.10 "), exact(5), exact("-0.000001")] == [Decimal("1.10"), 5, Decimal("-0.000001")]
