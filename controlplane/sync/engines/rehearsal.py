"""What a replay would do, without doing it: the same code as live traffic in a transaction that is undone, and one look at the target."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Row, select, update

from controlplane.connectors.contract import Connector, Draft, Write
from controlplane.errors import TrueupError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.locks import lock_books
from controlplane.sync.delivery.send import business_ref
from controlplane.sync.ledger import append
from controlplane.sync.processes.contract import Work
from controlplane.sync.routing.owed import Owed
from controlplane.sync.routing.pauses import all_paused_for
from controlplane.sync.routing.run import advance
from rules.correction import values
from rules.outcomes import DONE, Result

MOST = 100
"""Messages that are looked at; a record that leads to more is cut there."""


class _UndoneError(Exception):
    """Ends the transaction without a trace."""


def rehearse(
    store: Store, work: Callable[[Connection], Work], case: Mapping[str, Any], drafts: Sequence[Draft]
) -> dict[str, Any]:
    """Take drafts through ledger, processes and routing; return what follows: messages, deliveries, what would be held.

    Nothing is kept, and nobody is told.
    """
    found: dict[str, Any] = {}
    with suppress(_UndoneError), store.write() as connection:
        lock_books(connection)
        found = _follow(work(connection), case, drafts)
        raise _UndoneError
    return found


def _follow(work: Work, case: Mapping[str, Any], drafts: Sequence[Draft]) -> dict[str, Any]:
    trace = secrets.token_hex(16)
    ids = [
        append(work.connection, work.clock, draft, source=case["system"], registry_version=work.snapshot.version, trace_id=trace)
        for draft in drafts
    ]  # fmt: skip
    new = [message_id for message_id in ids if message_id]
    if new:  # as the replay itself would: what a person let pass is known by it
        q = t.quarantine.c
        work.connection.execute(update(t.quarantine).where(q.id == case["id"]).values(replayed_as=new[0]))
    rows, owed = _advanced(work, new)
    return {
        "already_known": len(ids) - len(new),
        "follow": [{"type": row.type, "subject": row.subject, "data": row.data} for row in rows if row.id not in new],
        "deliveries": [_owed(work.connection, one.row) for one in owed],
        "held": _held(work.connection, [row.id for row in rows]),
    }


def _advanced(work: Work, ids: Sequence[str]) -> tuple[list[Row[Any]], list[Owed]]:
    """Process the messages and those that follow from them."""
    waiting, rows = list(ids), list[Row[Any]]()
    owed: list[Owed] = []
    paused = all_paused_for(work.connection, work.clock.now())
    m = t.message.c
    while waiting and len(rows) < MOST:
        row = work.connection.execute(select(t.message).where(m.id == waiting.pop(0))).one()
        rows.append(row)
        advance(work, row, paused, owed)
        caused = select(m.id).where(m.causation_id == row.id).order_by(m.id)
        waiting += work.connection.execute(caused).scalars().all()
    return rows, owed


def _owed(connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    d = t.delivery.c
    same = (d.target == row["target"], d.order_key == row["order_key"], d.entity == row["entity"])
    waiting = select(d.id).where(*same, t.is_open, d.coalesce, d.state.in_(("pending", "quarantined")))
    return {
        "target": row["target"], "entity": row["entity"], "flow": row["flow"], "subject": row["subject"],
        "payload": json.loads(row["payload"]), "idempotency_key": row["idempotency_key"],
        "supersedes": list(connection.execute(waiting).scalars()) if row["coalesce"] else [],
    }  # fmt: skip


def _held(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    q = t.quarantine.c
    query = select(q.reason_code, q.reason, q.subject).where(q.message_id.in_(ids), q.stage == "process")
    return [
        {"reason_code": code, "reason": reason, "subject": subject}
        for code, reason, subject in connection.execute(query)
    ]


# --- what the target shows ---


def at_target(
    connector: Connector, row: Row[Any], held: Mapping[str, Any], written: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the target of a delivery shows now beside what would be written, field by field.

    `now` of a field is None where the target shows nothing, or where `shows.result` says that it could not be told.
    """
    try:
        if row.entity == "available":
            return _level(connector, held, written)
        return _document(connector, row, held, written)
    except TrueupError as error:
        return unseen(held, written, str(error))


def unseen(held: Mapping[str, Any], written: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Return the same where the target could not be asked."""
    return {"shows": {"result": str(Result.UNAVAILABLE), "detail": why}, "fields": _fields(held, {}, written)}


def _level(connector: Connector, held: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    key = (str(written["sku"]), str(written["location"]))
    entity = next((spec.entity for spec in connector.manifest.reads if spec.snapshot), "levels")
    levels = [level for page in connector.snapshot(entity, [key]) for level in page]
    shown = levels[0] if levels else None
    shows = {
        "result": str(Result.DELIVERED if shown else Result.ABSENT),
        "detail": f"it shows {shown.available} of {key[0]} at {key[1]}" if shown else f"it does not list {key[0]} at {key[1]}",
        "target_at": shown.source_at if shown else None,
    }  # fmt: skip
    now = {"sku": key[0], "location": key[1], "quantity": shown.available} if shown else {}
    return {"shows": shows, "fields": _fields(held, now, written)}


def _document(
    connector: Connector, row: Row[Any], held: Mapping[str, Any], written: Mapping[str, Any]
) -> dict[str, Any]:
    """A document that was sent under this key shows what was sent then; of any other nothing is there."""
    key, ref = row.sent_key or row.idempotency_key, business_ref(held, row.subject)
    write = Write(row.entity, row.subject, key, held, ref, owed_since=row.created_at)
    outcome = connector.read_back(write)
    shows = {
        "result": str(outcome.result), "detail": outcome.detail, "target_at": outcome.target_at,
        "native_id": outcome.native_id, "evidence": outcome.evidence or None,
    }  # fmt: skip
    return {"shows": shows, "fields": _fields(held, held if outcome.result in DONE else {}, written)}


def _fields(held: Mapping[str, Any], now: Mapping[str, Any], written: Mapping[str, Any]) -> list[dict[str, Any]]:
    was, shown, after = values(dict(held)), values(dict(now)), values(dict(written))
    return [
        {"field": path, "held": was.get(path), "now": shown.get(path), "written": after.get(path)}
        for path in sorted({*was, *after})
    ]
