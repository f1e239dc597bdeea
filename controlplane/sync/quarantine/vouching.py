"""A person's word that a write had no effect, where its target cannot tell. Kept in the case's history with its reason."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import BadInputError
from controlplane.store import tables as t
from controlplane.sync.quarantine.cases import get, opened
from controlplane.sync.quarantine.history import event

VOUCHED = "vouched"


def vouch(connection: Connection, clock: Clock, case_id: str, actor: str, reason: str) -> None:
    """Note that somebody has looked at the target, and that the write had no effect. Nothing is sent before the replay.

    Raises NotFoundError, ConflictError, and BadInputError for a record that was never sent anywhere.
    """
    case = opened(get(connection, case_id, lock=True))
    if case["stage"] != "delivery":
        raise BadInputError(
            f"quarantine case '{case_id}' was never sent to a target, so nothing of it can have taken effect; replay it"
        )
    event(connection, clock.now(), case_id, actor, VOUCHED, note=reason)
    audit.record(
        connection, clock, actor=actor, action="quarantine.vouch", subject=f"quarantine/{case_id}", reason=reason
    )


def vouched_at(connection: Connection, delivery_id: str) -> datetime | None:
    """Return when somebody last said of a delivery that what was sent until then had no effect."""
    q, e = t.quarantine.c, t.quarantine_event.c
    cases = select(q.id).where(q.delivery_id == delivery_id)
    found: datetime | None = connection.execute(
        select(func.max(e.at)).where(e.case_id.in_(cases), e.kind == VOUCHED)
    ).scalar()
    return found
