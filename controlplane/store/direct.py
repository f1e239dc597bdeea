"""Statements of the hot path, run on the driver's own cursor within SQLAlchemy's connection and transaction.

A message takes some thirty statements on its way. Most of what one costs this process is what SQLAlchemy does anew each time (a
key for its cache, a result with its columns); here a statement is prepared once. On PostgreSQL the other half is the round
trip: what nobody waits for (`later`) travels with the next statement, or with the commit. Errors are SQLAlchemy's.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Transaction, event
from sqlalchemy.exc import DBAPIError

Values = Sequence[Any] | Mapping[str, Any]
Rows = list[tuple[Any, ...]]
Waiting = list[tuple[str, Values, "Asked | None"]]
_WAITING = "statements that wait"
AT_ONCE = 64
"""Rows of one INSERT on SQLite."""


def fetch(connection: Connection, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """Run a query in the driver's own dialect; return its rows as the driver gives them."""
    with _run(connection, query, values) as cursor:
        return list(cursor.fetchall())


def fetch_column(connection: Connection, query: str, values: Values = ()) -> list[Any]:
    """Return the first column of what `fetch` does."""
    return [row[0] for row in fetch(connection, query, values)]


def change(connection: Connection, query: str, values: Values = ()) -> int:
    """Run a statement that changes something; return how many rows it changed."""
    with _run(connection, query, values) as cursor:
        return int(cursor.rowcount)


def change_each(connection: Connection, query: str, rows: Sequence[Values]) -> int:
    """Run a statement once for each row of values; return how many rows it changed in all."""
    if len(rows) == 1:
        return change(connection, query, rows[0])
    send_waiting(connection)
    with _cursor(connection, query) as cursor:
        cursor.executemany(query, rows)
        return int(cursor.rowcount)


def insert_rows(connection: Connection, into: str, rows: Sequence[Sequence[Any]]) -> int:
    """Insert rows into a table of SQLite, `into` being the statement up to VALUES; return how many went in.

    Many rows go with one statement: the driver lets other threads have the interpreter at each, and the busier they are the longer
    it takes to get it back.
    """
    count = 0
    one = f"({', '.join('?' * len(rows[0]))})" if rows else ""
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        count += change(
            connection, f"{into} VALUES {', '.join([one] * len(some))}", [cell for row in some for cell in row]
        )
    return count


def later(connection: Connection, query: str, values: Values = ()) -> None:
    """Run a statement before the next one and before the commit, whose result nobody waits for.

    Where it fails, the next statement or the commit raises what it would have raised.
    """
    waiting: Waiting | None = connection.info.get(_WAITING)
    if waiting is None:
        with _run(connection, query, values):
            return
    waiting.append((query, values, None))


class Asked:
    """A query whose rows are not needed yet: it is run with the next statement at the latest, or when they are."""

    def __init__(self, connection: Connection, query: str, values: Values = ()) -> None:
        self._connection = connection
        self._rows: Rows | None = None
        self._columns: Sequence[Any] = ()
        waiting: Waiting | None = connection.info.get(_WAITING)
        if waiting is not None:
            waiting.append((query, values, self))
        else:
            with _run(connection, query, values) as cursor:
                self.answer(cursor)

    def answer(self, cursor: Any) -> None:
        """Take the rows of a cursor that has run the query."""
        self._columns = cursor.description
        self._rows = cursor.fetchall()

    def rows(self) -> Rows:
        """Return the rows as the driver gives them."""
        if self._rows is None:
            send_waiting(self._connection)
        assert self._rows is not None  # noqa: S101 - it was sent, or that has raised
        return self._rows

    def columns(self) -> Sequence[Any]:
        """Return the driver's description of the columns; after `rows`."""
        return self._columns


# --- what waits ---


def gather(engine: Engine) -> None:
    """Let statements of this engine's transactions wait for the next: what SQLAlchemy runs itself comes after what waits."""
    event.listen(engine, "before_cursor_execute", lambda connection, *_: send_waiting(connection))


@contextmanager
def transaction(connection: Connection) -> Iterator[Transaction]:
    """Give a transaction of PostgreSQL in which statements may wait, the first being its BEGIN; `commit` ends it."""
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")  # the driver then sends no BEGIN of its own
    waiting: Waiting = [("BEGIN", (), None)]
    connection.info[_WAITING] = waiting
    with connection.begin() as begun:
        try:
            yield begun
        finally:
            waiting.clear()
            del connection.info[_WAITING]


def commit(connection: Connection, begun: Transaction) -> None:
    """Run what waits and commit, in one round trip."""
    waiting: Waiting = connection.info[_WAITING]
    if waiting:
        waiting.append(("COMMIT", (), None))
        send_waiting(connection)
    begun.commit()  # sends a COMMIT where none was sent yet


def send_waiting(connection: Connection) -> None:
    """Run what waits, and wait for it."""
    waiting: Waiting | None = connection.info.get(_WAITING)
    if waiting:
        _send(connection, waiting)


def _send(connection: Connection, waiting: Waiting) -> Any:
    """Send what waits without waiting between, and hand the answers out; return the cursor at the last of them.

    In PostgreSQL's pipeline each statement keeps its values apart from its text, and is prepared once it has come up often.
    """
    raw: Any = connection.connection.driver_connection
    sent, cursors = list(waiting), []
    waiting.clear()
    with _told(connection, "; ".join(query for query, _, _ in sent)):
        raw._pipeline = _pipeline()(raw)  # the driver takes the one that is there
        with raw.pipeline():
            for query, values, _ in sent:
                cursor = raw.cursor()
                cursor.execute(query, values or None)
                cursors.append(cursor)
        for (_, _, asked), cursor in zip(sent, cursors, strict=True):
            if asked is not None:
                asked.answer(cursor)
    return cursors[-1]


@cache
def _pipeline() -> Any:
    """Return psycopg's pipeline, sending all that it was given in one piece, which ends with a Sync.

    psycopg sends each statement by itself, and a Flush after the Sync. PostgreSQL (idle_in_transaction_session_timeout) ends no
    session that sent something after its last Sync, for as long as it takes: a process that was stopped then would keep its locks.
    """
    from psycopg import Pipeline  # not everybody has PostgreSQL's driver
    from psycopg.waiting import Ready, Wait

    class AtOnce(Pipeline):
        _ends = False

        def _communicate_gen(self) -> Generator[Any, Any, None]:
            if self._ends:
                while self.command_queue:  # into the output buffer
                    self.command_queue.popleft()()
                yield from self._flush_gen()
                yield from super()._communicate_gen()

        def _flush_gen(self) -> Generator[Any, Any, None]:
            """Send all of it, however little the socket takes at once; what the server says meanwhile is read, or it stops."""
            while self.pgconn.flush():
                if (yield Wait.RW) & Ready.R:
                    self.pgconn.consume_input()

        def _exit_gen(self) -> Generator[Any, Any, None]:
            self._ends = True
            try:
                self._enqueue_sync()
                yield from self._communicate_gen()
            finally:
                yield from self._fetch_gen(flush=False)

    return AtOnce


@contextmanager
def _run(connection: Connection, query: str, values: Values) -> Iterator[Any]:
    """Give the cursor that has run a statement, and before it what waits."""
    waiting: Waiting | None = connection.info.get(_WAITING)
    if waiting:
        waiting.append((query, values, None))
        cursor = _send(connection, waiting)
        try:
            yield cursor
        finally:
            cursor.close()
    else:
        with _cursor(connection, query) as cursor:
            cursor.execute(query, values)
            yield cursor


@contextmanager
def _cursor(connection: Connection, query: str) -> Iterator[Any]:
    raw: Any = connection.connection
    cursor = raw.cursor()
    with _told(connection, query):
        try:
            yield cursor
        finally:
            cursor.close()


@contextmanager
def _told(connection: Connection, query: str) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy's."""
    errors: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except errors as error:
        raise DBAPIError.instance(query, None, error, errors, dialect=connection.dialect) from error


class Prepared:
    """A Core query that is compiled once for each database. Its values are plain text and numbers, given by name."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._made: dict[str, _Made] = {}

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """Return the rows as named tuples, each value of its column's type."""
        return self.asked(connection, **values)()

    def asked(self, connection: Connection, **values: Any) -> Callable[[], list[Any]]:
        """Return what gives the rows; the query is run with the next statement at the latest."""
        name = connection.dialect.name
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = _Made(self._statement, connection)
        asked = Asked(connection, made.query, made.values(values))
        return lambda: made.read(asked)


class Change:
    """A Core statement that writes one row, compiled once for each database. Its values are given by column, of Python's types."""

    def __init__(self, statement: Executable, columns: Sequence[str]) -> None:
        """`columns`: those that are given; all others are what the table says by itself, which has to be a plain value."""
        self._statement, self._columns = statement, list(columns)
        self._made: dict[str, _Writing] = {}

    def run(self, connection: Connection, row: Mapping[str, Any]) -> int:
        """Write the row; return how many were written."""
        made = self._made.get(connection.dialect.name)
        if made is None:
            made = self._made[connection.dialect.name] = _Writing(self._statement, self._columns, connection)
        return change(connection, made.query, made.values(row))


class _Writing:
    def __init__(self, statement: Executable, columns: Sequence[str], connection: Connection) -> None:
        compiled: Any = statement.compile(dialect=connection.dialect, column_keys=columns)  # type: ignore[attr-defined]
        self.query: str = compiled.string
        self._columns, self._names = columns, compiled.positiontup
        self._binds: Mapping[str, Callable[[Any], Any]] = compiled._bind_processors
        self._usual = {column.key: self._bound(column.key, column.default.arg) for column in compiled.insert_prefetch}

    def values(self, row: Mapping[str, Any]) -> Values:
        """Return the values as the driver takes them."""
        given = self._usual | {name: self._bound(name, row[name]) for name in self._columns}
        return given if self._names is None else [given[name] for name in self._names]

    def _bound(self, name: str, value: Any) -> Any:
        return self._binds[name](value) if name in self._binds else value


class _Made:
    def __init__(self, statement: Executable, connection: Connection) -> None:
        self._dialect: Any = connection.dialect
        compiled: Any = statement.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
        self.query: str = compiled.string
        self._names: list[str] | None = compiled.positiontup
        self._defaults: dict[str, Any] = {
            name: bind.value for name, bind in compiled.binds.items() if not bind.required
        }
        self._columns = list(compiled.statement.selected_columns)
        tuples: Any = namedtuple
        self._make = tuples("Row", [column.key for column in self._columns])._make
        self._readers: list[tuple[int, Callable[[Any], Any]]] | None = None

    def values(self, given: Mapping[str, Any]) -> Values:
        """Return the values as the driver takes them."""
        named = {**self._defaults, **given} if given else self._defaults
        return named if self._names is None else [named[name] for name in self._names]

    def read(self, asked: Asked) -> list[Any]:
        """Make named tuples of the rows."""
        found = asked.rows()
        if self._readers is None:
            self._readers = self._reading([column[1] for column in asked.columns()])
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
