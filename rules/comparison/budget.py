"""When a comparison has looked long enough, or found enough. Pure, but for the clock that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

T = TypeVar("T")


class Meter:
    """Counts what a comparison spends. A budget that is None is never spent."""

    def __init__(self, now: Callable[[], datetime], time: timedelta | None, differences: int | None) -> None:
        self._now = now
        self._until = None if time is None else now() + time
        self._time, self._differences = time, differences
        self._found = 0

    def found(self, count: int = 1) -> None:
        """Count differences."""
        self._found += count

    def spent(self) -> str:
        """Return which budget is spent, in words; empty while there is something left of each."""
        if self._differences is not None and self._found >= self._differences:
            return f"{self._found} differences were found, and the budget is {self._differences}"
        if self._until is not None and self._now() >= self._until:
            return f"the budget of {_seconds(self._time)} was spent"
        return ""


def resumed(todo: Sequence[T], first: T | None) -> list[T]:
    """Return what is to be looked at in its order, beginning with `first` and coming round: so nothing is left out for ever."""
    at = next((place for place, one in enumerate(todo) if one == first), 0)
    return [*todo[at:], *todo[:at]]


def _seconds(time: timedelta | None) -> str:
    return f"{time.total_seconds():g} s" if time else "no time"
