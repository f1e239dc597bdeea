"""The sandbox's time: the wall's, or one that moves only when told; and what is metered against it."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol


def iso_ms(moment: datetime) -> str:
    """UTC, to the millisecond: `2026-11-27T06:00:00.000Z` (the warehouse's and the journal's habit)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def iso_s(moment: datetime) -> str:
    """UTC, to the second: `2026-11-27T06:00:00Z` (the shop's habit)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_iso(text: str) -> datetime:
    """An aware UTC moment from ISO 8601 text; ValueError when it cannot be read or names no zone."""
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone: end it with Z or an offset")
    return moment.astimezone(UTC)


class Clock(Protocol):
    """What the world asks for the time."""

    stepped: bool
    pace: float

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...


class LiveClock:
    """The wall clock; one simulated second lasts one second."""

    stepped = False
    pace = 1.0

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        return datetime.now(UTC)


class SteppedClock:
    """Time that stands still until it is moved; `pace` is what a simulated second of waiting costs on the wall."""

    stepped = True

    def __init__(self, start: datetime, pace: float = 0.05) -> None:
        self._now = start.astimezone(UTC)
        self.pace = pace

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        return self._now

    def move(self, moment: datetime) -> None:
        """Go forward to `moment`; an earlier moment changes nothing."""
        self._now = max(self._now, moment)


class Bucket:
    """A token bucket against the sandbox's clock: `size` points, refilled by `rate` points a second."""

    def __init__(self, clock: Clock, size: float, rate: float) -> None:
        self.size, self.rate = size, rate
        self._clock, self._left, self._at = clock, size, clock.now()
        self._lock = threading.Lock()

    def left(self) -> float:
        """Points at hand now."""
        with self._lock:
            self._refill()
            return self._left

    def take(self, points: float) -> bool:
        """Spend `points`; False, and nothing spent, when there are not enough."""
        with self._lock:
            self._refill()
            if points > self._left:
                return False
            self._left -= points
            return True

    def wait_for(self, points: float) -> timedelta:
        """How long until `points` could be spent."""
        return timedelta(seconds=max(0.0, (points - self.left()) / self.rate))

    def _refill(self) -> None:
        now = self._clock.now()
        self._left = min(self.size, self._left + max(0.0, (now - self._at).total_seconds()) * self.rate)
        self._at = now
