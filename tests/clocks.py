"""Clocks that do what machines' clocks do."""

from __future__ import annotations

from datetime import timedelta

from controlplane.clock import ManualClock


class PutClock(ManualClock):
    """A clock that somebody may put forward, or back."""

    def put(self, seconds: float) -> None:
        """Put the clock forward by so many seconds, or back by negative ones."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
