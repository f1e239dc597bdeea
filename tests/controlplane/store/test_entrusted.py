"""Two roles on PostgreSQL: the plane works by one that owns nothing, and nothing it may do changes what is logged."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from controlplane.audit.chain import verify
from controlplane.clock import ManualClock
from controlplane.doctor.database import action_log
from controlplane.doctor.subject import Subject
from controlplane.errors import SettingsError
from controlplane.settings import Settings, load_settings
from controlplane.store import Store, commands, open_store
from controlplane.store import tables as t
from controlplane.store.entrusted import migrate_as_owner, powers
from controlplane.store.migrate import migrate
from controlplane.store.sight import ROLE
from controlplane.wiring import build_plane, join_plane
from tests import two_brands
from tests.conftest import POSTGRES, START
from tests.two_brands import MARK, MINE, NORTH
from tests.web import a_plane, served, signed_in

PASSWORD = "as-good-as-any-9"


class Roles:
    """A database of its own with an owner's role and a plane's, as docs/operations.md says to make them."""

    def __init__(self, admin: Store) -> None:
        self.admin, mark = admin, uuid.uuid4().hex[:8]
        self.name, self.owner, self.app = f"trueup_two_{mark}", f"owner_{mark}", f"app-{mark}"

    @contextmanager
    def inside(self) -> Iterator[Connection]:
        """A superuser's connection to that database."""
        engine = open_store(self._url(make_url(POSTGRES))).engine
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def superuser(self, statement: str, inside: bool = False) -> None:
        engine = open_store(self._url(make_url(POSTGRES))).engine if inside else self.admin.engine
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        if inside:
            engine.dispose()

    def url(self, role: str) -> str:
        return self._url(make_url(POSTGRES).set(username=role, password=PASSWORD))

    def _url(self, address: URL) -> str:
        return address.set(database=self.name).render_as_string(hide_password=False)

    @property
    def given(self) -> dict[str, str]:
        return {"TRUEUP_DATABASE_URL": self.url(self.app), "TRUEUP_DATABASE_OWNER_URL": self.url(self.owner)}

    def settings(self, home: Path, **given: str) -> Settings:
        return Settings(
            home=home, database_url=self.url(self.app), **({"database_owner_url": self.url(self.owner)} | given)
        )  # type: ignore[arg-type]


@pytest.fixture
def roles(postgresql_schema: Store) -> Iterator[Roles]:
    admin = open_store(POSTGRES)
    made = Roles(admin)
    made.superuser(f"DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    for role in (made.owner, made.app):
        made.superuser(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'")
    made.superuser(f'GRANT {ROLE} TO "{made.app}"')
    made.superuser(f"CREATE DATABASE {made.name} OWNER {made.owner}")
    yield made
    made.superuser(f"DROP DATABASE {made.name} WITH (FORCE)")
    for role in (made.owner, made.app):
        made.superuser(f'DROP ROLE "{role}"')
    admin.close()


TRICKS = (
    "UPDATE action SET actor = 'nobody'",
    "UPDATE action SET reason = reason WHERE false",
    "DELETE FROM action",
    "TRUNCATE action",
    "TRUNCATE action CASCADE",
    "INSERT INTO action SELECT * FROM action ON CONFLICT (seq) DO UPDATE SET actor = 'nobody'",
    "SELECT * FROM action FOR UPDATE",
    "ALTER TABLE action DISABLE TRIGGER ALL",
    "ALTER TABLE action DISABLE TRIGGER append_only",
    "ALTER TABLE action DISABLE ROW LEVEL SECURITY",
    'ALTER TABLE action OWNER TO "{app}"',
    "ALTER TABLE action RENAME TO another",
    "ALTER TABLE action ADD COLUMN more text",
    "DROP TRIGGER append_only ON action",
    "DROP TABLE action",
    "DROP TABLE action CASCADE",
    "DROP POLICY the_plane ON action",
    "CREATE POLICY more ON action USING (true)",
    "CREATE RULE none AS ON INSERT TO action DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON action FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE OR REPLACE FUNCTION action_is_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "DROP FUNCTION action_is_append_only() CASCADE",
    "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1::text'",
    "CREATE SCHEMA {owner}",
    "CREATE TABLE public.child () INHERITS (action)",
    "DROP SCHEMA public CASCADE",
    'GRANT {owner} TO "{app}"',
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    'REASSIGN OWNED BY {owner} TO "{app}"',
    "DROP OWNED BY {owner}",
    "ALTER ROLE {owner} PASSWORD 'another'",
    'ALTER ROLE "{app}" SUPERUSER',
    'ALTER DATABASE {name} OWNER TO "{app}"',
    "ALTER DATABASE {name} SET session_replication_role = replica",
    "SET session_replication_role = replica",
    "DELETE FROM audit_checkpoint",
    "DELETE FROM audit_head",
    "INSERT INTO audit_head (id, installation, seq, hash) VALUES (2, 'x', 0, 'x')",
    "UPDATE alembic_version SET version_num = '0001'",
)


def rights(store: Store) -> list[tuple[object, ...]]:
    with store.engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text("SELECT relname, relowner, relacl::text FROM pg_class WHERE relname = 'action'")
            )
        ]


def done(store: Store, statement: str) -> None:
    with store.engine.connect() as connection:
        connection.exec_driver_sql(statement)
        connection.commit()


def test_the_planes_role_changes_nothing_that_is_logged_by_any_trick(roles: Roles, tmp_path: Path) -> None:
    assert migrate_as_owner(roles.settings(tmp_path)) == []
    with a_plane(tmp_path / "home", ManualClock(START), roles.url(roles.app)) as plane:
        before = rights(plane.store)
        for trick in TRICKS:
            statement = trick.format(owner=roles.owner, app=roles.app, name=roles.name)
            with pytest.raises(DBAPIError) as refused:
                done(plane.store, statement)
            assert type(refused.value.orig).__name__ == "InsufficientPrivilege", (statement, refused.value.orig)
        for grant in (f'GRANT ALL ON action TO "{roles.app}"', "GRANT UPDATE ON action TO PUBLIC"):
            done(plane.store, grant)  # PostgreSQL warns that nothing was granted, and goes on
        assert rights(plane.store) == before
        with plane.store.read() as connection:
            assert verify(connection) == []
            assert powers(connection) == []


def test_a_plane_migrates_by_its_owner_runs_by_its_own_role_and_starts_anew(roles: Roles, tmp_path: Path) -> None:
    clock, owner = ManualClock(START), {"database_owner_url": roles.url(roles.owner)}
    with a_plane(tmp_path / "home", clock, roles.url(roles.app), **owner) as plane:
        two_brands.policies(plane)
        for mark in (MARK, MINE):
            two_brands.story(plane, mark)
        two_brands.made_by_the_plane(plane)
        plane.anchors.advance()
        with plane.store.confined(plane.registry.snapshot().sight(NORTH).lists()), plane.store.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM account")).scalar() == 0, "who is confined stays so"
            assert connection.execute(text("SELECT count(*) FROM message")).scalar(), "and sees what is his"
    for again in (owner, {"database_owner_url": ""}):
        plane = build_plane(roles.settings(tmp_path / "home", **again), clock)
        with served(plane) as url:
            assert signed_in(url, "ada").get("/api/v1/messages").json()["messages"]
        with plane.store.read() as connection:
            assert verify(connection) == []
            assert connection.execute(select(func.count()).select_from(t.message)).scalar()
        plane.close()
    join_plane(roles.settings(tmp_path / "home", database_owner_url="")).close()


def test_tables_of_an_earlier_version_are_brought_up_to_date_by_their_owner_only(
    roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = open_store(roles.url(roles.owner))
    migrate(early, "0020")
    with early.engine.begin() as connection:
        connection.exec_driver_sql(f'GRANT SELECT ON alembic_version TO "{roles.app}"')
    early.close()
    with pytest.raises(SettingsError, match=r"does not own them; run `trueup db migrate`"):
        build_plane(roles.settings(tmp_path, database_owner_url=""), ManualClock(START))
    for name, value in roles.given.items():
        monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(commands.app, ["migrate"], catch_exceptions=False)
    assert (answer.exit_code, answer.stderr) == (0, "")
    build_plane(roles.settings(tmp_path, database_owner_url=""), ManualClock(START)).close()


def test_one_role_goes_on_working_and_is_told_what_it_could_do_and_how_it_becomes_two(
    roles: Roles, tmp_path: Path
) -> None:
    roles.superuser(f'ALTER DATABASE {roles.name} OWNER TO "{roles.app}"')
    with (
        a_plane(tmp_path / "home", ManualClock(START), roles.url(roles.app)) as plane,
        plane.store.read() as connection,
    ):
        told = " ".join(powers(connection))
        assert "owns, or can act for who owns, the database" in told
        assert "the table action" in told
    with pytest.raises(SettingsError, match=f'REASSIGN OWNED BY "{roles.app}" TO {roles.owner}'):
        migrate_as_owner(roles.settings(tmp_path))
    roles.superuser(f'REASSIGN OWNED BY "{roles.app}" TO {roles.owner}', inside=True)
    assert migrate_as_owner(roles.settings(tmp_path)) == []
    build_plane(roles.settings(tmp_path / "home", database_owner_url=""), ManualClock(START)).close()


WAYS = (
    ('GRANT {owner} TO "{app}"', "can act for who owns"),
    ('ALTER ROLE "{app}" SUPERUSER', "is a superuser"),
    ('GRANT pg_execute_server_program TO "{app}"', "membership in pg_execute_server_program"),
    ('GRANT UPDATE ON action TO "{app}"', "UPDATE on the table action"),
    ('GRANT UPDATE (actor) ON action TO "{app}"', "UPDATE on the table action"),
    ("GRANT TRIGGER ON action TO PUBLIC", "TRIGGER on the table action"),
    ('GRANT CREATE ON SCHEMA public TO "{app}"', "CREATE on the schema"),
    ('GRANT CREATE ON DATABASE {name} TO "{app}"', "CREATE on the database"),
    ('ALTER DATABASE {name} OWNER TO "{app}"', "the database"),
    ('ALTER FUNCTION action_is_append_only() OWNER TO "{app}"', "the function action_is_append_only"),
    ('ALTER TABLE audit_head OWNER TO "{app}"', "the table audit_head"),
)
"""What a superuser might do, and what is said of it."""


def test_each_way_to_more_is_found(roles: Roles, tmp_path: Path) -> None:
    assert migrate_as_owner(roles.settings(tmp_path)) == []
    with roles.inside() as connection:
        for statement, told in WAYS:
            within = connection.begin()
            connection.exec_driver_sql(statement.format(owner=roles.owner, app=roles.app, name=roles.name))
            assert told in " ".join(powers(connection, roles.app)), statement
            within.rollback()
        assert powers(connection, roles.app) == []


def test_the_doctor_says_which_of_the_two_it_is(roles: Roles, tmp_path: Path) -> None:
    migrate_as_owner(roles.settings(tmp_path))
    subject = Subject(roles.settings(tmp_path), ManualClock(START), environment={}, offline=True)
    assert [answer.status for answer in action_log(subject)] == ["ok"]
    roles.superuser(f'REASSIGN OWNED BY {roles.owner} TO "{roles.app}"', inside=True)
    (answer,) = action_log(subject)
    assert (answer.status, "the table action" in answer.detail, "trueup db migrate" in answer.remedy) == (
        "warning",
        True,
        True,
    )
    subject.close()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"database_url": "", "database_owner_url": "postgresql+psycopg://o@db/x"}, "for PostgreSQL only"),
        ({"database_url": "postgresql+psycopg://a@db/x", "database_owner_url": "postgresql+psycopg://a@db/x"}, "two different users"),
        ({"database_url": "postgresql+psycopg://a@db/x", "database_owner_url": "no address"}, "not a database address"),
    ],
)  # fmt: skip
def test_addresses_that_make_no_two_roles_are_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(**given)


def test_migrating_as_nobody_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUEUP_DATABASE_OWNER_URL", raising=False)
    with pytest.raises(SettingsError, match="TRUEUP_DATABASE_OWNER_URL is not set"):
        CliRunner().invoke(commands.app, ["migrate"], catch_exceptions=False)
