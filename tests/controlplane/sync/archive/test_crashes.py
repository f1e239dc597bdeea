"""A process that ends anywhere on the way loses nothing, and the next one goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete, insert, select

from controlplane.clock import ManualClock
from controlplane.errors import UnavailableError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.place import Place
from controlplane.sync.ledger.archive import part
from tests.controlplane.sync.archive.kit import (
    TABLES,
    Crash,
    Doomed,
    archiver,
    crash_at,
    faults,
    house_of,
    ids_of,
    restore_all,
    rows_of,
    uris,
)
from tests.controlplane.sync.kit import House

AFTER_A_LEASE = 400.0
"""Seconds after which the lease of a dead process has run out."""

pytestmark = pytest.mark.slow
"""Every step of the archive is a crash of its own: minutes."""


@pytest.fixture
def house(store: Store, clock: ManualClock, tmp_path: Path, address: str) -> House:
    """A retailer that archives."""
    return house_of(store, clock, tmp_path, archive=address)


def fill(house: House, tmp_path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Begin anew: an empty archive, and a few old rows of each kind; return them as the database has them."""
    shutil.rmtree(tmp_path / "archive", ignore_errors=True)
    when = datetime(2024, 1, 1, tzinfo=UTC)
    with house.store.write() as connection:
        for name in (*TABLES, "archive", "message_seen", "lease"):
            connection.execute(delete(t.metadata.tables[name]))
        for number in range(3):
            m, d = f"m{number}", f"d{number}"
            connection.execute(insert(t.message).values(
                id=m, type="order.placed", schema_version=1, source="shop", subject=m, dedupe_key=m, occurred_at=when,
                accepted_at=when, trace_id="", data={"ref": m}, state="processed", registry_version=1,
            ))  # fmt: skip
            connection.execute(insert(t.delivery).values(
                id=d, message_id=m, flow="orders", target="erp", entity="order", subject=m, order_key=m,
                idempotency_key=m, coalesce=False, payload={}, state="delivered", due_at=when, deadline_at=when,
                promise_at=when, created_at=when, finished_at=when, retry_revision="r", registry_version=1,
            ))  # fmt: skip
            connection.execute(insert(t.quarantine).values(
                id=f"q{number}", stage="delivery", system="erp", flow="orders", reason_code="", reason="", remedy="",
                subject=m, record={}, message_id=m, delivery_id=d, state="replayed", owner="", opened_at=when,
                closed_at=when,
            ))  # fmt: skip
            connection.execute(insert(t.intake).values(
                id=f"i{number}", system="shop", channel="webhook", topic="", event_key=m, headers={}, body=m.encode(),
                received_at=when + timedelta(seconds=number), trace_id="", state="translated",
            ))  # fmt: skip
        connection.execute(insert(t.attempt), [
            {"id": f"a{number:03}", "delivery_id": f"d{number % 3}", "number": number, "kind": "write", "system": "erp",
             "flow": "orders", "started_at": when, "finished_at": when, "outcome": "delivered", "detail": "",
             "retry_revision": "r"}
            for number in range(150)
        ])  # fmt: skip
    return rows_of(house.store)


def everywhere(house: House, tmp_path: Path) -> dict[str, set[str]]:
    """Return the ids that are in the store, or in a part that is whole."""
    found = {name: ids_of(house.store, name) for name in TABLES}
    for manifest in (tmp_path / "archive").rglob("manifest.json"):
        told, _ = part.verified(Place(f"file://{manifest.parent}"))
        for file in told.files:
            found[file.table] |= set(pq.read_table(manifest.parent / file.name).column("id").to_pylist())
    return found


def goes_on(house: House, tmp_path: Path, before: dict[str, list[tuple[Any, ...]]], end: dict[str, Any]) -> None:
    """Hold that nothing is lost now, that the next process ends where an undisturbed one does, and that all can come back."""
    whole = {
        name: {row[0] if house.store.is_sqlite else row[0][1:].split(",")[0] for row in rows}
        for name, rows in before.items()
    }
    assert everywhere(house, tmp_path) == whole
    house.clock.advance(AFTER_A_LEASE)
    archiver(house).run()
    assert rows_of(house.store) == end
    with house.store.read() as connection:
        assert set(connection.execute(select(t.archive.c.state)).scalars()) == {"done"}
    assert list((tmp_path / "archive").rglob("*.tmp")) == []
    manifests = {str(path.parent) for path in (tmp_path / "archive").rglob("manifest.json")}
    recorded = [uri for kind in ("raw", "attempts", "messages") for uri in uris(house, kind)]
    assert manifests == {uri.removeprefix("faulty://") for uri in recorded}, "no part that nobody knows of"
    restore_all(house)
    assert rows_of(house.store) == before


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_killed_at_any_step_of_the_archives_file_system_loses_nothing(
    house: House, tmp_path: Path, stride: int
) -> None:
    before = fill(house, tmp_path)
    archiver(house).run()
    end = rows_of(house.store)
    step = 0
    while True:
        before = fill(house, tmp_path)
        try:
            with faults(crash_at(step)):
                archiver(house).run()
        except Crash:
            goes_on(house, tmp_path, before, end)
            step += stride
            continue
        break
    assert step > 60, "three parts, of up to three files and a manifest, each opened, written, renamed and read back"


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4])
def test_a_process_killed_between_two_transactions_loses_nothing(house: House, tmp_path: Path, turns: int) -> None:
    before = fill(house, tmp_path)
    archiver(house).run()
    end = rows_of(house.store)
    before = fill(house, tmp_path)
    try:
        archiver(house, stopping=Doomed(turns)).run()
    except Crash:
        assert turns < 4, "150 attempts in 2 transactions, then one for each other part"
    goes_on(house, tmp_path, before, end)


def fails_at(number: int) -> Callable[[str, str], None]:
    """Return a fault that a file system reports at the step of this number, and is over after that."""
    count = -1

    def before(step: str, path: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise OSError(28, "No space left on device")

    return before


def test_an_archive_that_fails_at_any_step_is_told_and_nothing_is_lost(house: House, tmp_path: Path) -> None:
    fill(house, tmp_path)
    archiver(house).run()
    end = rows_of(house.store)
    for step in range(0, 60, 11):
        before = fill(house, tmp_path)
        told = r"No space left on device.*Nothing was deleted on account of it"
        with faults(fails_at(step)), pytest.raises(UnavailableError, match=told):
            archiver(house).run()
        goes_on(house, tmp_path, before, end)


def test_one_archive_that_is_away_holds_up_no_other(
    store: Store, clock: ManualClock, tmp_path: Path, address: str
) -> None:
    house = house_of(store, clock, tmp_path, archive=address, shipments={"archive": f"{address}/away"})
    fill(house, tmp_path)
    with store.write() as connection:
        shipped = select(t.message).where(t.message.c.id == "m0")
        row = dict(connection.execute(shipped).mappings().one())
        other = {"id": "s0", "type": "shipment.shipped", "source": "wms", "dedupe_key": "s0", "fingerprint": b"s0"}
        connection.execute(insert(t.message).values(**row | other))

    def away(step: str, path: str) -> None:
        if "/away" in path:
            raise TimeoutError("no answer")

    with faults(away), pytest.raises(UnavailableError, match=r"away.*no answer.*what else was due is done"):
        archiver(house).run()
    assert ids_of(store, "message") == {"s0"}


def test_bytes_that_the_store_of_the_archive_turned_over_delete_nothing(house: House, tmp_path: Path) -> None:
    """What is read back is not what was written."""
    before = fill(house, tmp_path)

    def turned(step: str, path: str) -> None:
        if step == "moved" and path.endswith(".parquet"):
            data = bytearray(Path(path).read_bytes())
            data[len(data) // 2] ^= 1
            Path(path).write_bytes(data)

    with faults(turned), pytest.raises(UnavailableError, match="is not what was written"):
        archiver(house).run()
    assert rows_of(house.store) == before
    archiver(house).run()
    assert ids_of(house.store, "message") == set(), "the next run writes it anew"


def test_a_database_from_a_back_up_finds_the_part_that_it_does_not_know_of(house: House, tmp_path: Path) -> None:
    before = fill(house, tmp_path)
    archiver(house).run()
    parts = sorted((tmp_path / "archive").rglob("*.*"))
    end = rows_of(house.store)
    with house.store.write() as connection:
        connection.execute(delete(t.archive))
    copy_back(house, tmp_path)
    assert rows_of(house.store) == before
    told = archiver(house).run()
    assert told["parts"] == 3
    assert rows_of(house.store) == end
    assert sorted((tmp_path / "archive").rglob("*.*")) == parts, "nothing was written twice"


def test_a_part_of_the_same_rows_with_another_history_is_not_overwritten(house: House, tmp_path: Path) -> None:
    """After a back-up was put back the same order was sent again, and another thing came of it."""
    fill(house, tmp_path)
    archiver(house).run()
    first = {path: path.read_bytes() for path in (tmp_path / "archive").rglob("*.*")}
    with house.store.write() as connection:
        connection.execute(delete(t.archive))
    copy_back(house, tmp_path)
    with house.store.write() as connection:
        connection.execute(t.delivery.update().values(detail="sent again"))
    archiver(house).run()
    assert {path: path.read_bytes() for path in first} == first
    assert [uri.endswith("_2") for uri in uris(house)] == [True]


def copy_back(house: House, tmp_path: Path) -> None:
    """Insert the rows again as `fill` does, and leave the archive as it is."""
    kept = tmp_path / "archive"
    aside = tmp_path / "aside"
    kept.rename(aside)
    fill(house, tmp_path)
    aside.rename(kept)
