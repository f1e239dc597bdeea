"""A document that was deleted is known still; a state that is told again is a new message."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft
from controlplane.store import Store
from controlplane.sync.engines.reprocess import Request
from controlplane.sync.ledger import append, seen, settled
from tests.controlplane.sync.archive.kit import LONG, archiver, house_of, ids_of, restore_all, rows_of
from tests.controlplane.sync.archive.test_traffic import event
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.test_loop import SKU


@pytest.fixture(params=["archive", ""])
def house(request: pytest.FixtureRequest, store: Store, clock: ManualClock, tmp_path: Path, address: str) -> House:
    """A retailer that archives, and one that only deletes."""
    return house_of(store, clock, tmp_path, archive=address if request.param else "")


def forget(house: House) -> None:
    """Let everything grow old and go."""
    house.clock.advance(LONG.total_seconds())
    archiver(house).run()
    assert ids_of(house.store, "message", "type = 'order.placed'") == set()


def test_an_order_that_a_vendor_tells_again_after_its_retention_is_sent_no_second_time(house: House) -> None:
    house.order("#1001", SKU, 1)
    house.run()
    forget(house)
    house.order("#1001", SKU, 1, event="the sweep")
    house.run()
    assert ids_of(house.store, "message", "type = 'order.placed'") == set()
    assert (house.erp.effects["sales_order", "#1001"], house.erp.writes) == (1, 1)
    assert house.wms.effects["order", "#1001"] == 1


def test_an_order_sent_again_to_the_api_is_answered_as_known_and_its_neighbours_are_taken(house: House) -> None:
    house.sync.acceptor.accept(event("1"), batch=False)
    house.run()
    forget(house)
    receipt = house.sync.acceptor.accept(b"\n".join([event("0"), event("1"), event("2")]), batch=True)
    assert (sorted(receipt.accepted), receipt.duplicates, receipt.refused) == ([1, 3], [2], [])
    bodies = ids_of(house.store, "intake", "channel = 'api'")
    assert house.sync.acceptor.accept(event("1"), batch=False).duplicates == [1]
    assert len(ids_of(house.store, "message", "type = 'order.placed'")) == 2
    house.run()
    assert house.wms.effects["order", "S1"] == 1
    assert ids_of(house.store, "intake", "channel = 'api'") == bodies, (
        "a request of which nothing was new leaves no record"
    )


def test_a_state_that_is_told_again_is_a_new_message_and_an_old_level_changes_nothing(house: House) -> None:
    first = house.clock.now().isoformat()
    house.level(SKU, 10)
    house.run(minutes=1, step=30)
    house.level(SKU, 20)
    house.run()
    house.clock.advance(LONG.total_seconds())
    archiver(house).run()
    [kept] = ids_of(house.store, "message", "type = 'stock.level'")
    house.level(SKU, 10, source_at=first)
    house.run()
    assert len(ids_of(house.store, "message", "type = 'stock.level'")) == 2
    assert kept in ids_of(house.store, "message")
    assert house.shop.levels[SKU, "WH1"] == 18


def test_only_documents_are_remembered_and_by_16_bytes_and_an_id(house: House) -> None:
    house.level(SKU, 10)
    house.order("#1001", SKU, 1)
    house.run(minutes=1, step=30)
    house.level(SKU, 20)
    house.run()
    order = ids_of(house.store, "message", "type = 'order.placed'")
    forget(house)
    assert ids_of(house.store, "message_seen") == order


def test_a_document_that_was_put_back_is_known_by_itself(
    store: Store, clock: ManualClock, tmp_path: Path, address: str
) -> None:
    house = house_of(store, clock, tmp_path, archive=address)
    house.sync.acceptor.accept(event("1"), batch=False)
    house.run()
    before = rows_of(store)
    forget(house)
    restore_all(house)
    assert rows_of(store) == before
    assert house.sync.acceptor.accept(event("1"), batch=False).duplicates == [1]
    house.clock.advance(LONG.total_seconds())
    archiver(house).run()
    assert house.sync.acceptor.accept(event("1"), batch=False).duplicates == [1]


def test_a_document_told_while_it_is_being_deleted_is_not_new(
    postgresql_store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """PostgreSQL lets the insert wait until the deletion is committed, and then go in."""
    house = house_of(postgresql_store, clock, tmp_path)
    data = json.loads(event("1"))["data"]
    draft = Draft("order.placed", "S1", "the key", clock.now(), data)

    def told() -> str | None:
        with house.store.write() as connection:
            return append(connection, clock, draft, source="shop", registry_version=1, trace_id="")

    first = told()
    answers: list[str | None] = []
    other = threading.Thread(target=lambda: answers.append(told()))
    with house.store.write() as connection:
        seen.remember(connection, [first or ""])
        connection.execute(text("DELETE FROM message"))
        other.start()
        while not waits_for_a_lock(house.store):
            other.join(0.01)
            assert other.is_alive(), "it waits for this transaction"
    other.join()
    assert answers == [None]
    assert told() is None, "and when it is deleted"
    assert ids_of(house.store, "message") == set()


def waits_for_a_lock(store: Store, table: str = "message") -> bool:
    """Say whether some insert into the table waits for another transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :what"
    with store.engine.connect() as connection:
        return bool(connection.execute(text(query), {"what": f"%INSERT INTO {table} %"}).scalar_one())


# --- the same document, by another event ---


def receipt(ref: str, event_id: str) -> bytes:
    """Goods that came in, as the warehouse sends them to the API."""
    at = "2026-03-02T08:59:00Z"
    data = {
        "receipt": ref, "purchase_order": "PO-1", "location": "WH1", "received_at": at,
        "lines": [{"sku": SKU, "quantity": 3}],
    }  # fmt: skip
    told = {
        "specversion": "1.0", "id": event_id, "source": "wms", "type": "receipt.received", "subject": ref, "time": at,
    }  # fmt: skip
    return json.dumps(told | {"data": data}).encode()


def forget_receipts(house: House) -> None:
    """Let a receipt be delivered, grow old and go, from here and from the vendor's memory of keys."""
    house.sync.acceptor.accept(receipt("S1", "first"), batch=False)
    house.run()
    house.clock.advance(LONG.total_seconds())
    archiver(house).run()
    assert ids_of(house.store, "delivery", "subject = 'S1'") == set()
    house.erp.by_key.clear()


def test_a_document_that_another_event_tells_of_after_its_retention_is_sent_no_second_time(house: House) -> None:
    forget_receipts(house)
    accepted = house.sync.acceptor.accept(receipt("S1", "again") + b"\n" + receipt("S2", "new"), batch=True).accepted
    assert sorted(accepted) == [1, 2], "to the ledger it is new"
    house.run()
    assert house.erp.effects == {("item_receipt", "S1"): 1, ("item_receipt", "S2"): 1}
    assert len(ids_of(house.store, "delivery", "coalesce = false")) == 1
    assert not ids_of(house.store, "message", "state <> 'processed'")


def test_nor_is_it_by_a_replay_from_the_ledger(house: House) -> None:
    forget_receipts(house)
    house.sync.acceptor.accept(receipt("S1", "again"), batch=False)
    house.run()
    house.clock.advance(1)
    now = house.clock.now()
    found = house.sync.reprocessing.preview(Request("receipts", now - timedelta(days=1), now, "outage"))
    assert found["counts"] == {"erp": {"already_delivered": 1}}


def test_what_waits_behind_a_document_that_is_settled_is_not_held_up(house: House) -> None:
    house.order("S1", SKU, 1)
    forget_receipts(house)
    house.sync.acceptor.accept(receipt("S1", "again"), batch=False)
    house.shipment("SH1", "S1", SKU, 1)
    house.run(minutes=1, step=10)
    assert house.erp.effects["item_fulfillment", "SH1"] == 1


def test_a_document_told_anew_while_its_delivery_is_being_deleted_is_not_owed_again(
    postgresql_store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """PostgreSQL lets the insert wait until the deletion is committed, and then go in."""
    house = house_of(postgresql_store, clock, tmp_path)
    house.sync.acceptor.accept(receipt("S1", "first"), batch=False)
    house.run()
    house.sync.acceptor.accept(receipt("S1", "again"), batch=False)
    other = threading.Thread(target=house.sync.process)
    with house.store.write() as connection:
        settled.remember(connection, sorted(ids_of(house.store, "delivery")))
        connection.execute(text("DELETE FROM delivery WHERE subject = 'S1'"))
        other.start()
        while not waits_for_a_lock(house.store, "delivery"):
            other.join(0.01)
            assert other.is_alive(), "it waits for this transaction"
    other.join()
    assert ids_of(house.store, "delivery", "subject = 'S1'") == set()
