"""Retry arithmetic: when to try again, and when to stop and ask a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from rules.outcomes import Result
from rules.policy.kinds import RetryClass, RetryPolicySpec

LONGEST_WAIT = timedelta(hours=1)
"""A system that asks for more is asked again after this: it may have meant a day, and be well again in a minute."""
REJECTED = RetryClass(retry=False)
"""A refusal stays a refusal unless policy says that this target refuses what it takes later."""


def step(policy: RetryPolicySpec, result: Result) -> RetryClass:
    """Return what the policy says of a class of failure."""
    default = REJECTED if result is Result.REJECTED else RetryClass()
    return policy.classes.get(result.value, default)  # type: ignore[call-overload, no-any-return]


def delay(policy: RetryPolicySpec, attempt: int, draw: float, result: Result = Result.UNAVAILABLE) -> timedelta:
    """Return the pause after the given attempt (1, 2, …); `draw` is a random number from 0 to 1 (full jitter).

    Without jitter the ceiling itself is taken. Never below a twentieth of the first pause, so that a run of small
    draws does not become a storm.
    """
    own = step(policy, result)
    first = policy.first if own.first is None else own.first
    cap, factor = policy.cap if own.cap is None else own.cap, own.factor or policy.factor
    # in seconds: a day's worth of attempts doubles a timedelta past its largest value
    ceiling = timedelta(seconds=min(cap.total_seconds(), first.total_seconds() * factor ** min(attempt - 1, 64)))
    if not policy.jitter:
        return ceiling
    return max(ceiling * draw, min(ceiling, first / 20))


def longest(policy: RetryPolicySpec) -> timedelta:
    """Return the longest pause that the policy allows between two tries."""
    return max([policy.cap, *(own.cap for own in policy.classes.values() if own.cap is not None)])


def gives_up(
    policy: RetryPolicySpec, attempt: int, next_try: datetime, deadline: datetime, result: Result = Result.UNAVAILABLE
) -> bool:
    """Say whether the next try would break the policy: its budget, its number of attempts, or what it says of the class."""
    own = step(policy, result)
    most = own.max_attempts or policy.max_attempts
    return not own.retry or (most is not None and attempt >= most) or next_try > deadline


def breaker_pause(after: int, pause: timedelta, cap: timedelta, failures: int) -> timedelta | None:
    """Return how long a system is left alone after so many failures in a row, or None while it is not."""
    if failures < after:
        return None
    # in seconds: twenty doublings leave the largest timedelta
    return timedelta(seconds=min(cap.total_seconds(), pause.total_seconds() * 2 ** min(failures - after, 20)))
