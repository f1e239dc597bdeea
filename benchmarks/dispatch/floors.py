"""The floors: what raw SQL on the plane's own tables reaches. `python -m benchmarks.dispatch.floors accept|deliver URL …`

Bare drivers, one statement a batch (executemany on SQLite, one JSON parameter on PostgreSQL), the same rows, indexes and
syncs as the plane, and nothing else: no policy, no validation, no order within a key.
"""

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson
import psycopg
from psycopg.types.json import set_json_loads
from sqlalchemy.engine import make_url

from benchmarks.dispatch import jobs, processes, rows, statements
from controlplane.store.engine import SQLITE_PRAGMAS

IDLE = 0.005
Row = dict[str, Any]
Claimed = Sequence[tuple[str, dict[str, Any]]]
"""Delivery id and payload."""


class Floor(Protocol):
    """What is done in bare SQL on either store."""

    def close(self) -> None:
        """Give the connection back."""
        ...

    def accept(self, intake: Row, messages: Sequence[Row], owed: Row | None = None) -> None:
        """Insert one body's rows, and a delivery where one is given, and commit."""
        ...

    def turn(self, finished: Sequence[Row]) -> Claimed:
        """In one commit, finish the last batch and claim the next."""
        ...


class SqliteFloor:
    """sqlite3 of the standard library."""

    def __init__(self, url: str, batch: int = jobs.BATCH) -> None:
        path = make_url(url).database or ""
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in SQLITE_PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")
        self.batch = batch
        self.sql = statements.sqlite()
        self.turns = threading.Lock()

    def close(self) -> None:
        """Give the connection back."""
        self.connection.close()

    def accept(self, intake: Row, messages: Sequence[Row], owed: Row | None = None) -> None:
        """One executemany."""
        run = self.connection.execute
        with self.turns:
            run("BEGIN IMMEDIATE")
            run(self.sql.intake, tuple(intake.values()))
            self.connection.executemany(self.sql.message, [tuple(message.values()) for message in messages])
            if owed:
                run(self.sql.delivery, tuple(owed.values()))
            run("COMMIT")

    def turn(self, finished: Sequence[Row]) -> Claimed:
        """Two executemany and one UPDATE … RETURNING; looks before it takes the one writer's place."""
        now = time.time_ns() // 1000
        run, run_many = self.connection.execute, self.connection.executemany
        with self.turns:
            if not finished and run(self.sql.due, {"now": now}).fetchone() is None:
                return []
            run("BEGIN IMMEDIATE")
            if finished:
                run_many(self.sql.attempt, [tuple(row.values()) for row in finished])
                run_many(self.sql.finish, [(row["finished_at"], row["delivery_id"]) for row in finished])
            taken = run(self.sql.claim, {"now": now, "limit": self.batch}).fetchall()
            run("COMMIT")
        return [(row[0], orjson.loads(row[1])) for row in taken]


class PostgresFloor:
    """psycopg 3, each batch as one JSON parameter."""

    def __init__(self, url: str, batch: int = jobs.BATCH) -> None:
        address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self.connection = psycopg.connect(address, autocommit=True)
        set_json_loads(orjson.loads, self.connection)
        self.batch = batch
        self.sql = statements.postgres()

    def close(self) -> None:
        """Give the connection back."""
        self.connection.close()

    def accept(self, intake: Row, messages: Sequence[Row], owed: Row | None = None) -> None:
        """One statement inserts intake and messages; what stands alone commits by itself."""
        values = {**intake, "rows": statements.parameter(messages)}
        if owed is None:
            self.connection.execute(self.sql.accept, values)
            return
        with self.connection.transaction():
            self.connection.execute(self.sql.accept, values)
            self.connection.execute(self.sql.delivery, owed)

    def turn(self, finished: Sequence[Row]) -> Claimed:
        """One statement finishes, one claims, in one transaction."""
        with self.connection.transaction():
            if finished:
                self.connection.execute(self.sql.finish, {"rows": statements.parameter(finished)})
            claim = {"now": time.time_ns() // 1000, "limit": self.batch}
            return self.connection.execute(self.sql.claim, claim).fetchall()


def floor(url: str, batch: int = jobs.BATCH) -> Floor:
    """Return the floor of the store at the address."""
    return SqliteFloor(url, batch) if url.startswith("sqlite") else PostgresFloor(url, batch)


def accept(url: str, count: int, start: int) -> dict[str, float]:
    """Accept messages in batches; return the rate. Rows are ready beforehand: only the database is measured."""
    made = floor(url)
    ready = [rows.accepted(body) for body in jobs.batches(start, count)]
    began = time.perf_counter()
    for intake, messages in ready:
        made.accept(intake, messages)
    return {"rate": count / (time.perf_counter() - began), "messages": count}


def deliver(made: Floor, idle: Callable[[], object] = lambda: time.sleep(IDLE)) -> None:
    """Deliver until the process is ended."""
    finished: list[Row] = []
    while True:
        taken = made.turn(finished)
        finished = [send(delivery, payload) for delivery, payload in taken]
        if not taken:
            idle()


def send(delivery: str, payload: dict[str, Any]) -> Row:
    """Deliver one; return the row of the attempt."""
    now = time.time_ns() // 1000
    jobs.done(jobs.sequence(payload))
    return rows.attempt(delivery, now)


if __name__ == "__main__":
    what, address, *numbers = sys.argv[1:]
    if what == "accept":
        print(json.dumps(accept(address, *map(int, numbers))))
    else:
        made = floor(address)
        processes.ready()
        deliver(made)
