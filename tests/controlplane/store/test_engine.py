"""Transactions: all or nothing, one writer at a time on SQLite, and a reader sees one state."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from controlplane.store import Store, open_store, signals
from controlplane.store import tables as t
from controlplane.store.checkpoints import ROWS
from controlplane.store.upsert import insert_new, upsert
from tests.waiting import until

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
WRITERS = 6
ROUNDS = 20


class BrokenOffError(Exception):
    """What a test breaks a transaction off with."""


def add_version(connection: Connection, reason: str) -> None:
    """Write one row."""
    connection.execute(insert(t.registry_version).values(recorded_at=AT, reason=reason))


def versions(store: Store) -> list[str]:
    """Return the reasons of all rows in the order of their keys."""
    with store.read() as connection:
        query = select(t.registry_version.c.reason).order_by(t.registry_version.c.version)
        return list(connection.execute(query).scalars())


def test_a_block_that_ends_is_committed_and_seen_by_the_next_reader(store: Store) -> None:
    with store.write() as connection:
        add_version(connection, "first")
    assert versions(store) == ["first"]


def test_a_block_that_raises_leaves_nothing_behind(store: Store) -> None:
    def broken_off() -> None:
        with store.write() as connection:
            add_version(connection, "half")
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        broken_off()
    assert versions(store) == []
    with store.write() as connection:
        add_version(connection, "afterwards")
    assert versions(store) == ["afterwards"]


def test_what_is_written_in_a_read_is_undone(store: Store) -> None:
    with store.read() as connection:
        add_version(connection, "by mistake")
    assert versions(store) == []


def test_a_broken_reference_is_refused_by_the_database(store: Store) -> None:
    row = {"token_hash": "x", "account": "nobody", "csrf_token": "y", "created_at": AT, "last_seen_at": AT}

    def write() -> None:
        with store.write() as connection:
            connection.execute(insert(t.login_session).values(**row))

    with pytest.raises(IntegrityError):
        write()


@pytest.fixture
def counter(store: Store) -> Store:
    """A store with one row whose attempts are counted up."""
    with store.write() as connection:
        row = {"system": "shop", "consecutive_failures": 0}
        connection.execute(insert(t.system_state).values(**row))
    return store


def count_up(store: Store, ready: threading.Barrier) -> None:
    """Read and write in two statements, which loses updates wherever writers do not take turns."""
    failures = t.system_state.c.consecutive_failures
    ready.wait()
    for _ in range(ROUNDS):
        with store.write() as connection:
            seen = connection.execute(select(failures).with_for_update()).scalar_one()
            connection.execute(update(t.system_state).values(consecutive_failures=seen + 1))


def test_writers_take_turns_and_no_update_is_lost(counter: Store) -> None:
    ready = threading.Barrier(WRITERS)
    threads = [threading.Thread(target=count_up, args=(counter, ready)) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with counter.read() as connection:
        found = connection.execute(select(t.system_state.c.consecutive_failures)).scalar_one()
    assert found == WRITERS * ROUNDS


def test_a_reader_sees_the_state_it_began_with_to_its_end(store: Store) -> None:
    count = select(func.count()).select_from(t.registry_version)
    with store.read() as reader:
        before = reader.execute(count).scalar_one()
        with store.write() as writer:
            add_version(writer, "meanwhile")
        assert reader.execute(count).scalar_one() == before == 0
    assert versions(store) == ["meanwhile"]


def test_a_reader_is_never_kept_waiting_by_a_writer(store: Store) -> None:
    with store.write() as connection:
        add_version(connection, "not committed yet")
        assert versions(store) == []


def test_a_commit_wakes_whoever_waits_for_a_change_and_a_rollback_does_not(store: Store) -> None:
    seen = store.wait_for_change(-1, 0)
    with store.write() as connection:
        add_version(connection, "one")
    after = store.wait_for_change(seen, 0)
    assert after == seen + 1
    with pytest.raises(BrokenOffError), store.write():
        raise BrokenOffError
    assert store.wait_for_change(after, 0) == after


def test_only_rows_with_new_keys_go_in_and_their_keys_are_told(store: Store) -> None:
    rows = [{"reason": reason, "recorded_at": AT, "version": number} for number, reason in enumerate("ab", start=1)]
    with store.write() as connection:
        assert insert_new(connection, t.registry_version, rows[:1]) == [1]
        assert insert_new(connection, t.registry_version, rows) == [2]
        assert insert_new(connection, t.registry_version, []) == []
    assert versions(store) == ["a", "b"]


def test_an_upsert_overwrites_the_row_of_the_same_key_only(store: Store) -> None:
    with store.write() as connection:
        for system, failures in (("shop", 1), ("erp", 2), ("shop", 3)):
            upsert(connection, t.system_state, {"system": system, "consecutive_failures": failures})
    with store.read() as connection:
        found = connection.execute(select(t.system_state.c.system, t.system_state.c.consecutive_failures)).all()
    assert sorted(tuple(row) for row in found) == [("erp", 2), ("shop", 3)]


def test_what_was_committed_is_there_after_the_file_is_opened_again(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        add_version(connection, "kept")
    again = open_store(sqlite_store.engine.url.render_as_string(False))
    assert versions(again) == ["kept"]
    again.close()


def test_what_was_committed_comes_into_the_file_beside_the_commits(sqlite_store: Store, tmp_path: Path) -> None:
    file, copy = Path(str(sqlite_store.engine.url.database)), tmp_path / "copy.sqlite"

    def in_the_file() -> int:
        """Rows that the file has without its write-ahead log."""
        shutil.copyfile(file, copy)
        with closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM registry_version").fetchone()[0])

    sqlite_store.start()
    for _ in range(4):
        with sqlite_store.write() as connection:
            for _ in range(ROWS // 4):
                add_version(connection, "carried over")
    until(lambda: in_the_file() == ROWS, "a checkpoint")


def test_a_store_that_is_closed_ends_its_checkpoints(sqlite_store: Store) -> None:
    store = open_store(sqlite_store.engine.url.render_as_string(False))
    store.start()
    store.close()
    assert "checkpoints" not in {thread.name for thread in threading.enumerate()}


def test_what_only_follows_from_what_is_committed_waits_for_no_disk_and_all_else_does(postgresql_store: Store) -> None:
    def waits(*, derived: bool) -> str:
        with postgresql_store.write(derived=derived) as connection:
            return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar())

    assert [waits(derived=True), waits(derived=False)] == ["off", "on"]


def test_a_commit_of_another_process_is_heard_on_postgresql(postgresql_store: Store) -> None:
    here, there = (open_store(postgresql_store.engine.url.render_as_string(False)) for _ in range(2))
    heard = threading.Event()
    here.signals.subscribe("target:erp", heard.set)
    try:
        for store in (here, there):
            store.start()
        assert heard.wait(10), "whoever begins to listen is told to look"
        for _ in range(50):  # the other end may begin to listen a moment later
            heard.clear()
            with there.write() as connection:
                signals.note(connection, "target:erp")
            if heard.wait(0.2):
                break
        assert heard.is_set()
    finally:
        here.close()
        there.close()


def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(postgresql_store: Store) -> None:
    store = open_store(postgresql_store.engine.url.render_as_string(False))
    with store.read() as connection:
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with postgresql_store.write() as connection:
        ended = connection.exec_driver_sql("SELECT pg_terminate_backend(%s, 10000)", (backend,)).scalar_one()
    assert ended, "it waits until the other end is gone"
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() != backend
    store.close()
