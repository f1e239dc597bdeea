"""Why a side differs: nothing inadmissible ever agrees, and each gap has its cause."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.comparison.explain import MOST_OVERLAPS, Cause, Owed, Shown, explain_source, explain_target
from rules.comparison.tolerance import Tolerance
from rules.comparison.value import Value

LEVELS = st.integers(-5, 40)
OWED = st.builds(
    Owed,
    st.just("d-1"),
    st.just("m-1"),
    st.integers(-6, 6),
    sent=st.booleans(),
    overdue=st.booleans(),
    held=st.booleans(),
)
SHOWN = st.builds(
    Shown,
    now=st.none() | LEVELS,
    earlier=st.lists(LEVELS, max_size=3).map(tuple),
    owed=st.lists(OWED, max_size=MOST_OVERLAPS + 3).map(tuple),
)
PENDING = Owed("d-1", "m-1", -2, sent=False, overdue=False, held=False)


def cause(actual: int | None, shown: Shown, *wanted: int, tolerance: int = 0) -> Cause:
    """Return only the cause of the verdict."""
    return explain_target("shop", actual, shown, wanted, tolerance).cause


@given(LEVELS, SHOWN, st.lists(LEVELS, min_size=1, max_size=3), st.integers(0, 3))
def test_a_value_that_the_evidence_does_not_allow_never_agrees(
    actual: int, shown: Shown, wanted: list[int], tolerance: int
) -> None:
    found = explain_target("shop", actual, shown, wanted, tolerance)
    allowed = shown.admissible()
    near = None if allowed is None else any(abs(actual - value) <= tolerance for value in allowed)
    if near is False:
        assert found.cause is Cause.CHANGED_AT_TARGET
        assert found.is_drift
    if found.cause is Cause.NONE:
        assert not shown.owed
        assert near is True or any(abs(actual - value) <= tolerance for value in wanted)


@given(LEVELS, SHOWN, st.lists(LEVELS, min_size=1, max_size=3))
def test_where_the_evidence_cannot_decide_it_is_neither_agreeing_nor_drift(
    actual: int, shown: Shown, wanted: list[int]
) -> None:
    found = explain_target("shop", actual, shown, wanted)
    if shown.admissible() is None and shown.owed:
        assert found.cause is Cause.INDETERMINATE
        assert not found.is_drift


@given(SHOWN, st.lists(LEVELS, min_size=1))
def test_a_key_that_is_not_listed_is_missing_whatever_else_is_known(shown: Shown, wanted: list[int]) -> None:
    assert cause(None, shown, *wanted) is Cause.MISSING


@given(st.lists(OWED.filter(lambda item: item.sent), max_size=6), LEVELS, st.data())
def test_every_combination_of_what_is_under_way_is_admissible(owed: list[Owed], now: int, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(owed))), unique=True)) if owed else []
    allowed = Shown(now, (), tuple(owed)).admissible()
    assert allowed is not None
    assert now + sum(owed[index].delta for index in chosen) in allowed


def test_what_was_not_sent_yet_cannot_show_yet() -> None:
    assert Shown(10, (), (PENDING,)).admissible() == {10}
    assert Shown(10, (), (replace(PENDING, sent=True),)).admissible() == {10, 8}


def test_more_overlaps_than_can_be_told_apart_decide_nothing() -> None:
    owed = tuple(replace(PENDING, delivery_id=str(n), sent=True) for n in range(MOST_OVERLAPS + 1))
    assert Shown(10, (), owed).admissible() is None


def test_what_came_after_the_reading_was_not_there_and_what_came_during_it_may_have_been() -> None:
    shown = Shown(10, (), (), moved=(2,), later=-7)
    assert shown.admissible() == {17, 15}
    assert shown.complete() == 10


@pytest.mark.parametrize(
    ("actual", "shown", "wanted", "verdict"),
    [
        (10, Shown(10, (), ()), 10, Cause.NONE),
        (12, Shown(10, (12,), ()), 10, Cause.NONE),
        (10, Shown(10, (), (PENDING,)), 8, Cause.IN_FLIGHT),
        (8, Shown(10, (), (replace(PENDING, sent=True),)), 8, Cause.IN_FLIGHT),
        (10, Shown(10, (), (replace(PENDING, overdue=True),)), 8, Cause.LATE),
        (10, Shown(10, (), (replace(PENDING, held=True, overdue=True),)), 8, Cause.QUARANTINED),
        (10, Shown(10, (), ()), 8, Cause.NEVER_RECEIVED),
        (10, Shown(10, (), (PENDING,)), 5, Cause.NEVER_RECEIVED),
        (7, Shown(10, (), ()), 10, Cause.CHANGED_AT_TARGET),
        (8, Shown(10, (), (PENDING,)), 8, Cause.CHANGED_AT_TARGET),
        (10, Shown(None, (), ()), 10, Cause.NONE),
        (9, Shown(None, (), ()), 10, Cause.INDETERMINATE),
    ],
)
def test_each_gap_has_its_cause(actual: int, shown: Shown, wanted: int, verdict: Cause) -> None:
    assert cause(actual, shown, wanted) is verdict


def test_a_difference_within_the_tolerance_agrees() -> None:
    assert cause(11, Shown(10, (), ()), 10, tolerance=1) is Cause.NONE
    assert cause(12, Shown(10, (), ()), 10, tolerance=1) is Cause.CHANGED_AT_TARGET


def test_a_finding_that_waits_names_the_delivery_and_message_it_waits_for() -> None:
    found = explain_target("shop", 10, Shown(10, (), (PENDING,)), [8])
    assert (found.delivery_id, found.message_id, found.is_drift) == ("d-1", "m-1", False)
    assert "d-1" in found.explanation


@pytest.mark.parametrize(
    ("actual", "heard", "verdict"),
    [
        ((5, 3), [(5, 3)], Cause.NONE),
        ((5, 3), [(6, 4), (5, 3)], Cause.NONE),
        ((5, 3), [(5, 4)], Cause.NEVER_RECEIVED),
        ((5, 3), [], Cause.NEVER_RECEIVED),
        (None, [(5, 3)], Cause.MISSING),
    ],
)
def test_the_source_is_held_against_what_was_heard_of_it(
    actual: tuple[int, int] | None, heard: list[tuple[int, int]], verdict: Cause
) -> None:
    assert explain_source("wms", actual, heard).cause is verdict


# --- random histories: what is really shown, and what the ledger can know of it ---


@st.composite
def histories(draw: st.DrawFn) -> tuple[Shown, int, set[int]]:
    """A level of 10, changes that overlap, and a reading at some moment of an interval.

    Returns what the ledger knows after the reading, what the side showed, and every value that it may have shown.
    """
    since, at, until = sorted(draw(st.tuples(*[st.integers(0, 20)] * 3)))
    times = st.tuples(*[st.integers(0, 20)] * 3).map(sorted)
    changes = draw(st.lists(st.tuples(st.integers(-4, 4), times), max_size=6))
    now, real, possible = 10, 10, {10}
    moved, owed = [], []
    for number, (delta, (began, there, done)) in enumerate(changes):
        real += delta if there <= at else 0
        if done <= until:
            now += delta
            moved += [delta] if done >= since else []
        else:
            owed.append(Owed(f"d-{number}", f"m-{number}", delta, sent=began <= until, overdue=False, held=False))
        sure = done < since
        possible = {value + delta for value in possible} | (set() if sure else possible) if began <= until else possible
    return Shown(now, (), tuple(owed), tuple(moved)), real, possible


@given(histories())
def test_what_is_really_shown_is_never_drift_however_deliveries_overlap(history: tuple[Shown, int, set[int]]) -> None:
    shown, real, _ = history
    found = explain_target("erp", real, shown, [shown.complete() or 0])
    assert found.cause in (Cause.NONE, Cause.IN_FLIGHT), found.explanation


@given(histories(), st.integers(-20, 40))
def test_what_no_history_allows_is_always_drift_with_complete_evidence(
    history: tuple[Shown, int, set[int]], edited: int
) -> None:
    shown, _, possible = history
    cause = explain_target("erp", edited, shown, [shown.complete() or 0]).cause
    assert (cause is Cause.CHANGED_AT_TARGET) == (edited not in possible)


@given(histories(), st.data())
def test_with_evidence_taken_away_a_true_value_is_never_drift(
    history: tuple[Shown, int, set[int]], data: st.DataObject
) -> None:
    """What was delivered before is not known, or of some deliveries not whether they have taken effect."""
    shown, real, _ = history
    unsure = tuple(replace(item, sent=item.sent or data.draw(st.booleans())) for item in shown.owed)
    for less in (replace(shown, now=None), replace(shown, owed=unsure)):
        found = explain_target("erp", real, less, [shown.complete() or 0])
        assert not found.is_drift, found.explanation


AMOUNTS = st.integers(-50, 50) | st.decimals(-50, 50, places=2) | st.sampled_from(["placed", "shipped", "5"])
ALLOWANCE = st.integers(0, 5) | st.decimals(0, 5, places=2)


@given(AMOUNTS, st.lists(AMOUNTS, max_size=3), ALLOWANCE, st.decimals(0, "0.5", places=2), ALLOWANCE)
def test_a_value_is_near_where_it_lies_no_farther_than_the_widest_of_what_is_allowed(
    value: Value, allowed: list[Value], absolute: Decimal | int, relative: Decimal, business: Decimal | int
) -> None:
    def lies_near(other: Value) -> bool:
        if isinstance(value, str) or isinstance(other, str):
            return value == other
        room = (Decimal(absolute), Decimal(business), relative * abs(Decimal(other)))
        return any(abs(Decimal(value) - Decimal(other)) <= each for each in room)

    assert Tolerance(absolute, relative, business).near(value, allowed) == any(map(lies_near, allowed))
