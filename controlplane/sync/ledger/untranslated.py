"""Which of the records that were taken in are translated next: the oldest, but for those of systems that do not answer.

A record may need its system to be translated. While that does not answer, all its records wait, and nobody else's: they are
not even looked at, however many they are.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Row, func, select, union_all

from controlplane.clock import Clock
from controlplane.errors import ConnectorError
from controlplane.store import tables as t
from rules.retry import LONGEST_WAIT, breaker_pause

log = structlog.get_logger()
FIRST, LONGEST = timedelta(seconds=1), timedelta(minutes=1)
"""The pause that a system is given at first, and at most; it doubles."""
_NEW = t.among(t.intake.c.state, "new")


def oldest(
    connection: Connection, but: Collection[str], limit: int, only: ColumnElement[bool] | None = None
) -> list[Row[Any]]:
    """Return the oldest records that are new, but for those of some systems. Its cost does not depend on how many there are."""
    also = () if only is None else (only,)
    i = t.intake.c
    heads = [
        select(i.id).where(_NEW, i.system == system, *also).order_by(i.id).limit(limit).subquery()
        for system in _systems(connection)
        if system not in but
    ]
    if not heads:
        return []
    whole = union_all(*(select(head.c.id) for head in heads)).subquery()
    ids = connection.execute(select(whole.c.id).order_by(whole.c.id).limit(limit)).scalars().all()
    return list(connection.execute(select(t.intake).where(i.id.in_(ids), _NEW).order_by(i.id)))


def _systems(connection: Connection) -> Iterator[str]:
    """The systems that have told something new, from one to the next along the index."""
    i, last = t.intake.c, ""
    while True:
        found = connection.execute(select(func.min(i.system)).where(_NEW, i.system > last)).scalar_one_or_none()
        if found is None:
            return
        yield found
        last = found


@dataclass(frozen=True, slots=True)
class _Silence:
    since: datetime
    pause: timedelta
    failures: int

    def lasts(self, now: datetime) -> bool:
        return timedelta(0) <= now - self.since < self.pause  # not when the clock was put back


class Silent:
    """The systems that did not answer when a translation asked them, each with a pause. A process's own knowledge: what it
    forgets it finds out again. Safe to use from several threads.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Silence] = {}
        self._slow: set[str] = set()

    def slow(self, system: str) -> None:
        """Note that a system took its time to answer."""
        with self._lock:
            self._slow.add(system)

    def take_slow(self) -> frozenset[str]:
        """Return the systems that took their time since this was asked last."""
        with self._lock:
            found, self._slow = frozenset(self._slow), set()
        return found

    def systems(self) -> frozenset[str]:
        """Return those whose pause lasts."""
        now = self._clock.now()
        with self._lock:
            return frozenset(system for system, silence in self._known.items() if silence.lasts(now))

    def failed(self, system: str, error: ConnectorError) -> None:
        """Note that a system did not answer; each time in a row its pause is longer. What it asks for is kept to."""
        with self._lock:
            failures = self._known[system].failures + 1 if system in self._known else 1
            pause = breaker_pause(1, FIRST, LONGEST, failures) or FIRST
            pause = max(pause, timedelta(seconds=min(error.retry_after or 0, LONGEST_WAIT.total_seconds())))
            self._known[system] = _Silence(self._clock.now(), pause, failures)
        if failures == 1:
            log.warning("a system's records wait: their translation has to ask it", system=system, error=str(error))

    def answered(self, system: str) -> None:
        """Note that a record of a system could be translated."""
        with self._lock:
            self._known.pop(system, None)
