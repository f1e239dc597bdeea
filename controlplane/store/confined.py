"""Reading what is in sight of somebody who is confined, and nothing else: the conditions stand in `store.sight`.

On PostgreSQL a transaction takes the role that row-level security binds; on SQLite it is one of connections of their own, on which
every table is hidden by a temporary view of its name. Either way a transaction that was told no names sees nothing, and
a table that nobody has said anything about is closed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from controlplane.errors import UnavailableError
from controlplane.store.sight import ROLE, SETTING, VEILED, condition
from controlplane.store.sqlite import SQLITE_CONNECT, prepare
from controlplane.store.text import dumps

_TELL = "SELECT set_config(%s, %s, true), set_config('jit', 'off', true)"
"""PostgreSQL overrates what the conditions cost, and compiling them takes it ten times as long as asking them."""
Lists = Mapping[str, Sequence[str]]
"""Names in sight, by kind."""


class Confined:
    """The way in for confined reading, beside the engine of a store. Costs nothing before the first use."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own: Engine | None = None
        self._lock = threading.Lock()

    @contextmanager
    def read(self, lists: Lists) -> Iterator[Connection]:
        """Give a connection that sees one consistent state of what is in sight, and changes nothing.

        Raises UnavailableError when the role is missing that confined people read by.
        """
        sqlite = self._engine.dialect.name == "sqlite"
        with (self._views() if sqlite else self._engine).connect() as connection:
            try:
                (_tell if sqlite else _take_role)(connection, lists)
                yield connection
            finally:
                connection.rollback()  # the names, and the role, go with the transaction

    def _views(self) -> Engine:
        with self._lock:
            if self._own is None:
                options: dict[str, Any] = {"connect_args": dict(SQLITE_CONNECT), "pool_size": 8, "max_overflow": 56}
                self._own = create_engine(self._engine.url, json_serializer=dumps, **options)
                event.listen(self._own, "connect", prepare)
                event.listen(self._own, "connect", _hide)
            return self._own

    def close(self) -> None:
        """Give the connections back."""
        if self._own is not None:
            self._own.dispose()


def _take_role(connection: Connection, lists: Lists) -> None:
    connection.execution_options(isolation_level="REPEATABLE READ")
    told = json.dumps(lists, default=list)
    try:
        connection.exec_driver_sql(_TELL, (SETTING, told))
        connection.exec_driver_sql(f"SET LOCAL ROLE {ROLE}")
    except DBAPIError as error:
        raise UnavailableError(
            f"nothing is shown to people who are confined to a part of the retailer: the plane cannot take the role '{ROLE}' "
            "on PostgreSQL; `trueup doctor` says how it is made"
        ) from error


def _tell(connection: Connection, lists: Lists) -> None:
    connection.exec_driver_sql("BEGIN")
    rows = [(kind, name) for kind, names in lists.items() for name in names]
    if rows:
        connection.exec_driver_sql("INSERT INTO temp.in_reach (kind, name) VALUES (?, ?)", rows)


def _hide(connection: Any, _record: Any) -> None:
    """Put a view in front of every table."""
    cursor = connection.cursor()
    cursor.execute("CREATE TEMP TABLE in_reach (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name))")
    cursor.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    for (table,) in cursor.fetchall():
        cursor.execute(
            f"CREATE TEMP VIEW {table} AS SELECT {_columns(cursor, table)} FROM main.{table} AS {table} "  # noqa: S608
            f"WHERE {condition(table, 'sqlite')}"
        )
    cursor.close()


def _columns(cursor: Any, table: str) -> str:
    if table not in VEILED:
        return "*"
    names = [row[1] for row in cursor.execute(f"PRAGMA main.table_info({table})").fetchall()]
    return ", ".join(f"NULL AS {name}" if name in VEILED[table] else name for name in names)
