"""Deliveries of documents that retention has deleted are known still, by their keys: what is told again is not owed again.

A delivery is inserted first and looked up here after that, as in `seen`, and for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from controlplane.store import direct
from controlplane.store import tables as t
from rules.ids import fingerprint

MOST = 500
"""Fingerprints that are looked up by one statement."""
_SQLITE = "SELECT fingerprint FROM delivery_seen WHERE fingerprint IN ({places})"
_POSTGRESQL = "SELECT fingerprint FROM delivery_seen WHERE fingerprint = ANY(%s)"


def remember(connection: Connection, ids: Sequence[str]) -> None:
    """Keep the keys of the documents among these deliveries, which the caller deletes in the same transaction."""
    d = t.delivery.c
    query = select(d.id, d.idempotency_key).where(d.id.in_(ids), d.coalesce.is_(False))
    rows = [{"fingerprint": fingerprint(key), "id": identity} for identity, key in connection.execute(query)]
    if rows:
        dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(t.delivery_seen).on_conflict_do_nothing(), rows)


def asked(connection: Connection, keys: Sequence[str]) -> Callable[[], frozenset[str]]:
    """Return what gives those of the keys that are known though their delivery is gone. To be asked after the insert."""
    by_print = {fingerprint(key): key for key in keys}
    found = _asked(connection, list(by_print))
    return lambda: frozenset(by_print[bytes(one)] for one in found())


def _asked(connection: Connection, prints: Sequence[bytes]) -> Callable[[], list[bytes]]:
    if not prints:
        return list
    if connection.dialect.name == "postgresql":
        waiting = direct.Asked(connection, _POSTGRESQL, (prints,))
        return lambda: [found for (found,) in waiting.rows()]
    known: list[bytes] = []
    for start in range(0, len(prints), MOST):
        some = tuple(prints[start : start + MOST])
        known += direct.fetch_column(connection, _SQLITE.format(places=", ".join("?" * len(some))), some)
    return lambda: known
