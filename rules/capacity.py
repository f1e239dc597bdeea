"""How much a target takes: what steps of load showed, where the knee is, and the limits that follow from it.

Load is offered at stepped rates, and every latency counts from the instant at which a write was to be sent, not from when
it could be: a target that stalls does not hide behind writes that were never made (no coordinated omission). Rates are
writes or requests a second, times are seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Literal

from rules.outcomes import DONE, Result
from rules.policy.kinds import RetryPolicySpec, format_duration

TOOK = DONE | {Result.STALE}
"""Outcomes after which the target has done the work of a write. A refusal of a stale one is an answer like any other."""
SHORTEST_WINDOW = 2.0
"""Seconds of throttling from which it is told how much was taken meanwhile."""
FEWEST = 3
"""Writes that must have been taken meanwhile: a target that locks out whoever goes on asking tells nothing of its rate."""
LEAST_TIMEOUT = 5.0
LEAST_AT_ONCE = 2
"""With one, a single slow answer would hold up all the others."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One write of the load. All times are readings of one stopwatch."""

    intended: float
    """When it was to be sent."""
    submitted: float
    """When the drill handed it over; later than intended only when the drill itself could not keep up."""
    started: float
    """When it was sent: later than submitted while as many as the drill may have under way are."""
    finished: float
    result: Result
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one rate showed."""

    rate: float
    """Writes a second that were offered."""
    seconds: float
    counts: Mapping[Result, int]
    p50: float | None
    """Latencies are of the writes that the target took, from their intended instant; None: it took none."""
    p95: float | None
    p99: float | None
    in_flight: int
    """The most writes that were under way at once."""
    lag: float
    """The most by which the drill itself was late."""
    sustained: float | None
    """Writes a second that were taken while the target throttled; None when it did not, or too shortly to tell."""
    retry_after: tuple[float, ...]

    @property
    def sent(self) -> int:
        """Writes that were sent."""
        return sum(self.counts.values())

    @property
    def taken(self) -> int:
        """Writes that the target took."""
        return sum(count for result, count in self.counts.items() if result in TOOK)

    @property
    def throttled(self) -> int:
        """Writes that the target asked to send later."""
        return self.counts.get(Result.THROTTLED, 0)

    @property
    def failed(self) -> int:
        """Writes that came to nothing, or of which that is not known."""
        return self.sent - self.taken - self.throttled


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that a share (0 … 1) of the values does not exceed (nearest rank); None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def measure(shots: Sequence[Shot], rate: float, seconds: float) -> Step:
    """Return what the shots of one step show; their order does not matter."""
    latencies = [shot.finished - shot.intended for shot in shots if shot.result in TOOK]
    return Step(
        rate=rate,
        seconds=seconds,
        counts=Counter(shot.result for shot in shots),
        p50=percentile(latencies, 0.5),
        p95=percentile(latencies, 0.95),
        p99=percentile(latencies, 0.99),
        in_flight=_most_at_once((shot.started, shot.finished) for shot in shots),
        lag=max((shot.submitted - shot.intended for shot in shots), default=0.0),
        sustained=_sustained(shots),
        retry_after=tuple(sorted(shot.retry_after for shot in shots if shot.retry_after is not None)),
    )


def _most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    # an end sorts before a start at the same instant: one write follows the other
    changes = sorted((at, change) for start, end in spans for at, change in ((start, 1), (end, -1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _sustained(shots: Sequence[Shot]) -> float | None:
    """Between the first refusal, when what the target allows in advance is used up, and the last write that was to be sent."""
    refused = [shot.finished for shot in shots if shot.result is Result.THROTTLED]
    if not refused:
        return None
    start, end = min(refused), max(shot.intended for shot in shots)
    taken = sum(start < shot.finished <= end for shot in shots if shot.result in TOOK)
    return taken / (end - start) if end - start >= SHORTEST_WINDOW and taken >= FEWEST else None


@dataclass(frozen=True, slots=True)
class Limits:
    """Up to where a target counts as well."""

    latency_factor: float = 3.0
    """The 95th percentile of latency may be so many times the unloaded one."""
    latency_floor: float = 0.1
    """Seconds: a latency below this is well whatever the factor; an idle target answers in so little time that the factor means nothing."""
    bad_share: float = 0.01
    """Share of writes that may be throttled or fail."""

    def slowest(self, unloaded: float) -> float:
        """Return the latency up to which a target counts as well."""
        return max(self.latency_factor * unloaded, self.latency_floor)


Bound = Literal["throttling", "failures", "latency", "the drill itself", "nothing"]


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest rate that a target takes well."""

    rate: float | None
    """Writes a second; None when even the lowest was too much and nothing else tells."""
    bound: Bound
    """What ends it; 'nothing' when the highest rate that was offered was taken well."""
    reasons: tuple[str, ...]


def find_knee(steps: Sequence[Step], unloaded: float, limits: Limits = Limits()) -> Knee:
    """Return the knee that the steps show, with the reasons. `unloaded`: latency of a write while nothing else was under way.

    Of the steps in the order of their rates, those before the first that was not taken well count; one beyond that was
    luck. A target that allows some writes in advance takes a short step of any rate well: so the knee is never above
    what it went on taking while it throttled.
    """
    good: Step | None = None
    bad: Step | None = None
    bound: Bound = "nothing"
    reasons: list[str] = []
    for step in sorted(steps, key=lambda step: step.rate):
        bound, why = verdict(step, unloaded, limits)
        if bound != "nothing":
            bad = step
            reasons.append(why)
            break
        good = step
    if good is not None:
        reasons.insert(0, f"{good.rate:g}/s was taken well: {_well(good, unloaded, limits)}")
    told = [step.sustained for step in steps if step.sustained is not None]
    if told and (min(told) < good.rate if good else bad and _only_throttled(bad, unloaded, limits)):
        reasons.append(
            f"while it throttled it went on taking {min(told):.2f}/s: what it took above that was allowed in advance, once"
        )
        return Knee(min(told), "throttling", tuple(reasons))
    return Knee(good.rate if good else None, bound, (*reasons, *_advice(steps, good, bound)))


def _only_throttled(step: Step, unloaded: float, limits: Limits) -> bool:
    """Whether what was not throttled was taken well, and for long enough to tell how much that was."""
    fast = step.p95 is not None and max(step.p95, step.lag) <= limits.slowest(unloaded)
    return fast and step.sustained is not None and step.failed <= limits.bad_share * step.sent


def _advice(steps: Sequence[Step], good: Step | None, bound: Bound) -> tuple[str, ...]:
    if not steps:
        return ("no rate was offered to its end",)
    if good is None:
        return ("even the lowest rate was too much; offer lower ones",)
    return (
        ("the knee was not reached: what follows is only what was seen to be taken; offer higher rates to find it",)
        if bound == "nothing"
        else ()
    )


def verdict(step: Step, unloaded: float, limits: Limits) -> tuple[Bound, str]:
    """Say what was too much at a step, and how that shows; ('nothing', '') when the target took it well."""
    slowest, at = limits.slowest(unloaded), f"at {step.rate:g}/s"
    if step.lag > slowest:
        return (
            "the drill itself",
            f"{at} this machine sent up to {step.lag:.2f} s late; nothing is known of the target there",
        )
    if step.throttled > limits.bad_share * step.sent:
        return "throttling", f"{at} {step.throttled} of {step.sent} were throttled, above {limits.bad_share:.0%}"
    if step.throttled + step.failed > limits.bad_share * step.sent:
        told = ", ".join(f"{count} {result}" for result, count in sorted(step.counts.items()) if result not in TOOK)
        return (
            "failures",
            f"{at} {step.throttled + step.failed} of {step.sent} came to nothing ({told}), above {limits.bad_share:.0%}",
        )
    if step.p95 is None or step.p95 > slowest:
        shown = "unknown" if step.p95 is None else f"{step.p95:.3f} s"
        return "latency", f"{at} the 95th percentile of latency was {shown}, above {slowest:.3f} s"
    return "nothing", ""


def _well(step: Step, unloaded: float, limits: Limits) -> str:
    latency = (
        f"95th percentile {step.p95 or 0.0:.3f} s (unloaded {unloaded:.3f} s, limit {limits.slowest(unloaded):.3f} s)"
    )
    return f"{latency}, {step.throttled + step.failed} of {step.sent} refused or failed"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The limits that follow from a knee."""

    rate: float
    """Requests a second, for all that is sent to the system."""
    concurrency: int
    timeout: timedelta
    retry: RetryPolicySpec
    reasons: tuple[str, ...]


def propose(
    knee_rate: float, steps: Sequence[Step], requests_per_write: float, margin: float, retry: RetryPolicySpec
) -> Proposal:
    """Return the limits for a target whose knee is at `knee_rate` writes a second.

    `margin`: share (0 … 1) by which the rate stays below the knee. `retry`: the policy that governs the flow now.
    """
    writes = knee_rate * (1 - margin)
    rate = rounded_down(writes * requests_per_write)
    well = [step for step in steps if step.rate <= knee_rate and step.p95 is not None] or [
        step for step in steps if step.p95 is not None
    ]
    concurrency, why_concurrency = _concurrency(writes, well)
    timeout, why_timeout = _timeout(well)
    proposed, why_retry = _retry(retry, [wait for step in steps for wait in step.retry_after])
    why_rate = (
        f"rate {rate:g} requests/s: the knee of {knee_rate:.2f} writes/s less a margin of {margin:.0%}, at "
        f"{requests_per_write:.2f} requests a write. It counts for all flows to the system together"
    )
    return Proposal(rate, concurrency, timeout, proposed, (why_rate, why_concurrency, why_timeout, *why_retry))


def rounded_down(value: float) -> float:
    """Return the value with two significant digits, never more than it is."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.floor(value / unit + 1e-9) * unit, 6)


def _concurrency(writes: float, well: Sequence[Step]) -> tuple[int, str]:
    slow = max((step.p95 or 0.0 for step in well), default=0.0)
    seen = max((step.in_flight for step in well), default=1)
    # Little's law; a quarter more, because answers do not come evenly
    needed = math.ceil(1.25 * writes * slow)
    chosen = max(LEAST_AT_ONCE, min(needed, seen, 100))
    told = f"{writes:.2f} writes/s that take {slow:.3f} s each need {needed}, and {seen} at once were taken well"
    return chosen, f"concurrency {chosen}: {told}; {LEAST_AT_ONCE} at least"


def _timeout(well: Sequence[Step]) -> tuple[timedelta, str]:
    slow = max((step.p99 or 0.0 for step in well), default=0.0)
    seconds = math.ceil(max(LEAST_TIMEOUT, 4 * slow))
    return timedelta(
        seconds=seconds
    ), f"timeout {seconds} s: four times the 99th percentile of {slow:.3f} s, at least {LEAST_TIMEOUT:g} s"


def _retry(current: RetryPolicySpec, waits: Sequence[float]) -> tuple[RetryPolicySpec, tuple[str, ...]]:
    if not waits:
        return current, ("retry policy as it is: the target never asked to wait",)
    usual, longest = max(1, math.ceil(median(waits))), math.ceil(max(waits))
    first = max(current.first, timedelta(seconds=usual))
    cap = max(current.cap, 4 * first, timedelta(seconds=longest))
    values = {
        "first": first,
        "cap": cap,
        "factor": max(current.factor, 2.0),
        "budget": max(current.budget, cap),
        "jitter": True,
    }
    changed = current.model_copy(update=values)
    told = f"the target asked to wait {usual} s as a rule, {longest} s at most"
    if changed == current:
        return current, (f"retry policy as it is: {told}, and it waits that long already",)
    return changed, (f"retry policy first {format_duration(first)}, cap {format_duration(cap)}: {told}",)
