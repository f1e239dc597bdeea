"""Service-level arithmetic: coverage, burn rate, budget, and when a promise is met, at risk, breached or unknown.

A window is made of slices on a grid aligned to the epoch. A slice closes 60 s after its end, because late rows still
arrive; everything is judged up to the last closed slice. A slice nobody observed is neither good nor bad: it lowers the
coverage, and below the policy's floor the judgement freezes instead of guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLOSE = timedelta(seconds=60)
"""A slice is closed this long after its end."""
KEPT = timedelta(days=90)
"""Rollups are kept for so long; a longer window can never be covered."""
STALE_SLICES = 3
"""So many slices without a single observation behind the last closed one make the watermark stale."""


class State(StrEnum):
    """How a promise stands."""

    MEETING = "meeting"
    AT_RISK = "at_risk"
    """The budget burns too fast, and some of it is left."""
    BREACHED = "breached"
    """The budget of the window is spent."""
    UNKNOWN = "unknown"
    """The evidence cannot decide."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted over a stretch of time. `observed` is in slices and may be a fraction."""

    good: int
    total: int
    observed: float

    @property
    def bad(self) -> int:
        """Events that were not good."""
        return self.total - self.good

    @property
    def attainment(self) -> float | None:
        """Share of good; None without events."""
        return self.good / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Tier:
    """Fire when the budget burns at `factor` or faster over both windows."""

    severity: str
    long: timedelta
    short: timedelta
    factor: float


@dataclass(frozen=True, slots=True)
class Objective:
    """What is promised. `target` is the share of good over `window`; `begins` is when the promise was first in force."""

    target: float
    window: timedelta
    slice: timedelta
    min_coverage: float
    min_bad: int
    tiers: tuple[Tier, ...]
    begins: datetime


@dataclass(frozen=True, slots=True)
class TierVerdict:
    """How one tier stands. Rates are None without evidence; a frozen tier keeps the answer that it gave before."""

    severity: str
    long_burn: float | None
    short_burn: float | None
    long_coverage: float
    short_coverage: float
    factor: float
    firing: bool
    frozen: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a promise stands and why. `budget_left` is signed: negative means overspent."""

    state: State
    attainment: float | None
    budget_left: float | None
    coverage: float
    tiers: tuple[TierVerdict, ...]
    watermark: datetime
    reason: str

    @property
    def firing(self) -> tuple[TierVerdict, ...]:
        """The tiers that fire."""
        return tuple(tier for tier in self.tiers if tier.firing)

    @property
    def frozen(self) -> bool:
        """Whether no tier could be judged on fresh evidence."""
        return all(tier.frozen for tier in self.tiers)


def aligned(at: datetime, size: timedelta) -> datetime:
    """Return the start of the slice that the instant lies in."""
    return EPOCH + (at - EPOCH) // size * size


def first_whole(at: datetime, size: timedelta) -> datetime:
    """Return the start of the first slice that begins at the instant or after it."""
    start = aligned(at, size)
    return start if start == at else start + size


def closed_until(now: datetime, size: timedelta) -> datetime:
    """Return the end of the last closed slice: the watermark of every judgement."""
    return aligned(now - CLOSE, size)


def expected_slices(since: datetime, until: datetime, size: timedelta) -> int:
    """Count the slices of the aligned grid between two instants; the grid decides, never the rows that were found."""
    return max(0, (aligned(until, size) - aligned(since, size)) // size)


def coverage(tally: Tally, expected: int) -> float:
    """Return observed / expected slices, at most 1; 0 when nothing could be expected yet."""
    return min(1.0, tally.observed / expected) if expected else 0.0


def burn_rate(tally: Tally, target: float) -> float:
    """Return error ratio / (1 - target). Observed slices without events burn nothing."""
    return (tally.bad / tally.total) / (1 - target) if tally.total else 0.0


def budget_left(tally: Tally, target: float) -> float | None:
    """Return the signed share of the error budget that is left: ((1 - T) - bad / total) / (1 - T); None without events."""
    return ((1 - target) - tally.bad / tally.total) / (1 - target) if tally.total else None


def burn_factor(budget_share: float, period: timedelta, long: timedelta) -> float:
    """Return the rate that spends so large a share of the period's budget within the long window."""
    return budget_share * (period / long)


def no_data_after(target: float) -> timedelta:
    """Return how long a promise may be unknown before somebody is told: 14 * (1 - T) * 1 h + 2 min."""
    return 14 * (1 - target) * timedelta(hours=1) + timedelta(minutes=2)


Count = Callable[[datetime, datetime], Tally]
"""Counts what happened in [since, until)."""


def judge(
    objective: Objective, count: Count, now: datetime, newest: datetime | None, fired: Mapping[int, bool]
) -> Judgement:
    """Judge a promise.

    `newest` is the time of the newest observation, `fired` says by position which tiers fired when last judged:
    frozen tiers keep that answer. A stale watermark is looked at first and freezes everything.
    """
    until = closed_until(now, objective.slice)
    stale = newest is None or newest < until - STALE_SLICES * objective.slice
    tiers = tuple(
        _judge_tier(objective, tier, count, until, stale, fired.get(position, False))
        for position, tier in enumerate(objective.tiers)
    )
    tally, covered = _window(objective, count, until, objective.window)
    left = budget_left(tally, objective.target)
    state, reason = _state(objective, tally, covered, newest, stale, tiers)
    known = state is not State.UNKNOWN
    return Judgement(state, tally.attainment if known else None, left if known else None, covered, tiers, until, reason)


def undecided(objective: Objective, now: datetime, reason: str, fired: Mapping[int, bool]) -> Judgement:
    """Return the judgement of a promise that nothing could be counted for: unknown, with every tier frozen."""
    tiers = tuple(
        TierVerdict(tier.severity, None, None, 0.0, 0.0, tier.factor, firing=fired.get(position, False), frozen=True)
        for position, tier in enumerate(objective.tiers)
    )
    return Judgement(State.UNKNOWN, None, None, 0.0, tiers, now, reason)


def _window(objective: Objective, count: Count, until: datetime, length: timedelta) -> tuple[Tally, float]:
    since = max(until - length, first_whole(objective.begins, objective.slice))
    if since >= until:
        return Tally(0, 0, 0.0), 0.0
    tally = count(since, until)
    return tally, coverage(tally, expected_slices(since, until, objective.slice))


def _judge_tier(
    objective: Objective, tier: Tier, count: Count, until: datetime, stale: bool, fired: bool
) -> TierVerdict:
    long, long_coverage = _window(objective, count, until, tier.long)
    short, short_coverage = _window(objective, count, until, tier.short)
    warm = first_whole(objective.begins, objective.slice) <= until - tier.short
    frozen = stale or not warm or min(long_coverage, short_coverage) < objective.min_coverage
    long_burn, short_burn = burn_rate(long, objective.target), burn_rate(short, objective.target)
    fires = long_burn >= tier.factor and short_burn >= tier.factor and long.bad >= objective.min_bad
    return TierVerdict(
        severity=tier.severity,
        long_burn=long_burn if long_coverage else None,
        short_burn=short_burn if short_coverage else None,
        long_coverage=long_coverage,
        short_coverage=short_coverage,
        factor=tier.factor,
        firing=fired if frozen else fires,
        frozen=frozen,
    )


def _state(
    objective: Objective,
    tally: Tally,
    covered: float,
    newest: datetime | None,
    stale: bool,
    tiers: Sequence[TierVerdict],
) -> tuple[State, str]:
    if stale:
        last = f"the last was at {newest:%Y-%m-%d %H:%M} UTC" if newest else "there was never one"
        return State.UNKNOWN, f"no fresh observation: {last}"
    if covered < objective.min_coverage:
        return State.UNKNOWN, f"[coverage] ({covered:.0%}) < {objective.min_coverage:.0%}"
    if not tally.total:
        return State.UNKNOWN, "nothing has happened yet that could be judged"
    attained = tally.good / tally.total
    if attained < objective.target:
        return State.BREACHED, f"[attainment] ({attained:.2%}) < {objective.target:.2%}"
    burning = next((tier for tier in tiers if tier.firing), None)
    if burning:
        rate = "unknown" if burning.long_burn is None else f"{burning.long_burn:.1f}"
        return State.AT_RISK, f"[burn rate] ({rate}) >= {burning.factor:g}"
    return State.MEETING, f"[attainment] ({attained:.2%}) >= {objective.target:.2%}"
