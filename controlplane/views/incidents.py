"""Incidents: what people were told, by whom it is owned, what was done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, or_, select

from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.views.narrowing import ALL, Narrow
from controlplane.views.paging import FIRST, Order, Part, Stretch, part


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident."""

    id: str
    title: str
    severity: str
    state: str
    rule: str
    owner: str
    cause: str
    money_at_risk: Decimal | None
    currency: str | None
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    escalation_level: int
    next_escalation_at: datetime | None
    labels: dict[str, Any]
    policy_revision: str


@dataclass(frozen=True, slots=True)
class Event:
    """One step in the life of an incident; `message_id` is the notification, when one was sent."""

    at: datetime
    kind: str
    actor: str
    note: str
    message_id: str | None
    delivery_state: str | None


FIELDS = [getattr(t.incident.c, name) for name in Incident.__dataclass_fields__]
ORDER = Order("incidents", (t.incident.c.opened_at, t.incident.c.id))


def incidents(
    conn: Connection, since: datetime | None = None, stretch: Stretch = FIRST, narrow: Narrow = ALL
) -> Part[Incident]:
    """Return what is open and, with `since`, what was resolved after it; the newest first. One query."""
    i = t.incident.c
    wanted = i.state != "resolved"
    if since is not None:
        wanted = or_(wanted, i.resolved_at >= since)
    return part(
        conn, select(*FIELDS).where(wanted, *narrow.of(t.incident)), ORDER, stretch, lambda row: Incident(**row)
    )


def incident(conn: Connection, incident_id: str) -> tuple[Incident, list[Event]]:
    """Return an incident and its life, the oldest step first. Two queries. Raises NotFoundError."""
    row = conn.execute(select(*FIELDS).where(t.incident.c.id == incident_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"no incident '{incident_id}'; list them with GET /api/v1/incidents")
    e, d = t.incident_event.c, t.delivery.c
    steps = conn.execute(
        select(e.at, e.kind, e.actor, e.note, e.message_id, d.state.label("delivery_state"))
        .select_from(t.incident_event.outerjoin(t.delivery, d.message_id == e.message_id))
        .where(e.incident_id == incident_id)
        .order_by(e.id)
    )
    return Incident(**row._mapping), [Event(**step._mapping) for step in steps]
