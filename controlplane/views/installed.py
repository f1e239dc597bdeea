"""What is installed, and what runs by itself: processes, connectors, schedules and their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, select

from controlplane import plugins
from controlplane.errors import NotFoundError
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.views.narrowing import ALL, Narrow
from controlplane.views.paging import FIRST, Order, Part, Stretch, part

Row = Mapping[str, Any]
RUNS = Order("runs", (t.run.c.id,))


@dataclass(frozen=True, slots=True)
class Process:
    """What makes messages and state of messages."""

    name: str
    handles: list[str]
    """Types of messages."""
    stage: int
    """Of one message the lower stages come first."""


@dataclass(frozen=True, slots=True)
class Connector:
    """What speaks a system's protocol, as it declares itself."""

    name: str
    title: str
    reads: list[str]
    writes: dict[str, str]
    """Entity -> guarantee."""
    receives: list[str]
    """Topics of webhooks."""
    consumes: bool
    """It takes records off a queue."""
    probes: list[str]
    systems: list[str]
    """Those of the registry that it speaks with."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Something that runs by itself, with its newest run."""

    name: str
    every: timedelta | None
    """As policy says it; None: it is the plane's own."""
    run: str
    state: str
    scheduled_for: datetime
    started_at: datetime
    finished_at: datetime | None


def processes() -> list[Process]:
    """Return the processes that are installed, by name."""
    return [Process(name, sorted(one.handles), one.stage) for name, one in plugins.load_all("processes")]


def connectors(promises: Snapshot) -> list[Connector]:
    """Return the connectors that are installed, by name."""
    return [_connector(name, one.manifest, promises) for name, one in plugins.load_all("connectors")]


def _connector(name: str, manifest: Any, promises: Snapshot) -> Connector:
    systems = [system for system, policy in promises.systems.items() if policy.spec.connector == name]
    return Connector(
        name, manifest.title, [spec.entity for spec in manifest.reads],
        {spec.entity: str(spec.guarantee) for spec in manifest.writes}, list(manifest.receives), manifest.consumes,
        list(manifest.probes), systems,
    )  # fmt: skip


def schedules(conn: Connection, promises: Snapshot) -> list[Schedule]:
    """Return everything that has run by itself lately, by name, with its newest run. One query."""
    r = t.run.c
    last = select(r.schedule, func.max(r.scheduled_for).label("at")).group_by(r.schedule).subquery()
    newest = select(t.run).join(last, and_(r.schedule == last.c.schedule, r.scheduled_for == last.c.at))
    rows = conn.execute(newest.order_by(r.schedule))
    return [
        Schedule(row.schedule, _every(promises, row.schedule), row.id, row.state, row.scheduled_for, row.started_at, row.finished_at)
        for row in rows
    ]  # fmt: skip


def _every(promises: Snapshot, schedule: str) -> timedelta | None:
    what, _, name = schedule.partition(":")
    if what == "compare" and name in promises.comparisons:
        return promises.comparisons[name].spec.every
    return promises.flows[name].spec.poll_every if what == "poll" and name in promises.flows else None


def runs(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return runs of schedules, the newest first. One query."""
    return part(conn, select(t.run).where(*narrow.of(t.run, t.run.c.scheduled_for)), RUNS, stretch, dict)


def run(conn: Connection, run_id: str) -> Row:
    """Return one run. Raises NotFoundError."""
    row = conn.execute(select(t.run).where(t.run.c.id == run_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no run '{run_id}'; list them with GET /api/v1/runs, they are kept for two days")
    return dict(row)
