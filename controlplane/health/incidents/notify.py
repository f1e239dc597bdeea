"""Tell people: each notification is a message in the ledger, so delivery re-sends it until the tool has accepted it."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select

from controlplane.clock import Clock
from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.sync import ledger
from rules.ids import new_id
from rules.model.messages import IncidentNotified

Action = Literal["trigger", "resolve"]


def log(
    conn: Connection,
    clock: Clock,
    incident_id: str,
    kind: str,
    *,
    actor: str = "plane",
    note: str = "",
    message_id: str | None = None,
) -> None:
    """Add a line to the incident's story."""
    now = clock.now()
    row = {"id": new_id(now), "incident_id": incident_id, "at": now, "kind": kind, "actor": actor, "note": note}
    conn.execute(insert(t.incident_event).values(**row, message_id=message_id))


def notifications(conn: Connection, incident_id: str) -> int:
    """Count what people have been sent about the incident."""
    event = t.incident_event.c
    sent = select(func.count()).where(event.incident_id == incident_id, event.message_id.is_not(None))
    return conn.scalar(sent) or 0


def send(
    conn: Connection, clock: Clock, incident: Any, action: Action, *, team: str, url: str, version: int
) -> str | None:
    """Append the next notification of an incident, a row of its table; return the message id."""
    sequence = notifications(conn, incident.id) + 1
    content = IncidentNotified(
        incident=incident.id,
        fingerprint=incident.fingerprint,
        action=action,
        sequence=sequence,
        severity=incident.severity,
        title=incident.title,
        owner=team,
        cause=incident.cause,
        money_at_risk=incident.money_at_risk,
        currency=incident.currency,
        opened_at=incident.opened_at,
        url=f"{url}/incidents",
    )
    draft = Draft(
        type="incident.notified",
        subject=incident.id,
        dedupe_key=f"incident.notified:{incident.id}:{action}:{sequence}",
        occurred_at=clock.now(),
        data=content.model_dump(mode="json"),
    )
    trace = incident.id.replace("-", "")
    return ledger.append(conn, clock, draft, source="plane", registry_version=version, trace_id=trace)
