"""Flows × systems: how each flow stands at its source and at each of its targets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.views.states import Light, worst
from rules.policy.kinds import Flow

OWED = ("pending", "sending", "unknown")
LATELY = timedelta(hours=1)
SILENT_AFTER = timedelta(minutes=5)
"""A polled source that was not read for three of its intervals, and at least for so long, is not known any more."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How a flow stands at one system."""

    light: Light
    word: str
    reason: str
    role: str
    """source or target"""


@dataclass(frozen=True, slots=True)
class FlowRow:
    """One flow: its promise, what it owes, and a cell per system that it touches."""

    flow: str
    owner: str
    promise: timedelta
    light: Light
    owed: int
    late: int
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The committed rows that the cells are judged by."""

    owed: dict[tuple[str, str], Row[Any]]
    sent: dict[tuple[str, str], Row[Any]]
    held: dict[str, int]
    systems: dict[str, Row[Any]]
    breakers: dict[str, int]
    """Failures in a row after which policy gives a system a pause."""
    cursors: dict[tuple[str, str], datetime]
    heard: dict[tuple[str, str], datetime]


def evidence(conn: Connection, promises: Snapshot, now: datetime) -> Evidence:
    """Read what the cells need. Six queries, however many flows there are."""
    d, q, m, c = t.delivery.c, t.quarantine.c, t.message.c, t.source_cursor.c
    late = func.sum(case((d.promise_at < now, 1), else_=0)).label("late")
    owed = select(d.flow, d.target, func.count().label("number"), late, func.min(d.created_at).label("oldest"))
    sent = select(d.flow, d.target, func.count().label("number"), func.max(d.finished_at).label("last"))
    held = select(q.flow, func.count().label("number")).where(q.state.in_(("waiting", "corrected"))).group_by(q.flow)
    heard = select(m.source, m.type, func.max(m.accepted_at)).where(m.accepted_at >= now - LATELY)
    return Evidence(
        owed={
            (r.flow, r.target): r
            for r in conn.execute(owed.where(t.is_open, d.state.in_(OWED)).group_by(d.flow, d.target))
        },
        sent={
            (r.flow, r.target): r
            for r in conn.execute(
                sent.where(d.state == "delivered", d.finished_at >= now - LATELY).group_by(d.flow, d.target)
            )
        },
        held=_counts(conn, held),
        systems={r.system: r for r in conn.execute(select(t.system_state))},
        breakers={name: system.spec.breaker.after for name, system in promises.systems.items()},
        cursors={(r.system, r.entity): r.read_at for r in conn.execute(select(c.system, c.entity, c.read_at))},
        heard={(source, kind): at for source, kind, at in conn.execute(heard.group_by(m.source, m.type))},
    )


def _counts(conn: Connection, query: Any) -> dict[str, int]:
    return {row[0]: row[1] for row in conn.execute(query)}


def rows(promises: Snapshot, seen: Evidence, now: datetime) -> list[FlowRow]:
    """Judge every flow, the worst first."""
    found = [_row(flow, seen, now) for flow in promises.flows.values()]
    order = {light: rank for rank, light in enumerate((Light.BREACH, Light.WARN, Light.UNKNOWN, Light.OK, Light.INFO))}
    return sorted(found, key=lambda row: (order[row.light], row.flow))


def _row(flow: Flow, seen: Evidence, now: datetime) -> FlowRow:
    cells = {target.system: target_cell(flow, target.system, seen, now) for target in flow.spec.targets}
    cells = {flow.spec.source: source_cell(flow, seen, now), **cells}
    mine = [row for (name, _), row in seen.owed.items() if name == flow.name]
    return FlowRow(
        flow=flow.name,
        owner=flow.spec.owner,
        promise=flow.spec.promise,
        light=worst(cell.light for cell in cells.values()),
        owed=sum(row.number for row in mine),
        late=sum(row.late for row in mine),
        cells=cells,
    )


def source_cell(flow: Flow, seen: Evidence, now: datetime) -> Cell:
    """Judge whether we still hear of the flow's source. A source that was silent is unknown, not well."""
    spec, held = flow.spec, seen.held.get(flow.name, 0)
    read = seen.cursors.get((spec.source, spec.read)) if spec.read else None
    heard = max((seen.heard.get((spec.source, kind), now - LATELY) for kind in spec.message_types), default=None)
    heard = None if heard == now - LATELY else heard
    newest = max((at for at in (read, heard) if at is not None), default=None)
    if held:
        return Cell(Light.WARN, f"{held} held", f"{held} records wait in quarantine for a person", "source")
    if spec.source == "plane":
        word = "quiet" if heard is None else "made " + ago(now - heard)
        return Cell(Light.OK if heard else Light.INFO, word, "made by the plane itself", "source")
    if down := _down(seen, spec.source, now):
        return Cell(*down, "source")
    if newest is None:
        return Cell(Light.UNKNOWN, "not heard", "nothing was read or received within the last hour", "source")
    if spec.poll_every and now - newest > max(3 * spec.poll_every, SILENT_AFTER):
        return Cell(Light.UNKNOWN, "silent", f"last read {ago(now - newest)}, due every {spec.poll_every}", "source")
    return Cell(Light.OK, ago(now - newest), f"last heard {ago(now - newest)}", "source")


def target_cell(flow: Flow, system: str, seen: Evidence, now: datetime) -> Cell:
    """Judge whether the target is given what it is owed within the promise."""
    owed, sent = seen.owed.get((flow.name, system)), seen.sent.get((flow.name, system))
    if owed and owed.late:
        reason = f"{owed.late} of {owed.number} owed are past their promise, the oldest {ago(now - owed.oldest)}"
        return Cell(Light.BREACH, f"{owed.late} late", reason, "target")
    if down := _down(seen, system, now):
        return Cell(*down, "target")
    if owed:
        light = Light.OK if sent else Light.INFO
        return Cell(light, f"{owed.number} on the way", f"{owed.number} owed, none past its promise", "target")
    if sent:
        last = ago(now - sent.last)
        return Cell(Light.OK, "up to date", f"{sent.number} delivered within the hour, the last {last}", "target")
    return Cell(Light.UNKNOWN, "no traffic", "nothing was owed or delivered within the last hour", "target")


def _down(seen: Evidence, system: str, now: datetime) -> tuple[Light, str, str] | None:
    state = seen.systems.get(system)
    if state is None:
        return None
    if state.paused_at:
        return Light.WARN, "paused", f"paused by an operator {ago(now - state.paused_at)}"
    if state.consecutive_failures >= seen.breakers.get(system, 1):
        return Light.BREACH, "down", f"{state.consecutive_failures} failures in a row: {state.last_error}"
    if state.blocked_until and state.blocked_until > now:
        return Light.WARN, "throttled", state.blocked_reason or "asked us to slow down"
    return None


def ago(age: timedelta) -> str:
    """Write an age in its largest unit: `4 s ago`, `3 min ago`, `2 h ago`, `5 d ago`."""
    return f"{span(age)} ago"


def span(age: timedelta) -> str:
    """Write a duration in its largest unit: `4 s`, `3 min`, `2 h`, `5 d`."""
    seconds = max(int(age.total_seconds()), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
