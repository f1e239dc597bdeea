"""How long what a domain moved is kept, which domain decides where several carry the same, and how fast old rows may go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from rules.policy.kinds import RetentionSpec

Aspect = Literal["raw", "attempts", "messages"]

LARGEST = 500
"""Rows that one transaction deletes, at most."""
SMALLEST = 10
TURN = 0.020
"""Seconds that one transaction may take: on SQLite everybody else waits for as long."""
REST = 0.005
"""Seconds between two transactions, at least."""


def governing(domains: Mapping[str, RetentionSpec], names: Iterable[str], aspect: Aspect) -> str | None:
    """Return the domain that keeps the longest, of those named, or of all where none is named; None when there is none.

    Of two that keep equally long the one that archives decides, then the first by name.
    """
    among = sorted({name for name in names if name in domains} or domains)
    if not among:
        return None
    return max(among, key=lambda name: (getattr(domains[name], aspect), bool(domains[name].archive)))


def cutoff(now: datetime, kept: timedelta) -> datetime:
    """Return the instant before which things are old: a midnight in UTC, so that a day's rows leave together."""
    return datetime.combine((now - kept).astimezone(UTC).date(), time(), UTC)


def next_size(size: int, took: float) -> int:
    """Return how many rows the next transaction may delete, after one of `size` rows took so many seconds."""
    if took > TURN:
        return max(SMALLEST, size // 2)
    return min(LARGEST, size + size // 4 + 1) if took < TURN / 2 else size


def rest(took: float) -> float:
    """Return the seconds to wait before the next transaction: as long as the last one, so that half of the time is others'."""
    return max(REST, took)
