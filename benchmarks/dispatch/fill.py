"""Fill a database inside itself: INSERT … SELECT from a series, so that millions of rows take seconds to minutes."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, Select, Table, insert, literal_column, select, text

from benchmarks.dispatch import rows
from benchmarks.dispatch.rows import Expressions
from controlplane.store import open_store
from controlplane.store import tables as t
from rules.ids import fact

FAST = {
    "sqlite": (
        "PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA cache_size=-1000000",
        "PRAGMA locking_mode=EXCLUSIVE",
    ),
    "postgresql": ("SET maintenance_work_mem='1GB'", "SET synchronous_commit=off"),
}  # fmt: skip
"""For the connection that fills, and for no other: nothing is measured on it."""
AFTER = {"sqlite": ("PRAGMA journal_mode=WAL",), "postgresql": ("VACUUM (ANALYZE) message, delivery, attempt",)}
REBUILD_FROM = 200_000
"""From so many rows on, indexes are dropped and made anew behind the rows: sorting beats inserting."""


def due(url: str, count: int, start: int = 0) -> None:
    """Add messages that were processed, each with a delivery that is due to the benchmark's target."""
    _fill(url, count, start, finished=False, rebuild=count >= REBUILD_FROM)


def history(url: str, count: int, rebuild_from: int = REBUILD_FROM) -> None:
    """Put messages that were delivered, with their deliveries and attempts, in the place of whatever is there."""
    _fill(url, count, 0, finished=True, rebuild=count >= rebuild_from)


def samples(url: str, series: int) -> None:
    """Add one observation of now for each of so many series of the indicator `bench`."""
    store, now = open_store(url), datetime.now(UTC)
    observed = [
        {"indicator": "bench", "labels": {"series": str(n)}, "series": f"series={n}", "at": now, "value": n / 7}
        for n in range(series)
    ]
    with store.write() as connection:
        connection.execute(insert(t.sample), observed)
    store.close()


def _fill(url: str, count: int, start: int, *, finished: bool, rebuild: bool) -> None:
    store = open_store(url)
    kind = store.engine.dialect.name
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for setting in FAST[kind]:
            connection.exec_driver_sql(setting)
        if store.is_sqlite:
            connection.connection.driver_connection.create_function("fact", 2, fact, deterministic=True)  # type: ignore[union-attr]
        made = Expressions(store.is_sqlite, time.time_ns() // 1000, _revision(connection), finished)
        parts = [(t.message, made.message()), (t.delivery, made.delivery())]
        connection.exec_driver_sql("BEGIN")
        if finished:
            parts.append((t.attempt, made.attempt()))
            _emptied(connection)
        _insert_all(connection, parts, count, start, rebuild)
        connection.exec_driver_sql("COMMIT")
        for setting in AFTER[kind]:
            connection.exec_driver_sql(setting)
    store.close()


def _revision(connection: Connection) -> str:
    p = t.policy_revision.c
    return str(connection.execute(select(p.id).where(p.kind == "RetryPolicy")).scalar() or rows.REVISION)


def _emptied(connection: Connection) -> None:
    """PostgreSQL at `wal_level=minimal` writes no log of what goes into a table that the same transaction emptied."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("TRUNCATE message, delivery, attempt")


def _insert_all(
    connection: Connection, parts: Iterable[tuple[Table, Mapping[str, str]]], count: int, start: int, rebuild: bool
) -> None:
    for table, expressions in parts:
        indexes = sorted(table.indexes, key=lambda index: str(index.name)) if rebuild else []
        for index in indexes:
            index.drop(connection)
        _insert(connection, table, expressions, count, start)
        for index in indexes:
            index.create(connection)


def _insert(connection: Connection, table: Table, expressions: Mapping[str, str], count: int, start: int) -> None:
    values: Select[tuple[object, ...]] = select(*[literal_column(value) for value in expressions.values()])
    if connection.dialect.name == "postgresql":
        values = values.select_from(text(f"generate_series({int(start)}, {int(start + count - 1)}) AS i"))
    else:
        series = select(literal_column(str(start)).label("i")).cte("series", recursive=True)
        more = select(series.c.i + literal_column("1")).where(series.c.i < literal_column(str(start + count - 1)))
        values = values.select_from(series.union_all(more))
    connection.execute(insert(table).from_select(list(expressions), values))
