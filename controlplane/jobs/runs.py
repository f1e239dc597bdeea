"""The table of runs: a slot is taken by inserting its row, so that two tickers never run the same one twice.

Who ticks holds the lease of the ticker. So a run that goes on under another process's name is one that nobody works at any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from controlplane.clock import Clock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.types import EPOCH
from controlplane.store.upsert import insert_new
from rules.ids import new_id

SKEW = timedelta(seconds=10)
"""How far two machines' clocks may be apart before a slot of the other's is taken for one of the future."""
MICROSECOND = timedelta(microseconds=1)


def slot(now: datetime, every: timedelta) -> datetime:
    """Return the latest instant at or before now on the schedule's grid, which is anchored at 1970."""
    return EPOCH + (now - EPOCH) // every * every


def lies_ahead(last: datetime, now: datetime, every: timedelta) -> bool:
    """Say whether the latest slot was taken by a clock that has been put back since: it says nothing about what is due."""
    return last > now + min(every, SKEW)


def last_slot(connection: Connection, schedule: str) -> datetime | None:
    """Return the latest slot that was taken, or None."""
    on_grid = (t.run.c.schedule == schedule, t.run.c.state != "requested")
    query = select(func.max(t.run.c.scheduled_for)).where(*on_grid)
    return connection.execute(query).scalar_one_or_none()


def take(store: Store, clock: Clock, owner: str, schedule: str, scheduled_for: datetime) -> str | None:
    """Take a slot; return the run's id, or None when somebody else has it."""
    with store.write() as connection:
        return _insert(connection, clock, owner, schedule, scheduled_for)


def take_again(store: Store, clock: Clock, owner: str, schedule: str, again: datetime, every: timedelta) -> str | None:
    """Take a slot that the clock has come to a second time: a microsecond behind the run that had it first."""
    c = t.run.c
    there = (c.schedule == schedule, c.scheduled_for >= again, c.scheduled_for < again + every)
    with store.write() as connection:
        before = connection.execute(select(func.max(c.scheduled_for)).where(*there)).scalar_one_or_none()
        return _insert(connection, clock, owner, schedule, again if before is None else before + MICROSECOND)


def _insert(connection: Connection, clock: Clock, owner: str, schedule: str, scheduled_for: datetime) -> str | None:
    now = clock.now()
    row = {
        "id": new_id(now), "schedule": schedule, "scheduled_for": scheduled_for, "state": "running", "started_at": now,
        "owner": owner,
    }  # fmt: skip
    taken = insert_new(connection, t.run, [row])
    return str(taken[0]) if taken else None


def finish(store: Store, clock: Clock, run_id: str, state: str, detail: dict[str, Any]) -> None:
    """Note how a run ended: done or failed. Also of one that was abandoned: it is the one who ran it that knows."""
    values = {"state": state, "finished_at": clock.now(), "detail": detail}
    with store.write() as connection:
        connection.execute(update(t.run).where(t.run.c.id == run_id).values(**values))


def abandon(store: Store, clock: Clock, owner: str) -> int:
    """Mark runs that other processes left running, once the lease is ours; their schedule goes on with the next slot."""
    c = t.run.c
    left = update(t.run).where(c.state == "running", or_(c.owner.is_(None), c.owner != owner))
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
    query = select(c.id, c.schedule).where(t.among(c.state, "requested")).order_by(c.id)
    with store.read() as connection:
        return [(row.id, row.schedule) for row in connection.execute(query)]


def start_requested(store: Store, clock: Clock, owner: str, run_id: str) -> str | None:
    """Take a requested run; return its id, or None when somebody else has it."""
    c = t.run.c
    with store.write() as connection:
        mine = update(t.run).where(c.id == run_id, c.state == "requested")
        taken = connection.execute(mine.values(state="running", started_at=clock.now(), owner=owner)).rowcount
    return run_id if taken == 1 else None


def prune(store: Store, before: datetime) -> int:
    """Forget ended runs that were due before the instant; what ran once in the life of the installation is kept."""
    c = t.run.c
    old = (c.state.in_(("done", "failed")), c.scheduled_for < before, c.scheduled_for > EPOCH)
    with store.write() as connection:
        return int(connection.execute(delete(t.run).where(*old)).rowcount)
