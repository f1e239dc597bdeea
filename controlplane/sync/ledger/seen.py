"""Documents that retention has deleted are known still: told again, they are not new.

A message is inserted first and looked up here after that. On PostgreSQL an insert waits for a deletion of the same
fingerprint that is under way, and only a look after it sees what the deletion left behind. Here a fact is kept without its place
(`rules.ids.fact`): these are few, and none is told of in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from controlplane.store import direct
from controlplane.store import tables as t
from rules.ids import PLACE
from rules.model.messages import STATE_LIKE

MOST = 500
"""Fingerprints that are looked up by one statement."""
_SQLITE = "SELECT fingerprint FROM message_seen WHERE fingerprint IN ({places})"
_POSTGRESQL = "SELECT fingerprint FROM message_seen WHERE fingerprint = ANY(%s)"


def remember(connection: Connection, ids: Sequence[str]) -> None:
    """Keep the fingerprints of the documents among these messages, which the caller deletes in the same transaction."""
    m = t.message.c
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    documents = select(func.substr(m.fingerprint, PLACE + 1), m.id).where(
        m.id.in_(ids), m.type.not_in(sorted(STATE_LIKE))
    )
    statement = dialect.insert(t.message_seen).from_select(["fingerprint", "id"], documents)
    connection.execute(statement.on_conflict_do_nothing())


def asked(connection: Connection, facts: Sequence[bytes]) -> Callable[[], list[bytes]]:
    """Return what gives those of the facts that are known though their message is gone. To be asked after the insert."""
    if not facts:
        return list
    by_print = {one[PLACE:]: one for one in facts}
    prints = list(by_print)
    if connection.dialect.name == "postgresql":
        found = direct.Asked(connection, _POSTGRESQL, (prints,))
        return lambda: [by_print[fingerprint] for (fingerprint,) in found.rows()]
    known: list[bytes] = []
    for start in range(0, len(prints), MOST):
        some = tuple(prints[start : start + MOST])
        query = _SQLITE.format(places=", ".join("?" * len(some)))
        known += [by_print[fingerprint] for fingerprint in direct.fetch_column(connection, query, some)]
    return lambda: known


def ids_of(connection: Connection, facts: Sequence[bytes]) -> dict[bytes, str]:
    """Return fact -> id of the messages that are known, those included that retention has deleted."""
    found: dict[bytes, str] = {}
    for table, kept in (
        (t.message_seen, {one[PLACE:]: one for one in facts}),
        (t.message, {one: one for one in facts}),
    ):
        prints = list(kept)
        for start in range(0, len(prints), MOST):
            some = table.c.fingerprint.in_(prints[start : start + MOST])
            rows = connection.execute(select(table.c.fingerprint, table.c.id).where(some))
            found |= {kept[bytes(row.fingerprint)]: row.id for row in rows}
    return found


def taken_out(connection: Connection, known: Mapping[bytes, str]) -> frozenset[str]:
    """Take documents (fact -> id) out again that were inserted just now though they were known; return their ids."""
    ids = frozenset(known.values())
    if ids:
        connection.execute(delete(t.message).where(t.message.c.id.in_(ids)))
    return ids
