"""What every test may ask for: a store on each database, brought to the newest schema, and a clock that stands still."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import literal, select, text, union_all
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from controlplane.audit.chain import FIRST
from controlplane.clock import ManualClock
from controlplane.store import Store, open_store
from controlplane.store.facts import Facts
from controlplane.store.migrate import migrate
from controlplane.store.tables import audit_head, metadata

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
# no example is judged by the time that it takes, nor by that of making it: beside load one that stood still would be told as flaky
settings.register_profile("trueup", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trueup")
POSTGRES = os.environ.get("TRUEUP_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Say which tests one process takes together, where tests are run in several (`--dist loadfile`)."""
    from tests.scheduling import ByFile  # xdist need not be installed

    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture
def clock() -> ManualClock:
    """A clock at a Monday morning that moves only when it is told to."""
    return ManualClock(START)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all tables, to be copied: migrating anew for each test would take most of its time."""
    path = tmp_path_factory.mktemp("template") / "plane.sqlite"
    store = open_store(f"sqlite:///{path}")
    migrate(store)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return path


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """A store on a SQLite file of its own."""
    path = tmp_path / "plane.sqlite"
    shutil.copy(sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture(scope="session")
def postgresql_schema() -> Iterator[Store]:
    """A schema of this test run's own on the PostgreSQL server, dropped at the end."""
    admin = open_store(POSTGRES)
    name = f"trueup_test_{uuid.uuid4().hex[:12]}"
    try:
        with admin.engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
    except OperationalError as error:
        reason = f"no PostgreSQL at {make_url(POSTGRES).render_as_string()}: start one, or set TRUEUP_TEST_POSTGRES"
        if os.environ.get("CI", "").lower() == "true":
            raise RuntimeError(reason) from error
        pytest.skip(reason)
    store = open_store(
        make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(False)
    )
    migrate(store)
    yield store
    store.close()
    with admin.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    admin.close()


@pytest.fixture(scope="module")
def postgresql_of_its_own(postgresql_schema: Store) -> Iterator[Store]:
    """A store on PostgreSQL that a module's tests share, in a schema that is dropped after them."""
    name = f"trueup_test_{uuid.uuid4().hex[:12]}"
    with postgresql_schema.engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    address = postgresql_schema.engine.url.update_query_dict({"options": f"-csearch_path={name}"})
    store = open_store(address.render_as_string(False))
    migrate(store)
    yield store
    store.close()
    with postgresql_schema.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))


@pytest.fixture
def postgresql_store(postgresql_schema: Store) -> Store:
    """A store on PostgreSQL with all tables empty."""
    postgresql_schema.facts = Facts()  # what an earlier test told to listen does not any more
    tables = [table for table in metadata.sorted_tables if table is not audit_head]
    some = union_all(*(select(literal(table.name)).where(select(table).exists()) for table in tables))
    with postgresql_schema.write() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # else the action log refuses
        filled = connection.execute(some).scalars().all()
        if filled:  # each table that is emptied takes some milliseconds
            connection.execute(text(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE"))
        connection.execute(audit_head.update().values(seq=0, hash=FIRST))
    return postgresql_schema


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store with all tables, empty; the test runs once on each database."""
    return request.getfixturevalue(f"{request.param}_store")
