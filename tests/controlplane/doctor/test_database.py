"""Databases, broken in the ways that happen: real SQLite files, the PostgreSQL of the tests, and one that is set up badly."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from controlplane.clock import ManualClock, SystemClock
from controlplane.doctor.database import offset_answer, pool_size
from controlplane.registry.packs import install
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.store.readonly import open_read_only
from controlplane.store.schema import standing
from tests.conftest import POSTGRES
from tests.controlplane.doctor.conftest import Look, of, the
from tests.controlplane.doctor.servers import free_port, postgresql
from tests.controlplane.health.kit import sandbox_pack

PASSWORD = "correct-horse-9"


# --- SQLite -------------------------------------------------------------------------------------------------------
def test_the_doctor_looks_while_the_plane_writes_and_changes_nothing(look: Look, home: Path, store: Store) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE registry_version SET reason = 'under way'"))
        answers = look()
        assert [the(answers, name)[0] for name in ("database", "schema", "durability")] == ["ok"] * 3
        assert "version 1, 50 policies, 0 problems" in the(answers, "policies")[1]
    before = (home / "plane.sqlite").read_bytes(), (home / "plane.sqlite-wal").read_bytes()
    look()
    assert ((home / "plane.sqlite").read_bytes(), (home / "plane.sqlite-wal").read_bytes()) == before


def test_a_database_that_nobody_has_open_is_read_without_leaving_a_file_behind(
    look: Look, home: Path, store: Store
) -> None:
    store.close()
    before = {path.name: path.read_bytes() for path in home.glob("plane.sqlite*")}
    assert the(look(), "policies")[0] == "ok"
    assert {path.name: path.read_bytes() for path in home.glob("plane.sqlite*")} == before


def test_what_a_killed_plane_left_in_its_log_is_seen(look: Look, home: Path, store: Store, tmp_path: Path) -> None:
    with store.write() as connection:
        connection.execute(
            t.system_state.insert().values(system="erp", paused_at=ManualClock(SystemClock().now()).now())
        )
    killed = tmp_path / "killed"
    shutil.copytree(home, killed)  # the files as they lie while the store is open are those that a kill leaves
    assert the(look(home=killed), "systems", "erp")[0] == "warning"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_can_be_written_through_the_doctors_connection(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_store").engine.url.render_as_string(hide_password=False)
    store = open_read_only(url)
    with store.engine.connect() as connection, pytest.raises(DBAPIError, match=r"read.?only"):
        connection.execute(t.registry_version.delete())
    store.close()


def test_a_file_that_is_no_database_is_wrong_and_the_other_checks_go_on(look: Look, home: Path) -> None:
    (home / "plane.sqlite").write_bytes(b"certainly not a database, and longer than a header of a hundred bytes is" * 9)
    answers = look()
    remedy = "see that the file is a SQLite database and readable; restore it from a back-up if it is damaged"
    assert the(answers, "database") == (
        "wrong",
        f"it does not answer: file is not a database -> {remedy}",
    )
    assert the(answers, "policies") == (
        "warning", "not looked at: the database does not answer, or is not there yet -> mend that first, and ask again",
    )  # fmt: skip
    assert the(answers, "home")[0] == "ok"


def test_a_database_without_tables_is_a_warning(look: Look, home: Path) -> None:
    with closing(sqlite3.connect(home / "plane.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE other (x)")
    assert the(look(), "schema") == ("warning", "the database has no tables yet -> start the plane once: it makes them")


def test_a_schema_that_this_version_does_not_know_is_wrong(look: Look, store: Store) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answers = look()
    assert the(answers, "schema")[0] == "wrong"
    assert "revision 9999 is not known to this version" in the(answers, "schema")[1]
    assert "not looked at: the tables are not this version's" in the(answers, "policies")[1]


@pytest.mark.parametrize(("current", "behind"), [("a1", 2), ("a2", 1), ("a3", 0), ("b1", None)])
def test_how_far_an_old_schema_is_behind_is_counted_in_migrations(
    tmp_path: Path, sqlite_store: Store, current: str, behind: int | None
) -> None:
    (tmp_path / "versions").mkdir()
    for revision, down in (("a1", None), ("a2", "a1"), ("a3", "a2")):
        (tmp_path / "versions" / f"{revision}.py").write_text(f"revision = {revision!r}\ndown_revision = {down!r}\n")
    with sqlite_store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :current"), {"current": current})
        found = standing(connection, tmp_path)
    assert (found.current, found.head, found.behind, found.is_ours) == (current, "a3", behind, behind == 0)


def test_a_journal_that_is_not_wal_is_wrong(look: Look, home: Path, store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(home / "plane.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    status, told = the(look(), "durability")
    assert (status, "journal_mode is not WAL" in told) == ("wrong", True)


# --- PostgreSQL ---------------------------------------------------------------------------------------------------
def url_of(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def test_a_postgresql_in_order_is_well(look: Look, postgresql_store: Store, clock: ManualClock) -> None:
    install(postgresql_store, clock, sandbox_pack(), "sandbox")
    answers = look(database_url=url_of(postgresql_store), clock=SystemClock())
    names = (
        "database",
        "schema",
        "durability",
        "connections",
        "confined people",
        "clock offset",
        "clock",
        "policies",
        "systems",
    )
    assert [(name, the(answers, name)[0]) for name in names] == [(name, "ok") for name in names]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("synchronous_commit=off", "synchronous_commit is off: a crash loses what was acknowledged"),
        ("default_transaction_isolation=serializable", "default_transaction_isolation is 'serializable'"),
    ],
)
def test_a_session_that_keeps_less_than_promised_is_wrong(
    look: Look, postgresql_store: Store, option: str, told: str
) -> None:
    address = make_url(url_of(postgresql_store))
    options = f"{address.query['options']} -c{option}"
    answers = look(database_url=address.update_query_dict({"options": options}).render_as_string(hide_password=False))
    [(status, found)] = of(answers, "durability")
    assert (status, told in found) == ("wrong", True)


def test_a_role_that_is_not_there_is_said_in_the_servers_words_without_the_password(
    look: Look, postgresql_store: Store
) -> None:
    address = make_url(POSTGRES).set(username="nobody_of_that_name", password="hunter2hunter2")
    answers = look(database_url=address.render_as_string(hide_password=False))
    assert 'role "nobody_of_that_name" does not exist' in the(answers, "database")[1]
    assert "hunter2" not in str(answers)


def test_a_port_with_nothing_behind_is_wrong_and_names_the_variable(look: Look) -> None:
    answers = look(database_url=f"postgresql+psycopg://a:hunter2hunter2@127.0.0.1:{free_port()}/d")
    status, told = the(answers, "database")
    assert (status, "Connection refused" in told, "TRUEUP_DATABASE_URL" in told) == ("wrong", True, True)
    assert "hunter2" not in str(answers)
    assert the(answers, "clock offset")[0] == "warning"


@pytest.fixture(scope="module")
def careless() -> Iterator[str]:
    """A PostgreSQL that flushes nothing and takes few connections; its address without user and password."""
    with postgresql(PASSWORD, fsync="off", full_page_writes="off", max_connections="12") as address:
        yield address


def test_a_wrong_password_is_wrong_and_is_not_shown(look: Look, careless: str) -> None:
    answers = look(database_url=f"postgresql+psycopg://postgres:not-the-password@{careless}")
    status, told = the(answers, "database")
    assert (status, "password authentication failed" in told) == ("wrong", True)
    assert "not-the-password" not in str(answers)


def test_a_server_that_flushes_nothing_or_takes_too_few_connections_is_told(look: Look, careless: str) -> None:
    answers = look(database_url=f"postgresql+psycopg://postgres:{PASSWORD}@{careless}")
    assert [status for status, _ in of(answers, "durability")] == ["wrong", "wrong"]
    assert the(answers, "durability", "fsync")[1].startswith("fsync is off")
    status, told = the(answers, "connections")
    assert (status, "may open 31, 9 may be open -> raise max_connections to 44 or more" in told) == ("warning", True)


def test_a_database_of_another_encoding_is_wrong(look: Look, careless: str) -> None:
    admin = open_store(f"postgresql+psycopg://postgres:{PASSWORD}@{careless}")
    with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        )
    admin.close()
    answers = look(database_url=f"postgresql+psycopg://postgres:{PASSWORD}@{careless.replace('/postgres', '/latin')}")
    assert "encoding is LATIN1" in the(answers, "durability", "encoding")[1]
    assert the(answers, "schema")[0] == "warning"


def test_the_connections_of_one_process_are_those_of_the_real_pool_and_the_one_that_listens() -> None:
    engine = open_store(POSTGRES).engine
    held = []
    engine.pool._timeout = 0.01  # type: ignore[attr-defined]
    try:
        while len(held) < 100:
            held.append(engine.connect())
    except PoolTimeoutError:
        pass
    finally:
        for connection in held:
            connection.close()
        engine.dispose()
    assert len(held) + 1 == pool_size(POSTGRES)


@pytest.mark.parametrize(
    ("offset", "unsure", "status"),
    [(0.1, 0.2, "ok"), (2.1, 0.2, "ok"), (-5.0, 0.5, "warning"), (3600.0, 1.0, "wrong"), (-31, 0, "wrong")],
)
def test_clocks_are_judged_by_the_least_that_lies_between_them(offset: float, unsure: float, status: str) -> None:
    assert offset_answer(offset, unsure).status == status
