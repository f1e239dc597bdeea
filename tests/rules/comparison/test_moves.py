"""Moves that may make up a gap, and moves that cannot."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.comparison.moves import may_add_up


@pytest.mark.parametrize(
    ("moves", "gaps", "may"),
    [
        ([], {7}, False),
        ([-2], {7}, False),
        ([-2], {-2}, True),
        ([-2, -1, -3], {-5}, True),
        ([-2, 3], {2, 4}, False),
        ([1] * 13, {40}, True),  # too many to try
    ],
)
def test_a_gap_is_explained_only_by_moves_that_add_up_to_it(moves: list[int], gaps: set[int], may: bool) -> None:
    assert may_add_up(moves, gaps, 12) is may


@given(st.lists(st.integers(-5, 5), max_size=8), st.sets(st.integers(-20, 20), max_size=3))
def test_all_sums_are_tried_and_no_others(moves: list[int], gaps: set[int]) -> None:
    parts = (part for size in range(1, len(moves) + 1) for part in combinations(moves, size))
    assert may_add_up(moves, gaps, 12) is any(sum(part) in gaps for part in parts)
