"""Time, injected. Nothing else in the plane asks the machine what time it is.

Two clocks: the machine's, and one that a scenario moves by hand. `pace` is how many wall seconds one second of
the clock takes where something really has to be waited for (a request's time-out): 1 on the machine's clock,
a small fraction in a scenario.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from rules.ids import not_before


class Clock(Protocol):
    """What the plane asks of time."""

    pace: float

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def stopwatch(self) -> float:
        """Return a monotonic reading in seconds of this clock; only differences mean anything."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set or the seconds of this clock are over; say whether it was set."""
        ...


class SystemClock:
    """The machine's clock. It is believed even when it is put back; ids made after that still sort behind those before."""

    pace = 1.0

    def __init__(self) -> None:
        self._latest = 0.0

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        wall = time.time()
        if wall < self._latest:
            not_before(int(self._latest * 1000))
        else:
            self._latest = wall
        return datetime.fromtimestamp(wall, UTC)

    def stopwatch(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait on the event for at most so many seconds."""
        return event.wait(seconds)


class ManualClock:
    """A clock that stands still until it is moved: for scenarios and tests."""

    def __init__(self, start: datetime, pace: float = 0.05) -> None:
        if start.tzinfo is None:
            raise ValueError(f"the start {start!r} has no time zone; give an aware datetime in UTC")
        self.pace = pace
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the instant the clock was last moved to."""
        with self._lock:
            return self._now

    def move_to(self, instant: datetime) -> None:
        """Move forward to the instant; an instant in the past changes nothing."""
        with self._lock:
            self._now = max(self._now, instant.astimezone(UTC))

    def advance(self, seconds: float) -> None:
        """Move forward by so many seconds."""
        self.move_to(self.now() + timedelta(seconds=seconds))

    def stopwatch(self) -> float:
        """Return wall time translated into this clock's seconds, so that real calls have a duration here too."""
        return time.monotonic() / self.pace

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait at the clock's pace."""
        return event.wait(seconds * self.pace)
