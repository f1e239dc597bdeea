"""Insert what is not there yet, the same way on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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
    given = rows[0] if len(rows) == 1 else list(rows)  # of one row the compiled statement is kept
    statement = _insert(connection, table).values(given).on_conflict_do_nothing().returning(key)
    return list(connection.execute(statement).scalars())


def upsert(connection: Connection, table: Table, row: dict[str, Any], where: ColumnElement[bool] | None = None) -> bool:
    """Insert the row, or overwrite the one with the same primary key; say whether it was written.

    `where`: overwrite only a row of which this holds.
    """
    if where is not None:
        statement = _insert(connection, table).values(row)
        keys, set_ = _overwritten(table, tuple(row), statement.excluded)
        statement = statement.on_conflict_do_update(index_elements=keys, set_=set_, where=where)
        return connection.execute(statement.returning(table.c[keys[0]])).first() is not None
    return connection.execute(_upsert(connection.dialect.name, table, tuple(row)), row).first() is not None


@lru_cache(maxsize=200)
def _upsert(dialect: str, table: Table, columns: tuple[str, ...]) -> Any:
    statement: Any = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    keys, set_ = _overwritten(table, columns, statement.excluded)
    return statement.on_conflict_do_update(index_elements=keys, set_=set_).returning(table.c[keys[0]])


def _overwritten(table: Table, columns: tuple[str, ...], excluded: Any) -> tuple[list[str], dict[str, Any]]:
    keys = [column.name for column in table.primary_key.columns]
    return keys, {name: excluded[name] for name in columns if name not in keys}
