"""The verdict on one key."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.comparison.verdict import Kind, Side, State, judge, state_of


def present(*values: str) -> Side:
    return Side(State.PRESENT, tuple(Decimal(value) for value in values))


BAD, DUPLICATE, MISSING = Side(State.BAD), Side(State.DUPLICATE), Side(State.MISSING)


@pytest.mark.parametrize(
    ("sides", "kind"),
    [
        ([present("5"), present("5.0")], Kind.AGREE),
        ([present("5"), present("6")], Kind.VALUE),
        ([present("5"), MISSING], Kind.MISSING),
        ([present("5"), MISSING, DUPLICATE], Kind.DUPLICATE),
        ([DUPLICATE, MISSING, BAD], Kind.BAD),
        ([present("1", "2"), present("1", "3")], Kind.VALUE),
    ],
)
def test_the_kind_is_the_first_that_applies_of_bad_duplicate_missing_value(sides: list[Side], kind: Kind) -> None:
    assert judge(sides, Decimal(0)).kind is kind


def test_the_tolerance_is_inclusive_and_spans_all_sides() -> None:
    assert judge([present("5"), present("6")], Decimal(1)).kind is Kind.AGREE
    assert judge([present("5"), present("6.000000000000000001")], Decimal(1)).kind is Kind.VALUE
    assert judge([present("5"), present("6"), present("7")], Decimal(1)).kind is Kind.VALUE


def test_values_of_37_digits_are_told_apart() -> None:
    near = judge([present("1" * 19 + "." + "1" * 18), present("1" * 19 + "." + "1" * 17 + "2")], Decimal(0))
    assert near.kind is Kind.VALUE
    assert near.gap == Decimal("1e-18")


def test_a_side_without_a_value_ranks_as_zero() -> None:
    assert judge([present("5"), present("7"), MISSING], Decimal(0)).gap == 7
    assert judge([BAD, MISSING], Decimal(0)).gap == 0


@pytest.mark.parametrize(
    ("rows", "bad", "state"),
    [(0, 0, State.MISSING), (1, 0, State.PRESENT), (2, 0, State.DUPLICATE), (1, 1, State.BAD), (2, 1, State.BAD)],
)
def test_a_side_with_any_unreadable_row_is_bad(rows: int, bad: int, state: State) -> None:
    assert state_of(rows, bad) is state


VALUES = st.tuples(*[st.decimals(-(10**6), 10**6, places=3, allow_nan=False)] * 2)


@given(st.lists(VALUES, min_size=2, max_size=4), VALUES, st.sampled_from(["0", "0.5", "3"]))
def test_a_verdict_rests_on_how_far_apart_values_are_and_not_on_where_they_lie(
    values: list[tuple[Decimal, ...]], shift: tuple[Decimal, ...], tolerance: str
) -> None:
    sides = [Side(State.PRESENT, side) for side in values]
    moved = [Side(State.PRESENT, tuple(v + s for v, s in zip(side, shift, strict=True))) for side in values]
    assert judge(sides, Decimal(tolerance)) == judge(moved, Decimal(tolerance))
