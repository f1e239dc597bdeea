"""A drill from the first write to the last: unloaded, then step by step until the target has enough, then put back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector
from controlplane.drill.ending import ending
from controlplane.drill.load import Budget, Load, writes_of
from controlplane.drill.payloads import MARK
from controlplane.drill.writes import LONGEST_WAIT, Writes
from rules.capacity import TOOK, Knee, Limits, Proposal, Shot, Step, find_knee, measure, propose, verdict
from rules.outcomes import Result
from rules.policy.kinds import RetryPolicySpec

ALONE = 10
"""Writes that are sent one after another to learn the latency of a target that does nothing else for us."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is offered, and where it ends."""

    rates: tuple[float, ...]
    seconds: float
    at_once: int
    max_writes: int
    max_errors: int
    margin: float
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill found."""

    mark: str
    """Every document's reference begins with it."""
    started_at: datetime
    unloaded: float | None
    """Seconds that a write takes alone (median); None when the target took none."""
    steps: tuple[Step, ...]
    knee: Knee
    proposal: Proposal | None
    requests_per_write: float
    writes: int
    stopped: str
    """Why it ended before its time; empty when it did not."""
    trouble: str
    """The last outcome that came to nothing; empty when none did."""
    left: tuple[str, ...]
    """What could not be put back."""


class Meter:
    """Counts requests, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self) -> None:
        with self._lock:
            self.count += 1


class Drill:
    """One drill. `told` is called with a line for people whenever something is known."""

    def __init__(
        self, clock: Clock, connector: Connector, writes: Writes, meter: Meter, plan: Plan, told: Callable[[str], None]
    ) -> None:
        self.clock, self.plan, self.told = clock, plan, told
        self.connector, self.writes, self.meter = connector, writes, meter
        self.budget = Budget(plan.max_writes, plan.max_errors)
        at_once = min(plan.at_once, writes.most_at_once or plan.at_once)
        self.load = Load(clock, lambda: writes.send(connector), at_once, self.budget)
        self._per_write: list[float] = []

    def run(self, run: str, retry: RetryPolicySpec) -> Drilled:
        """Drill, put back, and conclude. `retry`: the policy that governs the flow now."""
        started_at = self.clock.now()
        steps: list[Step] = []
        with ending(self.told) as ends:
            try:
                try:
                    alone = self._alone()
                    unloaded = median(_latencies(alone)) if _latencies(alone) else None
                    if unloaded is not None:
                        steps = self._steps(unloaded)
                finally:
                    ends.hold()
            finally:  # a signal may come at any instant before it is held, and at the end of the measuring too
                self.load.close()
                left = self.writes.put_back(self.connector, self.clock)
            ends.leave()
        return self._concluded(f"{MARK}-{run}", started_at, unloaded, len(alone), steps, left, retry)

    def _alone(self) -> list[Shot]:
        shots: list[Shot] = []
        while len(shots) < ALONE and (shot := self.load.one()):
            shots.append(shot)
            if shot.result is Result.THROTTLED:
                self._rest([shot.retry_after or 1.0])
        self.told(f"alone: {len(shots)} writes, {sum(shot.result in TOOK for shot in shots)} taken")
        return shots

    def _steps(self, unloaded: float) -> list[Step]:
        steps: list[Step] = []
        for rate in self.plan.rates:
            if self.budget.stopped:
                break
            self.told(f"{rate:g}/s for {self.plan.seconds:g} s …")
            before = self.meter.count
            shots = self.load.step(rate, self.plan.seconds)
            if not shots:
                break
            self._per_write.append((self.meter.count - before) / len(shots))
            steps.append(measure(shots, rate, self.plan.seconds))
            self._rest(steps[-1].retry_after)
            if find_knee(steps, unloaded, self.plan.limits).bound != "nothing":
                break
        return steps

    def _rest(self, waits: Sequence[float]) -> None:
        """Wait as long as the target asked, so that what comes next starts rested."""
        if waits:
            self.clock.wait(threading.Event(), min(max(waits), LONGEST_WAIT))

    def _concluded(
        self, mark: str, started_at: datetime, unloaded: float | None, alone: int, steps: list[Step], left: list[str],
        retry: RetryPolicySpec,
    ) -> Drilled:  # fmt: skip
        writes = alone + sum(step.sent for step in steps)
        # the first writes look things up that later ones know, so the step with the fewest tells how it goes on
        per_write = min(self._per_write, default=0.0)
        knee = find_knee(self._telling(steps, unloaded or 0.0), unloaded or 0.0, self.plan.limits)
        proposal = None
        if knee.rate is not None and per_write:
            proposal = propose(knee.rate, steps, per_write, self.plan.margin, retry)
        stopped = self.budget.stopped or ("" if unloaded is not None else "no write that was sent alone was taken")
        return Drilled(
            mark, started_at, unloaded, tuple(steps), knee, proposal, per_write, writes, stopped, self.budget.trouble,
            tuple(left),
        )  # fmt: skip

    def _telling(self, steps: list[Step], unloaded: float) -> list[Step]:
        """A step that was cut short tells when it was too much, and not when it was taken well."""
        return [
            step
            for step in steps
            if step.sent >= writes_of(step.rate, step.seconds)
            or verdict(step, unloaded, self.plan.limits)[0] != "nothing"
        ]


def _latencies(shots: Sequence[Shot]) -> list[float]:
    return [shot.finished - shot.intended for shot in shots if shot.result in TOOK]
