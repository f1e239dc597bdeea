"""The action log: gapless, and tampering is found."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal

import pytest
from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from controlplane.audit import Told, record, record_all, verify
from controlplane.audit.evidence import examine, export
from controlplane.clock import ManualClock
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.store.migrate import migrate
from tests.conftest import POSTGRES


def write_some(store: Store, clock: ManualClock, count: int = 4) -> None:
    for number in range(count):
        clock.advance(1.000001)
        with store.write() as conn:
            record(
                conn, clock, actor="ada", action="policy.change", subject=f"Flow/{number}", reason="größer",
                before={"promise": 2.0, "tiny": 1e-7, "huge": 1e22}, after={"roles": {"b", "a"}, "none": None},
            )  # fmt: skip


@contextmanager
def tampering(store: Store) -> Iterator[Connection]:
    """What somebody does who owns the database: on PostgreSQL no lesser right will do."""
    with store.write() as conn:
        if not store.is_sqlite:
            conn.execute(text("SET LOCAL session_replication_role = replica"))
        yield conn


def test_an_untouched_chain_is_without_a_problem(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with store.read() as conn:
        assert verify(conn) == []
        assert list(conn.execute(select(t.action.c.seq).order_by(t.action.c.seq)).scalars()) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "odd",
    [
        "a\x00b", "\ud800", {"a\x00": ["\x00"]}, {"\ud800": "\udfff"}, 2**53 + 1, 2**63, -(2**63) - 1, 2**70, 10**2000, 10**5000, -0.0,
        5e-324, 1e16, 1e300, 1.7976931348623157e308, float("nan"), float("inf"),
        -float("inf"), Decimal("1E+999999"), Decimal("NaN"), Decimal("0.1000"),
        "\u2028",
    ],
    ids=lambda odd: type(odd).__name__,
)  # fmt: skip
def test_whatever_is_told_the_chain_that_nobody_touched_stays_whole(
    store: Store, clock: ManualClock, odd: object
) -> None:
    """Else anybody who may propose a policy or correct a record could have all of it look tampered with, for good."""
    with store.write() as conn:
        record(
            conn,
            clock,
            actor="ada",
            action="x.y",
            subject="Flow/1",
            reason=f"because {odd if isinstance(odd, str) else type(odd)}",
            before=[odd],
            after={"v": odd},
        )
    write_some(store, clock, 1)
    with store.read() as conn:
        assert verify(conn) == []
        assert examine(list(export(conn, clock))).problems == []


def test_a_changed_action_is_found(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with tampering(store) as conn:
        conn.execute(update(t.action).where(t.action.c.seq == 2).values(reason="never happened"))
    with store.read() as conn:
        assert verify(conn) == ["action 2: was changed after it was written; compare it with a backup"]


def test_a_deleted_action_is_found(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with tampering(store) as conn:
        conn.execute(delete(t.action).where(t.action.c.seq == 3))
    with store.read() as conn:
        assert verify(conn) == ["action 3 to 3: missing; restore them from a backup"]


def test_actions_that_changed_places_are_found(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with tampering(store) as conn:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            conn.execute(update(t.action).where(t.action.c.seq == old).values(seq=new))
    with store.read() as conn:
        assert len(verify(conn)) >= 2


def test_writers_at_the_same_time_leave_no_gap(store: Store, clock: ManualClock) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: write_some(store, clock, 3), range(6)))
    with store.read() as conn:
        assert verify(conn) == []
        assert len(list(conn.execute(select(t.action.c.seq)))) == 18


def test_actions_that_are_told_together_chain_like_those_told_one_by_one(store: Store, clock: ManualClock) -> None:
    write_some(store, clock, 2)
    with store.write() as conn:
        told = [Told("ada", "case.close", f"case/{number}", before={"state": "open"}) for number in range(3)]
        assert record_all(conn, clock, told) == 5
    write_some(store, clock, 1)
    with store.read() as conn:
        assert verify(conn) == []
        subjects = list(conn.execute(select(t.action.c.subject).order_by(t.action.c.seq)).scalars())
    assert subjects == ["Flow/0", "Flow/1", "case/0", "case/1", "case/2", "Flow/0"]


def test_an_action_of_a_transaction_that_failed_was_never_there(store: Store, clock: ManualClock) -> None:
    def fail() -> None:
        with store.write() as conn:
            record(conn, clock, actor="ada", action="a.b", subject="x/y")
            raise RuntimeError("the deed itself failed")

    with pytest.raises(RuntimeError):
        fail()
    write_some(store, clock, 1)
    with store.read() as conn:
        assert verify(conn) == []


def test_a_cut_end_is_found(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with tampering(store) as conn:
        conn.execute(delete(t.action).where(t.action.c.seq == 4))
    with store.read() as conn:
        assert verify(conn) == ["the chain ends at action 3, and its head names action 4; restore them from a backup"]


@pytest.mark.parametrize("deed", ["UPDATE action SET reason = 'x'", "DELETE FROM action", "TRUNCATE action"])
def test_postgresql_refuses_to_change_what_was_written(postgresql_store: Store, clock: ManualClock, deed: str) -> None:
    write_some(postgresql_store, clock)
    with pytest.raises(DBAPIError, match="only ever appended to"), postgresql_store.write() as conn:
        conn.execute(text(deed))
    with postgresql_store.read() as conn:
        assert verify(conn) == []


def test_the_role_that_owns_the_tables_has_no_right_to_change_the_log(clock: ManualClock) -> None:
    """A role as the plane has it: it owns its schema, and is no superuser."""
    name = f"trueup_role_{uuid.uuid4().hex[:8]}"
    admin = open_store(POSTGRES)
    try:
        with admin.engine.begin() as conn:
            conn.execute(text(f"CREATE ROLE {name} LOGIN"))
            conn.execute(text(f"CREATE SCHEMA {name} AUTHORIZATION {name}"))
        mine = make_url(POSTGRES).set(username=name).update_query_dict({"options": f"-csearch_path={name}"})
        store = open_store(mine.render_as_string(False))
        migrate(store)
        write_some(store, clock)
        for deed in ("UPDATE action SET reason = 'x'", "DELETE FROM action", "TRUNCATE action"):
            with pytest.raises(DBAPIError, match="permission denied for table action"), store.write() as conn:
                conn.execute(text(deed))
        store.close()
    finally:
        with admin.engine.begin() as conn:
            conn.execute(text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
            conn.execute(text(f"DROP ROLE IF EXISTS {name}"))
        admin.close()
