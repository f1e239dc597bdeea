"""Findings under another tolerance."""

from __future__ import annotations

from decimal import Decimal

from rules.simulation.tolerances import Difference, Told, told

FOUND = [
    Difference("A@WH1", [10], 8, Decimal("20.00"), "EUR"),
    Difference("B@WH1", [10, 12], 13, Decimal("5.50"), "USD"),
    Difference("C@WH1", [10], None, Decimal("99.00"), "EUR"),
    Difference("D@WH1", [], 3, None, None),
]


def test_what_lies_within_the_tolerance_is_not_told() -> None:
    assert told(FOUND, 0) == Told(4, {"EUR": Decimal("119.00"), "USD": Decimal("5.50")})
    assert told(FOUND, 1) == Told(3, {"EUR": Decimal("119.00")}), "one unit from the nearest that is admissible"
    assert told(FOUND, 2) == Told(2, {"EUR": Decimal("99.00")})


def test_a_key_that_one_side_does_not_have_is_told_under_any_tolerance() -> None:
    assert told(FOUND, 10**6).findings == 2
