"""Append messages to the ledger, each fact once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row

from controlplane.clock import Clock
from controlplane.connectors.contract import Draft
from controlplane.connectors.envelope import AHEAD, FIRST_YEAR
from controlplane.errors import BadInputError
from controlplane.registry import Snapshot
from controlplane.store import facts, signals
from controlplane.store.text import is_kept, kept
from controlplane.store.types import micros
from controlplane.sync.ledger.insert import insert_messages
from controlplane.telemetry.facts import PLANE, Accepted, Origin
from controlplane.telemetry.tracing import Caller
from rules.ids import bounded, fact, new_id
from rules.model import messages as model

LONGEST = 190
"""Characters of a subject."""
LONGEST_ID = 36
LAST_YEAR = 2200
"""Nothing that happens later is told of."""


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


def refuse_unknown(snapshot: Snapshot, source: str, message_type: str) -> None:
    """Raise BadInputError unless a flow takes this type of message from the system that a sender says it is from."""
    if (source, message_type) in snapshot.flows_from:
        return
    if source not in snapshot.systems:
        raise BadInputError(f"source '{source}' is no System in the registry; there are: {', '.join(snapshot.systems)}")
    kinds = sorted(found for system, found in snapshot.flows_from if system == source)
    raise BadInputError(
        f"no flow takes '{message_type}' from '{source}'; it takes: {', '.join(kinds) or 'nothing'}. Correct the type, or add a "
        "Flow policy"
    )


def checked(draft: Draft) -> model.Data:
    """Return the draft's data, typed. Raises BadInputError naming every field that breaks the schema."""
    if not draft.subject or len(draft.subject) > LONGEST:
        raise BadInputError(f"the subject of a {draft.type} is text of 1 to {LONGEST} characters; correct the record")
    if draft.occurred_at.tzinfo is None or not FIRST_YEAR <= draft.occurred_at.year <= LAST_YEAR:
        raise BadInputError(
            f"{draft.type} of {kept(draft.subject)} happened at {draft.occurred_at.isoformat()}, which is no instant with a "
            f"zone from {FIRST_YEAR} to {LAST_YEAR}; correct the record",
            "occurred_at",
        )
    cause = draft.causation_id
    if cause is not None and not (isinstance(cause, str) and 0 < len(cause) <= LONGEST_ID and is_kept(cause)):
        raise BadInputError(
            f"the cause of a {draft.type} is the id of a message, up to {LONGEST_ID} characters; correct the record",
            "causation_id",
        )
    if draft.trace is not None and not isinstance(draft.trace, Caller):
        raise TypeError(f"the trace of a {draft.type} is none")
    data = read(draft.type, draft.data, draft.schema_version)
    refuse_other_subject(draft.type, draft.subject, data)
    if not is_kept(draft.subject) or "\\u0000" in data.model_dump_json():
        raise BadInputError(
            f"{draft.type} of {kept(draft.subject)} holds a character that no text has; correct the record"
        )
    return data


def refuse_other_subject(message_type: str, subject: str, data: model.Data) -> None:
    """Raise BadInputError for data that speak of something else than the subject: order and coalescing go by the subject."""
    about = model.subject_of(data)
    if about != subject:
        raise BadInputError(
            f"the subject of this {message_type} is '{kept(subject)}', and its data speak of '{kept(about)}'; correct one of "
            "the two",
            "subject",
        )


def refuse_ahead(data: model.Data, now: datetime, documents: timedelta = AHEAD) -> None:
    """Raise BadInputError for what claims to happen later than now: of a state nothing that is true could take its place.

    `documents`: how far a sender's clock may be ahead where it tells of a document. What claims to be of before FIRST_YEAR is no instant
    that a clock gave.
    """
    found = model.happened(data)
    if found is None:
        return
    name, at = found
    if at - now > (AHEAD if name == "source_at" else documents):
        told = f"lies ahead of our clock ({now:%Y-%m-%dT%H:%M:%SZ})"
    elif at.year < FIRST_YEAR:
        told = f"lies before {FIRST_YEAR}"
    else:
        return
    raise BadInputError(f"{name} {at.isoformat()} {told}; set the sender's clock, and send again", name)


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
    origin: Origin = PLANE,
) -> str | None:
    """Append a message; return its id, or None when the same fact is known already. Raises BadInputError.

    A draft without a key is an event of its own.
    """
    if not draft.dedupe_key.strip():
        draft = replace(draft, dedupe_key=f"own:{new_id(clock.now())}")
    row = row_of(
        draft, clock.now(), source=source, registry_version=registry_version, trace_id=trace_id,
        causation_id=causation_id, intake_id=intake_id,
    )  # fmt: skip
    new = append_rows(connection, [row], origin)
    return str(row["id"]) if new else None


def append_rows(
    connection: Connection, rows: Sequence[dict[str, Any]], origin: Origin, origins: Mapping[str, Origin] | None = None
) -> frozenset[str]:
    """Append messages (`row_of`); return the ids of those that were not known already.

    `origins`: by the message's id, of those that came in another way than `origin` says.
    """
    new = insert_messages(connection, rows) if rows else frozenset()
    if new:
        signals.note(connection, signals.MESSAGES)
        facts.note(connection, Accepted([row for row in rows if row["id"] in new], origin, origins or {}))
    return new


def row_of(
    draft: Draft,
    now: datetime,
    *,
    source: str,
    registry_version: int,
    trace_id: str,
    causation_id: str | None = None,
    intake_id: str | None = None,
) -> dict[str, Any]:
    """Return the row of a message. Raises BadInputError naming every field that breaks the schema.

    What the draft itself says of its source, cause and trace goes before what is known of the way that it came.
    """
    key, source = kept(draft.dedupe_key), draft.source or source
    trace_id = draft.trace.trace_id if draft.trace else trace_id
    return {
        "id": new_id(now), "type": draft.type, "schema_version": model.version_of(draft.type), "source": source,
        "subject": draft.subject, "source_version": _version(draft),
        "dedupe_key": bounded(key),
        "fingerprint": fact(source, key), "occurred_at": micros(draft.occurred_at),
        "accepted_at": micros(now), "causation_id": draft.causation_id or causation_id, "intake_id": intake_id, "intake_line": None,
        "trace_id": trace_id, "data": checked(draft).model_dump_json(), "state": "accepted",
        "registry_version": registry_version,
    }  # fmt: skip


def _version(draft: Draft) -> str | None:
    """The source's own version as its column keeps it, however long, and whatever it is, where a connector passes it on."""
    return None if draft.source_version is None else bounded(kept(str(draft.source_version)))
