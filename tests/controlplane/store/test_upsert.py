"""Rows that are written with a statement compiled once: as SQLAlchemy would write them, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.direct import Change
from controlplane.store.upsert import insert_new, upsert

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def article(sku: str, **more: Any) -> dict[str, Any]:
    money = {"unit_cost": Decimal("1.10"), "unit_price": None, "currency": "EUR"}
    return {"sku": sku, "title": f"Article {sku}", **money, "updated_at": NOON, "message_id": "m-1", **more}


def intake(number: int, key: str) -> dict[str, Any]:
    return {
        "id": f"i-{number}", "system": "wms", "channel": "webhook", "topic": "stock", "event_key": key,
        "headers": {"a": ["\u00e9", None]}, "body": bytes([0, 255]), "sealed": None, "received_at": NOON, "state": "new",
        "trace_id": "f" * 32,
    }  # fmt: skip


def test_a_row_is_inserted_and_then_overwritten_with_values_of_every_type(store: Store) -> None:
    with store.write() as connection:
        assert upsert(connection, t.product, article("A"))
        assert upsert(connection, t.product, article("A", updated_at=NOON + timedelta(microseconds=1)))
    with store.read() as connection:
        [row] = connection.execute(select(t.product)).all()
    assert (row.sku, row.updated_at, row.active) == ("A", NOON + timedelta(microseconds=1), True)
    assert (str(row.unit_cost), row.unit_price) == ("1.10", None)


def test_what_is_not_given_is_what_the_table_says(store: Store) -> None:
    with store.write() as connection:
        insert_new(connection, t.system_state, [{"system": "erp"}])
    with store.read() as connection:
        row = connection.execute(select(t.system_state)).one()
    assert (row.consecutive_failures, row.paused_for, row.paused_at) == (0, 0, None)


@pytest.mark.parametrize("together", [1, 3])
def test_only_rows_whose_keys_are_new_go_in_and_are_named(store: Store, together: int) -> None:
    rows = [intake(number, f"key-{number % 2}") for number in range(3)]
    with store.write() as connection:
        some = [rows[at : at + together] for at in range(0, len(rows), together)]
        new = [identity for part in some for identity in insert_new(connection, t.intake, part)]
    assert new == ["i-0", "i-1"]
    with store.read() as connection:
        kept = connection.execute(select(t.intake).order_by(t.intake.c.id)).all()
    assert [(row.id, row.headers, bytes(row.body)) for row in kept] == [
        ("i-0", {"a": ["\u00e9", None]}, b"\x00\xff"),
        ("i-1", {"a": ["\u00e9", None]}, b"\x00\xff"),
    ]


def test_a_row_that_the_table_refuses_raises_what_sqlalchemy_raises(store: Store) -> None:
    change = Change(insert(t.system_state).inline(), ("system",))
    with pytest.raises(IntegrityError, match="system"), store.write() as connection:
        change.run(connection, {"system": None})
    with pytest.raises(ValueError, match="has no time zone"), store.write() as connection:
        upsert(connection, t.product, article("A", updated_at=datetime(2026, 11, 27)))  # noqa: DTZ001


def test_what_was_written_is_undone_with_its_transaction(store: Store) -> None:
    def undone() -> None:
        with store.write() as connection:
            upsert(connection, t.product, article("A"))
            raise LookupError

    with pytest.raises(LookupError):
        undone()
    with store.read() as connection:
        assert connection.execute(select(t.product)).all() == []
