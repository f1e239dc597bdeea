"""Deliveries of the past, tried again under a retry policy: how often, how late, and which would have waited for a person.

When a system failed is taken from the tries that were made then: it fails from the first try that failed to the next that did
not, with the class of failure that was seen, and takes everything outside of that but what it failed for alone: a delivery
fails up to the last of its own tries that did, whatever became of others meanwhile. A record that was refused is refused until
the try at which it was taken. Rates, breakers and pauses that a system asked for itself are no part of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import NamedTuple
from zlib import crc32

from rules.outcomes import DONE, Result
from rules.policy.kinds import RetryPolicySpec
from rules.retry import delay, gives_up

FAILED = frozenset({Result.UNAVAILABLE, Result.THROTTLED, Result.UNKNOWN})
"""What says something of the system, and not of the record."""
MOST = 10_000
"""Tries at one delivery that are replayed; a policy that makes more of them is shown by as many."""
ALWAYS = timedelta(days=36_500)
"""After its first try, what was refused and never taken is refused for so long."""


class Try(NamedTuple):
    """One call of the past, with its outcome."""

    started_at: datetime
    outcome: str


class Trouble:
    """When a system failed, and how."""

    def __init__(self, tries: Iterable[Try]) -> None:
        """`tries`: of one system, in the order in which they ended."""
        self._since: list[datetime] = []
        self._until: list[datetime | None] = []
        self._how: list[Result] = []
        for started_at, outcome in tries:
            if outcome in FAILED:
                self._fail(started_at, Result(outcome))
            elif outcome in DONE and self._since and self._until[-1] is None and started_at > self._since[-1]:
                self._until[-1] = started_at

    def _fail(self, at: datetime, how: Result) -> None:
        ended = self._until[-1] if self._until else at
        if ended is not None and (not self._until or at >= ended):
            self._since.append(at)
            self._until.append(None)
            self._how.append(how)
        elif ended is None:
            self._how[-1] = how

    def at(self, instant: datetime) -> Result | None:
        """Return how a call fails that is made then; None when it does not."""
        found = bisect_right(self._since, instant) - 1
        if found < 0:
            return None
        until = self._until[found]
        return self._how[found] if until is None or instant < until else None


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery of the past. `refused_until`: when it was taken after it had been refused; None where it never was refused.

    `failed_until`: its own last try that failed, `how`; None where no more than the first did.
    """

    id: str
    created_at: datetime
    first_try: datetime
    promise_at: datetime
    refused_until: datetime | None = None
    failed_until: datetime | None = None
    how: Result = Result.UNAVAILABLE

    def at(self, instant: datetime) -> Result | None:
        """Return how it failed by itself then, as far as its own tries tell; None where they do not."""
        if self.failed_until is not None and instant <= self.failed_until:
            return self.how
        if self.refused_until is not None and instant < self.refused_until:
            return Result.REJECTED
        return None


@dataclass(slots=True)
class Course:
    """What would have come of deliveries under a policy."""

    deliveries: int = 0
    calls: int = 0
    """Calls of the vendor, tries that read back included."""
    delivered: int = 0
    gave_up: int = 0
    """Waits for a person."""
    breached: int = 0
    """Delivered after the promise, or not by then."""
    open: int = 0
    """On its way still where history ends."""
    waited: float = 0.0
    """Seconds from the first try to the one that was taken, of all that were delivered."""

    def add(self, other: Course) -> None:
        """Count another one in."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


def replay(policy: RetryPolicySpec, trouble: Trouble, owed: Owed, until: datetime) -> Course:
    """Try one delivery under a policy until it is taken or given up, or history ends: what comes after is not known."""
    deadline, now, number = owed.created_at + policy.budget, owed.first_try, 1
    seed = crc32(owed.id.encode())
    while number < MOST:
        result = trouble.at(now) or owed.at(now)
        if result is None:
            late = now > owed.promise_at
            return Course(1, number, 1, 0, int(late), 0, (now - owed.first_try).total_seconds())
        then = now + delay(policy, number, _draw(seed, number), result)
        if gives_up(policy, number, then, deadline, result):
            return Course(1, number, 0, 1, 1)
        if then >= until:
            break
        now, number = then, number + 1
    return Course(1, number, 0, 0, int(until > owed.promise_at), 1)


def untroubled(number: int, late: int) -> Course:
    """Return the course of so many deliveries that were taken at their first try, so many of them late: no policy moves them."""
    return Course(number, number, number, 0, late)


def _draw(seed: int, number: int) -> float:
    """A number from 0 to 1 that is the same each time, and under either policy."""
    mixed = (seed ^ (number * 0x9E3779B1)) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return float((mixed ^ (mixed >> 16)) & 0xFFFFFFFF) / 2**32
