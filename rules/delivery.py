"""What becomes of a delivery after a try: a pure decision from the outcome, the policy and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rules import retry
from rules.outcomes import DONE, REPEATABLE, DeliveryState, Outcome, Result
from rules.policy.kinds import RetryPolicySpec

VERIFY_PAUSE = timedelta(seconds=15)
"""Between two read-backs that could not tell."""


@dataclass(frozen=True, slots=True)
class Try:
    """What the decision needs to know of one try."""

    attempt: int
    read_back: bool
    late_effect: timedelta
    """How long the request may still take effect, if its outcome is unknown."""
    deadline: datetime
    draw: float
    """A random number from 0 to 1, for the jitter."""


@dataclass(frozen=True, slots=True)
class Next:
    """Where the delivery stands now.

    `due`: when it is tried again; in quarantine, when a write that may have taken effect can be read back at the earliest.
    """

    state: DeliveryState
    due: datetime | None = None


def after(outcome: Outcome, tried: Try, policy: RetryPolicySpec, now: datetime) -> Next:
    """Return what follows. What gives up, or is refused for good, waits in quarantine for a person."""
    result = outcome.result
    if result in DONE:
        return Next(DeliveryState.DELIVERED)
    if result is Result.STALE:
        return Next(DeliveryState.STALE)
    # a read-back that failed leaves the write as unknown as it was
    again = DeliveryState.UNKNOWN if tried.read_back and result not in REPEATABLE else DeliveryState.PENDING
    if result is Result.UNKNOWN:
        again = DeliveryState.UNKNOWN
    due = now + _wait(outcome, tried, policy)
    if retry.gives_up(policy, tried.attempt, due, tried.deadline, result):
        unanswered = result is Result.UNKNOWN and not tried.read_back
        return Next(DeliveryState.QUARANTINED, now + tried.late_effect if unanswered else None)
    return Next(again, due)


def _wait(outcome: Outcome, tried: Try, policy: RetryPolicySpec) -> timedelta:
    asked = timedelta(seconds=min(outcome.retry_after or 0, retry.LONGEST_WAIT.total_seconds()))
    if outcome.result is Result.UNKNOWN:
        return max(asked, VERIFY_PAUSE if tried.read_back else tried.late_effect)
    if outcome.result is Result.THROTTLED:
        return asked or timedelta(seconds=1)
    return max(asked, retry.delay(policy, tried.attempt, tried.draw, outcome.result))
