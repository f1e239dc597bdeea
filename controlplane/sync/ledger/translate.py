"""Turn what was taken in into canonical messages; what cannot be translated waits in quarantine, and its neighbours go on."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row, func, or_, update

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Draft, UnmappedError
from controlplane.errors import (
    BadInputError,
    ConnectorError,
    KeyMissingError,
    NotFoundError,
    RejectedError,
    SealError,
    TrueupError,
)
from controlplane.registry import Snapshot
from controlplane.sealing import Keyring, Shield
from controlplane.sealing.keys import knows
from controlplane.sealing.ring import HEAD
from controlplane.sealing.shield import NOT_READ, parsed
from controlplane.store import Store, facts
from controlplane.store import tables as t
from controlplane.store.text import dumps, kept
from controlplane.sync import quarantine
from controlplane.sync.intake import label
from controlplane.sync.ledger.messages import append_rows, checked, refuse_unknown, row_of
from controlplane.sync.ledger.readings import TOPIC as READING
from controlplane.sync.ledger.readings import translate_reading
from controlplane.sync.ledger.untranslated import Silent, oldest
from controlplane.telemetry.facts import PLANE, Origin, Translated
from controlplane.telemetry.tracing import span_id

log = structlog.get_logger()
Found = tuple[Row[Any], list[Draft] | Exception, datetime]
"""A record, what it says or why that cannot be told, and when its reading began."""


SLOW = 0.5
"""Wall seconds after which the translation of one record is slow: it asks its system, and that takes its time."""


class DefectError(BadInputError):
    """A connector failed at a record in a way that its contract does not know."""


def translate_some(
    store: Store, clock: Clock, connections: Connections, snapshot: Snapshot, keys: Keyring, silent: Silent,
    limit: int = 100,
) -> int:  # fmt: skip
    """Translate the oldest records that are new, and commit what came of them together; return how many left that state.

    A record whose translation needs a system that does not answer stays new, as do all of that system, and is tried again
    after a pause (`silent`). One that needs a key that this process does not have stays new, too. A system that answers slowly ends
    the turn, and leaves the next one to the others.
    """
    fallen: set[str] = set(silent.take_slow())
    if fallen and not _oldest(store, keys, silent.systems() | fallen, 1):
        fallen.clear()  # nobody else has told anything
    while True:
        rows = _oldest(store, keys, silent.systems() | fallen, limit)
        found = list(_understood(clock, connections, snapshot, keys, silent, rows))
        if found or not rows:
            return _commit(store, clock, snapshot, keys, found) if found else 0
        fallen |= {row.system for row in rows}  # all that were read have fallen silent: those behind them are read


def _understood(
    clock: Clock, connections: Connections, snapshot: Snapshot, keys: Keyring, silent: Silent, rows: Sequence[Row[Any]]
) -> Iterator[Found]:
    """Translate records, but for those of systems that do not answer, and those that cannot be opened here; none behind a slow one."""
    for row in rows:
        if row.system in silent.systems():
            continue
        began, shield, started = clock.now(), Shield(snapshot.personal_of(row.system), keys), clock.stopwatch()
        said: list[Draft] | Exception
        try:
            body = shield.whole(label(row.id), row.body, row.sealed)
            said = preview(connections, snapshot, shield, row.system, row.topic, body, row.id)
            silent.answered(row.system)
        except KeyMissingError as error:
            _tell(row, error)
            continue
        except (BadInputError, NotFoundError, RejectedError, SealError) as error:
            said = error
        except ConnectorError as error:
            silent.failed(row.system, error)
            continue
        yield row, said, began
        if (clock.stopwatch() - started) * clock.pace > SLOW:
            silent.slow(row.system)
            return


_told: set[bytes] = set()
"""Keys of which this process has said that it lacks them: it looks again at every turn, and says it once."""


def _tell(row: Row[Any], error: KeyMissingError) -> None:
    if row.sealed[:HEAD] not in _told:
        _told.add(row.sealed[:HEAD])
        log.error("sealed records are left alone until the key is here", system=row.system, error=str(error))


def _oldest(store: Store, keys: Keyring, but: Collection[str], limit: int) -> Sequence[Row[Any]]:
    """Return the oldest records that are new; those whose key is not here do not stand in the way of others."""
    sealed = t.intake.c.sealed
    with store.read() as connection:
        rows = oldest(connection, but, limit)
        missing = [head for head in {row.sealed[:HEAD] for row in rows if row.sealed} if not knows(keys, head)]
        if missing and len(rows) == limit:
            rows = oldest(connection, but, limit, or_(sealed.is_(None), func.substr(sealed, 1, HEAD).not_in(missing)))
    return rows


def preview(
    connections: Connections, snapshot: Snapshot, shield: Shield, system: str, topic: str, body: bytes, intake_id: str
) -> list[Draft]:
    """Translate without keeping anything. Raises BadInputError (with UnmappedError, and DefectError) and ConnectorError; what
    they say holds nothing of the record that is personal.

    A draft without a key is an event of its own: it is known by the record that it comes from, and its place in it.
    """
    try:
        drafts = (
            translate_reading(body) if topic == READING else connections.get(system, snapshot).translate(topic, body)
        )
        found = [
            draft if draft.dedupe_key.strip() else replace(draft, dedupe_key=f"record:{intake_id}:{place}")
            for place, draft in enumerate(drafts, 1)
        ]
        for draft in found:
            if draft.source:
                refuse_unknown(snapshot, draft.source, draft.type)
            checked(draft)
    except TrueupError as error:
        shield.scrub(error, body)
        raise
    except Exception as error:  # noqa: BLE001 - a defect of a plugin is this record's problem, not its neighbours'
        told = shield.text(repr(error), body)
        where = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
        log.error("a connector failed at translating a record", system=system, topic=topic, error=told, where=where)
        raise DefectError(f"the connector failed at this record: {told}") from None
    return found


def _commit(store: Store, clock: Clock, snapshot: Snapshot, keys: Keyring, found: Sequence[Found]) -> int:
    with store.write() as connection:
        ours = _take(connection, clock, found)
        rows: list[dict[str, Any]] = []
        origins: dict[str, Origin] = {}
        for row, drafts, began in found:
            if row.id not in ours:
                continue
            if isinstance(drafts, Exception):
                _hold(connection, clock, snapshot, keys, row, drafts)
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


def _hold(
    connection: Connection, clock: Clock, snapshot: Snapshot, keys: Keyring, row: Row[Any], error: Exception
) -> None:
    shield = Shield(snapshot.personal_of(row.system), keys)
    flow = next((f for f in snapshot.flows.values() if f.spec.source == row.system and f.spec.read), None) or next(
        (f for f in snapshot.flows.values() if f.spec.source == row.system), None
    )
    case = quarantine.Case(
        stage="intake",
        system=row.system,
        flow=flow.name if flow else "",
        owner=flow.spec.owner if flow else snapshot.systems[row.system].spec.owner,
        reason_code=_code(error),
        reason=str(error),
        remedy=_remedy(error),
        subject=row.event_key,
        record={"topic": row.topic, "body": readable(_opened(shield, row))},
        intake_id=row.id,
        fault=getattr(error, "field", ""),
    )
    quarantine.hold(connection, clock, case, None if isinstance(error, SealError) else shield)
    noted = update(t.intake).where(t.intake.c.id == row.id)
    connection.execute(noted.values(note=kept(str(error))))


def _opened(shield: Shield, row: Row[Any]) -> bytes:
    """Return the record as it came; of one that nobody can open any more, what people could see of it."""
    try:
        return shield.whole(label(row.id), row.body, row.sealed)
    except SealError:
        return bytes(row.body)


def _code(error: Exception) -> str:
    if isinstance(error, UnmappedError):
        return f"unmapped_{error.entity}"
    if isinstance(error, SealError):
        return "sealed"
    return "defect" if isinstance(error, DefectError) else "schema"


def _remedy(error: Exception) -> str:
    if isinstance(error, UnmappedError):
        return "correct the code in the record, or extend the mapping and replay"
    if isinstance(error, SealError):
        return "have the source send the record anew, or drop it"
    return "correct the record and replay"


def readable(body: bytes) -> Any:
    """Return a body as a JSON value where it is one, else as text: what a person can read and correct."""
    value = parsed(body, exact=True)
    try:
        dumps(None if value is NOT_READ else value)  # deeper than we can write it: it stays text
    except (ValueError, RecursionError):
        value = NOT_READ
    return body.decode("utf-8", errors="replace") if value is NOT_READ else value


def unreadable(value: Any) -> bytes:
    """Return the bytes of what a person corrected; the inverse of `readable`."""
    return value.encode() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).encode()
