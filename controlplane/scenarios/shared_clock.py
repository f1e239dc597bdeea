"""One clock for the retailer and the plane: move to whatever is due next, let both act, until all is quiet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Table, func, select

from controlplane.clock import ManualClock
from controlplane.jobs import Ticker
from controlplane.scenarios.judge.facts import IncidentFact
from controlplane.scenarios.judge.incidents import covers
from controlplane.scenarios.retailer import Retailer, Standing
from controlplane.scenarios.scenario import Scenario
from controlplane.store import tables as t
from controlplane.wiring import Plane
from rules.outcomes import DeliveryState

LIMIT = timedelta(minutes=90)
"""How long the wait for quiet may be, in simulated time."""
LOOK = timedelta(minutes=1)
"""How often it is looked whether all is quiet, in simulated time."""
GATHER = timedelta(seconds=2)
"""What the retailer does within this time is played before the plane acts on it: webhooks come in a second later."""
MOVING = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN)
UNSETTLED = ("suspected", "open", "healing")

Progress = Callable[[datetime], None]


class StoppedError(Exception):
    """Somebody asked to stop while the plane was in the middle of something: what it was at is given up."""


class SharedClock:
    """Moves a stepped retailer and a plane without engine or ticker threads through time together."""

    def __init__(
        self, scenario: Scenario, plane: Plane, ticker: Ticker, retailer: Retailer, clock: ManualClock,
        progress: Progress = lambda _: None, stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        """`progress` is told of every step. `stop`: set by whoever does not want to go on."""
        self.scenario, self.plane, self.ticker, self.retailer, self.clock = scenario, plane, ticker, retailer, clock
        self.standing = Standing(clock.now(), None, 0)
        self._progress, self._stop = progress, stop or threading.Event()

    def play(self) -> list[str]:
        """Play to the end of trading and on to quiet; return what was still moving when the wait was given up.

        Also when it was stopped: everything up to that instant stands, and can be judged.
        """
        try:
            self._play_until(self.scenario.ends)
            if self.scenario.stops_after is None:
                return self._settle()
            self._play_until(self.scenario.ends + self.scenario.stops_after)  # what still moves then is nobody's fault
        except StoppedError:
            played = (self.clock.now() - self.scenario.start).total_seconds() / 60
            return [f"stopped after {played:.1f} minutes of the retailer's clock"]
        return []

    def _play_until(self, until: datetime) -> None:
        self.step(self.clock.now())
        while self.clock.now() < until:
            self.step(min(self._next(), until))

    def pass_by(self, seconds: float) -> None:
        """Let time pass while the plane is in the middle of something: the retailer goes on, and so does all other work.

        What the ticker is in the middle of it does not begin anew; all else it runs, as its other threads do.
        """
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < until:
            self.step(min(self.ticker.next_due(), until))

    def step(self, to: datetime) -> None:
        """Move to an instant and let retailer and plane do everything that is due by then. Raises StoppedError."""
        if self._stop.is_set():
            raise StoppedError
        self.clock.move_to(to)
        self.standing = self.retailer.advance(to)
        self.plane.sync.drain()
        if self.ticker.run_due():
            self.plane.sync.drain()
        self._progress(self.clock.now())

    def _next(self) -> datetime:
        now = self.clock.now()
        told = max(self.standing.next_at, now) + GATHER if self.standing.next_at else None
        due = (told, self.ticker.next_due(), self.plane.sync.next_due())
        return min((instant for instant in due if instant and instant > now), default=now + LOOK)

    def _settle(self) -> list[str]:
        """Go on until nothing moves any more and a complete comparison has begun after that; bounded."""
        still_since: datetime | None = None
        look_at, limit = self.clock.now(), self.clock.now() + LIMIT
        while True:
            if self.clock.now() >= look_at:
                unrest = self.unrest()
                still_since = None if unrest else still_since or self.clock.now()
                if still_since and self._compared(still_since):
                    return []
                if self.clock.now() >= limit:
                    return unrest or ["no complete comparison after everything was still"]
                look_at = self.clock.now() + LOOK
            self.step(min(self._next(), look_at))

    def unrest(self) -> list[str]:
        """Say in words what still moves, or waits to move."""
        with self.plane.store.read() as connection:
            found = {
                "events of the retailer to come": int(self.standing.next_at is not None),
                "webhooks on their way": self.standing.pending,
                "records taken in and not translated": _count(connection, t.intake, "new"),
                "messages not processed": _count(connection, t.message, "accepted"),
                "deliveries owed": _count(connection, t.delivery, *MOVING),
                "findings not settled": _count(connection, t.finding, *UNSETTLED),
                "incidents that have to be resolved": self._open_incidents(connection),
            }
        return [f"{number} {what}" for what, number in found.items() if number]

    def _open_incidents(self, connection: Connection) -> int:
        i = t.incident.c
        rows = connection.execute(select(t.incident).where(i.state != "resolved"))
        facts = [IncidentFact(r.id, r.rule, r.labels, r.state, r.title, r.opened_at, None) for r in rows]
        staying = [wanted for wanted in self.scenario.expect.incidents if wanted.stays_open]
        return sum(1 for fact in facts if not any(covers(wanted, fact) for wanted in staying))

    def _compared(self, since: datetime) -> bool:
        c = t.comparison_run.c
        query = select(func.count()).where(c.state == "complete", c.started_at >= since)
        with self.plane.store.read() as connection:
            return bool(connection.execute(query).scalar_one())


def _count(connection: Connection, table: Table, *states: str) -> int:
    query = select(func.count()).select_from(table).where(table.c.state.in_(states))
    return int(connection.execute(query).scalar_one())
