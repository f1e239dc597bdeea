"""The table of runs: a slot is taken by inserting its row, so that two tickers never run the same one twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from controlplane.clock import Clock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.types import EPOCH
from controlplane.store.upsert import insert_new
from rules.ids import new_id


def slot(now: datetime, every: timedelta) -> datetime:
    """Return the latest instant at or before now on the schedule's grid, which is anchored at 1970."""
    return EPOCH + (now - EPOCH) // every * every


def last_slot(connection: Connection, schedule: str) -> datetime | None:
    """Return the latest slot that was taken, or None."""
    on_grid = (t.run.c.schedule == schedule, t.run.c.state != "requested")
    query = select(func.max(t.run.c.scheduled_for)).where(*on_grid)
    return connection.execute(query).scalar_one_or_none()


def take(store: Store, clock: Clock, schedule: str, scheduled_for: datetime) -> str | None:
    """Take a slot; return the run's id, or None when somebody else has it."""
    now = clock.now()
    row = {
        "id": new_id(now),
        "schedule": schedule,
        "scheduled_for": scheduled_for,
        "state": "running",
        "started_at": now,
    }
    with store.write() as connection:
        taken = insert_new(connection, t.run, [row])
    return str(taken[0]) if taken else None


def finish(store: Store, clock: Clock, run_id: str, state: str, detail: dict[str, Any]) -> None:
    """Note how a run ended: done or failed."""
    values = {"state": state, "finished_at": clock.now(), "detail": detail}
    with store.write() as connection:
        connection.execute(update(t.run).where(t.run.c.id == run_id).values(**values))


def abandon(store: Store, clock: Clock) -> int:
    """Mark runs that a dead process left running; their schedule goes on with the next slot."""
    left = update(t.run).where(t.run.c.state == "running")
    with store.write() as connection:
        values = {"state": "failed", "finished_at": clock.now(), "detail": {"error": "the process ended while it ran"}}
        return int(connection.execute(left.values(**values)).rowcount)


def release(store: Store, run_id: str) -> None:
    """Give a slot back, so that the same one is tried again."""
    with store.write() as connection:
        connection.execute(delete(t.run).where(t.run.c.id == run_id))


def requested(store: Store) -> list[tuple[str, str]]:
    """Return (run id, schedule) of the runs that somebody asked for, oldest first."""
    c = t.run.c
    query = select(c.id, c.schedule).where(c.state == "requested").order_by(c.id)
    with store.read() as connection:
        return [(row.id, row.schedule) for row in connection.execute(query)]


def start_requested(store: Store, clock: Clock, run_id: str) -> str | None:
    """Take a requested run; return its id, or None when somebody else has it."""
    c = t.run.c
    with store.write() as connection:
        mine = update(t.run).where(c.id == run_id, c.state == "requested")
        taken = connection.execute(mine.values(state="running", started_at=clock.now())).rowcount
    return run_id if taken == 1 else None


def prune(store: Store, before: datetime) -> int:
    """Forget ended runs that were due before the instant; what ran once in the life of the installation is kept."""
    c = t.run.c
    old = (c.state.in_(("done", "failed")), c.scheduled_for < before, c.scheduled_for > EPOCH)
    with store.write() as connection:
        return int(connection.execute(delete(t.run).where(*old)).rowcount)
