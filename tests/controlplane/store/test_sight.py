"""What somebody who is confined to a part of the retailer may read: nothing else, of any table, on either database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from controlplane.clock import ManualClock
from controlplane.errors import UnavailableError
from controlplane.store import Store, confined, open_store, webrole
from controlplane.store import tables as t
from controlplane.store.migrate import migrate
from controlplane.store.sight import CLOSED, CONDITIONS, ROLE, SETTING, VEILED, condition
from controlplane.wiring import Plane
from tests import two_brands
from tests.conftest import START
from tests.two_brands import MARK, MINE, NORTH
from tests.web import a_plane

LOOKED_AT = sorted(set(CONDITIONS) - {"registry_version", "policy_revision"})


@pytest.fixture(params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plane]:
    """A plane of two brands, with a row of each in every table."""
    url = ""
    if request.param == "postgresql":
        made: Store = request.getfixturevalue("postgresql_store")
        url = made.engine.url.render_as_string(hide_password=False)
    with a_plane(tmp_path, ManualClock(START), url) as found:
        two_brands.policies(found)
        for mark in (MARK, MINE):
            two_brands.story(found, mark)
        two_brands.made_by_the_plane(found)
        yield found


def columns(table: str) -> str:
    """The columns that are told."""
    return ", ".join(column.name for column in t.metadata.tables[table].c if column.name not in VEILED.get(table, ()))


def query(table: str) -> str:
    """A raw query of a table."""
    return f"SELECT {columns(table)} FROM {table}"  # noqa: S608


def shown(plane: Plane, table: str) -> str:
    """All that a raw query tells of a table."""
    with plane.store.read() as conn:
        return str([tuple(row) for row in conn.execute(text(query(table)))])


def test_each_table_is_confined_or_closed_with_a_reason() -> None:
    known = {table.name for table in t.metadata.sorted_tables}
    assert known == set(CONDITIONS) | set(CLOSED), "say in store/sight.py who may see what of it"
    assert set(CONDITIONS).isdisjoint(CLOSED)
    assert all(CLOSED.values())


def test_whoever_is_confined_sees_the_rows_of_that_brand_and_no_others(plane: Plane) -> None:
    lists = plane.registry.snapshot().sight(NORTH).lists()
    for table in LOOKED_AT:
        assert MARK in shown(plane, table), table
    with plane.store.confined(lists):
        for table in (*CONDITIONS, *CLOSED):
            told = shown(plane, table)
            assert MARK not in told, (table, told)
            assert (told == "[]") is (table in CLOSED), (table, told)


def test_the_second_brand_sees_its_own(plane: Plane) -> None:
    reach = two_brands.Reach(brands=frozenset({MARK}))
    with plane.store.confined(plane.registry.snapshot().sight(reach).lists()):
        for table in LOOKED_AT:
            told = shown(plane, table)
            assert MARK in told, table
            assert f"{MINE}-" not in told, (table, told)


@pytest.mark.parametrize(
    "reach", [two_brands.Reach(brands=frozenset()), two_brands.Reach(regions=frozenset({"nowhere"}))]
)
def test_a_reach_of_nothing_sees_nothing_that_is_of_a_system(plane: Plane, reach: two_brands.Reach) -> None:
    with plane.store.confined(plane.registry.snapshot().sight(reach).lists()):
        for table in LOOKED_AT:
            assert shown(plane, table) == "[]", table


def test_a_domain_confines_too(plane: Plane) -> None:
    reach = two_brands.Reach(brands=frozenset({MINE}), domains=frozenset({"inventory"}))
    with plane.store.confined(plane.registry.snapshot().sight(reach).lists()):
        told = shown(plane, "message")
        assert "north-offer" in told
        assert "north-#1" not in told
        assert shown(plane, "order_state") == shown(plane, "intake") == shown(plane, "quarantine") == "[]"
        assert "north-sku" in shown(plane, "stock_position")
        assert "north-delivery" not in shown(plane, "delivery")


def test_a_transaction_that_was_told_no_names_sees_nothing(plane: Plane) -> None:
    with plane.store.confined({}):
        for table in (*CONDITIONS, *CLOSED):
            assert shown(plane, table) == "[]", table


def test_whoever_reads_after_it_is_not_confined(plane: Plane) -> None:
    with plane.store.confined({}):
        shown(plane, "message")
    assert MARK in shown(plane, "message")
    with plane.store.confined({"system": ["zebra-shop"]}), plane.store.unconfined():
        assert MINE in shown(plane, "message")


def test_the_policies_of_postgresql_are_the_conditions_of_this_version(postgresql_store: Store) -> None:
    told = text(
        "SELECT c.relname, obj_description(p.oid, 'pg_policy') FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relrowsecurity"
    )
    with postgresql_store.read() as conn:
        found = {row[0]: row[1] for row in conn.execute(told)}
    assert found == {table: condition(table, "postgresql") for table in (*CONDITIONS, *CLOSED)}


def test_the_web_role_sees_nothing_by_itself_and_changes_nothing(postgresql_store: Store) -> None:
    with postgresql_store.engine.connect() as conn:
        conn.exec_driver_sql(f"SET LOCAL ROLE {ROLE}")
        for table in (*CONDITIONS, *CLOSED):
            assert conn.execute(text(query(table))).all() == [], table
            allowed = text("SELECT has_table_privilege(:role, :table, 'INSERT, UPDATE, DELETE, TRUNCATE')")
            assert conn.execute(allowed, {"role": ROLE, "table": table}).scalar_one() is False, table
        assert conn.exec_driver_sql(f"SELECT current_setting('{SETTING}', true)").scalar() in (None, "")
        conn.rollback()


def test_without_the_role_whoever_is_confined_is_refused_and_nobody_else(
    postgresql_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "ROLE", "trueup_nobody_made")
    with postgresql_store.confined({}), pytest.raises(UnavailableError, match="trueup doctor"), postgresql_store.read():
        pass
    with postgresql_store.read() as conn:
        assert conn.execute(select(t.message)).all() == []


def test_a_role_that_may_not_read_is_told_and_mended_at_the_next_start(postgresql_store: Store) -> None:
    with postgresql_store.write() as conn:
        conn.execute(text("REVOKE SELECT ON message FROM trueup_web"))
    with postgresql_store.read() as conn:
        assert webrole.lacking(conn)[0] == f"the role '{ROLE}' may not read every table"
    migrate(postgresql_store)
    with postgresql_store.read() as conn:
        assert webrole.lacking(conn) == ("", "")
    with postgresql_store.write() as conn:
        conn.execute(text("ALTER TABLE message DISABLE ROW LEVEL SECURITY"))
    try:
        with postgresql_store.read() as conn:
            assert webrole.lacking(conn)[0] == "row-level security is off on message"
    finally:
        with postgresql_store.write() as conn:
            conn.execute(text("ALTER TABLE message ENABLE ROW LEVEL SECURITY"))


def test_what_somebody_else_puts_into_the_schema_stays_closed(postgresql_store: Store) -> None:
    with postgresql_store.write() as conn:
        conn.execute(text("CREATE TABLE extra (id text)"))
        conn.execute(text("CREATE VIEW all_orders AS SELECT * FROM order_state"))
        conn.execute(text("REVOKE SELECT ON message FROM trueup_web"))  # so that there is something to grant
    try:
        migrate(postgresql_store)
        with postgresql_store.read() as conn:
            assert webrole.lacking(conn) == ("", "")
            for name in ("extra", "all_orders"):
                asked = text("SELECT has_table_privilege(:role, :name, 'SELECT')")
                assert conn.execute(asked, {"role": ROLE, "name": name}).scalar_one() is False
    finally:
        with postgresql_store.write() as conn:
            conn.execute(text("DROP VIEW all_orders"))
            conn.execute(text("DROP TABLE extra"))


@pytest.fixture
def owner(postgresql_schema: Store) -> Iterator[Store]:
    """A schema that is owned by a role without any privilege beyond it, as it ought to be in production."""
    name = f"trueup_owner_{uuid.uuid4().hex[:8]}"
    with postgresql_schema.engine.begin() as conn:
        conn.execute(text(f"CREATE ROLE {name} LOGIN"))
        conn.execute(text(f"CREATE SCHEMA {name} AUTHORIZATION {name}"))
    url = postgresql_schema.engine.url.set(username=name).update_query_dict({"options": f"-csearch_path={name}"})
    made = open_store(url.render_as_string(False))
    yield made
    made.close()
    with postgresql_schema.engine.begin() as conn:
        conn.execute(text(f"DROP SCHEMA {name} CASCADE"))
        conn.execute(text(f"DROP OWNED BY {name}"))
        conn.execute(text(f"DROP ROLE {name}"))


def test_a_plane_that_may_make_no_roles_refuses_whoever_is_confined_until_a_superuser_lets_it(
    owner: Store, postgresql_schema: Store, clock: ManualClock
) -> None:
    migrate(owner)
    with owner.read() as conn:
        missing, remedy = webrole.lacking(conn)
        name = conn.exec_driver_sql("SELECT current_user").scalar_one()
        assert conn.execute(select(t.message)).all() == []
    assert missing == "the plane's role may not become 'trueup_web'"
    assert remedy == f"as a superuser: GRANT trueup_web TO {name}"
    with owner.confined({}), pytest.raises(UnavailableError), owner.read():
        pass
    with postgresql_schema.engine.begin() as conn:
        conn.exec_driver_sql(remedy.removeprefix("as a superuser: "))
    row = two_brands.filled(clock, t.message, "one", {"id": "one", "source": "shop", "causation_id": None})
    made = two_brands.filled(clock, t.message, "two", {"id": "two", "source": "plane", "causation_id": "one"})
    with owner.write() as conn:
        conn.execute(insert(t.message), [row, made])
    with owner.read() as conn:
        assert len(conn.execute(select(t.message.c.id)).all()) == 2, "who owns the tables is not bound"
    for system, seen in (("shop", {"one", "two"}), ("other", set())):
        with owner.confined({"system": [system], "type": ["*"]}), owner.read() as conn:
            assert set(conn.execute(select(t.message.c.id)).scalars()) == seen
