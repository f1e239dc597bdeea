"""Another unit, another definition: told only where it is proven, and confused with nothing else."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.comparison.clues import FEWEST, Seen, by_definition, definitions, in_another_unit
from rules.comparison.explain import Cause, Finding
from rules.comparison.tolerance import Tolerance
from rules.comparison.value import distance, kept, number, ordered


def changed(actual: int, wanted: int, cause: Cause = Cause.CHANGED_AT_TARGET) -> Finding:
    return Finding("erp", cause, actual, (wanted,), "it was changed at the target")


def seen(actual: int, wanted: int, allocated: int) -> Seen:
    cause = Cause.NONE if actual == wanted else Cause.CHANGED_AT_TARGET
    return Seen(changed(actual, wanted, cause), "on_hand", {"allocated": allocated})


@pytest.mark.parametrize(
    ("actual", "wanted", "cause"),
    [
        (24, 2, Cause.UNIT), (2, 24, Cause.UNIT), (-24, -2, Cause.UNIT), (25, 2, Cause.CHANGED_AT_TARGET),
        (0, 12, Cause.CHANGED_AT_TARGET), (12, 0, Cause.CHANGED_AT_TARGET), (2, 2, Cause.CHANGED_AT_TARGET),
    ],
)  # fmt: skip
def test_a_unit_is_told_where_one_value_is_the_other_times_a_known_factor(
    actual: int, wanted: int, cause: Cause
) -> None:
    assert in_another_unit(changed(actual, wanted), {1: "EA", 12: "CASE"}).cause is cause
    assert in_another_unit(changed(actual, wanted), {}).cause is Cause.CHANGED_AT_TARGET


def test_a_unit_is_told_while_the_side_may_show_one_of_a_few_values_and_not_of_many() -> None:
    """A document that comes in during the reading makes both values admissible: it is the same unit before and after."""
    few = Finding("erp", Cause.CHANGED_AT_TARGET, 492, (41, 56), "it was changed at the target")
    assert in_another_unit(few, {12: "DOZEN"}).cause is Cause.UNIT
    many = Finding("erp", Cause.CHANGED_AT_TARGET, 492, (40, 41, 42, 43, 44), "it was changed at the target")
    assert in_another_unit(many, {12: "DOZEN"}).cause is Cause.CHANGED_AT_TARGET


def test_what_is_explained_or_undecided_keeps_its_cause() -> None:
    for cause in (Cause.LATE, Cause.IN_FLIGHT, Cause.NONE, Cause.FAILED):
        assert in_another_unit(changed(24, 2, cause), {12: "CASE"}).cause is cause
    unsure = changed(24, 2, Cause.INDETERMINATE)
    assert in_another_unit(unsure, {12: "CASE"}, settled=False).cause is Cause.INDETERMINATE


STOCK = st.lists(st.tuples(st.integers(10, 60), st.integers(0, 5)), min_size=20, max_size=80)


@given(STOCK, st.data())
@settings(max_examples=200)
def test_hand_edits_are_never_taken_for_a_definition_while_other_keys_agree(
    stock: list[tuple[int, int]], data: st.DataObject
) -> None:
    some = data.draw(st.sets(st.sampled_from(range(len(stock))), max_size=len(stock) - 1))
    agree = [n for n, (_, allocated) in enumerate(stock) if allocated and n not in some]
    found = [
        seen(there - allocated if n in some else there, there, allocated) for n, (there, allocated) in enumerate(stock)
    ]
    if agree:
        assert definitions(found) == {}


@given(STOCK)
@settings(max_examples=200)
def test_a_side_that_shows_another_definition_is_told_so_in_each_of_its_keys(stock: list[tuple[int, int]]) -> None:
    amounts = [allocated for _, allocated in stock if allocated]
    found = [seen(there - allocated, there, allocated) for there, allocated in stock]
    proven = definitions(found)
    if len(amounts) >= FEWEST and len(set(amounts)) > 1:
        assert proven == {"erp": "allocated"}
        causes = Counter(by_definition(one, proven).cause for one in found)
        assert causes == Counter({Cause.DEFINITION: len(amounts), Cause.NONE: len(stock) - len(amounts)})
    else:
        assert proven == {}


def test_a_tolerance_is_the_widest_of_what_is_stated_and_names_have_to_be_the_same() -> None:
    assert Tolerance(relative=Decimal("0.02")).near(Decimal("51"), [Decimal("50.00")])
    assert not Tolerance(relative=Decimal("0.02")).near(Decimal("51.01"), [Decimal("50.00")])
    assert Tolerance(absolute=1, business=5).near(15, [10])
    assert not Tolerance(absolute=5).near(-1, [5])
    assert not Tolerance(absolute=99).near("open", ["shipped"])


def test_values_are_kept_without_losing_a_digit_and_measured_by_their_number() -> None:
    assert [kept(value) for value in (5, Decimal("20.10"), "open", None)] == [5, "20.10", "open", None]
    assert [number(value) for value in (5, "20.10", "open", None, True, "NaN")] == [
        5, Decimal("20.10"), None, None, None, None,
    ]  # fmt: skip
    assert distance("20.21", ["20.00", "open"]) == Decimal("0.21")
    assert distance(None, [1]) is None
    assert ordered(["open", 3, Decimal("1.5"), 3]) == (Decimal("1.5"), 3, "open")
