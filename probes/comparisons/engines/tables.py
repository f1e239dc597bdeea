"""Tables of one database, compared by that database; of several, brought here as text and compared as files."""

from __future__ import annotations

import csv
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.comparisons.answer import CouldNotCompare, Result
from probes.comparisons.engines.judging import Held, judged
from probes.comparisons.engines.queries import Task, candidates, identifier, summary, translated

if TYPE_CHECKING:
    from sqlalchemy import Connection

ADDRESS = re.compile(r"(?P<url>(?:[a-z][a-z0-9+]*://|env:).+)#(?P<table>[^#]+)")
EXACT = ("smallint", "integer", "bigint", "numeric", "decimal", "int", "hugeint", "tinyint")
DIALECTS = {
    "postgresql": "postgres",
    "duckdb": "duckdb",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
    "databricks": "databricks",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table by the SQLAlchemy address of its database; `name` as the database writes it, a schema before it where it has one."""

    url: str
    name: str

    @property
    def quoted(self) -> str:
        """The table's name in SQL."""
        return ".".join(identifier(part) for part in self.name.split("."))


def address(text: str) -> Table | None:
    """Return the table that `URL#TABLE` or `env:VARIABLE#TABLE` means; None for what is no address.

    Raises CouldNotCompare where the variable is not set.
    """
    found = ADDRESS.fullmatch(text)
    if found is None:
        return None
    url = found["url"]
    if url.startswith("env:"):
        url = os.environ.get(url[4:], "")
        if not url:
            raise CouldNotCompare(
                [f"{text}: the environment variable {found['url'][4:]} is not set; set it to the database's address"]
            )
    return Table(url, found["table"])


def compare_tables(
    tables: Sequence[Table],
    names: Sequence[str],
    keys: Sequence[str],
    values: Sequence[str],
    tolerance: Decimal,
    limit: int = 100,
) -> Result:
    """Compare tables of one database there: candidates come back, each is judged here. Raises CouldNotCompare.

    Values have to be whole numbers or decimals there. The database reads its tables as of one moment.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    started = time.perf_counter()
    task = Task(tuple(table.quoted for table in tables), tuple(keys), tuple(values), tolerance)
    try:
        with _engine(tables[0].url).connect() as connection:
            dialect = DIALECTS.get(connection.dialect.name)
            if dialect is None:
                raise CouldNotCompare(
                    [f"{connection.dialect.name} cannot compare by itself; there are: {', '.join(DIALECTS)}"]
                )
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            for table in tables:
                _check(connection, table, values)
            held = [
                Held(*map(int, _rows(connection, translated(summary(task, i), dialect)).fetchone()))
                for i in range(len(tables))
            ]
            rows = _rows(connection, translated(candidates(task), dialect))
            return judged(
                task,
                names,
                [table.name for table in tables],
                held,
                map(tuple, rows),
                limit,
                time.perf_counter() - started,
            )
    except SQLAlchemyError as error:
        raise CouldNotCompare([f"the database could not compare: {str(error).splitlines()[0]}"]) from error


def bring(table: Table, columns: Sequence[str], folder: Path, number: int) -> Path:
    """Write the columns of a table as CSV into a folder; return the file. Raises CouldNotCompare."""
    from sqlalchemy.exc import SQLAlchemyError

    target = folder / f"{number}-{re.sub(r'[^A-Za-z0-9_.-]', '_', table.name)}.csv"
    chosen = f"SELECT {', '.join(map(identifier, columns))} FROM {table.quoted}"  # noqa: S608
    try:
        with _engine(table.url).connect() as connection:
            if connection.dialect.name == "postgresql":
                _copied(connection, f"COPY ({chosen}) TO STDOUT (FORMAT csv, HEADER)", target)
            else:
                _streamed(connection, chosen, columns, target)
    except SQLAlchemyError as error:
        raise CouldNotCompare([f"{table.name}: cannot be read: {str(error).splitlines()[0]}"]) from error
    return target


def _copied(connection: Connection, command: str, target: Path) -> None:
    import psycopg

    driver: Any = connection.connection.driver_connection
    wire = driver.pgconn  # psycopg's own copy hands over row by row, several times slower
    try:
        if wire.exec_(command.encode()).status != psycopg.pq.ExecStatus.COPY_OUT:
            raise CouldNotCompare([f"the table cannot be read: {_said(wire)}"])
        with target.open("wb", buffering=1 << 20) as file:
            while (got := wire.get_copy_data(0))[0] > 0:
                file.write(got[1])
        ended = wire.get_result()
        while wire.get_result() is not None:  # only then is the connection free for the next command
            pass
        if ended.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise CouldNotCompare([f"the table cannot be read to its end: {_said(wire)}"])
    except psycopg.Error as error:
        raise CouldNotCompare([f"the table cannot be read: {str(error).splitlines()[0]}"]) from error


def _said(wire: Any) -> str:
    lines: list[str] = wire.error_message.decode(errors="replace").splitlines() if wire.error_message else []
    return lines[0] if lines else "the database said nothing of it"


def _streamed(connection: Connection, query: str, columns: Sequence[str], target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for part in _rows(connection, query).partitions(10_000):
            writer.writerows(part)


def _engine(url: str) -> Any:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    plain = url.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        return create_engine(plain, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise CouldNotCompare(
            [f"a database's address cannot be used ({type(error).__name__}); write it DIALECT://USER@HOST/DATABASE"]
        ) from error


def _rows(connection: Connection, query: str) -> Any:
    from sqlalchemy import text

    escaped = text(query.replace(":", r"\:"))
    return connection.execution_options(stream_results=True, max_row_buffer=10_000).execute(escaped)


def _check(connection: Connection, table: Table, values: Sequence[str]) -> None:
    from sqlalchemy import inspect
    from sqlalchemy.exc import NoSuchTableError

    schema, _, name = table.name.rpartition(".")
    try:
        kinds = {
            column["name"]: str(column["type"]).lower()
            for column in inspect(connection).get_columns(name, schema or None)
        }
    except NoSuchTableError as error:
        raise CouldNotCompare([f"{table.name}: there is no such table"]) from error
    for value in values:
        if value not in kinds:
            raise CouldNotCompare([f"{table.name}: has no column {value!r}; it has {', '.join(kinds)}"])
        if not kinds[value].startswith(EXACT):
            raise CouldNotCompare(
                [f"{table.name}: column {value!r} is {kinds[value]}: --value needs whole numbers or decimals there"]
            )
