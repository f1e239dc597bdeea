"""Turn what was taken in into canonical messages; what cannot be translated waits in quarantine, and its neighbours go on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row, update

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Draft, UnmappedError
from controlplane.errors import BadInputError, ConnectorError, NotFoundError, RejectedError, TrueupError
from controlplane.registry import Snapshot
from controlplane.store import Store, facts
from controlplane.store import tables as t
from controlplane.store.text import dumps, kept
from controlplane.sync import quarantine
from controlplane.sync.ledger.messages import append_rows, checked, refuse_unknown, row_of
from controlplane.sync.ledger.readings import TOPIC as READING
from controlplane.sync.ledger.readings import translate_reading
from controlplane.sync.ledger.untranslated import Silent, oldest
from controlplane.telemetry.facts import PLANE, Origin, Translated
from controlplane.telemetry.tracing import span_id

log = structlog.get_logger()
Found = tuple[Row[Any], list[Draft] | Exception, datetime]
"""A record, what it says or why that cannot be told, and when its reading began."""


def translate_some(
    store: Store, clock: Clock, connections: Connections, snapshot: Snapshot, silent: Silent, limit: int = 100
) -> int:
    """Translate the oldest records that are new, and commit what came of them together; return how many left that state.

    A record whose translation needs a system that does not answer stays new, as do all of that system, and is tried again
    after a pause (`silent`).
    """
    fallen: set[str] = set()
    while True:
        with store.read() as connection:
            rows = oldest(connection, silent.systems() | fallen, limit)
        found = list(_understood(clock, connections, snapshot, silent, rows))
        if found or not rows:
            return _commit(store, clock, snapshot, found) if found else 0
        fallen |= {row.system for row in rows}  # all that were read have fallen silent: those behind them are read


def _understood(
    clock: Clock, connections: Connections, snapshot: Snapshot, silent: Silent, rows: Sequence[Row[Any]]
) -> Iterator[Found]:
    """Translate records, but for those of systems that do not answer."""
    for row in rows:
        if row.system in silent.systems():
            continue
        began = clock.now()
        try:
            said: list[Draft] | Exception = preview(connections, snapshot, row.system, row.topic, row.body, row.id)
            silent.answered(row.system)
        except (BadInputError, NotFoundError, RejectedError) as error:
            said = error
        except ConnectorError as error:
            silent.failed(row.system, error)
            continue
        except Exception as error:
            log.exception("a connector failed at translating a record", intake=row.id, system=row.system)
            said = error
        yield row, said, began


def preview(
    connections: Connections, snapshot: Snapshot, system: str, topic: str, body: bytes, intake_id: str
) -> list[Draft]:
    """Translate without keeping anything. Raises BadInputError (with UnmappedError) and ConnectorError.

    A draft without a key is an event of its own: it is known by the record that it comes from, and its place in it.
    """
    drafts = translate_reading(body) if topic == READING else connections.get(system).translate(topic, body)
    for draft in drafts:
        if draft.source:
            refuse_unknown(snapshot, draft.source, draft.type)
        checked(draft)
    return [
        draft if draft.dedupe_key.strip() else replace(draft, dedupe_key=f"record:{intake_id}:{place}")
        for place, draft in enumerate(drafts, 1)
    ]


def _commit(store: Store, clock: Clock, snapshot: Snapshot, found: Sequence[Found]) -> int:
    with store.write() as connection:
        ours = _take(connection, clock, found)
        rows: list[dict[str, Any]] = []
        origins: dict[str, Origin] = {}
        for row, drafts, began in found:
            if row.id not in ours:
                continue
            if isinstance(drafts, Exception):
                _hold(connection, clock, snapshot, row, drafts)
                continue
            made = [_row(clock, snapshot, row, draft) for draft in drafts]
            rows += made
            for one, draft in zip(made, drafts, strict=True):
                parent = draft.trace.span_id if draft.trace else span_id("intake", row.id)
                origins[one["id"]] = Origin(row.channel, parent, began)
        append_rows(connection, rows, PLANE, origins)
    return len(ours)


def _row(clock: Clock, snapshot: Snapshot, row: Row[Any], draft: Draft) -> dict[str, Any]:
    return row_of(
        draft, clock.now(), source=row.system, registry_version=snapshot.version, trace_id=row.trace_id,
        intake_id=row.id,
    )  # fmt: skip


def _take(connection: Connection, clock: Clock, found: Sequence[Found]) -> set[str]:
    """Give each record its new state; return those that were still new. What another process did first is its own."""
    by_state: dict[str, list[str]] = {"translated": [], "ignored": [], "quarantined": []}
    for row, drafts, _ in found:
        state = "quarantined" if isinstance(drafts, Exception) else "translated" if drafts else "ignored"
        by_state[state].append(row.id)
    ours: set[str] = set()
    for state, ids in by_state.items():
        mine = update(t.intake).where(t.intake.c.id.in_(ids), t.among(t.intake.c.state, "new"))
        values = mine.values(state=state, translated_at=clock.now())
        taken = set(connection.execute(values.returning(t.intake.c.id)).scalars()) if ids else set()
        ours |= taken
        for system, count in Counter(row.system for row, _, _ in found if row.id in taken).items():
            facts.note(connection, Translated(system, state, count))
    return ours


def _hold(connection: Connection, clock: Clock, snapshot: Snapshot, row: Row[Any], error: Exception) -> None:
    flow = next((f for f in snapshot.flows.values() if f.spec.source == row.system and f.spec.read), None) or next(
        (f for f in snapshot.flows.values() if f.spec.source == row.system), None
    )
    unmapped = isinstance(error, UnmappedError)
    case = quarantine.Case(
        stage="intake",
        system=row.system,
        flow=flow.name if flow else "",
        owner=flow.spec.owner if flow else snapshot.systems[row.system].spec.owner,
        reason_code=_code(error),
        reason=str(error) if isinstance(error, TrueupError) else f"the connector failed at this record: {error!r}",
        remedy="correct the code in the record, or extend the mapping and replay"
        if unmapped
        else "correct the record and replay",
        subject=row.event_key,
        record={"topic": row.topic, "body": readable(row.body)},
        intake_id=row.id,
        fault=getattr(error, "field", ""),
    )
    quarantine.hold(connection, clock, case)
    noted = update(t.intake).where(t.intake.c.id == row.id)
    connection.execute(noted.values(note=kept(str(error))))


def _code(error: Exception) -> str:
    if isinstance(error, UnmappedError):
        return f"unmapped_{error.entity}"
    return "schema" if isinstance(error, TrueupError) else "defect"


def readable(body: bytes) -> Any:
    """Return a body as a JSON value where it is one, else as text: what a person can read and correct."""
    text = body.decode("utf-8", errors="replace")
    try:
        value = json.loads(text)
        dumps(value)  # deeper than we can write it: it stays text
    except (ValueError, RecursionError):
        return text
    return value


def unreadable(value: Any) -> bytes:
    """Return the bytes of what a person corrected; the inverse of `readable`."""
    return value.encode() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).encode()
