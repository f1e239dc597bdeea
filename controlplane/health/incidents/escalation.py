"""Whom to tell next, and when: steps by delay, stopped by an acknowledgement that expires."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, update

from controlplane.clock import Clock
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from rules.policy.kinds import EscalationPathSpec


@dataclass(frozen=True, slots=True)
class Told:
    """A step that was just taken: `kind` is that of the event to log."""

    team: str
    kind: str
    note: str


def escalate(conn: Connection, clock: Clock, snapshot: Snapshot, row: Any, first: bool) -> Told | None:
    """Take the step that is due, if one is, and note when the next will be. `first`: nobody has been told yet."""
    path = _path(snapshot, row.rule)
    now = clock.now()
    if row.state == "acknowledged":
        return _expire(conn, row, path, now)
    if first:
        team = row.owner if _owner_first(snapshot, row.rule) else path.steps[0].team
        _set(conn, row, level=0, due=_next_due(path, 0, now))
        return Told(team, "notified", f"told {team}")
    if row.next_escalation_at is None or row.next_escalation_at > now:
        return None
    level = min(row.escalation_level + 1, len(path.steps) - 1)
    _set(conn, row, level=level, due=_next_due(path, level, now))
    return Told(path.steps[level].team, "escalated", f"nobody answered; told {path.steps[level].team}")


def _path(snapshot: Snapshot, rule: str) -> EscalationPathSpec:
    kind, name = rule.split("/", 1)
    policies = snapshot.service_levels if kind == "service_level" else snapshot.alert_rules
    return snapshot.escalation_paths[policies[name].spec.escalation].spec


def _owner_first(snapshot: Snapshot, rule: str) -> bool:
    kind, name = rule.split("/", 1)
    return kind == "alert_rule" and snapshot.alert_rules[name].spec.per_owner


def _next_due(path: EscalationPathSpec, level: int, now: datetime) -> datetime | None:
    if level + 1 >= len(path.steps):
        return None
    return now + max(timedelta(0), path.steps[level + 1].after - path.steps[level].after)


def _expire(conn: Connection, row: Any, path: EscalationPathSpec, now: datetime) -> Told | None:
    """Reopen an incident that somebody took on and that still fires long after."""
    expires = row.acknowledged_at + path.acknowledge_within
    if expires > now:
        if row.next_escalation_at != expires:
            _set(conn, row, level=row.escalation_level, due=expires)
        return None
    level = min(row.escalation_level, len(path.steps) - 1)
    _set(conn, row, level=level, due=_next_due(path, level, now), state="open", acknowledged_at=None)
    team = path.steps[level].team
    return Told(team, "escalated", f"the acknowledgement by {row.acknowledged_by} has expired; told {team}")


def _set(conn: Connection, row: Any, *, level: int, due: datetime | None, **values: Any) -> None:
    values |= {"escalation_level": level, "next_escalation_at": due}
    conn.execute(update(t.incident).where(t.incident.c.id == row.id).values(**values))
