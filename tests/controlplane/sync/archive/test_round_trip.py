"""Whatever a column can hold comes back as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.types import instant
from tests.controlplane.sync.archive.kit import TABLES, archiver, house_of, ids_of, restore_all, rows_of
from tests.controlplane.sync.kit import House

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
NAME = TEXT.filter(bool)
INSTANTS = st.integers(-2_000_000_000_000_000, 1_700_000_000_000_000).map(instant)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12,
)  # fmt: skip
OBJECTS = st.dictionaries(TEXT, JSONS, max_size=5)
MONEY = st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=4)


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table that hold what a column can hold, and are finished."""
    count = draw(st.integers(1, 4))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for number in range(count):
        message, when = f"m{number}", draw(INSTANTS)
        found["message"].append({
            "id": message, "type": "order.placed", "schema_version": draw(st.integers(-(2**31), 2**31 - 1)),
            "source": "shop", "subject": draw(NAME), "source_version": draw(st.none() | TEXT),
            "dedupe_key": f"{number}{draw(TEXT)}", "occurred_at": draw(INSTANTS), "accepted_at": when,
            "causation_id": draw(st.none() | st.just("m0")), "intake_id": draw(st.none() | st.just("i")),
            "intake_line": draw(st.none() | st.integers(0, 2**31 - 1)), "trace_id": draw(TEXT)[:32],
            "data": draw(OBJECTS), "state": draw(st.sampled_from(["processed", "quarantined"])),
            "processed_at": draw(st.none() | INSTANTS), "registry_version": number,
        })  # fmt: skip
        found["delivery"].append({
            "id": f"d{number}", "message_id": message, "flow": draw(TEXT), "target": draw(TEXT), "entity": draw(TEXT),
            "subject": draw(TEXT), "order_key": draw(TEXT), "idempotency_key": f"{number}{draw(TEXT)}",
            "coalesce": False, "payload": draw(OBJECTS),
            "state": draw(st.sampled_from(["delivered", "dropped"])), "head": draw(st.booleans()), "due_at": when,
            "deadline_at": when, "pause_base": draw(st.integers(-(2**63), 2**63 - 1)), "promise_at": when,
            "attempts": 1, "lease_owner": draw(st.none() | TEXT), "lease_until": draw(st.none() | INSTANTS),
            "fence": 1, "created_at": when, "finished_at": when, "outcome": draw(st.none() | st.just("delivered")),
            "detail": draw(st.none() | TEXT), "retry_revision": "r", "registry_version": 1, "money": draw(MONEY),
            "currency": draw(st.none() | st.just("EUR")), "trace_id": "",
        })  # fmt: skip
        found["attempt"].append({
            "id": f"a{number}", "delivery_id": f"d{number}", "number": 1, "kind": "write", "system": "", "flow": draw(TEXT),
            "started_at": when, "finished_at": when, "outcome": "delivered", "detail": draw(TEXT),
            "evidence": draw(st.none() | OBJECTS), "retry_revision": "r",
        })  # fmt: skip
        found["quarantine"].append({
            "id": f"q{number}", "stage": "delivery", "system": "", "flow": draw(TEXT), "reason_code": "", "reason": draw(TEXT),
            "remedy": "", "subject": draw(TEXT), "record": draw(OBJECTS), "corrected": draw(st.none() | OBJECTS),
            "intake_id": None, "message_id": draw(st.sampled_from([None, message])),
            "delivery_id": draw(st.sampled_from([None, f"d{number}"])), "state": "replayed", "owner": "",
            "opened_at": when, "closed_at": when, "closed_by": draw(st.none() | TEXT), "replayed_as": None,
        })  # fmt: skip
        found["intake"].append({
            "id": f"i{number}", "system": "shop", "channel": "api", "topic": draw(TEXT), "event_key": f"{number}{draw(TEXT)}",
            "headers": draw(OBJECTS), "body": draw(st.binary(max_size=300)), "received_at": when, "trace_id": "",
            "state": "translated", "translated_at": draw(st.none() | INSTANTS), "note": draw(st.none() | TEXT),
        })  # fmt: skip
    return found


@pytest.fixture
def empty(store: Store, clock: ManualClock, tmp_path: Path, address: str) -> House:
    """A retailer with policies that archive."""
    return house_of(store, clock, tmp_path, archive=address)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=histories())
def test_whatever_a_column_can_hold_comes_back_as_it_was(empty: House, found: dict[str, list[dict[str, Any]]]) -> None:
    store = empty.store
    with store.write() as connection:
        for name in (*TABLES, "archive", "message_seen"):
            connection.execute(delete(t.metadata.tables[name]))
        for name, rows in found.items():
            connection.execute(insert(t.metadata.tables[name]), rows)
    before = rows_of(store)
    archiver(empty).run()
    assert ids_of(store, "message") == ids_of(store, "delivery") == ids_of(store, "attempt") == set()
    newest = max(row["received_at"] for row in found["intake"])
    assert ids_of(store, "intake") == {row["id"] for row in found["intake"] if row["received_at"] == newest}
    restore_all(empty)
    assert rows_of(store) == before


def test_values_of_megabytes_come_back_as_they_were(empty: House) -> None:
    when = datetime(2024, 1, 1, tzinfo=UTC)
    huge = {
        "text": "ẞ\U0001f6d2" * 400_000,
        "deep": json.loads("[" * 200 + "]" * 200),
        "number": 10**400,
        "nothing": None,
    }
    with empty.store.write() as connection:
        connection.execute(
            insert(t.message).values(
                id="m", type="order.placed", schema_version=1, source="shop", subject="#1", dedupe_key="1",
                occurred_at=when, accepted_at=when, trace_id="", data=huge, state="processed", registry_version=1,
            )
        )  # fmt: skip
        for number in range(3):
            connection.execute(
                insert(t.intake).values(
                    id=f"i{number}", system="shop", channel="api", topic="", event_key=str(number), headers={},
                    body=bytes(range(256)) * 20_000, received_at=when + timedelta(seconds=number), trace_id="",
                    state="translated",
                )
            )  # fmt: skip
    before = rows_of(empty.store)
    assert archiver(empty).run()["rows"]["message"] == 1
    restore_all(empty)
    assert rows_of(empty.store) == before


def test_money_is_kept_with_its_digits(empty: House) -> None:
    with empty.store.write() as connection:
        when = datetime(2024, 1, 1, tzinfo=UTC)
        connection.execute(
            insert(t.message).values(
                id="m", type="order.placed", schema_version=1, source="shop", subject="#1", dedupe_key="1",
                occurred_at=when, accepted_at=when, trace_id="", data={}, state="processed", registry_version=1,
            )
        )  # fmt: skip
        connection.execute(
            insert(t.delivery).values(
                id="d", message_id="m", flow="f", target="t", entity="e", subject="#1", order_key="#1",
                idempotency_key="k", coalesce=False, payload={}, state="delivered", due_at=when, deadline_at=when,
                promise_at=when, created_at=when, finished_at=when, retry_revision="r", registry_version=1,
                money=Decimal("19.90"),
            )
        )  # fmt: skip
    archiver(empty).run()
    restore_all(empty)
    with empty.store.read() as connection:
        assert str(connection.scalar(select(t.delivery.c.money))) == "19.90"
