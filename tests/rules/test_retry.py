"""When to try again, and when to stop: the bounds hold for every policy that lint lets through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.policy.kinds import RetryPolicySpec
from rules.retry import delay, gives_up

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECONDS = st.integers(min_value=1, max_value=7 * 86400).map(lambda seconds: timedelta(seconds=seconds))
ATTEMPTS = st.integers(min_value=1, max_value=100_000)
DRAWS = st.floats(min_value=0, max_value=1)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicySpec:
    """Return a policy whose cap is not below its first pause."""
    first, cap = sorted((draw(SECONDS), draw(SECONDS)))
    factor = draw(st.floats(min_value=1, max_value=10))
    return RetryPolicySpec(first=first, factor=factor, cap=cap, jitter=draw(st.booleans()))


@given(policies(), ATTEMPTS, DRAWS)
def test_a_pause_lies_between_a_twentieth_of_the_first_and_the_cap(
    policy: RetryPolicySpec, attempt: int, draw: float
) -> None:
    assert policy.first / 20 <= delay(policy, attempt, draw) <= policy.cap


@given(policies(), ATTEMPTS, DRAWS)
def test_a_later_pause_is_never_shorter_for_the_same_draw(policy: RetryPolicySpec, attempt: int, draw: float) -> None:
    assert delay(policy, attempt, draw) <= delay(policy, attempt + 1, draw)


@given(policies(), ATTEMPTS, DRAWS)
def test_without_jitter_the_draw_changes_nothing(policy: RetryPolicySpec, attempt: int, draw: float) -> None:
    steady = policy.model_copy(update={"jitter": False})
    assert delay(steady, attempt, draw) == delay(steady, attempt, 0.0)


def test_pauses_double_until_the_cap() -> None:
    policy = RetryPolicySpec(first="1s", factor=2, cap="10s", jitter=False)
    assert [delay(policy, n, 0.5).total_seconds() for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_a_day_of_attempts_under_the_default_policy_still_has_a_pause() -> None:
    assert delay(RetryPolicySpec(), 600, 1.0) == timedelta(minutes=5)


def test_full_jitter_spreads_the_pause_over_the_whole_range() -> None:
    policy = RetryPolicySpec(first="8s", factor=2, cap="5m")
    assert [delay(policy, 2, draw).total_seconds() for draw in (0.0, 0.5, 1.0)] == [0.4, 8, 16]


def test_it_gives_up_after_the_last_attempt_or_beyond_the_deadline() -> None:
    policy = RetryPolicySpec(max_attempts=3)
    later = NOW + timedelta(seconds=1)
    assert [gives_up(policy, attempt, NOW, later) for attempt in (1, 2, 3, 4)] == [False, False, True, True]
    assert gives_up(RetryPolicySpec(), 1, later, NOW)
    assert not gives_up(RetryPolicySpec(), 10_000, later, later)
