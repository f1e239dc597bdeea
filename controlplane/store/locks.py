"""Who may write beside whom, on PostgreSQL; on SQLite there is one writer and nothing to lock. Held to the end of the transaction."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from controlplane.store import direct

BOOKS = 7_205_759_403
SCHEMA = 7_205_759_404
"""Held by who changes the tables."""
ROOM = 7_205_759_405
"""Held by who takes in where only so much may wait."""


def lock_books(connection: Connection, *, in_index_order: bool = False) -> None:
    """Be the only transaction that changes what is known of stock and orders. Take it before any other lock.

    `in_index_order`: keep PostgreSQL from gathering and sorting all that waits where the first few in the order of an index
    are asked for, which it would think cheap until the tables are analysed; to the end of the transaction.
    """
    if connection.dialect.name == "postgresql":
        ordered = ", set_config('enable_bitmapscan', 'off', true)" if in_index_order else ""
        direct.later(connection, f"SELECT pg_advisory_xact_lock(%s){ordered}", (BOOKS,))


def lock_room(connection: Connection) -> None:
    """Be the only transaction that takes in, of all planes on the database: who counts what waits sees what the others took."""
    if connection.dialect.name == "postgresql":
        direct.later(connection, "SELECT pg_advisory_xact_lock(%s)", (ROOM,))


def lock_targets(connection: Connection, targets: Iterable[str], *, alone: bool) -> None:
    """Keep routing (alone) and delivering (together) to a target apart: who adds to a key sees what ends on it.

    Whatever else takes turns by a name does so by this, too, under a name that no target has.
    """
    if connection.dialect.name == "postgresql":
        shared = "" if alone else "_shared"
        for target in sorted(targets):
            query = f"SELECT pg_advisory_xact_lock{shared}(hashtextextended(%s, 0))"
            direct.later(connection, query, (f"trueup:{target}",))


def lock_sources(connection: Connection, systems: Iterable[str]) -> None:
    """Be the only transaction that takes in what these systems tell: who looks whether it is known sees what came before."""
    if connection.dialect.name == "postgresql":
        for system in sorted(systems):
            query = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
            direct.later(connection, query, (f"trueup-source:{system}",))
