"""Retry arithmetic: when to try again, and when to stop and ask a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from rules.policy.kinds import RetryPolicySpec

BREAKER_AFTER = 5
"""Consecutive failures of one system after which only a single delivery at a time tests whether it is back."""


def delay(policy: RetryPolicySpec, attempt: int, draw: float) -> timedelta:
    """Return the pause after the given attempt (1, 2, …); `draw` is a random number from 0 to 1 (full jitter).

    Without jitter the ceiling itself is taken. Never below a twentieth of the first pause, so that a run of small
    draws does not become a storm.
    """
    # in seconds: a day's worth of attempts doubles a timedelta past its largest value
    doubled = policy.first.total_seconds() * policy.factor ** min(attempt - 1, 64)
    ceiling = timedelta(seconds=min(policy.cap.total_seconds(), doubled))
    if not policy.jitter:
        return ceiling
    return max(ceiling * draw, min(ceiling, policy.first / 20))


def gives_up(policy: RetryPolicySpec, attempt: int, next_try: datetime, deadline: datetime) -> bool:
    """Say whether the next try would break the policy's budget."""
    too_often = policy.max_attempts is not None and attempt >= policy.max_attempts
    return too_often or next_try > deadline
