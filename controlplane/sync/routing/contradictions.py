"""A document is told once. Told again with other content, which of the two is meant only a person can say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, select

from controlplane.store import tables as t
from controlplane.sync.ledger.messages import read
from controlplane.sync.routing.owed import Owed


def contradicting(connection: Connection, owed: Sequence[Owed]) -> dict[str, str]:
    """Return message id -> the message that it contradicts, of what is owed already under the same key.

    What the plane made itself is not looked at, nor what retention has taken: then nobody can tell any more.
    """
    asked = {one.row["idempotency_key"]: one.row for one in owed if not one.row["coalesce"]}
    d, m = t.delivery.c, t.message.c
    query = (
        select(d.idempotency_key, m.id, m.type, m.schema_version, m.data)
        .join_from(t.delivery, t.message, m.id == d.message_id)
        .where(d.idempotency_key.in_(asked), m.source != "plane")
    )
    known: dict[str, Any] = {row.idempotency_key: row for row in connection.execute(query)}
    rows = (one.row for one in owed if not one.row["coalesce"] and one.row["idempotency_key"] in known)
    return {
        row["message_id"]: known[row["idempotency_key"]].id
        for row in rows
        if known[row["idempotency_key"]].id != row["message_id"]
        and _differ(known[row["idempotency_key"]], row["payload"])
    }


def _differ(known: Any, payload: str) -> bool:
    return bool(read(known.type, known.data, known.schema_version).model_dump(mode="json") != orjson.loads(payload))
