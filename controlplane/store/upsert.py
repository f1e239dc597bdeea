"""Insert what is not there yet, the same way on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def _insert(connection: Connection, table: Table) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Insert the rows whose unique keys are new; return the first primary-key column of those that went in."""
    if not rows:
        return []
    key = next(iter(table.primary_key.columns))
    statement = _insert(connection, table).values(list(rows)).on_conflict_do_nothing().returning(key)
    return list(connection.execute(statement).scalars())


def upsert(connection: Connection, table: Table, row: dict[str, Any], where: ColumnElement[bool] | None = None) -> bool:
    """Insert the row, or overwrite the one with the same primary key; say whether it was written.

    `where`: overwrite only a row of which this holds.
    """
    keys = [column.name for column in table.primary_key.columns]
    changes = {name: value for name, value in row.items() if name not in keys}
    statement = _insert(connection, table).values(row)
    statement = statement.on_conflict_do_update(index_elements=keys, set_=changes, where=where)
    return connection.execute(statement.returning(table.c[keys[0]])).first() is not None
