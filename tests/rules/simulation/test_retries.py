"""Deliveries of the past under another retry policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.outcomes import Result
from rules.policy.kinds import RetryClass, RetryPolicySpec
from rules.simulation.retries import ALWAYS, Course, Owed, Trouble, Try, replay, untroubled

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def outage(since: float, until: float, how: str = "unavailable") -> Trouble:
    return Trouble([Try(at(since - 1), "delivered"), Try(at(since), how), Try(at(until), "delivered")])


def owed(first: float = 0.0, promise: float = 60.0, refused_until: datetime | None = None, name: str = "d1") -> Owed:
    return Owed(name, at(first), at(first), at(promise), refused_until)


def replayed(policy: RetryPolicySpec, trouble: Trouble, one: Owed, until: float = 10**7) -> Course:
    return replay(policy, trouble, one, at(until))


def policy(first: int = 1, cap: int = 300, budget: int = 86400, **more: object) -> RetryPolicySpec:
    return RetryPolicySpec.model_validate({
        "first": f"{first}s", "cap": f"{cap}s", "budget": f"{budget}s", "jitter": False, **more,
    })  # fmt: skip


# --- when a system failed ---


def test_a_system_fails_from_the_first_try_that_failed_to_the_next_that_did_not() -> None:
    trouble = outage(10, 50)
    assert [trouble.at(at(second)) for second in (0, 9.9, 10, 49.9, 50, 999)] == [
        None, None, Result.UNAVAILABLE, Result.UNAVAILABLE, None, None,
    ]  # fmt: skip


def test_a_success_that_was_begun_before_the_failure_does_not_end_it() -> None:
    trouble = Trouble([Try(at(10), "unavailable"), Try(at(9), "delivered"), Try(at(30), "delivered")])
    assert trouble.at(at(20)) is Result.UNAVAILABLE


def test_what_was_refused_or_stale_says_nothing_of_the_system() -> None:
    assert Trouble([Try(at(10), "rejected"), Try(at(11), "stale")]).at(at(12)) is None


def test_a_system_that_never_came_back_fails_to_the_end() -> None:
    assert Trouble([Try(at(10), "unknown")]).at(at(10**6)) is Result.UNKNOWN


# --- one delivery ---


def test_a_delivery_is_tried_as_the_policy_says_until_it_is_taken() -> None:
    found = replayed(policy(), outage(0, 10), owed())
    assert found == Course(1, 5, 1, 0, 0, 0, 15.0), "at 0, 1, 3, 7 and 15 s"


def test_a_delivery_that_is_taken_after_its_promise_breaks_it() -> None:
    assert replayed(policy(first=40), outage(0, 50), owed(promise=60)).breached == 1


def test_a_budget_that_ends_first_leaves_it_to_a_person() -> None:
    found = replayed(policy(budget=6), outage(0, 10), owed())
    assert (found.delivered, found.gave_up, found.breached, found.calls) == (0, 1, 1, 3)


def test_a_class_of_failure_has_its_own_pauses() -> None:
    patient = policy(classes={"throttled": {"first": "20s"}})
    assert replayed(patient, outage(0, 10, "throttled"), owed()).calls == 2


def test_what_was_refused_is_refused_until_it_was_taken_whatever_the_policy() -> None:
    retried = policy(first=10, classes={"rejected": RetryClass(retry=True).model_dump(exclude_none=True)})
    assert replayed(policy(), Trouble([]), owed(refused_until=at(25))).gave_up == 1, "by default a refusal is final"
    assert replayed(retried, Trouble([]), owed(refused_until=at(25))).calls == 3, "at 0, 10 and 30 s"
    never = replayed(retried, Trouble([]), owed(refused_until=at(0) + ALWAYS))
    assert (never.delivered, never.gave_up) == (0, 1)


def test_what_is_on_its_way_where_history_ends_is_neither_delivered_nor_given_up() -> None:
    endless = Trouble([Try(at(0), "unavailable")])
    assert replayed(policy(first=10, cap=10), endless, owed(promise=60), until=55) == Course(1, 6, 0, 0, 0, 1)
    assert replayed(policy(first=10, cap=10), endless, owed(promise=30), until=55).breached == 1


@given(st.floats(0, 5000), st.integers(1, 20), st.integers(1, 20), st.text(min_size=1, max_size=8))
def test_the_same_policy_has_the_same_course_each_time(length: float, first: int, second: int, name: str) -> None:
    one = policy(first=first, jitter=True)
    trouble = outage(0, length + 1)
    assert replayed(one, trouble, owed(name=name)) == replayed(one, trouble, owed(name=name))
    assert replayed(one, trouble, owed(name=name)).calls >= 1


@given(st.floats(1, 5000), st.integers(1, 100), st.integers(1, 100))
def test_a_longer_budget_never_leaves_more_to_people(length: float, short: int, more: int) -> None:
    trouble = outage(0, length)
    less, longer = (replayed(policy(budget=budget), trouble, owed()) for budget in (short, short + more))
    assert longer.gave_up <= less.gave_up
    assert longer.calls >= less.calls


def test_courses_add_up() -> None:
    whole = untroubled(10, 2)
    whole.add(Course(1, 5, 1, 0, 0, 0, 15.0))
    assert whole == Course(11, 15, 11, 0, 2, 0, 15.0)


@pytest.mark.parametrize("factor", [1, 10])
def test_a_policy_without_end_is_replayed_to_an_end(factor: int) -> None:
    endless = policy(first=1, cap=1, budget=10**9, factor=factor)
    assert replayed(endless, Trouble([Try(at(0), "unavailable")]), owed(), until=10**9).open == 1
