"""Turn what was taken in into canonical messages; what cannot be translated waits in quarantine, and its neighbours go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Row, select, update

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Draft, UnmappedError
from controlplane.errors import BadInputError, ConnectorError, NotFoundError, TrueupError
from controlplane.registry import Snapshot
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.text import kept
from controlplane.sync import quarantine
from controlplane.sync.ledger.messages import append_rows, checked, row_of
from controlplane.sync.ledger.readings import TOPIC as READING
from controlplane.sync.ledger.readings import translate_reading

log = structlog.get_logger()


def translate_some(store: Store, clock: Clock, connections: Connections, snapshot: Snapshot, limit: int = 100) -> int:
    """Translate the oldest records that are new, and commit what came of them together; return how many left that state.

    A record whose translation needs a system that does not answer stays new and is tried again later.
    """
    new = t.among(t.intake.c.state, "new")
    with store.read() as connection:
        rows = connection.execute(select(t.intake).where(new).order_by(t.intake.c.id).limit(limit)).all()
    found: list[tuple[Row[Any], list[Draft] | Exception]] = []
    silent: set[str] = set()
    for row in rows:
        if row.system in silent:
            continue
        try:
            found.append((row, preview(connections, row.system, row.topic, row.body)))
        except ConnectorError:
            silent.add(row.system)
        except (BadInputError, NotFoundError) as error:
            found.append((row, error))
        except Exception as error:
            log.exception("a connector failed at translating a record", intake=row.id, system=row.system)
            found.append((row, error))
    return _commit(store, clock, snapshot, found) if found else 0


def preview(connections: Connections, system: str, topic: str, body: bytes) -> list[Draft]:
    """Translate without keeping anything. Raises BadInputError (with UnmappedError) and ConnectorError."""
    drafts = translate_reading(body) if topic == READING else connections.get(system).translate(topic, body)
    for draft in drafts:
        checked(draft)
    return drafts


def _commit(
    store: Store, clock: Clock, snapshot: Snapshot, found: Sequence[tuple[Row[Any], list[Draft] | Exception]]
) -> int:
    with store.write() as connection:
        ours = _take(connection, clock, found)
        rows = [
            row_of(
                draft, clock.now(), source=row.system, registry_version=snapshot.version, trace_id=row.trace_id,
                intake_id=row.id,
            )
            for row, drafts in found
            if row.id in ours and not isinstance(drafts, Exception)
            for draft in drafts
        ]  # fmt: skip
        append_rows(connection, rows)
        for row, error in found:
            if row.id in ours and isinstance(error, Exception):
                _hold(connection, clock, snapshot, row, error)
    return len(ours)


def _take(connection: Connection, clock: Clock, found: Sequence[tuple[Row[Any], list[Draft] | Exception]]) -> set[str]:
    """Give each record its new state; return those that were still new. What another process did first is its own."""
    by_state: dict[str, list[str]] = {"translated": [], "ignored": [], "quarantined": []}
    for row, drafts in found:
        state = "quarantined" if isinstance(drafts, Exception) else "translated" if drafts else "ignored"
        by_state[state].append(row.id)
    ours: set[str] = set()
    for state, ids in by_state.items():
        mine = update(t.intake).where(t.intake.c.id.in_(ids), t.among(t.intake.c.state, "new"))
        values = mine.values(state=state, translated_at=clock.now())
        ours |= set(connection.execute(values.returning(t.intake.c.id)).scalars()) if ids else set()
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
        return json.loads(text)
    except ValueError:
        return text


def unreadable(value: Any) -> bytes:
    """Return the bytes of what a person corrected; the inverse of `readable`."""
    return value.encode() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).encode()
