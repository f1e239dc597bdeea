"""What waits for a person: the list, and one case whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controlplane.errors import NotFoundError
from controlplane.store import tables as t

OPEN = ("waiting", "corrected")
LIMIT = 200


@dataclass(frozen=True, slots=True)
class Held:
    """One case of the list."""

    id: str
    stage: str
    system: str
    flow: str
    reason_code: str
    reason: str
    remedy: str
    subject: str
    state: str
    owner: str
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    replayed_as: str | None
    message_id: str | None
    about: str
    """What it is about as a person would say it: a row of a file by file and line, anything else by its subject."""


FIELDS = [getattr(t.quarantine.c, name) for name in Held.__dataclass_fields__ if name != "about"]


def held(conn: Connection, flow: str | None = None, everything: bool = False, limit: int = LIMIT) -> list[Held]:
    """Return the cases that are open (or all), the oldest open first. One query."""
    q = t.quarantine.c
    query = select(*FIELDS, q.record).order_by(q.id.desc() if everything else q.id).limit(limit)
    if not everything:
        query = query.where(q.state.in_(OPEN))
    if flow is not None:
        query = query.where(q.flow == flow)
    return [_held(dict(row._mapping)) for row in conn.execute(query)]


def _held(row: dict[str, Any]) -> Held:
    record = row.pop("record")
    return Held(**row, about=about(row["subject"], record))


def about(subject: str, record: Any) -> str:
    """Name a record the way its sender would: `sales_ST1.csv, line 2` for a row of a file, else its subject."""
    body = record.get("body") if isinstance(record, Mapping) else None
    if isinstance(body, Mapping) and body.get("file") and body.get("line"):
        return f"{body['file']}, line {body['line']}"
    return subject


def case(conn: Connection, case_id: str) -> Mapping[str, Any]:
    """Return a case with its record and correction, whole: who corrects it must see it. One query. Raises NotFoundError."""
    row = conn.execute(select(t.quarantine).where(t.quarantine.c.id == case_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no quarantine case '{case_id}'; list them with GET /api/v1/quarantine")
    return dict(row)
