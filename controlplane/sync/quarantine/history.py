"""What was done about a case, step by step. Law: it is only ever appended to; a record that passed in the end keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select

from controlplane.store import tables as t
from rules.ids import new_id

EDITS = ("corrected", "accepted")


def event(
    connection: Connection,
    now: datetime,
    case_id: str,
    actor: str,
    kind: str,
    *,
    before: Any = None,
    after: Any = None,
    note: str = "",
) -> str:
    """Append one step; return its id. For `kind` see the table."""
    row = {"id": new_id(now), "case_id": case_id, "at": now, "actor": actor, "kind": kind}
    connection.execute(insert(t.quarantine_event).values(**row, before=before, after=after, note=note))
    return str(row["id"])


def events(connection: Connection, now: datetime, case_ids: Iterable[str], actor: str, kind: str, note: str) -> None:
    """Append the same step to several cases."""
    rows = [
        {"id": new_id(now), "case_id": case_id, "at": now, "actor": actor, "kind": kind, "note": note}
        for case_id in case_ids
    ]
    if rows:
        connection.execute(insert(t.quarantine_event), rows)


def editors(connection: Connection, case_id: str) -> frozenset[str]:
    """Return who has corrected a case, or let it pass as it is."""
    e = t.quarantine_event.c
    return frozenset(connection.execute(select(e.actor).where(e.case_id == case_id, e.kind.in_(EDITS))).scalars())


def previous_case(
    connection: Connection, *, intake_id: str | None, message_id: str | None, delivery_id: str | None
) -> str | None:
    """Return the newest case that a record was in before: the same delivery, or the replay that made this message."""
    q, m = t.quarantine.c, t.message.c
    ways = []
    if delivery_id:
        ways.append(q.delivery_id == delivery_id)
    if message_id:
        ways.append(q.replayed_as == message_id)
        came: str | None = connection.execute(select(m.intake_id).where(m.id == message_id)).scalar()
        intake_id = intake_id or came
    if intake_id:
        ways.append(and_(q.intake_id == intake_id, q.stage == "intake", q.state == "replayed"))
    if not ways:
        return None
    found: str | None = connection.execute(select(q.id).where(or_(*ways)).order_by(q.id.desc()).limit(1)).scalar()
    return found


def chain(connection: Connection, case_id: str, limit: int = 50) -> Sequence[str]:
    """Return the ids of the cases that one record has been in, this one included, the first one first."""
    q = t.quarantine.c
    found = [case_id]
    while len(found) < limit:
        before: str | None = connection.execute(select(q.previous_id).where(q.id == found[0])).scalar()
        if before is None or before in found:
            break
        found.insert(0, before)
    frontier = [case_id]
    while frontier and len(found) < limit:
        later = connection.execute(select(q.id).where(q.previous_id.in_(frontier)).order_by(q.id)).scalars().all()
        frontier = [one for one in later if one not in found]
        found += frontier
    return found
