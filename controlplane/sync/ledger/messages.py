"""Append messages to the ledger, each fact once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row

from controlplane.clock import Clock
from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new
from rules.ids import new_id
from rules.model import messages as model

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Message:
    """A row of the ledger with its data parsed."""

    id: str
    type: str
    source: str
    subject: str
    occurred_at: datetime
    accepted_at: datetime
    trace_id: str
    data: Any

    @classmethod
    def of(cls, row: Row[Any]) -> Message:
        """Read a row of the table `message`."""
        data = model.parse(row.type, row.data)
        return cls(row.id, row.type, row.source, row.subject, row.occurred_at, row.accepted_at, row.trace_id, data)


def checked(draft: Draft) -> dict[str, Any]:
    """Return the draft's data in canonical form. Raises BadInputError naming every field that breaks the schema."""
    if draft.type not in model.TYPES:
        raise BadInputError(f"unknown message type '{draft.type}'; known: {', '.join(model.TYPES)}")
    try:
        return model.parse(draft.type, draft.data).model_dump(mode="json")
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']}" for e in error.errors()[:5])
        raise BadInputError(f"{draft.type} of {draft.subject} breaks its schema: {faults}") from None


def append(
    connection: Connection,
    clock: Clock,
    draft: Draft,
    *,
    source: str,
    registry_version: int,
    trace_id: str,
    causation_id: str | None = None,
    intake_id: str | None = None,
) -> str | None:
    """Append a message; return its id, or None when the same fact is known already. Raises BadInputError."""
    now = clock.now()
    row = {
        "id": new_id(now),
        "type": draft.type,
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "subject": draft.subject,
        "source_version": draft.source_version,
        "dedupe_key": draft.dedupe_key,
        "occurred_at": draft.occurred_at,
        "accepted_at": now,
        "causation_id": causation_id,
        "intake_id": intake_id,
        "trace_id": trace_id,
        "data": checked(draft),
        "state": "accepted",
        "registry_version": registry_version,
    }
    inserted = insert_new(connection, t.message, [row])
    return str(inserted[0]) if inserted else None
