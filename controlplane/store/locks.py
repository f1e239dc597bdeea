"""Who may write beside whom, on PostgreSQL; on SQLite there is one writer and nothing to lock. Held to the end of the transaction."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

BOOKS = 7_205_759_403
SCHEMA = 7_205_759_404
"""Held by who changes the tables."""


def lock_books(connection: Connection) -> None:
    """Be the only transaction that changes what is known of stock and orders. Take it before any other lock."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (BOOKS,))


def lock_targets(connection: Connection, targets: Iterable[str], *, alone: bool) -> None:
    """Keep routing (alone) and delivering (together) to a target apart: who adds to a key sees what ends on it."""
    if connection.dialect.name == "postgresql":
        shared = "" if alone else "_shared"
        for target in sorted(targets):
            query = f"SELECT pg_advisory_xact_lock{shared}(hashtextextended(%s, 0))"
            connection.exec_driver_sql(query, (f"trueup:{target}",))


def in_index_order(connection: Connection) -> None:
    """Keep PostgreSQL from gathering and sorting all that waits where the first few in the order of an index are asked for.

    It would think that cheap until the tables are analysed. Holds to the end of the transaction.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
