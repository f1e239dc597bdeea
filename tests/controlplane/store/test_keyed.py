"""Rows of many keys with one statement: those of the keys, and of no others, whatever the keys are spelt like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.keyed import Keyed

KEY = st.tuples(
    st.sampled_from(["A", "a", "A'1", 'A"2', "Ä", "A,3", "%s", ":A", "[1]"]), st.sampled_from(["W1", "W2", "w1"])
)
ROWS = st.lists(st.tuples(KEY, st.integers(0, 9)), max_size=12)
CHANGES = Keyed("stock_change", ("on_hand", "message_id"), ("sku", "location"), "r.on_hand >= :least")
NEWEST = Keyed("stock_change", ("max(r.on_hand)",), ("sku", "location"), "r.on_hand < :least", each=True)


def changes(clock: ManualClock, rows: Sequence[tuple[tuple[str, str], int]]) -> list[dict[str, object]]:
    """Return rows of `stock_change`, named by their number."""
    now = clock.now()
    rest = {"allocated": 0, "available": 0, "in_transit": 0, "source_at": now, "changed_at": now}
    return [
        {"sku": sku, "location": location, "on_hand": held, "message_id": str(number), **rest}
        for number, ((sku, location), held) in enumerate(rows)
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(ROWS, st.lists(KEY, max_size=5, unique=True), st.integers(0, 9))
def test_each_key_has_the_rows_that_hold_it(
    store: Store, clock: ManualClock, rows: list[tuple[tuple[str, str], int]], keys: list[tuple[str, str]], least: int
) -> None:
    with store.read() as connection:  # what is written here is rolled back
        if rows:
            connection.execute(insert(t.stock_change), changes(clock, rows))
        found = CHANGES.rows(connection, keys, least=least)
        newest = NEWEST.rows(connection, keys, least=least)
    held = [(key, held, str(number)) for number, (key, held) in enumerate(rows) if held >= least and key in keys]
    assert Counter((keys[at], on_hand, message) for at, on_hand, message in found) == Counter(held)
    lower = {key: max((held for each, held in rows if each == key and held < least), default=None) for key in keys}
    assert {keys[at]: held for at, held in newest} == lower


def test_no_keys_ask_nothing(store: Store) -> None:
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    with store.read() as connection:
        before = len(asked)
        assert CHANGES.rows(connection, [], least=0) == []
        assert len(asked) == before


@pytest.mark.parametrize("query", [CHANGES, NEWEST])
def test_the_keys_are_looked_up_in_the_index_also_while_nothing_is_known_of_the_table(
    store: Store, query: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
    monkeypatch.setattr(query, "_sqlite", plan + query._sqlite)
    monkeypatch.setattr(query, "_postgresql", plan + query._postgresql)
    with store.read() as connection:
        told = " ".join(str(row) for row in query.rows(connection, [("A", "W1")], least=0))
    assert "ix_stock_change_key" in told
    assert "SCAN r" not in told
    assert "Seq Scan" not in told
