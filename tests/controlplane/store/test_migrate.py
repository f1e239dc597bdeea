"""The migrations and the tables say the same, on both databases."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, event, inspect, select, text
from sqlalchemy.engine import make_url

from controlplane.audit.chain import FIRST, fingerprint, record, verify
from controlplane.clock import ManualClock
from controlplane.store import Store, open_store, tables
from controlplane.store.migrate import SCRIPTS, migrate
from controlplane.store.tables import action, change_request, metadata
from tests.conftest import POSTGRES


def test_autogenerate_finds_no_difference_between_the_tables_and_a_migrated_database(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_a_migrated_database_has_exactly_the_tables_and_columns(store: Store) -> None:
    found = MetaData()
    found.reflect(store.engine)
    tables = {name: set(table.columns.keys()) for name, table in found.tables.items() if name != "alembic_version"}
    assert tables == {table.name: set(table.columns.keys()) for table in metadata.sorted_tables}


def test_every_unique_rule_and_index_is_there(store: Store) -> None:
    inspector = inspect(store.engine)
    for table in metadata.sorted_tables:
        found = {index["name"] for index in inspector.get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= found, table.name


def test_migrating_again_runs_one_query_and_changes_nothing(sqlite_store: Store) -> None:
    statements: list[str] = []
    event.listen(sqlite_store.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    migrate(sqlite_store)
    assert all("alembic_version" in statement for statement in statements)


def test_a_fresh_file_in_a_folder_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'deep' / 'plane.sqlite'}")
    migrate(store)
    assert set(inspect(store.engine).get_table_names()) >= {"message", "delivery"}
    store.close()


def test_migrations_form_one_line_without_branches() -> None:
    scripts = ScriptDirectory(str(SCRIPTS))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


def test_planes_that_start_at_the_same_time_make_the_tables_once(postgresql_store: Store) -> None:
    name = f"trueup_test_{uuid.uuid4().hex[:12]}"
    with postgresql_store.engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    address = postgresql_store.engine.url.update_query_dict({"options": f"-csearch_path={name}"})
    code = "import sys; from controlplane import store; from controlplane.store import migrate; "
    code += "migrate.migrate(store.open_store(sys.argv[1]))"
    command = [sys.executable, "-c", code, address.render_as_string(False)]
    try:
        planes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        assert [plane.communicate(timeout=120)[1] for plane in planes] == ["", "", ""]
        assert set(inspect(postgresql_store.engine).get_table_names(schema=name)) >= {"message", "delivery"}
    finally:
        with postgresql_store.engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A database without any table."""
    if request.param == "sqlite":
        store = open_store(f"sqlite:///{tmp_path / 'bare.sqlite'}")
        yield store
        store.close()
        return
    request.getfixturevalue("postgresql_schema")
    name, admin = f"trueup_bare_{uuid.uuid4().hex[:8]}", open_store(POSTGRES)
    with admin.engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    store = open_store(
        make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(False)
    )
    yield store
    store.close()
    with admin.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    admin.close()


def test_changes_and_the_action_log_of_an_earlier_version_go_on(bare: Store, clock: ManualClock) -> None:
    """0009: a change whose revision another has replaced is superseded. 0010: the chain is gone on with at its head.

    0026: whoever edited a change stands in it, by what the log tells.
    """
    migrate(bare, "0008")
    at, rows = int(clock.now().timestamp() * 1e6), []
    for seq in (1, 2, 3):
        row = {
            "seq": seq, "at": clock.now(), "actor": f"eve-{seq}", "action": "change_request.edit" if seq < 3 else "change_request.submit",
            "subject": "change_request/draft", "reason": "",
            "before": None, "after": None, "previous_hash": rows[-1]["hash"] if rows else FIRST,
        }  # fmt: skip
        rows.append({**row, "hash": fingerprint(row)})
    revision = (
        "INSERT INTO policy_revision (id, kind, name, revision, document, hash, valid_from, valid_to, recorded_at, author, origin)"
        " VALUES (:id, 'Flow', 'x', :revision, '{}', 'h', :at, :valid_to, :at, 'ada', 'genesis')"
    )
    change = (
        "INSERT INTO change_request (id, title, reason, kind, name, document, hash, state, author, last_editor, created_at,"
        " updated_at, applied_revision) VALUES (:id, 't', 'r', 'Flow', 'x', '{}', 'h', :state, 'ada', 'ada', :at, :at, :applied)"
    )
    with bare.write() as connection:
        connection.execute(action.insert(), rows)
        for number, valid_to in ((1, at), (2, None)):
            given = {"id": f"r{number}", "revision": number, "at": at, "valid_to": valid_to}
            connection.execute(text(revision), given)
        for name, state, applied in (("old", "effective", "r1"), ("new", "effective", "r2"), ("draft", "draft", None)):
            connection.execute(text(change), {"id": name, "state": state, "at": at, "applied": applied})
    migrate(bare)
    with bare.read() as connection:
        states = dict(connection.execute(select(change_request.c.id, change_request.c.state)).tuples().all())
        assert verify(connection) == []
        editors = dict(connection.execute(select(change_request.c.id, change_request.c.editors)).tuples().all())
    assert states == {"old": "superseded", "new": "effective", "draft": "draft"}
    assert editors == {"old": ["ada"], "new": ["ada"], "draft": ["ada", "eve-1", "eve-2"]}
    with bare.write() as connection:
        assert record(connection, clock, actor="ben", action="policy.change", subject="Flow/x") == 4
    with bare.read() as connection:
        assert verify(connection) == []


def test_findings_of_an_earlier_version_keep_their_key_and_value(bare: Store) -> None:
    migrate(bare, "0022")
    run = {
        "id": "r1",
        "comparison": "c",
        "started_at": 0,
        "state": "complete",
        "trigger": "schedule",
        "registry_version": 1,
    }
    finding = {
        "comparison": "c", "sku": "A@1", "location": "WH1", "side": "shop", "cause": "missing", "state": "open",
        "first_seen_at": 0, "expected": "[8]", "explanation": "", "evidence": "{}", "run_id": "r1", "registry_version": 1,
    }  # fmt: skip
    with bare.engine.begin() as connection:
        _insert(connection, "comparison_run", run)
        _insert(connection, "finding", finding | {"id": "f1", "actual": 15})
        _insert(connection, "finding", finding | {"id": "f2", "actual": None})
    migrate(bare)
    with bare.read() as connection:
        rows = connection.execute(select(tables.finding).order_by(tables.finding.c.id)).all()
    assert [(row.subject, row.field, row.actual, row.expected) for row in rows] == [
        ("A@1@WH1", "", 15, [8]),
        ("A@1@WH1", "", None, [8]),
    ]


def _insert(connection: Connection, table: str, row: Mapping[str, object]) -> None:
    parsed = JSON if connection.dialect.name == "postgresql" else ()
    values = ", ".join(f"CAST(:{name} AS jsonb)" if name in parsed else f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"), row)  # noqa: S608


JSON = ("expected", "evidence")
