"""Statements of the hot path, run on the driver's own cursor within SQLAlchemy's connection and transaction.

A message takes some thirty statements on its way. Most of what one costs this process is what SQLAlchemy does anew each time (a
key for its cache, a result with its columns); here a statement is prepared once. Errors are SQLAlchemy's.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError

Values = Sequence[Any] | Mapping[str, Any]


def fetch(connection: Connection, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """Run a query in the driver's own dialect; return its rows as the driver gives them."""
    with _cursor(connection, query) as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def fetch_column(connection: Connection, query: str, values: Values = ()) -> list[Any]:
    """Return the first column of what `fetch` does."""
    return [row[0] for row in fetch(connection, query, values)]


def change(connection: Connection, query: str, values: Values = ()) -> int:
    """Run a statement that changes something; return how many rows it changed."""
    with _cursor(connection, query) as cursor:
        cursor.execute(query, values)
        return int(cursor.rowcount)


def change_each(connection: Connection, query: str, rows: Sequence[Values]) -> int:
    """Run a statement once for each row of values; return how many rows it changed in all."""
    with _cursor(connection, query) as cursor:
        if len(rows) == 1:
            cursor.execute(query, rows[0])
        else:
            cursor.executemany(query, rows)
        return int(cursor.rowcount)


@contextmanager
def _cursor(connection: Connection, query: str) -> Iterator[Any]:
    raw: Any = connection.connection
    errors: type[Exception] = connection.dialect.loaded_dbapi.Error
    cursor = raw.cursor()
    try:
        yield cursor
    except errors as error:
        raise DBAPIError.instance(query, None, error, errors, dialect=connection.dialect) from error
    finally:
        cursor.close()


class Prepared:
    """A Core query that is compiled once for each database. Its values are plain text and numbers, given by name."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._made: dict[str, _Made] = {}

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """Return the rows as named tuples, each value of its column's type."""
        name = connection.dialect.name
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = _Made(self._statement, connection)
        return made.rows(connection, values)


class _Made:
    def __init__(self, statement: Executable, connection: Connection) -> None:
        self._dialect: Any = connection.dialect
        compiled: Any = statement.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
        self._query: str = compiled.string
        self._names: list[str] | None = compiled.positiontup
        self._defaults: dict[str, Any] = {
            name: bind.value for name, bind in compiled.binds.items() if not bind.required
        }
        self._columns = list(compiled.statement.selected_columns)
        tuples: Any = namedtuple
        self._make = tuples("Row", [column.key for column in self._columns])._make
        self._readers: list[tuple[int, Callable[[Any], Any]]] | None = None

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        given = {**self._defaults, **values} if values else self._defaults
        with _cursor(connection, self._query) as cursor:
            cursor.execute(self._query, given if self._names is None else [given[name] for name in self._names])
            if self._readers is None:
                self._readers = self._reading([column[1] for column in cursor.description])
            found = cursor.fetchall()
        return [self._make(row) for row in found] if not self._readers else [self._read(row) for row in found]

    def _reading(self, codes: Sequence[Any]) -> list[tuple[int, Callable[[Any], Any]]]:
        """Return by place what makes a column's value of what the driver gives."""
        types = [column.type.dialect_impl(self._dialect) for column in self._columns]
        readers = [kind.result_processor(self._dialect, code) for kind, code in zip(types, codes, strict=True)]
        return [(place, reader) for place, reader in enumerate(readers) if reader is not None]

    def _read(self, row: Sequence[Any]) -> Any:
        cells = list(row)
        for place, reader in self._readers or ():
            cells[place] = reader(cells[place])
        return self._make(cells)
