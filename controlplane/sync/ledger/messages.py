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
from controlplane.store import signals
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new
from rules.ids import new_id
from rules.model import messages as model


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
        """Read a row of the table `message`; one of an older schema version is brought forward. Raises BadInputError."""
        data = read(row.type, row.data, row.schema_version)
        return cls(row.id, row.type, row.source, row.subject, row.occurred_at, row.accepted_at, row.trace_id, data)


def read(message_type: str, data: dict[str, Any], version: int | None = None) -> model.Data:
    """Return typed data of the present schema version. Raises BadInputError naming the type, version and fields."""
    if message_type not in model.TYPES:
        raise BadInputError(f"unknown message type '{message_type}'; known: {', '.join(model.TYPES)}")
    try:
        return model.parse(message_type, data, version)
    except ValidationError as error:
        wrong = [(".".join(map(str, e["loc"])) or "record", e["msg"]) for e in error.errors()[:5]]
        faults = "; ".join(f"{place}: {why}" for place, why in wrong)
        raise BadInputError(f"{message_type} breaks its schema: {faults}; correct the data", wrong[0][0]) from None
    except (LookupError, TypeError, ValueError) as error:
        raise BadInputError(f"{message_type} version {version} cannot be read: {error}") from None


def checked(draft: Draft) -> dict[str, Any]:
    """Return the draft's data in canonical form. Raises BadInputError naming every field that breaks the schema."""
    return read(draft.type, draft.data).model_dump(mode="json")


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
        "schema_version": model.version_of(draft.type),
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
    signals.note(connection, signals.MESSAGES)
    return str(inserted[0]) if inserted else None
