"""Insert what is not there yet, the same way on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from controlplane.store.direct import Change


def _insert(connection: Connection, table: Table) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Insert the rows whose unique keys are new; return the first primary-key column of those that went in.

    Each row gives that column. Many rows go to PostgreSQL with one statement, for the sake of the way there and back.
    """
    if not rows:
        return []
    key = next(iter(table.primary_key.columns))
    if len(rows) == 1 or connection.dialect.name == "sqlite":
        new = _insert_new(connection.dialect.name, table, tuple(rows[0]))
        return [row[key.name] for row in rows if new.run(connection, row)]
    statement = _insert(connection, table).values(list(rows)).on_conflict_do_nothing().returning(key)
    return list(connection.execute(statement).scalars())


@lru_cache(maxsize=200)
def _insert_new(dialect: str, table: Table, columns: tuple[str, ...]) -> Change:
    statement: Any = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    return Change(statement.on_conflict_do_nothing().inline(), columns)


def upsert(connection: Connection, table: Table, row: dict[str, Any], where: ColumnElement[bool] | None = None) -> bool:
    """Insert the row, or overwrite the one with the same primary key; say whether it was written.

    `where`: overwrite only a row of which this holds.
    """
    if where is None:
        return _upsert(connection.dialect.name, table, tuple(row)).run(connection, row) > 0
    statement = _insert(connection, table).values(row)
    keys, set_ = _overwritten(table, tuple(row), statement.excluded)
    statement = statement.on_conflict_do_update(index_elements=keys, set_=set_, where=where)
    return connection.execute(statement.returning(table.c[keys[0]])).first() is not None


@lru_cache(maxsize=200)
def _upsert(dialect: str, table: Table, columns: tuple[str, ...]) -> Change:
    statement: Any = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    keys, set_ = _overwritten(table, columns, statement.excluded)
    return Change(statement.on_conflict_do_update(index_elements=keys, set_=set_).inline(), columns)


def _overwritten(table: Table, columns: tuple[str, ...], excluded: Any) -> tuple[list[str], dict[str, Any]]:
    keys = [column.name for column in table.primary_key.columns]
    return keys, {name: excluded[name] for name in columns if name not in keys}
