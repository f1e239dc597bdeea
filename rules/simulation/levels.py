"""A service level judged over the past, slice by slice: when it would have called somebody.

The same arithmetic as `rules.slo.judge`, over arrays: a month of minutes is forty thousand judgements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rules.slo import STALE_SLICES, Objective, Tier

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class History:
    """What was counted, one number a slice: the first slice begins at `begins`, which lies on the grid.

    `observed`: share of each slice that was observed. `seen`: whether anything of the indicator was, whichever its labels.
    """

    begins: datetime
    slice: timedelta
    good: Floats
    total: Floats
    observed: Floats
    seen: Bools


@dataclass(frozen=True, slots=True)
class Alert:
    """A stretch in which the promise calls: from the judgement that fires to the one that does not any more, or the end."""

    since: datetime
    until: datetime
    severity: str

    def meets(self, other: Alert) -> bool:
        """Whether both call at the same time."""
        return self.since < other.until and other.since < self.until


@dataclass(frozen=True, slots=True)
class Moved:
    """An alert under one revision, and what it is under the other; None where it is not there."""

    before: Alert | None
    after: Alert | None

    @property
    def how(self) -> str:
        """gained, lost, shifted or same."""
        if self.before is None:
            return "gained"
        if self.after is None:
            return "lost"
        return "same" if self.before == self.after else "shifted"


def alerts(objective: Objective, history: History) -> list[Alert]:
    """Return when a promise would have called, in order of time; `objective.begins` is taken to be the history's beginning."""
    count, sums = len(history.total), _Sums(history)
    stale = _stale(history.seen)
    firing, pages, live = np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, bool)
    for tier in objective.tiers:
        fires, frozen = _tier(objective, tier, sums, stale)
        held = _held(fires, frozen)
        live |= ~frozen
        firing |= held
        if tier.severity == "page":
            pages |= held
    told = _held(firing, ~live)  # while nothing can be judged, what was told before stays told
    return _stretches(told, pages, history)


def moved(before: Sequence[Alert], after: Sequence[Alert]) -> list[Moved]:
    """Hold the alerts of two revisions against each other; those that call at the same time are one that has shifted."""
    left = list(after)
    found: list[Moved] = []
    for old in before:
        new = next((one for one in left if one.meets(old)), None)
        if new is not None:
            left.remove(new)
        found.append(Moved(old, new))
    return [*found, *(Moved(None, new) for new in left)]


def _tier(objective: Objective, tier: Tier, sums: _Sums, stale: Bools) -> tuple[Bools, Bools]:
    long_total, long_bad, long_coverage = sums.window(tier.long)
    short_total, short_bad, short_coverage = sums.window(tier.short)
    allowed = 1 - objective.target
    fires = (
        (_burn(long_bad, long_total, allowed) >= tier.factor)
        & (_burn(short_bad, short_total, allowed) >= tier.factor)
        & (long_bad >= objective.min_bad)
    )
    warm = sums.ends >= max(1, tier.short // sums.slice)
    frozen = stale | ~warm | (np.minimum(long_coverage, short_coverage) < objective.min_coverage)
    return fires, frozen


def _burn(bad: Floats, total: Floats, allowed: float) -> Floats:
    share = np.divide(bad, total, out=np.zeros_like(bad), where=total > 0)
    return share / allowed


class _Sums:
    """Sums over windows of a history."""

    def __init__(self, history: History) -> None:
        self.slice = history.slice
        self.ends = np.arange(1, len(history.total) + 1)
        self._total, self._bad, self._observed = map(
            _running, (history.total, history.total - history.good, history.observed)
        )

    def window(self, length: timedelta) -> tuple[Floats, Floats, Floats]:
        """Return total, bad and coverage of the window that ends with each slice."""
        size = max(1, length // self.slice)
        total, bad, observed = (_last(one, size) for one in (self._total, self._bad, self._observed))
        return total, bad, np.minimum(1.0, observed / np.minimum(self.ends, size))


def _running(values: Floats) -> Floats:
    return np.concatenate(([0.0], np.cumsum(values)))


def _last(running: Floats, size: int) -> Floats:
    """Return the sum of the last `size` values at each position."""
    found = running[1:].copy()
    found[size:] -= running[1:-size]
    return found


def _stale(seen: Bools) -> Bools:
    """Whether nothing was observed in the last slices, nor in the one in which the judgement is made."""
    near = _last(_running(np.concatenate((seen, [False])).astype(float)), STALE_SLICES + 1)
    return np.asarray(near[1:] == 0)


def _held(value: Bools, frozen: Bools) -> Bools:
    """Return the values where those that are frozen keep the one before them; False before the first that is not."""
    last = np.maximum.accumulate(np.where(frozen, -1, np.arange(len(value))))
    return np.where(last >= 0, value[np.maximum(last, 0)], False)


def _stretches(told: Bools, pages: Bools, history: History) -> list[Alert]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], told, [False])).astype(int)))
    found = []
    for since, until in list(pairwise(edges.tolist()))[::2]:
        urgent = bool(pages[since:until].any())
        start, end = (history.begins + (at + 1) * history.slice for at in (since, until))
        found.append(Alert(start, end, "page" if urgent else "ticket"))
    return found
