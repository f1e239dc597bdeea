"""Retention beside traffic: small transactions, room between them, no more memory than a part of a part."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import insert

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from rules.retention import LARGEST
from tests.controlplane.sync.archive.kit import archiver, deletions, house_of, ids_of, restore_all, uris
from tests.controlplane.sync.kit import House

OLD = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["archive", ""])
def house(request: pytest.FixtureRequest, store: Store, clock: ManualClock, tmp_path: Path, address: str) -> House:
    """A retailer that archives, and one that only deletes."""
    return house_of(store, clock, tmp_path, archive=address if request.param else "")


def old_orders(house: House, count: int, attempts: int = 1) -> None:
    """Insert old orders that went to two targets."""
    messages, deliveries, tries = [], [], []
    for number in range(count):
        key = f"{number:05}"
        when = OLD + timedelta(seconds=number)
        messages.append({
            "id": f"m{key}", "type": "order.placed", "schema_version": 1, "source": "shop", "subject": key, "dedupe_key": key,
            "occurred_at": when, "accepted_at": when, "trace_id": "", "data": {}, "state": "processed", "registry_version": 1,
        })  # fmt: skip
        for target in ("erp", "wms"):
            deliveries.append({
                "id": f"{target}{key}", "message_id": f"m{key}", "flow": "orders", "target": target, "entity": "order",
                "subject": key, "order_key": key, "idempotency_key": f"{target}{key}", "coalesce": False, "payload": {},
                "state": "delivered", "due_at": when, "deadline_at": when, "promise_at": when, "created_at": when,
                "finished_at": when, "retry_revision": "r", "registry_version": 1,
            })  # fmt: skip
            tries += [{
                "id": f"{target}{key}-{attempt:04}", "delivery_id": f"{target}{key}", "number": attempt, "kind": "write",
                "system": target, "flow": "orders", "started_at": when, "finished_at": when, "outcome": "delivered",
                "detail": "", "retry_revision": "r",
            } for attempt in range(attempts)]  # fmt: skip
    with house.store.write() as connection:
        connection.execute(insert(t.message), messages)
        connection.execute(insert(t.delivery), deliveries)
        connection.execute(insert(t.attempt), tries)


def test_no_transaction_deletes_more_rows_than_the_law_allows(house: House) -> None:
    old_orders(house, 900)
    with deletions(house.store) as counts:
        told = archiver(house).run()
    assert told["rows"] == {"attempt": 1800, "message": 900, "delivery": 1800}
    assert sum(counts) == 4500
    assert max(counts) <= LARGEST
    assert len(counts) >= 4500 / LARGEST


def test_a_message_with_more_rows_than_a_transaction_may_delete_goes_in_several(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """Its attempts belong to a flow that no domain has any more, which keeps them as long as the longest."""
    house = house_of(store, clock, tmp_path, archive="", finance={"attempts": "3000d", "messages": "3000d"})
    old_orders(house, 1, attempts=700)
    with store.write() as connection:
        connection.execute(t.attempt.update().values(flow="gone"))
    with deletions(store) as counts:
        archiver(house).run()
    assert ids_of(store, "message", "id LIKE 'm0%'") == ids_of(store, "attempt") == set()
    assert sum(counts) == 1403
    assert max(counts) <= LARGEST


def test_between_two_transactions_everybody_may_write(house: House) -> None:
    """In each pause an order comes in, is processed and sent."""
    old_orders(house, 300)

    class Busy(threading.Event):
        pauses = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.pauses += 1
            assert timeout
            assert timeout > 0
            house.order(f"#{self.pauses}", "0007-BLK-M", 1)
            house.sync.drain()
            return False

    busy = Busy()
    archiver(house, stopping=busy).run()
    assert ids_of(house.store, "message", "id LIKE 'm0%'") == set()
    assert busy.pauses > 3
    assert [house.erp.effects["sales_order", f"#{number + 1}"] for number in range(busy.pauses)] == [1] * busy.pauses


def test_accepting_and_delivering_go_on_without_an_error(house: House) -> None:
    old_orders(house, 1500)
    faults: list[BaseException] = []
    over = threading.Event()
    taken: list[str] = []

    def accept() -> None:
        for number in range(25):
            lines = [event(f"{number}-{line}") for line in range(20)]
            taken.extend(house.sync.acceptor.accept(b"\n".join(lines), batch=True).accepted.values())

    def deliver() -> None:
        while not over.is_set():
            house.sync.process()
            for target in ("erp", "wms"):
                house.sync.deliver(target)

    def guarded(step: object) -> None:
        try:
            step()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - told by the test
            faults.append(error)

    others = [threading.Thread(target=guarded, args=(step,)) for step in (accept, deliver)]
    for thread in others:
        thread.start()
    with deletions(house.store) as counts:
        guarded(lambda: archiver(house).run())
    over.set()
    for thread in others:
        thread.join()
    assert faults == []
    assert max(counts) <= LARGEST
    assert ids_of(house.store, "message", "id LIKE 'm0%'") == set()
    house.run()
    assert ids_of(house.store, "message", "subject LIKE 'S%'") == set(taken)
    assert sum(house.wms.effects.values()) == len(taken)


def event(key: str) -> bytes:
    """An order as somebody sends it to the API."""
    line = {"line": 1, "native_id": "L", "sku": "X", "location": "WH1", "quantity": 1, "unit_price": "1.00"}
    placed = "2026-03-02T08:59:00Z"
    data = {"ref": f"S{key}", "native_id": key, "placed_at": placed, "currency": "EUR", "lines": [line]}
    told = {
        "specversion": "1.0",
        "id": key,
        "source": "shop",
        "type": "order.placed",
        "subject": f"S{key}",
        "time": placed,
    }
    return json.dumps(told | {"data": data}).encode()


# --- memory ---

BODY = 500_000
COUNT = 160


@pytest.fixture
def full(sqlite_store: Store, clock: ManualClock, tmp_path: Path, address: str) -> House:
    """A retailer with 80 MB of raw records and as much in messages, and with an archive that was used before.

    So what is loaded at the first use, which is no part of the rows, is loaded.
    """
    house = house_of(sqlite_store, clock, tmp_path, archive=address)
    old_orders(house, 1)
    archiver(house).run()
    restore_all(house)
    for number in range(COUNT):
        when = OLD + timedelta(seconds=number)
        with sqlite_store.write() as connection:
            connection.execute(
                insert(t.intake).values(
                    id=f"i{number:03}", system="shop", channel="api", topic="", event_key=str(number), headers={},
                    body=number.to_bytes(2, "big") * (BODY // 2), received_at=when, trace_id="", state="translated",
                )
            )  # fmt: skip
            connection.execute(
                insert(t.message).values(
                    id=f"m{number:03}", type="order.placed", schema_version=1, source="shop", subject="#1",
                    dedupe_key=str(number), occurred_at=when, accepted_at=when, trace_id="",
                    data={"text": f"{number:03} " * (BODY // 4)}, state="processed", registry_version=1,
                )
            )  # fmt: skip
    return house


@pytest.fixture
def peak() -> Iterator[list[int]]:
    """Measure: the list holds the most bytes that Python and Arrow held together, once the test asks for it."""
    before = pa.default_memory_pool()
    watched = pa.proxy_memory_pool(before)
    pa.set_memory_pool(watched)
    tracemalloc.start()

    class Peak(list[int]):
        def __getitem__(self, _: object) -> int:  # type: ignore[override]
            return tracemalloc.get_traced_memory()[1] + (watched.max_memory() or 0)

    yield Peak()
    tracemalloc.stop()
    pa.set_memory_pool(before)


def test_archiving_and_putting_back_hold_a_small_share_of_the_rows_in_memory(full: House, peak: list[int]) -> None:
    assert archiver(full).run()["rows"] == {"intake": COUNT - 1, "message": COUNT}
    assert restore_all(full)["rows"] == {"intake": COUNT - 1, "message": COUNT}
    assert peak[0] < BODY * COUNT // 2, "a quarter of what there is"


def test_a_part_is_no_longer_than_it_may_be(store: Store, clock: ManualClock, tmp_path: Path, address: str) -> None:
    house = house_of(store, clock, tmp_path, archive=address)
    old_orders(house, 2500)
    archiver(house, part_rows=2000).run()
    assert len(uris(house)) == 3, "pages of 1000 messages, with 2 deliveries each"
    assert len(uris(house, "attempts")) == 3
    assert ids_of(store, "message", "id LIKE 'm0%'") == set()
    restore_all(house)
    assert len(ids_of(store, "message", "id LIKE 'm0%'")) == 2500
