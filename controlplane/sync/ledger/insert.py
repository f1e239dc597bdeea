"""The one way into the ledger's table: a batch in one statement, each fact once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import Connection

from controlplane.store import direct
from controlplane.sync.ledger import seen
from rules.model.messages import STATE_LIKE

MESSAGE = (
    "id", "type", "schema_version", "source", "subject", "source_version", "dedupe_key", "fingerprint", "occurred_at", "accepted_at",
    "causation_id", "intake_id", "intake_line", "trace_id", "data", "state", "registry_version",
)  # fmt: skip
_MESSAGE_OF = itemgetter(*MESSAGE)
_TYPES = {
    "schema_version": "int", "occurred_at": "bigint", "accepted_at": "bigint", "intake_line": "int", "data": "jsonb",
    "registry_version": "int",
}  # fmt: skip
_MESSAGES_SQLITE = f"INSERT OR IGNORE INTO message ({', '.join(MESSAGE)})"
_READ = ", ".join("decode(fingerprint, 'hex')" if name == "fingerprint" else name for name in MESSAGE)
_MESSAGES_POSTGRESQL = f"""
INSERT INTO message ({", ".join(MESSAGE)}) SELECT {_READ} FROM jsonb_to_recordset(%(rows)s::jsonb)
AS r({", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in MESSAGE)})
ON CONFLICT (fingerprint) DO NOTHING RETURNING id"""  # noqa: S608


def insert_messages(connection: Connection, rows: Sequence[dict[str, Any]]) -> frozenset[str]:
    """Insert messages (MESSAGE; `data` as JSON text) that are not known yet; return the ids of those that were new."""
    inserted = _inserted(connection, rows)
    documents: dict[bytes, str] = {}
    for row in rows:
        if row["type"] not in STATE_LIKE:
            documents.setdefault(row["fingerprint"], row["id"])  # of several with one fingerprint the first goes in
    known = seen.asked(connection, list(documents))
    new = inserted()
    return new - seen.taken_out(connection, {found: documents[found] for found in known() if documents[found] in new})


def _inserted(connection: Connection, rows: Sequence[dict[str, Any]]) -> Callable[[], frozenset[str]]:
    """Insert; return what gives the ids of those that were new."""
    if connection.dialect.name == "postgresql":
        given = [{**row, "data": orjson.Fragment(row["data"]), "fingerprint": row["fingerprint"].hex()} for row in rows]
        asked = direct.Asked(connection, _MESSAGES_POSTGRESQL, {"rows": orjson.dumps(given).decode()})
        return lambda: frozenset(identity for (identity,) in asked.rows())
    ids = [row["id"] for row in rows]
    if direct.insert_rows(connection, _MESSAGES_SQLITE, [_MESSAGE_OF(row) for row in rows]) == len(ids):
        return lambda: frozenset(ids)
    there = "SELECT m.id FROM json_each(?) k CROSS JOIN message m ON m.id = k.value"
    found = frozenset(direct.fetch_column(connection, there, (orjson.dumps(ids).decode(),)))
    return lambda: found
