"""What is open, what is young, and the last that is known of anything stays, however long ago it was."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft
from controlplane.connectors.numbers import StoredNumbers
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.ledger import append
from rules.ids import new_id
from tests.controlplane.sync.archive.kit import (
    LONG,
    archiver,
    faults,
    history,
    house_of,
    ids_in,
    ids_of,
    restore_all,
    rows_of,
    uris,
)
from tests.controlplane.sync.kit import PLAIN, House
from tests.controlplane.sync.test_loop import SKU


@pytest.fixture
def young(store: Store, clock: ManualClock, tmp_path: Path, address: str) -> House:
    """A retailer that archives, to whom nothing has happened but one level."""
    house = house_of(store, clock, tmp_path, archive=address)
    house.level(SKU, 10)
    house.run()
    return house


def pass_by(house: House, time: timedelta = LONG) -> dict[str, object]:
    """Let the time go by, and retention be kept."""
    house.clock.advance(time.total_seconds())
    return archiver(house).run()


def about(house: House, subject: str) -> dict[str, list[str]]:
    """Return the ids of what there is about a subject, by table."""
    with house.store.read() as connection:
        return {
            table: ids_in(connection, table, f"subject = '{subject}'")
            for table in ("message", "delivery", "quarantine")
        }


def test_nothing_goes_before_its_time(house: House, clock: ManualClock) -> None:
    """A history of yesterday, beside one that is old."""
    history_before = ids_of(house.store, "message")
    house.level(SKU, 70)
    house.run(minutes=1)
    fresh = ids_of(house.store, "message") - history_before
    archiver(house).run()
    assert fresh <= ids_of(house.store, "message")
    assert len(fresh) == 2, "the level and its offer"


def test_attempts_go_before_the_messages_that_they_belong_to(
    store: Store, clock: ManualClock, tmp_path: Path, address: str
) -> None:
    house = house_of(store, clock, tmp_path, archive=address)
    history(house)
    before = rows_of(store)
    told = pass_by(house, timedelta(days=65))
    assert set(told["rows"]) == {"attempt", "intake"}  # type: ignore[call-overload]
    assert ids_of(store, "attempt") == set()
    restore_all(house)
    assert rows_of(store) == before


def test_an_open_delivery_keeps_its_message_its_attempts_and_its_record(young: House) -> None:
    young.erp.down = True
    young.order("#1001", SKU, 1)
    young.run(minutes=1, step=30)
    tries = ids_of(young.store, "attempt", "outcome = 'unavailable'")
    pass_by(young)
    assert tries
    assert tries <= ids_of(young.store, "attempt")
    assert len(about(young, "#1001")["delivery"]) == 2, "the one that is done goes with the other"
    assert len(ids_of(young.store, "intake", "topic = 'order.placed'")) == 1
    young.erp.down = False
    young.run(minutes=10, step=60)
    assert young.erp.effects["sales_order", "#1001"] == 1, "and it can be sent still"


@pytest.mark.parametrize("decision", ["waiting", "corrected"])
def test_a_message_that_waits_for_a_person_stays_and_its_time_begins_when_that_ends(
    young: House, decision: str
) -> None:
    young.erp.faults.append("rejected")
    young.order("#1001", SKU, 1)
    young.run()
    [case] = ids_of(young.store, "quarantine")
    if decision == "corrected":
        with young.store.write() as connection:
            record = connection.execute(select(t.quarantine.c.record).where(t.quarantine.c.id == case)).scalar_one()
            lines = [{**line, "sku": "0001-WHT-L"} for line in record["lines"]]
            quarantine.correct(connection, young.clock, case, {**record, "lines": lines}, "olga", PLAIN)
    pass_by(young)
    found = about(young, "#1001")
    assert (len(found["message"]), len(found["quarantine"])) == (1, 1)
    with young.store.write() as connection:
        quarantine.drop(connection, young.clock, case, "olga", "a test")
    pass_by(young, timedelta(days=80))
    assert about(young, "#1001") == found, "it ended 80 days ago"
    pass_by(young, timedelta(days=20))
    assert about(young, "#1001") == {"message": [], "delivery": [], "quarantine": []}


def test_a_record_that_could_not_be_understood_stays_until_somebody_decides(young: House) -> None:
    young.level("UNKNOWN", 5)
    young.run()
    [case] = ids_of(young.store, "quarantine", "stage = 'intake'")
    young.clock.advance(60)
    young.level(SKU, 11)
    young.run()
    pass_by(young)
    assert len(ids_of(young.store, "intake", "state = 'quarantined'")) == 1
    with young.store.write() as connection:
        quarantine.drop(connection, young.clock, case, "olga", "a test")
    pass_by(young, timedelta(days=31))
    assert ids_of(young.store, "intake", "state = 'quarantined'") == set()
    assert ids_of(young.store, "quarantine") == {case}, "the case is kept as long as messages"
    pass_by(young)
    assert ids_of(young.store, "quarantine") == set()


def test_a_message_that_a_process_refused_stays_until_somebody_decides(young: House) -> None:
    young.shipment("S9", "#9999", SKU, 1)
    young.run()
    pass_by(young)
    assert len(about(young, "S9")["message"]) == 1


def test_what_was_not_understood_or_processed_yet_stays(young: House) -> None:
    for on_hand in (11, 12):
        young.sync.translate()
        young.clock.advance(60)
        young.level(SKU, on_hand)
    pass_by(young)
    assert len(ids_of(young.store, "intake", "state = 'new'")) == 1
    assert len(ids_of(young.store, "message", "state = 'accepted'")) == 1
    young.run()
    assert young.shop.levels[SKU, "WH1"] == 10


def test_the_newest_of_each_state_stays_with_its_deliveries_and_older_ones_go(young: House) -> None:
    for on_hand in (20, 30):
        young.level(SKU, on_hand)
        young.run(minutes=1, step=30)
    young.product(SKU, "5.00")
    young.run()
    newest = {
        kind: max(ids_of(young.store, "message", f"type = '{kind}'"))
        for kind in ("stock.level", "stock.offer", "product.described")
    }
    pass_by(young)
    for kind, identity in newest.items():
        assert ids_of(young.store, "message", f"type = '{kind}'") == {identity}
    [delivery] = ids_of(young.store, "delivery", "entity = 'available'")
    assert ids_of(young.store, "delivery", f"message_id = '{newest['stock.offer']}'") == {delivery}


def test_of_offers_the_newest_of_each_channel_stays(young: House) -> None:
    """Two channels show the same stock: the newest offer of the one is older than that of the other."""
    data = {"sku": SKU, "location": "WH1", "quantity": 3, "expected": None, "rule_revision": "r"}
    made = {}
    with young.store.write() as connection:
        for number, channel in enumerate(("market", "market", "shop", "shop")):
            draft = Draft(
                "stock.offer", f"{SKU}@WH1", f"{channel}:{number}", young.clock.now(), data | {"channel": channel}
            )
            made[channel] = append(
                connection, young.clock, draft, source="plane", registry_version=1, trace_id=f"{number}"
            )
    young.run(minutes=1, step=30)
    pass_by(young)
    assert ids_of(young.store, "message", "type = 'stock.offer'") == set(made.values())


def test_the_last_that_was_sent_to_a_target_stays_though_a_newer_message_is_there(young: House) -> None:
    """A replay sends an older state again: what the target shows is told by that delivery."""
    young.clock.advance(60)
    young.level(SKU, 15)
    young.run(minutes=1, step=30)
    with young.store.read() as connection:
        [offer] = connection.execute(select(t.message).where(t.message.c.type == "stock.offer")).mappings().all()
    young.level(SKU, 20)
    young.run(minutes=1, step=30)
    with young.store.write() as connection:
        last = connection.execute(select(t.delivery).where(t.delivery.c.coalesce).order_by(t.delivery.c.id.desc()))
        row = dict(last.mappings().first() or {})
        again = row | {"id": new_id(young.clock.now()), "message_id": offer["id"], "idempotency_key": "again"}
        connection.execute(insert(t.delivery).values(**again))
    pass_by(young)
    assert offer["id"] in ids_of(young.store, "message")


@pytest.mark.parametrize("subject", [None, "#1001"])
def test_what_a_running_replay_goes_through_stays_until_it_is_done(young: House, subject: str | None) -> None:
    young.order("#1001", SKU, 1)
    young.run()
    since = young.clock.now() - timedelta(minutes=5)
    young.clock.advance(3600)
    young.order("#1002", SKU, 1)
    young.run()
    row = {
        "id": "r", "flow": "orders", "subject": subject, "since": since, "until": since + timedelta(minutes=30), "rate": 1.0,
        "state": "running", "counts": {}, "asked_by": "olga", "asked_at": since, "reason": "",
    }  # fmt: skip
    with young.store.write() as connection:
        connection.execute(insert(t.replay).values(**row))
    pass_by(young)
    assert len(about(young, "#1001")["message"]) == 1
    assert about(young, "#1002")["message"] == [], "it came after the time that is replayed"
    with young.store.write() as connection:
        connection.execute(update(t.replay).values(state="done"))
    pass_by(young, timedelta(days=1))
    assert about(young, "#1001")["message"] == []


def test_when_a_system_was_last_heard_of_is_known_still(young: House) -> None:
    young.clock.advance(60)
    young.level(SKU, 11)
    young.run()
    pass_by(young)
    assert len(ids_of(young.store, "intake", "system = 'wms'")) == 1
    assert len(ids_of(young.store, "intake", "system = 'erp'")) == 1


def test_what_no_flow_carries_is_kept_as_long_as_the_longest_and_goes_where_that_goes(
    store: Store, clock: ManualClock, tmp_path: Path, address: str
) -> None:
    longest = {"messages": "200d", "archive": f"{address}/long"}
    house = house_of(store, clock, tmp_path, archive=address, finance=longest)
    with store.write() as connection:
        for kind in ("sale.recorded", "receipt.received"):
            when = clock.now()
            row = {
                "id": new_id(when), "type": kind, "schema_version": 1, "source": "nobody", "subject": "x", "dedupe_key": kind,
                "occurred_at": when, "accepted_at": when, "trace_id": "", "data": {}, "state": "processed",
                "registry_version": 1,
            }  # fmt: skip
            connection.execute(insert(t.message).values(**row))
    pass_by(house, timedelta(days=190))
    assert len(ids_of(store, "message", "source = 'nobody'")) == 2
    pass_by(house, timedelta(days=11))
    assert ids_of(store, "message", "source = 'nobody'") == set()
    assert [uri.startswith(f"{address}/long/finance/messages/") for uri in uris(house)][-2:] == [True, True]


def test_without_an_archive_old_rows_are_deleted_for_good_and_that_is_written_down(
    store: Store, clock: ManualClock, tmp_path: Path, address: str
) -> None:
    house = house_of(store, clock, tmp_path, archive=address, orders={"archive": ""})
    history(house)
    house.clock.advance(LONG.total_seconds())
    archiver(house).run()
    assert about(house, "#1001")["message"] == []
    assert not (tmp_path / "archive" / "orders").exists()
    with store.read() as connection:
        a = t.archive.c
        rows = connection.execute(select(a.kind, a.tables, a.state).where(a.domain == "orders", a.uri == "")).all()
    assert {row.kind for row in rows} >= {"attempts", "messages"}
    assert {row.state for row in rows} == {"done"}
    assert sum(row.tables.get("message", 0) for row in rows) == 3


def test_what_something_happens_to_while_its_part_is_written_stays_and_is_archived_with_that(house: House) -> None:
    """Between the writing and the deleting a replay makes a delivery of an old order."""
    before = rows_of(house.store)
    [order] = about(house, "#1001")["message"]
    made: list[str] = []

    def replayed(step: str, path: str) -> None:
        if step == "moved" and path.endswith("manifest.json") and "/orders/messages/" in path and not made:
            with house.store.write() as connection:
                row = connection.execute(select(t.delivery).where(t.delivery.c.message_id == order)).mappings().first()
                made.append(new_id(house.clock.now()))
                finished = {"id": made[0], "idempotency_key": "again", "finished_at": house.clock.now()}
                connection.execute(insert(t.delivery).values(**dict(row or {}) | finished))

    with faults(replayed):
        told = archiver(house).run()
    assert told["held"] == 1
    assert about(house, "#1001")["message"] == [order]
    pass_by(house)
    assert about(house, "#1001")["message"] == []
    restore_all(house)
    after = rows_of(house.store)
    assert ids_of(house.store, "delivery", "idempotency_key = 'again'") == set(made)
    assert after["message"] == before["message"]


def test_a_process_that_ends_stops_after_the_transaction_that_it_is_at(house: House) -> None:
    before = rows_of(house.store)
    stopping = threading.Event()

    def stop(step: str, path: str) -> None:
        if step == "moved" and path.endswith("manifest.json") and "/orders/messages/" in path:
            stopping.set()

    with faults(stop):
        told = archiver(house, stopping=stopping).run()
    assert told["whole"] is False
    assert len(about(house, "#1001")["message"]) == 1, "written, and not deleted"
    assert archiver(house).run()["whole"] is True
    restore_all(house)
    assert rows_of(house.store) == before


def test_of_two_processes_only_one_is_at_it(house: House) -> None:
    other = archiver(house)
    told: list[dict[str, object]] = []

    def meanwhile(step: str, path: str) -> None:
        if not told:
            told.append({})
            told[0] = other.run()

    with faults(meanwhile):
        mine = archiver(house).run()
    assert told[0]["elsewhere"] is True
    assert told[0]["rows"] == {}
    assert mine["elsewhere"] is False


def test_what_was_looked_at_today_is_looked_at_again_only_when_somebody_asks(house: House) -> None:
    one = archiver(house)
    one.run()
    with house.store.write() as connection:
        connection.execute(update(t.archive).values(restored_until=None))
    restore_all(house, kept=timedelta(seconds=1))
    house.clock.advance(2)
    with house.store.write() as connection:
        connection.execute(update(t.archive).values(restored_until=None))
    assert one.run()["rows"] == {}
    assert one.run(anew=True)["rows"] != {}


def test_a_domain_that_says_nothing_of_retention_loses_no_message_and_no_attempt(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """Records as they came go after a month; what became of them stays for good."""
    house = house_of(store, clock, tmp_path, retention=None)
    history(house)
    with store.read() as connection:
        before = {table: ids_in(connection, table) for table in ("message", "delivery", "attempt", "quarantine")}
        raw = len(ids_in(connection, "intake"))
    pass_by(house, timedelta(days=4000))
    with store.read() as connection:
        assert {table: ids_in(connection, table) for table in before} == before
        assert len(ids_in(connection, "intake")) < raw


def test_numbers_that_documents_bore_go_with_their_deliveries_and_the_newest_stays(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    house = house_of(store, clock, tmp_path, archive="")
    history(house)
    numbers = StoredNumbers(store, clock, "erp")
    with store.read() as connection:
        keys = list(
            connection.execute(select(t.delivery.c.idempotency_key).where(t.delivery.c.target == "erp")).scalars()
        )
    assert len(keys) > 2
    for key in keys:
        numbers.take("feed", f"{key}#0")
        numbers.take("feed", f"{key}#1")
    of_no_delivery, newest = numbers.take("feed", "ack/1"), numbers.take("feed", "ack/2")
    pass_by(house)
    with store.read() as connection:
        left = set(connection.execute(select(t.control_number.c.key)).scalars())
        there = set(connection.execute(select(t.delivery.c.idempotency_key)).scalars())
    assert left == {"ack/1", "ack/2"} | {f"{key}#{at}" for key in keys if key in there for at in (0, 1)}
    assert len(left) < 2 * len(keys)
    assert numbers.take("feed", "another").value > newest.value > of_no_delivery.value
