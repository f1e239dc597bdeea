"""When to try again, and when to stop: the bounds hold for every policy that lint lets through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.outcomes import Result
from rules.policy.kinds import RetryClass, RetryPolicySpec
from rules.retry import breaker_pause, delay, gives_up

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


# --- classes of failure ---

CLASSES = ("unavailable", "throttled", "unknown", "rejected")
RETRIED = (Result.UNAVAILABLE, Result.THROTTLED, Result.UNKNOWN, Result.ABSENT)


@given(policies(), ATTEMPTS, DRAWS, st.sampled_from(RETRIED))
def test_without_a_word_of_policy_all_classes_that_are_retried_pause_alike(
    policy: RetryPolicySpec, attempt: int, draw: float, result: Result
) -> None:
    assert delay(policy, attempt, draw, result) == delay(policy, attempt, draw)


@given(policies(), SECONDS, SECONDS, st.floats(min_value=1, max_value=10), ATTEMPTS, DRAWS)
def test_a_class_of_its_own_pauses_as_a_policy_of_its_own_would(
    policy: RetryPolicySpec, one: timedelta, other: timedelta, factor: float, attempt: int, draw: float
) -> None:
    first, cap = sorted((one, other))
    own = RetryClass(first=first, cap=cap, factor=factor)
    with_class = policy.model_copy(update={"classes": {"throttled": own}})
    alone = policy.model_copy(update={"first": first, "cap": cap, "factor": factor})
    assert delay(with_class, attempt, draw, Result.THROTTLED) == delay(alone, attempt, draw)
    assert delay(with_class, attempt, draw, Result.UNAVAILABLE) == delay(policy, attempt, draw)


def test_what_a_class_leaves_out_is_as_the_policy_says() -> None:
    policy = RetryPolicySpec(first="1s", factor=2, cap="10s", jitter=False, classes={"unavailable": {"first": "3s"}})
    pauses = [delay(policy, attempt, 1.0, Result.UNAVAILABLE).total_seconds() for attempt in range(1, 5)]
    assert pauses == [3, 6, 10, 10]


def test_a_refusal_waits_for_a_person_at_once_unless_policy_says_otherwise() -> None:
    later = NOW + timedelta(hours=1)
    assert gives_up(RetryPolicySpec(), 1, NOW, later, Result.REJECTED)
    patient = RetryPolicySpec(classes={"rejected": {"retry": True, "max_attempts": 3}})
    assert [gives_up(patient, attempt, NOW, later, Result.REJECTED) for attempt in (1, 2, 3)] == [False, False, True]
    assert not gives_up(patient, 3, NOW, later, Result.UNAVAILABLE), "of the others the policy speaks"


@given(st.sampled_from(["unavailable", "throttled", "unknown", "rejected"]), ATTEMPTS)
def test_a_class_that_is_not_retried_gives_up_at_the_first_attempt_and_no_other_does(name: str, attempt: int) -> None:
    policy = RetryPolicySpec(classes={name: {"retry": False}})
    others = {result for result in RETRIED if result.value != name}
    assert gives_up(policy, attempt, NOW, NOW, Result(name))
    assert not any(gives_up(policy, attempt, NOW, NOW, result) for result in others)


@given(policies(), ATTEMPTS, st.sampled_from(list(Result)))
def test_nothing_is_tried_beyond_its_budget_whatever_its_class_says(
    policy: RetryPolicySpec, attempt: int, result: Result
) -> None:
    generous = policy.model_copy(update={"classes": {name: RetryClass(max_attempts=10**6) for name in CLASSES}})
    assert gives_up(generous, attempt, NOW + timedelta(microseconds=1), NOW, result)


# --- the breaker ---


@given(st.integers(1, 50), SECONDS, SECONDS, st.integers(0, 10_000))
def test_a_breaker_opens_after_as_many_failures_as_policy_says_and_its_pause_grows_up_to_the_cap(
    after: int, one: timedelta, other: timedelta, failures: int
) -> None:
    pause, cap = sorted((one, other))
    found = breaker_pause(after, pause, cap, failures)
    assert (found is None) == (failures < after)
    if found is not None:
        assert pause <= found <= cap
        following = breaker_pause(after, pause, cap, failures + 1)
        assert following is not None
        assert found <= following


def test_a_breakers_pause_doubles() -> None:
    pauses = [breaker_pause(3, timedelta(seconds=15), timedelta(minutes=2), failures) for failures in range(2, 8)]
    assert [pause and pause.total_seconds() for pause in pauses] == [None, 15, 30, 60, 120, 120]


def test_a_budget_in_force_without_bounds_is_read_as_the_longest_that_instants_and_integers_hold() -> None:
    policy = RetryPolicySpec.model_validate({"budget": "999999999d"})
    assert (NOW + policy.budget).year == 2226
    assert policy.budget // timedelta(microseconds=1) < 2**62


def test_a_breaker_without_bounds_pauses_for_its_cap() -> None:
    longest = timedelta(days=73_000)
    assert breaker_pause(5, longest, longest, 25) == longest


def test_a_class_of_failure_may_say_zero() -> None:
    policy = RetryPolicySpec(classes={"throttled": RetryClass(cap=timedelta(0))}, jitter=False)
    assert delay(policy, 1, 0.0, Result.THROTTLED) == timedelta(0)
