"""Turn what was taken in into canonical messages; what cannot be translated waits in quarantine, and its neighbours go on."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row, select, update

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Draft, UnmappedError
from controlplane.errors import BadInputError, ConnectorError, NotFoundError
from controlplane.registry import Snapshot
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.ledger.messages import append, checked
from controlplane.sync.ledger.readings import TOPIC as READING
from controlplane.sync.ledger.readings import translate_reading


def translate_some(store: Store, clock: Clock, connections: Connections, snapshot: Snapshot, limit: int = 100) -> int:
    """Translate the oldest records that are new; return how many left that state.

    A record whose translation needs a system that does not answer stays new and is tried again later.
    """
    with store.read() as connection:
        rows = connection.execute(
            select(t.intake).where(t.among(t.intake.c.state, "new")).order_by(t.intake.c.id).limit(limit)
        ).all()
    done = 0
    silent: set[str] = set()
    for row in rows:
        if row.system in silent:
            continue
        try:
            drafts = preview(connections, row.system, row.topic, row.body)
        except (BadInputError, NotFoundError) as error:
            _hold(store, clock, snapshot, row, error)
        except ConnectorError:
            silent.add(row.system)
            continue
        else:
            _commit(store, clock, snapshot, row, drafts)
        done += 1
    return done


def preview(connections: Connections, system: str, topic: str, body: bytes) -> list[Draft]:
    """Translate without keeping anything. Raises BadInputError (with UnmappedError) and ConnectorError."""
    drafts = translate_reading(body) if topic == READING else connections.get(system).translate(topic, body)
    for draft in drafts:
        checked(draft)
    return drafts


def _commit(store: Store, clock: Clock, snapshot: Snapshot, row: Row[Any], drafts: list[Draft]) -> None:
    with store.write() as connection:
        mine = update(t.intake).where(t.intake.c.id == row.id, t.intake.c.state == "new")
        state = "translated" if drafts else "ignored"
        if connection.execute(mine.values(state=state, translated_at=clock.now())).rowcount != 1:
            return
        for draft in drafts:
            append(
                connection, clock, draft, source=row.system, registry_version=snapshot.version,
                trace_id=row.trace_id, intake_id=row.id,
            )  # fmt: skip


def _hold(store: Store, clock: Clock, snapshot: Snapshot, row: Row[Any], error: Exception) -> None:
    flow = next((f for f in snapshot.flows.values() if f.spec.source == row.system and f.spec.read), None) or next(
        (f for f in snapshot.flows.values() if f.spec.source == row.system), None
    )
    unmapped = isinstance(error, UnmappedError)
    case = quarantine.Case(
        stage="intake",
        system=row.system,
        flow=flow.name if flow else "",
        owner=flow.spec.owner if flow else snapshot.systems[row.system].spec.owner,
        reason_code=f"unmapped_{error.entity}" if isinstance(error, UnmappedError) else "schema",
        reason=str(error),
        remedy="correct the code in the record, or extend the mapping and replay"
        if unmapped
        else "correct the record and replay",
        subject=row.event_key,
        record={"topic": row.topic, "body": readable(row.body)},
        intake_id=row.id,
        fault=getattr(error, "field", ""),
    )
    with store.write() as connection:
        mine = update(t.intake).where(t.intake.c.id == row.id, t.intake.c.state == "new")
        values = {"state": "quarantined", "translated_at": clock.now(), "note": str(error)}
        if connection.execute(mine.values(**values)).rowcount == 1:
            quarantine.hold(connection, clock, case)


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
