"""The action log: gapless, and tampering is found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, select, update

from controlplane.audit import Told, record, record_all, verify
from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t


def write_some(store: Store, clock: ManualClock, count: int = 4) -> None:
    for number in range(count):
        clock.advance(1.000001)
        with store.write() as conn:
            record(
                conn, clock, actor="ada", action="policy.change", subject=f"Flow/{number}", reason="größer",
                before={"promise": 2.0, "tiny": 1e-7, "huge": 1e22}, after={"roles": {"b", "a"}, "none": None},
            )  # fmt: skip


def test_an_untouched_chain_is_without_a_problem(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with store.read() as conn:
        assert verify(conn) == []
        assert list(conn.execute(select(t.action.c.seq).order_by(t.action.c.seq)).scalars()) == [1, 2, 3, 4]


def test_a_changed_action_is_found(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with store.write() as conn:
        conn.execute(update(t.action).where(t.action.c.seq == 2).values(reason="never happened"))
    with store.read() as conn:
        assert verify(conn) == ["action 2: was changed after it was written; compare it with a backup"]


def test_a_deleted_action_is_found(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with store.write() as conn:
        conn.execute(delete(t.action).where(t.action.c.seq == 3))
    with store.read() as conn:
        assert verify(conn) == ["action 3 to 3: missing; restore them from a backup"]


def test_actions_that_changed_places_are_found(store: Store, clock: ManualClock) -> None:
    write_some(store, clock)
    with store.write() as conn:
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
