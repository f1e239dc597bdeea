"""What a channel may show: never below zero, never more than the warehouse can still promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.availability import available_to_sell

UNITS = st.integers(min_value=0, max_value=10**6)
SHARES = st.integers(min_value=0, max_value=99).map(lambda percent: percent / 100)


@given(st.integers(-(10**6), 10**6), UNITS, UNITS, SHARES)
def test_it_is_never_negative_and_never_more_than_is_free(
    available: int, unseen: int, safety: int, share: float
) -> None:
    shown = available_to_sell(available, unseen, safety, share)
    assert 0 <= shown <= max(0, available - unseen - safety)


@given(UNITS, UNITS, UNITS, SHARES)
def test_one_more_unseen_unit_never_raises_it(available: int, unseen: int, safety: int, share: float) -> None:
    assert available_to_sell(available, unseen + 1, safety, share) <= available_to_sell(
        available, unseen, safety, share
    )


@pytest.mark.parametrize(
    ("available", "unseen", "safety", "share", "shown"),
    [
        (10, 3, 2, 0.0, 5),
        (10, 9, 2, 0.0, 0),
        (-4, 0, 0, 0.0, 0),
        (10, 0, 0, 0.25, 7),
        (100, 0, 0, 0.07, 93),
        (1, 0, 0, 0.01, 0),
    ],
)
def test_examples(available: int, unseen: int, safety: int, share: float, shown: int) -> None:
    assert available_to_sell(available, unseen, safety, share) == shown


@given(st.integers(0, 10**6), st.integers(0, 99))
def test_the_buffer_is_exact_in_whole_units(rest: int, percent: int) -> None:
    kept = -(-rest * percent // 100)
    assert available_to_sell(rest, 0, 0, percent / 100) == rest - kept
