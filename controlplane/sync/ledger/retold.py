"""A sender's id stands for one fact. Told again with other content, which of the two is meant only a person can say.

The second telling is kept as a message of its own, once for each content, and waits in quarantine. What only the times differ in is
the same fact. Of what retention has deleted nobody can tell any more: it counts as told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, select, update

from controlplane.clock import Clock
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.ledger import seen
from controlplane.sync.ledger.insert import insert_messages
from controlplane.sync.ledger.messages import read
from rules.ids import bounded, fact, fingerprint

REMEDY = "accept it by replaying it where this content is meant too, or drop it; have the sender give each fact an id of its own"


def keep_apart(
    connection: Connection, clock: Clock, snapshot: Snapshot, told: Sequence[dict[str, Any]]
) -> frozenset[str]:
    """Put those of the rows that were known by their id, and say otherwise, into quarantine; return the ids of these messages.

    `told`: rows that `insert_messages` did not insert.
    """
    known = _known(connection, [row["fingerprint"] for row in told])
    others = {row["id"]: other for row in told if (other := known.get(row["fingerprint"])) and _differ(other, row)}
    rows = [_apart(row) for row in told if row["id"] in others]
    new = insert_messages(connection, rows) if rows else frozenset()
    if new:
        m = t.message.c
        held = {"state": "quarantined", "processed_at": clock.now()}
        connection.execute(update(t.message).where(m.id.in_(new)).values(**held))
    for row in rows:
        if row["id"] in new:
            quarantine.hold(connection, clock, _case(snapshot, row, others[row["id"]].id))
    return new


def _known(connection: Connection, prints: Sequence[bytes]) -> dict[bytes, Any]:
    m = t.message.c
    columns = (m.fingerprint, m.id, m.type, m.schema_version, m.subject, m.data)
    found: dict[bytes, Any] = {}
    for start in range(0, len(prints), seen.MOST):
        some = m.fingerprint.in_(prints[start : start + seen.MOST])
        for row in connection.execute(select(*columns).where(some)):
            found[bytes(row.fingerprint)] = row
    return found


def _differ(known: Any, row: dict[str, Any]) -> bool:
    if (known.type, known.subject) != (row["type"], row["subject"]):
        return True
    told = orjson.loads(row["data"])
    if known.schema_version == row["schema_version"] and known.data == told:
        return False
    return bool(read(known.type, known.data, known.schema_version).model_dump(mode="json") != told)


def _apart(row: dict[str, Any]) -> dict[str, Any]:
    """The row as a fact of its own."""
    content = fingerprint(row["type"], row["subject"], row["data"]).hex()
    key = bounded(f"{row['dedupe_key']}#{content}")
    return row | {"dedupe_key": key, "fingerprint": fact(row["source"], key)}


def _case(snapshot: Snapshot, row: dict[str, Any], other: str) -> quarantine.Case:
    flow = next(iter(snapshot.flows_from.get((row["source"], row["type"]), ())), None)
    told = f"{row['type']} {row['subject']} came with the id of message {other}, and says otherwise"
    return quarantine.Case(
        stage="process", system=row["source"], flow=flow.name if flow else "", owner=flow.spec.owner if flow else "",
        reason_code="contradiction", reason=told, remedy=REMEDY, subject=row["subject"], record=orjson.loads(row["data"]),
        message_id=row["id"], fault="id",
    )  # fmt: skip
