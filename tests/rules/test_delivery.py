"""What becomes of a delivery after a try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.delivery import VERIFY_PAUSE, Next, Try, after
from rules.outcomes import DONE, REPEATABLE, DeliveryState, Outcome, Result
from rules.policy.kinds import RetryPolicySpec

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FAR = NOW + timedelta(days=365)
LATE = timedelta(seconds=40)
POLICY = RetryPolicySpec(first="2s", factor=2, cap="5m", jitter=False)
OUTCOMES = st.builds(Outcome, st.sampled_from(list(Result)), retry_after=st.none() | st.floats(0, 3600))
TRIES = st.builds(
    Try, attempt=st.integers(1, 1000), read_back=st.booleans(),
    late_effect=st.integers(0, 600).map(lambda seconds: timedelta(seconds=seconds)),
    deadline=st.integers(-3600, 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds)), draw=st.floats(0, 1),
)  # fmt: skip


def tried(attempt: int = 1, *, read_back: bool = False, deadline: datetime = FAR, draw: float = 1.0) -> Try:
    return Try(attempt, read_back, LATE, deadline, draw)


@given(OUTCOMES, TRIES, st.booleans())
def test_every_outcome_leads_to_exactly_one_place(outcome: Outcome, one: Try, patient: bool) -> None:
    policy = RetryPolicySpec(classes={"rejected": {"retry": True}}) if patient else RetryPolicySpec()
    found = after(outcome, one, policy, NOW)
    waits = found.state in (DeliveryState.PENDING, DeliveryState.UNKNOWN)
    assert waits <= (found.due is not None)
    if waits:
        assert found.due is not None
        assert NOW <= found.due <= one.deadline
    else:
        assert found.state in (DeliveryState.DELIVERED, DeliveryState.STALE, DeliveryState.QUARANTINED)


@given(OUTCOMES, TRIES)
def test_only_what_took_effect_counts_as_delivered(outcome: Outcome, one: Try) -> None:
    assert (after(outcome, one, POLICY, NOW).state is DeliveryState.DELIVERED) == (outcome.result in DONE)


@given(OUTCOMES, TRIES)
def test_a_write_that_nobody_knows_of_is_never_written_again_before_it_is_read_back(outcome: Outcome, one: Try) -> None:
    found = after(outcome, one, POLICY, NOW)
    doubtful = outcome.result is Result.UNKNOWN or (one.read_back and outcome.result not in REPEATABLE)
    if doubtful:
        assert found.state is not DeliveryState.PENDING


@pytest.mark.parametrize("result", [Result.UNAVAILABLE, Result.THROTTLED])
def test_a_failed_read_back_leaves_the_write_as_unknown_as_it_was(result: Result) -> None:
    assert after(Outcome(result), tried(read_back=True), POLICY, NOW).state is DeliveryState.UNKNOWN
    assert after(Outcome(result), tried(), POLICY, NOW).state is DeliveryState.PENDING


def test_what_had_no_effect_is_written_again() -> None:
    assert after(Outcome(Result.ABSENT), tried(read_back=True), POLICY, NOW).state is DeliveryState.PENDING


def test_an_unanswered_write_waits_out_the_targets_late_effect() -> None:
    assert after(Outcome(Result.UNKNOWN), tried(), POLICY, NOW).due == NOW + LATE
    assert after(Outcome(Result.UNKNOWN), tried(read_back=True), POLICY, NOW).due == NOW + VERIFY_PAUSE


def test_an_unanswered_write_that_is_given_up_can_be_read_back_no_earlier_either() -> None:
    over = tried(deadline=NOW)
    assert after(Outcome(Result.UNKNOWN), over, POLICY, NOW) == Next(DeliveryState.QUARANTINED, NOW + LATE)
    assert after(Outcome(Result.UNAVAILABLE), over, POLICY, NOW) == Next(DeliveryState.QUARANTINED)


def test_a_system_that_asks_to_wait_decides_how_long() -> None:
    for result in (Result.THROTTLED, Result.UNAVAILABLE):
        assert after(Outcome(result, retry_after=90.0), tried(), POLICY, NOW).due == NOW + timedelta(seconds=90)
    assert after(Outcome(Result.THROTTLED), tried(), POLICY, NOW).due == NOW + timedelta(seconds=1)


def test_other_failures_wait_as_policy_says_of_their_class() -> None:
    policy = RetryPolicySpec.model_validate({**POLICY.model_dump(), "classes": {"unavailable": {"first": "7s"}}})
    assert after(Outcome(Result.UNAVAILABLE), tried(2), POLICY, NOW).due == NOW + timedelta(seconds=4)
    assert after(Outcome(Result.UNAVAILABLE), tried(2), policy, NOW).due == NOW + timedelta(seconds=14)


def test_what_is_refused_waits_for_a_person_and_what_the_target_knows_better_is_closed() -> None:
    assert after(Outcome(Result.REJECTED), tried(), POLICY, NOW).state is DeliveryState.QUARANTINED
    assert after(Outcome(Result.STALE), tried(), POLICY, NOW).state is DeliveryState.STALE


def test_the_budget_ends_where_the_next_try_would_lie_beyond_it() -> None:
    first = Outcome(Result.UNAVAILABLE)
    assert after(first, tried(deadline=NOW + timedelta(seconds=2)), POLICY, NOW).state is DeliveryState.PENDING
    assert after(first, tried(deadline=NOW + timedelta(seconds=1)), POLICY, NOW).state is DeliveryState.QUARANTINED


def test_the_number_of_attempts_ends_it_too_and_of_a_class_first() -> None:
    policy = RetryPolicySpec(max_attempts=5, classes={"unknown": {"max_attempts": 2}})
    assert after(Outcome(Result.UNAVAILABLE), tried(4), policy, NOW).state is DeliveryState.PENDING
    assert after(Outcome(Result.UNAVAILABLE), tried(5), policy, NOW).state is DeliveryState.QUARANTINED
    assert after(Outcome(Result.UNKNOWN), tried(1), policy, NOW).state is DeliveryState.UNKNOWN
    assert after(Outcome(Result.UNKNOWN), tried(2), policy, NOW).state is DeliveryState.QUARANTINED


def test_what_is_queued_at_the_target_is_looked_at_when_the_connector_says() -> None:
    asked = Outcome(Result.UNKNOWN, retry_after=900)
    assert after(asked, tried(), POLICY, NOW).due == NOW + timedelta(seconds=900)
    assert after(asked, tried(read_back=True), POLICY, NOW).due == NOW + timedelta(seconds=900)
    assert after(Outcome(Result.UNKNOWN, retry_after=1), tried(read_back=True), POLICY, NOW).due == NOW + VERIFY_PAUSE
