"""What is loaded of many keys together is what each of them has by itself, of whatever history."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from probes.comparisons.evidence import APART, Evidence, load, standing
from rules.comparison.explain import Shown

KEYS = [(sku, location) for sku in ("A", "B@1") for location in ("W1", "W2")]
PLACES = [("erp", "on_hand"), ("shop", "available")]
SECONDS = st.integers(-40, 40)
"""Of an instant, after the reading began."""
STOCK = st.tuples(st.sampled_from(KEYS), st.integers(0, 5), st.integers(0, 5))
CHANGE = st.tuples(st.sampled_from(KEYS), SECONDS, st.integers(0, 5), st.integers(0, 5))
LEVEL = st.tuples(st.sampled_from(PLACES), st.sampled_from(KEYS), st.integers(0, 9), SECONDS)
CAUSE = st.sampled_from(["delivery", "event", "read"])
EFFECT = st.tuples(
    st.sampled_from(PLACES), st.sampled_from(KEYS), st.integers(-4, 4), SECONDS, st.integers(0, 30), CAUSE
)  # fmt: skip
LINE = st.tuples(st.sampled_from(KEYS), st.integers(1, 4), st.none() | SECONDS)
OFFER = st.tuples(
    st.sampled_from(KEYS), st.integers(0, 9), st.sampled_from(["pending", "sending", "quarantined", "delivered"])
)


def put(connection: Connection, now: datetime, told: dict[str, list[Any]]) -> None:
    """Write a history down."""

    def at(seconds: int) -> datetime:
        return now + timedelta(seconds=seconds)

    def rows(table: Any, some: list[dict[str, Any]]) -> None:
        if some:
            connection.execute(insert(table), some)

    def key(of: tuple[str, str]) -> dict[str, str]:
        return {"sku": of[0], "location": of[1]}

    none = {"allocated": 0, "in_transit": 0, "source_at": now, "message_id": "m"}
    rows(t.stock_position, [
        {**key(of), **none, "on_hand": held, "available": free, "source": "wms", "updated_at": now} for of, held, free in told["stock"]
    ])  # fmt: skip
    rows(t.stock_change, [
        {**key(of), **none, "on_hand": held, "available": free, "changed_at": at(when)} for of, when, held, free in told["changes"]
    ])  # fmt: skip
    rows(t.target_level, [
        {**key(of), "system": place[0], "field": place[1], "value": value, "as_of": now, "updated_at": at(when)}
        for place, of, value, when in told["levels"]
    ])  # fmt: skip
    rows(t.target_effect, [
        {
            **key(of), "system": place[0], "field": place[1], "delta": delta, "value": 0, "earliest": at(when), "latest": at(when + took),
            "cause": cause, "cause_id": "c",
        }
        for place, of, delta, when, took, cause in told["effects"]
    ])  # fmt: skip
    order = {
        "source": "shop",
        "native_id": "1",
        "state": "placed",
        "location": "W1",
        "placed_at": now,
        "value": 1,
        "currency": "EUR",
    }
    rows(t.order_state, [{**order, "ref": "#1", "updated_at": now, "message_id": "m"}])
    rows(t.order_line, [
        {
            "order_ref": "#1", "line": number, **key(of), "quantity": units, "unit_price": 1,
            "warehouse_at": None if when is None else at(when),
        }
        for number, (of, units, when) in enumerate(told["lines"])
    ])  # fmt: skip
    rows(t.delivery, [
        {
            "id": f"d{number}", "message_id": "m", "flow": "stock", "target": "shop", "entity": "available", "subject": f"{of[0]}@{of[1]}",
            "order_key": f"{of[0]}@{of[1]}", "idempotency_key": f"d{number}", "coalesce": True, "head": False,
            "payload": {**key(of), "quantity": units}, "state": state, "due_at": now, "deadline_at": now, "pause_base": 0,
            "promise_at": now, "attempts": 0, "fence": 0, "created_at": now, "retry_revision": "r", "registry_version": 1, "trace_id": "t",
        }
        for number, (of, units, state) in enumerate(told["offers"])
    ])  # fmt: skip


def heard(told: dict[str, list[Any]], of: tuple[str, str]) -> set[tuple[int, int]]:
    """Say what the ledger took for the stock since the reading began."""
    position = [(held, free) for each, held, free in told["stock"] if each == of]
    changes = [(when, held, free) for each, when, held, free in told["changes"] if each == of]
    since = [(held, free) for when, held, free in changes if when >= 0]
    before = [(held, free) for when, held, free in changes if when < 0]
    return {*position, *since, *(before[-1:] if since else ())} if position else set()


def shown(
    told: dict[str, list[Any]], place: tuple[str, str], of: tuple[str, str], until: int
) -> tuple[Any, list[int], int]:
    """Say what a target shows, what may have moved in its row, read from the beginning to `until`, and what came later."""
    value = next((value for each, key, value, _ in told["levels"] if (each, key) == (place, of)), None)
    effects = [effect[2:] for effect in told["effects"] if effect[:2] == (place, of) and effect[3] + effect[4] >= 0]
    late = [delta for delta, when, _, cause in effects if cause == "delivery" and when > until + APART // 1_000_000]
    every = sorted(delta for delta, *_ in effects)
    for delta in late:
        every.remove(delta)
    return value, every, sum(late)


def unseen(told: dict[str, list[Any]], of: tuple[str, str]) -> int:
    """Say how many units of orders the position does not contain; its instant is that of the beginning."""
    there = any(each == of for each, *_ in told["stock"])
    return sum(units for each, units, when in told["lines"] if there and each == of and (when is None or when > 0))


HISTORY = st.fixed_dictionaries({
    "stock": st.lists(STOCK, max_size=4, unique_by=lambda row: row[0]),
    "changes": st.lists(CHANGE, max_size=8),
    "levels": st.lists(LEVEL, max_size=6, unique_by=lambda row: row[:2]),
    "effects": st.lists(EFFECT, max_size=8),
    "lines": st.lists(LINE, max_size=5),
    "offers": st.lists(OFFER, max_size=5),
})  # fmt: skip


def of_one(evidence: Evidence, place: tuple[str, str], of: tuple[str, str], began: datetime, until: int) -> Shown:
    """Return what a target may show in a row that was read until so many seconds after the beginning."""
    return evidence.shown(*place, of, began, began + timedelta(seconds=until))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(HISTORY, st.lists(st.sampled_from(KEYS), min_size=1, unique=True), st.integers(0, 30))
def test_of_any_history_each_key_has_its_own_evidence_and_nothing_else(
    store: Store, clock: ManualClock, told: dict[str, list[Any]], keys: list[tuple[str, str]], until: int
) -> None:
    now = clock.now()
    with store.read() as connection:  # what is written here is rolled back
        put(connection, now, told)
        around = standing(connection, ["erp", "wms", "shop"], now, now + timedelta(seconds=60))
        evidence = load(connection, around, keys, dict.fromkeys(PLACES, keys))
    offers = defaultdict(list)
    for number, (key, units, state) in enumerate(told["offers"]):
        if state != "delivered":
            offers[key].append((f"d{number}", units, state))
    for key in keys:
        assert evidence.heard(key) == heard(told, key)
        assert evidence.unseen.get(key, 0) == unseen(told, key)
        for place in PLACES:
            value, moved, later = shown(told, place, key, until)
            found = of_one(evidence, place, key, now, until)
            assert (found.now, sorted(found.moved), found.later) == (value, moved, later)
            waits = offers[key] if place == ("shop", "available") else []
            assert [one.delivery_id for one in found.owed] == [name for name, _, _ in waits]
            assert found.complete() == (waits[-1][1] if waits else value or 0)
            assert [one.held for one in found.owed] == [state == "quarantined" for _, _, state in waits]
