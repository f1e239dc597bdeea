"""Replay from the ledger: what an outage kept from its targets is sent, and what they have is not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from controlplane.audit import chain
from controlplane.clock import ManualClock
from controlplane.connectors.contract import WriteSpec
from controlplane.errors import BadInputError, ConflictError, NotFoundError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.engines import stretches
from controlplane.sync.engines.reprocess import Request
from rules.ids import new_id
from rules.outcomes import Guarantee
from tests.conftest import START
from tests.controlplane.sync.backlog import Still, orders
from tests.controlplane.sync.kit import PLAIN, House, Vendor
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU, rows, states

PRODUCT = {"sku": SKU, "title": "Cap", "unit_cost": "4.00", "unit_price": None, "currency": "USD"}


class Slow(ManualClock):
    """Everything takes a second."""

    ticks = 0

    def stopwatch(self) -> float:
        self.ticks += 1
        return self.ticks / self.pace


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when it is told to, for durations too."""
    return Still(START)


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer with one product, whose shop shows 8 of it."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    house.product(SKU, "4.00")
    house.level(SKU, 10)
    house.run()
    return house


def asked(house: House, flow: str = "orders", **given: Any) -> Request:
    """A request for all that was accepted until now."""
    since = house.clock.now() - timedelta(days=30)
    return Request(**{"flow": flow, "since": since, "until": house.clock.now(), "reason": "outage", **given})


def replayed(house: House, flow: str = "orders", seconds: int = 60, **given: Any) -> dict[str, Any]:
    """Replay, and let it come to its end; return its row."""
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house, flow, **given), "olga")
    for _ in range(seconds):
        house.sync.reprocessing.advance()
        house.sync.drain()
        if row(house, replay_id)["state"] != "running":
            break
        house.clock.advance(1)
    house.run(minutes=1 / 12)  # what was written ahead falls due
    found = row(house, replay_id)
    assert found["state"] == "done", found
    return found


def row(house: House, replay_id: str) -> dict[str, Any]:
    """The row of a replay."""
    return next(each for each in rows(house, t.replay) if each["id"] == replay_id)


def deliveries(house: House, target: str, entity: str) -> list[dict[str, Any]]:
    """Deliveries to a target, oldest first."""
    found = [each for each in rows(house, t.delivery) if (each["target"], each["entity"]) == (target, entity)]
    return sorted(found, key=lambda each: str(each["id"]))


def without_guarantee(vendor: Vendor) -> None:
    """Let a vendor neither de-duplicate nor be asked."""
    vendor.guarantee = Guarantee.NONE
    specs = tuple(WriteSpec(spec.entity, (), Guarantee.NONE, 5.0) for spec in vendor.manifest.writes)
    vendor.manifest = type(vendor.manifest)(vendor.name, vendor.name, writes=specs)  # type: ignore[misc]


# --- documents ---


def test_a_document_that_was_delivered_is_counted_and_not_sent(house: House) -> None:
    house.order("#1001", SKU, 1)
    house.run()
    writes = house.erp.writes, house.wms.writes
    found = replayed(house)
    assert found["counts"] == {"erp": {"already_delivered": 1}, "wms": {"already_delivered": 1}}
    assert (house.erp.writes, house.wms.writes) == writes
    assert states(house, "order") == ["delivered"]


def test_a_document_on_its_way_is_left_alone(house: House) -> None:
    house.erp.down = True
    house.order("#1001", SKU, 1)
    house.run()
    assert replayed(house)["counts"]["erp"] == {"under_way": 1}
    house.erp.down = False
    house.run(minutes=6)
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_what_gave_up_in_an_outage_is_sent_under_its_key_and_its_case_keeps_its_history(house: House) -> None:
    change(house, "RetryPolicy", "default", max_attempts=2, jitter=False)
    house.erp.down = house.wms.down = True
    house.order("#1001", SKU, 1)
    house.run(minutes=2)
    before = {each["target"]: each for each in rows(house, t.delivery) if each["flow"] == "orders"}
    assert {each["state"] for each in before.values()} == {"quarantined"}
    house.erp.down = house.wms.down = False
    found = replayed(house)
    house.run(minutes=2)
    assert found["counts"] == {"erp": {"reopened": 1}, "wms": {"reopened": 1}}
    assert house.erp.effects["sales_order", "#1001"] == house.wms.effects["order", "#1001"] == 1
    after = {each["target"]: each for each in rows(house, t.delivery) if each["flow"] == "orders"}
    assert {k: (v["id"], v["idempotency_key"]) for k, v in after.items()} == {
        k: (v["id"], v["idempotency_key"]) for k, v in before.items()
    }
    cases = [each for each in rows(house, t.quarantine) if each["stage"] == "delivery"]
    assert {(each["state"], each["closed_by"]) for each in cases} == {("replayed", "olga")}
    told = [each for each in rows(house, t.action) if each["action"] == "quarantine.replay"]
    assert [each["before"]["state"] for each in told] == ["waiting", "waiting"]
    steps = {
        (each["case_id"], each["actor"], each["note"])
        for each in rows(house, t.quarantine_event)
        if each["kind"] == "replayed"
    }
    assert steps == {(each["id"], "olga", f"by the replay {found['id']}") for each in cases}
    with house.store.read() as connection:
        assert chain.verify(connection) == []


def test_a_write_that_may_have_taken_effect_is_read_back_before_it_is_tried_again(house: House) -> None:
    change(house, "RetryPolicy", "default", max_attempts=1)
    house.wms.faults.append("lost answer")
    house.order("#1001", SKU, 1)
    house.run(minutes=1)
    [delivery] = deliveries(house, "wms", "order")
    assert delivery["state"] == "quarantined"
    assert house.wms.effects["order", "#1001"] == 1, "it had taken effect"
    replayed(house, target="wms")
    assert house.wms.writes == 1
    kinds = [(each["kind"], each["outcome"]) for each in rows(house, t.attempt) if each["system"] == "wms"]
    assert kinds == [("write", "unknown"), ("read-back", "already_delivered")]


def test_a_document_that_a_person_dropped_is_owed_again_in_its_line(house: House) -> None:
    house.erp.faults.append("rejected")
    house.order("#1001", SKU, 1)
    house.run()
    house.erp.down = True
    house.shipment("SH1", "#1001", SKU, 1)
    [case] = [each for each in rows(house, t.quarantine) if each["stage"] == "delivery"]
    with house.store.write() as connection:
        quarantine.drop(connection, house.clock, str(case["id"]), "olga", "entered by hand")
    house.run()
    assert deliveries(house, "erp", "item_fulfillment")[0]["head"]
    house.clock.advance(1)
    house.sync.reprocessing.start(asked(house), "olga")
    house.sync.reprocessing.advance()
    heads = {
        each["entity"]: each["head"]
        for each in rows(house, t.delivery)
        if each["target"] == "erp" and each["order_key"] == "#1001"
    }
    assert heads == {"sales_order": True, "item_fulfillment": False}, "the order goes before its shipment again"
    house.erp.down = False
    house.run(minutes=6)
    written = [entity for entity, ref in house.erp.effects if entity in ("sales_order", "item_fulfillment")]
    assert written == ["sales_order", "item_fulfillment"]
    assert next(each for each in rows(house, t.quarantine) if each["id"] == case["id"])["state"] == "replayed"


def test_while_one_of_its_line_is_being_sent_nothing_older_overtakes_it(house: House) -> None:
    house.erp.faults.append("rejected")
    house.order("#1001", SKU, 1)
    house.run()
    house.shipment("SH1", "#1001", SKU, 1)
    [case] = [each for each in rows(house, t.quarantine) if each["stage"] == "delivery"]
    with house.store.write() as connection:
        quarantine.drop(connection, house.clock, str(case["id"]), "olga", "entered by hand")
    while house.sync.translate() or house.sync.process():
        pass
    [request] = [
        each for each in house.sync.delivering.turn("erp", [], 10, capped=False).requests
        if each[0].entity == "item_fulfillment"
    ]  # fmt: skip
    house.clock.advance(1)
    house.sync.reprocessing.start(asked(house, target="erp"), "olga")
    house.sync.reprocessing.advance()
    assert not [
        each
        for each in house.sync.delivering.turn("erp", [], 10, capped=False).requests
        if each[0].entity == "sales_order"
    ]
    house.sync.delivering.turn("erp", house.sync.delivering.send("erp", request), 0)
    house.run(minutes=1)
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_on_a_target_that_guarantees_nothing_a_person_decides_and_the_risk_is_counted(house: House) -> None:
    without_guarantee(house.wms)
    change(house, "RetryPolicy", "default", max_attempts=1)
    house.wms.faults.append("lost answer")
    house.order("#1001", SKU, 1)
    house.run()
    assert replayed(house, target="wms")["counts"] == {"wms": {"needs_person": 1}}
    assert house.wms.writes == 1
    assert replayed(house, target="wms", force=True)["counts"] == {"wms": {"at_risk": 1}}
    assert house.wms.effects["order", "#1001"] == 2, "the risk that was taken"
    repeats = [each for each in rows(house, t.attempt) if each["kind"] == "repeat"]
    assert len(repeats) == 1, "and that the plane reports"


def test_a_target_that_was_added_later_is_owed_what_was_before(house: House) -> None:
    house.order("#1001", SKU, 1)
    house.run()
    flow = house.registry.snapshot().flows["orders"].spec.model_dump(mode="json")
    change(house, "Flow", "orders", targets=[*flow["targets"], {"system": "tills", "entity": "order"}])
    found = replayed(house)
    assert found["counts"]["tills"] == {"owed": 1}
    assert house.tills.effects["order", "#1001"] == 1
    assert replayed(house)["counts"]["tills"] == {"already_delivered": 1}


def test_what_was_entered_by_hand_meanwhile_is_found_by_reading_back(house: House) -> None:
    house.order("#1001", SKU, 1)
    house.run()
    house.tills.guarantee = Guarantee.READABLE
    specs = tuple(WriteSpec(spec.entity, (), Guarantee.READABLE, 5.0) for spec in house.tills.manifest.writes)
    house.tills.manifest = type(house.tills.manifest)("tills", "tills", writes=specs)  # type: ignore[misc]
    flow = house.registry.snapshot().flows["orders"].spec.model_dump(mode="json")
    change(house, "Flow", "orders", targets=[*flow["targets"], {"system": "tills", "entity": "order"}])
    [known] = [each for each in rows(house, t.delivery) if each["target"] == "wms"]
    by_hand = str(known["idempotency_key"]).replace(":wms:", ":tills:")
    house.tills.by_key[by_hand] = house.wms.by_key[str(known["idempotency_key"])]
    replayed(house)
    assert house.tills.writes == 0
    assert deliveries(house, "tills", "order")[0]["state"] == "delivered"


def test_a_corrected_document_is_neither_doubled_nor_sent_uncorrected(house: House) -> None:
    house.erp.faults.append("rejected")
    house.order("#1001", SKU, 1)
    house.run()
    [case] = [each for each in rows(house, t.quarantine) if each["stage"] == "delivery"]
    with house.store.write() as connection:
        corrected = {**case["record"], "currency": "EUR"}  # type: ignore[dict-item]
        quarantine.correct(connection, house.clock, str(case["id"]), corrected, "olga", PLAIN)
        quarantine.approve(connection, house.clock, str(case["id"]), "ben")
    assert replayed(house, target="erp")["counts"] == {"erp": {"needs_person": 1}}
    house.sync.replay(str(case["id"]), "olga")
    house.run()
    assert replayed(house, target="erp")["counts"] == {"erp": {"already_delivered": 1}}
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_a_case_that_a_person_has_in_hand_is_left_to_that_person(postgresql_store: Store, clock: ManualClock) -> None:
    house = House(postgresql_store, clock)
    house.erp.faults.append("rejected")
    orders(house, 1)
    house.run()
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house, target="erp"), "olga")
    with house.store.write() as connection:
        connection.execute(select(t.quarantine).with_for_update())
        house.sync.reprocessing.advance_one(replay_id)  # does not wait, and does not lock up
    assert row(house, replay_id)["counts"] == {"erp": {"under_way": 1}}
    assert deliveries(house, "erp", "sales_order")[0]["state"] == "quarantined"


def test_a_message_that_was_refused_by_a_rule_needs_a_person_and_its_neighbours_go_on(house: House) -> None:
    house.shipment("SH9", "#unknown", SKU, 1)
    house.order("#1001", SKU, 1)
    house.shipment("SH1", "#1001", SKU, 1)
    house.run()
    found = replayed(house, "shipments")
    assert found["counts"]["erp"] == {"needs_person": 1, "already_delivered": 1}


def test_a_message_that_was_refused_is_judged_by_what_it_was_replayed_as_since(house: House) -> None:
    house.shipment("SH1", "#1001", SKU, 1)
    house.run()
    [case] = rows(house, t.quarantine)
    assert replayed(house, "shipments")["counts"]["erp"] == {"needs_person": 1}
    house.sync.replay(str(case["id"]), "olga")  # the order is not here yet: it is refused again
    house.run()
    until = house.clock.now() + timedelta(seconds=1)
    house.clock.advance(60)
    house.order("#1001", SKU, 1)
    house.run()
    [again] = [each for each in rows(house, t.quarantine) if each["state"] == "waiting"]
    house.erp.faults.extend(["rejected"] * 3)  # its two postings go there too, before it or behind it
    house.sync.replay(str(again["id"]), "olga")
    house.run()
    assert house.erp.effects["item_fulfillment", "SH1"] == 0
    found = replayed(house, "shipments", until=until, target="erp")
    assert found["counts"] == {"erp": {"reopened": 1, "under_way": 1}}, "one record, told twice, is sent once"
    house.run()
    assert house.erp.effects["item_fulfillment", "SH1"] == 1
    assert replayed(house, "shipments", until=until)["counts"]["erp"] == {"already_delivered": 2}


def test_a_message_that_is_not_routed_yet_is_live_traffic(house: House) -> None:
    house.order("#1001", SKU, 1)
    house.sync.translate()
    house.clock.advance(1)
    house.sync.reprocessing.start(asked(house), "olga")
    house.sync.reprocessing.advance()
    assert rows(house, t.replay)[0]["counts"]["erp"] == {"under_way": 1}
    house.run()
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_only_what_was_accepted_in_the_time_and_of_the_key_is_looked_at(house: House) -> None:
    accepted: list[datetime] = []
    for number in range(4):
        house.clock.advance(60)
        house.order(f"#{number}", SKU, 1)
        house.run()
        accepted.append(house.clock.now())
    found = replayed(house, since=accepted[1], until=accepted[3])
    assert found["counts"]["erp"] == {"already_delivered": 2}
    assert replayed(house, subject="#3")["counts"]["erp"] == {"already_delivered": 1}
    assert replayed(house, subject="#nothing")["counts"] == {}


# --- states ---


def products_to_the_pager(house: House) -> None:
    """Let the pager be sent what the ERP says of products: some target that takes states."""
    change(house, "Flow", "products", targets=[{"system": "pager", "entity": "incident"}])


def test_of_a_state_only_the_newest_of_its_key_is_sent_again(house: House) -> None:
    products_to_the_pager(house)
    for number, title in enumerate(("Cap", "Cap, black", "Cap, blue")):
        house.clock.advance(10)
        house.hook("erp", "product.described", SKU, {**PRODUCT, "title": title}, version=str(number))
        house.run()
    writes = house.pager.writes
    found = replayed(house, "products")
    assert found["counts"] == {"pager": {"superseded": 3, "sent_again": 1}}
    assert house.pager.writes == writes + 1
    last = deliveries(house, "pager", "incident")[-1]
    assert last["payload"]["title"] == "Cap, blue"
    assert str(last["idempotency_key"]).endswith(f":replay:{found['id']}")


def test_a_state_that_a_newer_one_outside_the_range_has_replaced_is_not_sent(house: House) -> None:
    products_to_the_pager(house)
    house.clock.advance(10)
    house.hook("erp", "product.described", SKU, {**PRODUCT, "title": "old"}, version="1")
    house.run()
    until = house.clock.now() + timedelta(seconds=1)
    house.clock.advance(10)
    house.hook("erp", "product.described", SKU, {**PRODUCT, "title": "new"}, version="2")
    house.run()
    writes = house.pager.writes
    assert replayed(house, "products", until=until)["counts"] == {"pager": {"superseded": 2}}
    assert house.pager.writes == writes


def test_a_state_on_its_way_is_not_doubled(house: House) -> None:
    products_to_the_pager(house)
    house.pager.down = True
    house.hook("erp", "product.described", SKU, {**PRODUCT, "title": "new"}, version="2")
    house.run()
    assert replayed(house, "products")["counts"] == {"pager": {"superseded": 1, "under_way": 1}}


def test_a_newer_state_takes_the_place_of_one_that_a_replay_sends(house: House) -> None:
    products_to_the_pager(house)
    house.pager.down = True
    house.clock.advance(1)
    house.sync.reprocessing.start(asked(house, "products"), "olga")
    house.sync.reprocessing.advance()
    house.hook("erp", "product.described", SKU, {**PRODUCT, "title": "new"}, version="2")
    while house.sync.translate() or house.sync.process():
        pass
    assert states(house, "incident") == ["superseded", "pending"]
    house.pager.down = False
    house.run(minutes=1)
    assert [
        each["payload"]["title"] for each in deliveries(house, "pager", "incident") if each["state"] == "delivered"
    ] == ["new"]


def test_while_a_replay_and_live_traffic_write_the_same_key_the_last_state_arrives(house: House) -> None:
    products_to_the_pager(house)
    ends = threading.Event()

    def replays() -> None:
        other = house.restarted().reprocessing
        while not ends.is_set():
            replay_id = other.start(asked(house, "products"), "olga")
            while row(house, replay_id)["state"] == "running":
                other.advance_one(replay_id)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(replays)
        for number in range(12):
            house.clock.advance(1)
            house.hook("erp", "product.described", SKU, {**PRODUCT, "title": f"{number:03}"}, version=str(number))
            house.run()
        ends.set()
        running.result(timeout=60)
    house.run(minutes=1)
    sent = [each for each in deliveries(house, "pager", "incident") if each["state"] == "delivered"]
    with house.store.read() as connection:
        a = t.attempt.c
        last = connection.execute(select(a.delivery_id).order_by(a.id.desc()).limit(1)).scalar_one()
    assert next(each["payload"]["title"] for each in sent if each["id"] == last) == "011"
    assert {each["state"] for each in deliveries(house, "pager", "incident")} <= {"delivered", "superseded"}


def test_what_a_channel_may_sell_is_worked_out_anew_and_never_told_as_it_was(house: House) -> None:
    house.order("#1001", SKU, 3)  # the shop took 3 off itself; the offer of old said 8
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 5
    writes = house.shop.writes
    assert replayed(house, "stock-offers")["counts"] == {}, "it showed what it ought to, so nothing was ever offered"
    house.clock.advance(1)
    house.level(SKU, 20, allocated=3)
    house.run()
    house.order("#1002", SKU, 2)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 20 - 3 - 2 - 2
    writes = house.shop.writes
    assert replayed(house, "stock-offers")["counts"] == {"shop": {"already_delivered": 1}}
    assert house.shop.writes == writes
    assert house.shop.levels[SKU, "WH1"] == 20 - 3 - 2 - 2


def test_an_offer_that_was_lost_at_the_shop_is_made_anew(house: House) -> None:
    change(house, "RetryPolicy", "stock", max_attempts=1)
    house.shop.down = True
    house.clock.advance(1)
    house.level(SKU, 20)
    house.run()
    [case] = rows(house, t.quarantine)
    assert case["reason_code"] == "gave_up"
    house.shop.down = False
    house.clock.advance(60)
    found = replayed(house, "stock-offers")
    house.run()
    assert found["counts"] == {"shop": {"sent_again": 1}}
    assert house.shop.levels[SKU, "WH1"] == 18
    assert rows(house, t.quarantine)[0]["state"] == "dropped", "superseded by the newer one"


def test_messages_of_an_old_schema_version_are_replayed_in_the_newest(house: House) -> None:
    products_to_the_pager(house)
    old = [new_id(house.clock.now()) for _ in range(3)]
    with house.store.write() as connection:
        for number, identity in enumerate(old):
            connection.execute(insert(t.message).values(
                id=identity, type="product.described", schema_version=1, source="erp", subject=f"V1-{number}",
                dedupe_key=identity, occurred_at=house.clock.now(), accepted_at=house.clock.now(), trace_id="0" * 32,
                data={**PRODUCT, "sku": f"V1-{number}"}, state="processed", registry_version=1,
            ))  # fmt: skip
    found = replayed(house, "products")
    assert found["counts"] == {"pager": {"sent_again": 4}}
    sent = [each for each in deliveries(house, "pager", "incident") if each["message_id"] in old]
    assert [(each["state"], each["payload"]["active"]) for each in sent] == [("delivered", True)] * 3
    assert {each["schema_version"] for each in rows(house, t.message) if each["id"] in old} == {1}, (
        "the ledger keeps it"
    )


# --- how it goes on ---


def test_it_is_paced_whatever_the_target_would_take(house: House) -> None:
    orders(house, 30)
    house.run()
    change(house, "Flow", "orders", targets=[{"system": "tills", "entity": "order"}])
    house.clock.advance(1)
    house.sync.reprocessing.start(asked(house, rate=5), "olga")
    sent = []
    for _ in range(7):
        house.sync.reprocessing.advance()
        house.sync.drain()
        sent.append(sum(house.tills.effects.values()))
        house.clock.advance(1)
    assert sent == [1, 6, 11, 16, 21, 26, 30]


def test_a_rate_below_one_a_second_is_kept_too(house: House) -> None:
    orders(house, 3)
    house.run()
    change(house, "Flow", "orders", targets=[{"system": "tills", "entity": "order"}])
    house.clock.advance(1)
    house.sync.reprocessing.start(asked(house, rate=0.1), "olga")
    sent = []
    for _ in range(25):
        house.sync.reprocessing.advance()
        house.sync.drain()
        sent.append(sum(house.tills.effects.values()))
        house.clock.advance(1)
    assert [sent.index(count) for count in (1, 2, 3)] == [0, 10, 20]


def test_the_slowest_target_sets_the_pace_unless_one_is_given(house: House) -> None:
    change(house, "System", "wms", rate=3.0)
    house.clock.advance(1)
    slow = house.sync.reprocessing.start(asked(house), "olga")
    house.sync.reprocessing.cancel(slow, "olga", "")
    alone = house.sync.reprocessing.start(asked(house, target="erp"), "olga")
    assert (row(house, slow)["rate"], row(house, alone)["rate"]) == (3.0, 20.0)


def test_it_adds_nothing_while_live_traffic_waits(house: House) -> None:
    orders(house, 30)
    house.run()
    change(house, "Flow", "orders", targets=[{"system": "tills", "entity": "order"}])
    house.sync.pause("tills", "olga", "stocktaking")
    orders(house, 15, first=30)
    house.run()
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house, rate=5), "olga")
    for _ in range(10):
        assert house.sync.reprocessing.advance() == {replay_id: 0}
        house.clock.advance(1)
    house.sync.resume("tills", "olga", "")
    house.run()
    assert house.sync.reprocessing.advance()[replay_id] > 0


def test_a_replay_that_is_killed_at_any_instant_goes_on_and_does_nothing_twice(house: House) -> None:
    orders(house, 25)
    house.run()
    flow = house.registry.snapshot().flows["orders"].spec.model_dump(mode="json")
    change(house, "Flow", "orders", targets=[*flow["targets"], {"system": "tills", "entity": "order"}])
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house, rate=50), "olga")
    statements = 0

    def killed(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements % 7 == 3 and statements < 200:
            raise KeyboardInterrupt

    event.listen(house.store.engine, "before_cursor_execute", killed)
    try:
        for _ in range(120):
            try:
                house.sync.reprocessing.advance()
            except KeyboardInterrupt:
                house.sync = house.restarted()
            house.clock.advance(1)
    finally:
        event.remove(house.store.engine, "before_cursor_execute", killed)
    house.run()
    assert row(house, replay_id)["state"] == "done"
    assert row(house, replay_id)["counts"] == {
        "erp": {"already_delivered": 25}, "wms": {"already_delivered": 25}, "tills": {"owed": 25},
    }  # fmt: skip
    assert set(house.tills.effects.values()) == {1}
    assert len(deliveries(house, "tills", "order")) == 25


def test_two_processes_that_go_on_with_the_same_replay_count_each_message_once(house: House) -> None:
    orders(house, 120)
    house.run()
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house), "olga")
    both = [house.sync.reprocessing, house.restarted().reprocessing]
    with ThreadPoolExecutor(2) as pool:
        while row(house, replay_id)["state"] == "running":
            list(pool.map(lambda one: one.advance_one(replay_id), both))
    assert row(house, replay_id)["counts"]["erp"] == {"already_delivered": 120}


def test_a_stretch_that_somebody_else_has_done_meanwhile_is_not_done_again(house: House) -> None:
    orders(house, 10)
    house.run()
    flow = change(house, "Flow", "orders", targets=[{"system": "tills", "entity": "order"}])
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house), "olga")
    with house.store.read() as connection:
        seen = stretches.row_of(connection, replay_id)
    assert seen is not None
    parts = (house.store, house.clock, seen, flow, house.sync.work, house.sync.reprocessing.guarantee)
    assert [stretches.some(*parts).looked_at for _ in range(2)] == [10, 0]  # type: ignore[arg-type]
    assert len(deliveries(house, "tills", "order")) == 10


def test_a_stretch_is_cut_short_before_its_transaction_gets_long(store: Store) -> None:
    house = House(store, Slow(START))
    orders(house, 25)
    house.run()
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house), "olga")
    assert [house.sync.reprocessing.advance_one(replay_id) for _ in range(4)] == [10, 10, 5, 0]
    found = row(house, replay_id)
    assert (found["state"], found["counts"]["erp"]) == ("done", {"already_delivered": 25})


def test_messages_are_judged_together_with_a_fixed_number_of_statements(house: House) -> None:
    orders(house, 9)
    house.run()
    house.clock.advance(1)

    def statements(count: int) -> int:
        subjects = [f"#{number:03}" for number in range(count)]
        with house.store.write() as connection:
            m = t.message.c
            connection.execute(update(t.message).where(m.type == "order.placed").values(source="elsewhere"))
            connection.execute(update(t.message).where(m.subject.in_(subjects)).values(source="shop"))
        replay_id = house.sync.reprocessing.start(asked(house), "olga")
        found: list[str] = []

        def note(*call: Any) -> None:
            found.append(call[2])

        event.listen(house.store.engine, "before_cursor_execute", note)
        house.sync.reprocessing.advance_one(replay_id)
        event.remove(house.store.engine, "before_cursor_execute", note)
        assert row(house, replay_id)["counts"]["erp"] == {"already_delivered": count}
        return len(found)

    assert statements(2) == statements(9)


def test_a_cancelled_replay_adds_nothing_more(house: House) -> None:
    orders(house, 30)
    house.run()
    change(house, "Flow", "orders", targets=[{"system": "tills", "entity": "order"}])
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house, rate=2), "olga")
    house.sync.reprocessing.advance()
    added = len(deliveries(house, "tills", "order"))
    house.sync.reprocessing.cancel(replay_id, "olga", "wrong flow")
    for _ in range(5):
        house.clock.advance(1)
        assert house.sync.reprocessing.advance() == {}
    assert len(deliveries(house, "tills", "order")) == added
    with pytest.raises(ConflictError, match="is cancelled; only a running one"):
        house.sync.reprocessing.cancel(replay_id, "olga", "again")
    told = [
        (each["action"], each["actor"], each["reason"])
        for each in rows(house, t.action)
        if str(each["action"]).startswith("replay.")
    ]
    assert told == [("replay.start", "olga", "outage"), ("replay.cancel", "olga", "wrong flow")]


def test_a_flow_that_policy_forgets_ends_its_replay(house: House) -> None:
    house.clock.advance(1)
    replay_id = house.sync.reprocessing.start(asked(house), "olga")
    with house.store.write() as connection:
        p = t.policy_revision.c
        connection.execute(update(t.policy_revision).where(p.name == "orders").values(valid_to=house.clock.now()))
        connection.execute(insert(t.registry_version).values(recorded_at=house.clock.now(), reason="test"))
    house.sync.reprocessing.advance()
    assert row(house, replay_id)["state"] == "cancelled"


# --- what would change ---


def test_a_preview_tells_what_would_change_and_changes_nothing(house: House) -> None:
    house.order("#1001", SKU, 1)
    house.run()
    house.erp.faults.extend(["rejected"] * 60)
    orders(house, 60)
    house.run()
    before = [rows(house, table) for table in (t.delivery, t.quarantine, t.replay, t.message)]
    house.clock.advance(1)
    found = house.sync.reprocessing.preview(asked(house))
    assert found["counts"]["wms"] == {"already_delivered": 61}
    assert found["counts"]["erp"] == {"already_delivered": 1, "reopened": 60}
    assert (found["looked_at"], found["complete"]) == (61, True)
    assert len(found["keys"]) == 50
    assert {key: found["keys"][0][key] for key in ("subject", "target", "outcome")} == {
        "subject": "#000", "target": "erp", "outcome": "reopened",
    }  # fmt: skip
    assert [rows(house, table) for table in (t.delivery, t.quarantine, t.replay, t.message)] == before
    assert replayed(house)["counts"] == found["counts"], "and a replay does just that"


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"flow": "nothing"}, NotFoundError, "no flow 'nothing' in the registry; there are: "),
        ({"flow": "products"}, BadInputError, "has no targets, so nothing of it is sent"),
        ({"target": "pager"}, BadInputError, "has no target 'pager'; it has: erp, wms"),
        ({"rate": 0.0}, BadInputError, "a rate of 0.0 sends nothing"),
        ({"rate": float("nan")}, BadInputError, "a rate of nan sends nothing"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(
    house: House, given: dict[str, Any], error: type[Exception], told: str
) -> None:
    house.clock.advance(1)
    with pytest.raises(error, match=told):
        house.sync.reprocessing.start(asked(house, **given), "olga")
    with pytest.raises(error, match=told):
        house.sync.reprocessing.preview(asked(house, **given))


def test_a_stretch_of_time_that_is_none_and_a_second_replay_of_a_flow_are_refused(house: House) -> None:
    house.clock.advance(1)
    now = house.clock.now()
    for since, until in ((now, now), (now + timedelta(hours=1), now + timedelta(hours=2))):
        with pytest.raises(BadInputError, match="give `since` before `until`, and in the past"):
            house.sync.reprocessing.start(asked(house, since=since, until=until), "olga")
    house.sync.reprocessing.start(asked(house), "olga")
    with pytest.raises(ConflictError, match="of the flow 'orders' is running; wait for it, or cancel it"):
        house.sync.reprocessing.start(asked(house), "olga")
