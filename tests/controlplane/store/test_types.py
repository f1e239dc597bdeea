"""Values come back from both databases as they went in, and what has lost something already is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import StatementError

from controlplane.store import Store
from controlplane.store import tables as t

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def product(**changes: Any) -> dict[str, Any]:
    """Return a row with an amount and an instant in it."""
    row = {"sku": "A", "title": "A", "currency": "EUR", "unit_cost": None, "unit_price": None, "updated_at": AT}
    return {**row, "message_id": "m", **changes}


def kept(store: Store, column: str, value: Any) -> Any:
    """Write one value and read it back."""
    with store.write() as connection:
        connection.execute(delete(t.product))
        connection.execute(insert(t.product).values(**product(**{column: value})))
    with store.read() as connection:
        return connection.execute(select(t.product.c[column])).scalar_one()


def test_instants_come_back_to_the_microsecond_and_in_utc(store: Store) -> None:
    instants = [
        AT.replace(microsecond=1),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        AT.astimezone(timezone(timedelta(hours=5, minutes=45))),
    ]
    for instant in instants:
        found = kept(store, "updated_at", instant)
        assert (found, found.tzinfo) == (instant, UTC)


def test_instants_sort_in_the_database_as_they_do_in_time(store: Store) -> None:
    instants = [AT + timedelta(microseconds=step) for step in (5, -1, 0, 10**12, -(10**15))]
    with store.write() as connection:
        rows = [product(sku=str(number), updated_at=instant) for number, instant in enumerate(instants)]
        connection.execute(insert(t.product), rows)
        found = list(connection.execute(select(t.product.c.updated_at).order_by(t.product.c.updated_at)).scalars())
    assert found == sorted(instants)


def test_amounts_come_back_with_the_digits_they_were_stored_with(store: Store) -> None:
    for written in ("0", "0.00", "-12.50", "99999999999999999999999999.9999", "0.1", "1E+3"):
        found = kept(store, "unit_cost", Decimal(written))
        assert found == Decimal(written)
        assert str(found) == format(Decimal(written), "f")


@pytest.mark.parametrize("column", ["unit_cost", "unit_price"])
def test_what_is_not_known_stays_unknown(store: Store, column: str) -> None:
    assert kept(store, column, None) is None


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("updated_at", datetime(2026, 3, 2, 9), "no time zone"), ("unit_cost", 0.1, "is a float")],  # noqa: DTZ001
)
def test_what_has_lost_something_already_is_refused(
    sqlite_store: Store, column: str, value: object, message: str
) -> None:
    with pytest.raises((StatementError, TypeError), match=message):
        kept(sqlite_store, column, value)


@pytest.mark.parametrize("document", [{"a": [1, None, "ü", {"b": True}]}, [], 0, "", False])
def test_documents_come_back_as_they_were(store: Store, document: Any) -> None:
    with store.write() as connection:
        row = {"system": "s", "entity": "e", "value": document, "read_at": AT}
        connection.execute(delete(t.source_cursor))
        connection.execute(insert(t.source_cursor).values(**row))
        assert connection.execute(select(t.source_cursor.c.value)).scalar_one() == document


def test_no_document_is_null_to_the_database_too(store: Store) -> None:
    row = {"id": "r", "schedule": "s", "scheduled_for": AT, "state": "done", "started_at": AT, "detail": None}
    with store.write() as connection:
        connection.execute(insert(t.run).values(**row))
        assert connection.execute(text("SELECT count(*) FROM run WHERE detail IS NULL")).scalar_one() == 1
