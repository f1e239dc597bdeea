"""Open-loop load: each write is sent when it is due, whether or not those before it were answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from controlplane.clock import Clock
from rules.capacity import TOOK, Shot
from rules.outcomes import Outcome, Result

DRAIN = 0.1
"""Seconds between two looks at whether all is answered; only how soon the next step begins depends on it."""


@dataclass(slots=True)
class Budget:
    """How many writes, and how many of them may come to nothing. Throttling is what is looked for, and no error."""

    writes: int
    errors: int
    stopped: str = ""
    """Why no more is sent; empty while it may be."""
    trouble: str = ""
    """The last outcome that came to nothing."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Take the right to one more write; say whether there was one left."""
        with self._lock:
            if self.stopped:
                return False
            if self.writes < 1:
                self.stopped = "all writes that were allowed are used up (--max-writes)"
                return False
            self.writes -= 1
            return True

    def note(self, outcome: Outcome) -> None:
        """Count what came of a write."""
        if outcome.result in TOOK or outcome.result is Result.THROTTLED:
            return
        with self._lock:
            self.trouble = f"{outcome.result}: {outcome.detail}"
            self.errors -= 1
            if self.errors < 0 and not self.stopped:
                self.stopped = "too many writes came to nothing (--max-errors)"


class Load:
    """Sends writes at a rate and notes when each was due, sent and answered. One thread offers, others send."""

    def __init__(self, clock: Clock, send: Callable[[], Outcome], at_once: int, budget: Budget) -> None:
        self.clock, self.budget, self.at_once = clock, budget, at_once
        self._send = send
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="drill")
        self._lock = threading.Lock()
        self._idle, self._never = threading.Event(), threading.Event()
        self._shots: list[Shot] = []
        self.pending = 0
        """Writes that were handed over and are not answered."""

    def close(self) -> None:
        """Send nothing more; wait for what is under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def step(self, rate: float, seconds: float) -> list[Shot]:
        """Offer so many writes a second for so long, and wait for the answers; fewer when the budget ends."""
        self._shots = []
        start = self.clock.stopwatch()
        for number in range(writes_of(rate, seconds)):
            due = start + number / rate
            self._wait_until(due)
            if not self.budget.take():
                break
            self._hand_over(due)
        self._drain()
        return self._shots

    def one(self) -> Shot | None:
        """Send one write by itself; None when the budget is used up."""
        self._shots = []
        if self.budget.take():
            self._hand_over(self.clock.stopwatch())
        self._drain()
        return self._shots[0] if self._shots else None

    def _wait_until(self, due: float) -> None:
        while (left := due - self.clock.stopwatch()) > 0:
            self.clock.wait(self._never, left)

    def _hand_over(self, due: float) -> None:
        with self._lock:
            self.pending += 1
            self._idle.clear()
        self._pool.submit(self._shoot, due, self.clock.stopwatch())

    def _shoot(self, due: float, submitted: float) -> None:
        started = self.clock.stopwatch()
        try:
            outcome = self._send()
        except Exception as error:  # noqa: BLE001 - a defect of a connector is an outcome of the drill, and not its end
            outcome = Outcome(Result.UNKNOWN, f"defect in the connector: {error!r}")
        self.budget.note(outcome)
        shot = Shot(due, submitted, started, self.clock.stopwatch(), outcome.result, outcome.retry_after)
        with self._lock:
            self._shots.append(shot)
            self.pending -= 1
            if not self.pending:
                self._idle.set()

    def _drain(self) -> None:
        while self.pending:
            self.clock.wait(self._idle, DRAIN)


def writes_of(rate: float, seconds: float) -> int:
    """Return how many writes a step consists of."""
    return max(1, round(rate * seconds))
