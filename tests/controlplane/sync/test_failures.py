"""What goes wrong, and what becomes of it: nothing lost, nothing twice, and no neighbour harmed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft, Write
from controlplane.errors import ConflictError, NotFoundError, RejectedError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.types import micros
from controlplane.sync import quarantine
from controlplane.sync.delivery import send, statements
from rules.outcomes import Guarantee, Outcome, Result
from tests.controlplane.sync.kit import PLAIN, House, Vendor
from tests.controlplane.sync.test_loop import SKU, rows, states


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer with one product."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    house.product(SKU, "4.00")
    house.level(SKU, 10)
    house.run()
    return house


@pytest.mark.parametrize("fault", ["unavailable", "throttled", "lost answer", "lost request"])
def test_an_order_takes_effect_exactly_once_through(house: House, fault: str) -> None:
    for vendor in (house.erp, house.wms):
        vendor.faults.extend([fault] * 3)
    house.order("#1001", SKU, 1)
    house.run(minutes=10)
    assert house.erp.effects["sales_order", "#1001"] == 1
    assert house.wms.effects["order", "#1001"] == 1
    assert states(house, "order") == ["delivered"]


def test_an_unknown_outcome_is_read_back_before_any_retry(house: House) -> None:
    house.wms.faults.append("lost answer")
    house.order("#1001", SKU, 1)
    house.run(minutes=1)
    with house.store.read() as connection:
        a = t.attempt.c
        kinds = connection.execute(select(a.kind, a.outcome).where(a.system == "wms").order_by(a.id)).all()
    assert [tuple(row) for row in kinds] == [("write", "unknown"), ("read-back", "already_delivered")]
    assert house.wms.writes == 1


class Mute(Vendor):
    """A system that refuses to tell what it has."""

    def read_back(self, request: Write) -> Outcome:
        raise RejectedError("nobody may look")


def test_a_reading_that_is_refused_proves_nothing_of_the_write(house: House) -> None:
    house.wms = Mute("wms", house.clock, Guarantee.READABLE)
    house.wms.faults.append("lost answer")
    house.order("#1001", SKU, 1)
    house.run(minutes=1)
    with house.store.read() as connection:
        a = t.attempt.c
        tries = connection.execute(select(a.kind, a.outcome).where(a.system == "wms").order_by(a.id)).all()
    assert {tuple(row) for row in tries[1:]} == {("read-back", "unknown")}
    assert states(house, "order") == ["unknown"]


def test_the_last_stock_level_arrives_after_an_outage_and_only_it(house: House) -> None:
    house.shop.down = True
    for on_hand in (20, 30, 40):
        house.clock.advance(30)
        house.level(SKU, on_hand)
        house.run()
    house.shop.down = False
    house.run(minutes=6)
    assert house.shop.levels[SKU, "WH1"] == 38


def test_one_systems_outage_does_not_hold_up_another(house: House) -> None:
    house.erp.down = True
    house.order("#1001", SKU, 1)
    house.run()
    assert house.wms.effects["order", "#1001"] == 1
    house.erp.down = False
    house.run(minutes=6)
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_a_failing_system_is_given_pauses_instead_of_a_storm(house: House) -> None:
    house.erp.down = True
    for number in range(20):
        house.order(f"#{number}", SKU, 1)
    before = house.erp.writes
    house.run(minutes=10)
    assert house.erp.writes - before < 60
    house.erp.down = False
    house.run(minutes=6)
    assert sum(house.erp.effects.values()) == 20


def test_a_refused_record_waits_whole_and_its_neighbours_go_on(house: House) -> None:
    house.erp.faults.append("rejected")
    house.order("#1001", SKU, 1)
    house.run()
    house.order("#1002", SKU, 1)
    house.run()
    assert house.erp.effects["sales_order", "#1002"] == 1
    [case] = rows(house, t.quarantine)
    assert (case["stage"], case["reason_code"], case["subject"]) == ("delivery", "rejected", "#1001")
    assert case["record"]["lines"][0]["sku"] == SKU  # type: ignore[index]
    house.sync.replay(str(case["id"]), "olga")
    house.run()
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_a_corrected_payload_is_sent_under_a_new_key_only_when_the_old_one_had_no_effect(house: House) -> None:
    house.erp.faults.append("rejected")
    house.order("#1001", SKU, 1)
    house.run()
    [case] = rows(house, t.quarantine)
    lines = [{**line, "sku": "0001-WHT-L"} for line in case["record"]["lines"]]  # type: ignore[index]
    corrected = {**case["record"], "lines": lines}  # type: ignore[dict-item]
    with house.store.write() as connection:
        quarantine.correct(connection, house.clock, str(case["id"]), corrected, "olga", PLAIN)
    answer = house.sync.replay(str(case["id"]), "olga")
    assert str(answer["idempotency_key"]).count(":r") == 1
    house.run()
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_a_document_that_was_sent_corrected_is_not_owed_again_when_it_is_told_of_again(house: House) -> None:
    line = {"sku": SKU, "quantity": 3}
    data = {
        "receipt": "RC-1",
        "purchase_order": "PO-1",
        "location": "WH1",
        "lines": [line],
        "received_at": "2026-03-02T09:00:00Z",
    }

    def told(event: str) -> None:
        at = house.clock.now().isoformat()
        body = {"id": event, "source": "wms", "type": "receipt.received", "subject": "RC-1", "time": at, "data": data}
        assert house.sync.acceptor.accept(json.dumps(body).encode(), batch=False).accepted
        house.run()

    house.erp.faults.append("rejected")
    told("first")
    [case] = rows(house, t.quarantine)
    corrected = {**case["record"], "lines": [{**case["record"]["lines"][0], "quantity": 2}]}  # type: ignore[dict-item, index]
    with house.store.write() as connection:
        quarantine.correct(connection, house.clock, str(case["id"]), corrected, "olga", PLAIN)
    house.sync.replay(str(case["id"]), "olga")
    house.run()
    told("again")
    assert [row["state"] for row in rows(house, t.message)][-2:] == ["processed", "processed"]
    [delivery] = rows(house, t.delivery)
    assert (delivery["state"], str(delivery["sent_key"]).count(":r")) == ("delivered", 1)
    assert house.erp.effects["item_receipt", "RC-1"] == 1


def test_an_unmapped_code_is_quarantined_corrected_and_replayed(house: House) -> None:
    house.level("UNKNOWN", 5)
    house.level(SKU, 12, version="2")
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 10, "its neighbour went on"
    [case] = rows(house, t.quarantine)
    assert (case["stage"], case["reason_code"], case["state"]) == ("intake", "unmapped_sku", "waiting")
    body = case["record"]["body"]  # type: ignore[index]
    body["data"]["sku"], body["subject"] = "0042", "0042@WH1"
    with house.store.write() as connection:
        quarantine.correct(connection, house.clock, str(case["id"]), {**case["record"], "body": body}, "olga", PLAIN)  # type: ignore[dict-item]
    assert house.sync.preview(str(case["id"]))["messages"]
    house.sync.replay(str(case["id"]), "olga")
    house.run()
    assert {row["sku"] for row in rows(house, t.stock_position)} == {SKU, "0042"}
    with pytest.raises(ConflictError, match="replayed already"):
        house.sync.replay(str(case["id"]), "olga")


def test_a_shipment_of_an_unknown_order_waits_until_the_order_is_here(house: House) -> None:
    house.shipment("SH1", "#1001", SKU, 1)
    house.run()
    [case] = rows(house, t.quarantine)
    assert case["reason_code"] == "unknown_order"
    house.order("#1001", SKU, 1)
    house.run()
    house.sync.replay(str(case["id"]), "olga")
    house.run()
    assert house.shop.effects["fulfillment", "SH1"] == 1


def test_malformed_webhooks_are_kept_and_explained(house: House) -> None:
    house.hook("wms", "stock.level", "x@WH1", {"sku": "x", "on_hand": "many"})
    house.run()
    [case] = rows(house, t.quarantine)
    assert case["reason_code"] == "schema"
    assert "on_hand" in str(case["reason"])


def test_a_defect_in_a_connector_is_verified_by_reading_back(house: House) -> None:
    house.erp.faults.append("defect")
    house.order("#1001", SKU, 1)
    house.run(minutes=3)
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_a_killed_worker_loses_nothing_and_doubles_nothing(house: House) -> None:
    house.order("#1001", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    [request] = house.sync.delivering.turn("wms", [], 10).requests
    send(house.wms, house.clock, request)  # sent; the process dies before it records
    house.sync = house.restarted()
    assert house.sync.recover() == 0, "on a lease that still runs nothing is taken away"
    house.clock.advance(121)
    assert house.sync.recover() >= 1
    house.run(minutes=1)
    assert house.wms.effects["order", "#1001"] == 1
    assert states(house, "order") == ["delivered"]


def test_a_fenced_workers_late_result_is_ignored(house: House) -> None:
    house.order("#1001", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    [[late]] = house.sync.delivering.turn("wms", [], 10).requests
    sent = send(house.wms, house.clock, [late])
    house.clock.advance(31)
    house.sync.recover()
    house.clock.advance(31)
    other = house.restarted()
    [[second]] = other.delivering.turn("wms", [], 10).requests
    assert second.fence == late.fence + 1
    assert house.sync.delivering.turn("wms", sent, 0).counted == 0
    assert states(house, "order") == ["sending"]


def test_a_result_that_comes_after_the_claim_was_given_back_changes_nothing_that_is_known(house: House) -> None:
    house.clock.advance(1)
    house.level(SKU, 30)
    while house.sync.translate() or house.sync.process():
        pass
    [request] = house.sync.delivering.turn("shop", [], 10).requests
    sent = send(house.shop, house.clock, request)
    house.clock.advance(31)
    assert house.sync.recover() == 1
    assert house.sync.delivering.turn("shop", sent, 0).counted == 0
    house.run(minutes=2)
    assert states(house, "available") == ["delivered"]
    [level] = [row for row in rows(house, t.target_level) if row["field"] == "available"]
    assert level["value"] == house.shop.levels[SKU, "WH1"] == 28, "what the write changed is counted once"


def test_a_worker_that_wakes_up_after_its_lease_sends_nothing(house: House) -> None:
    house.order("#1001", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    [request] = house.sync.delivering.turn("wms", [], 10).requests
    house.clock.advance(31)
    assert send(house.wms, house.clock, request) == []
    assert house.wms.writes == 0


def test_two_workers_never_claim_the_same_delivery(house: House) -> None:
    for number in range(5):
        house.order(f"#{number}", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    first = house.sync.delivering.turn("wms", [], 3, capped=False).requests
    second = house.restarted().delivering.turn("wms", [], 10, capped=False).requests
    assert len(first) == 3
    assert len(second) == 2
    assert not {x.id for [x] in first} & {x.id for [x] in second}


def test_a_pause_stops_deliveries_and_the_clock_of_their_deadlines(house: House) -> None:
    house.order("#0", SKU, 1)
    house.erp.down = True
    house.run()
    house.sync.pause("erp", "olga", "maintenance")
    house.run(minutes=48 * 60, step=3600)
    assert house.erp.writes == 1, "nothing is tried while it is paused"
    house.sync.resume("erp", "olga", "done")
    house.run(minutes=10)
    assert states(house, "sales_order") == ["pending"], "two days of pause used up nothing of a budget of one day"
    house.erp.down = False
    house.run(minutes=6)
    assert house.erp.effects["sales_order", "#0"] == 1


def test_a_paused_flow_stops_alone(house: House) -> None:
    house.sync.pause_flow("orders", "olga", "a promotion was priced wrong")
    house.order("#1001", SKU, 1)
    house.level(SKU, 20)
    house.run(minutes=2)
    assert not house.erp.effects
    assert house.shop.levels[SKU, "WH1"] == 20 - 1 - 2
    house.sync.resume_flow("orders", "olga", "mended")
    house.run()
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_what_gives_up_waits_for_a_person(house: House) -> None:
    house.erp.down = True
    house.order("#1001", SKU, 1)
    policy = house.registry.snapshot().retry_policies["default"].spec
    house.run()
    house.clock.advance(policy.budget.total_seconds() + 3600)
    house.run(minutes=5)
    [case] = [row for row in rows(house, t.quarantine) if row["system"] == "erp"]
    assert case["reason_code"] == "gave_up"
    house.erp.down = False
    house.sync.replay(str(case["id"]), "olga")
    house.run(minutes=6)
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_an_unknown_system_is_named(house: House) -> None:
    with pytest.raises(NotFoundError, match="no system 'nobody'"):
        house.sync.take_webhook("nobody", None)  # type: ignore[arg-type]


def test_intake_keeps_the_bytes_as_they_came(house: House) -> None:
    house.level(SKU, 33, version="bytes")
    row = rows(house, t.intake)[-1]
    assert json.loads(row["body"])["data"]["on_hand"] == 33  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["lost answer", "lost request"])
def test_a_stock_write_without_an_answer_is_settled_though_customers_order_meanwhile(house: House, fault: str) -> None:
    house.clock.advance(1)
    house.shop.faults.append(fault)
    house.level(SKU, 30)
    house.run()
    house.order("#1001", SKU, 3)
    house.run(minutes=1)
    assert house.shop.levels[SKU, "WH1"] == 30 - 3 - 2
    [level] = [row for row in rows(house, t.target_level) if row["field"] == "available"]
    assert level["value"] == 25, "the ledger knows what the shop shows"


def test_a_target_that_never_says_whether_it_took_a_write_is_tried_at_the_policys_pace(house: House) -> None:
    house.erp.faults.extend(["lost request"] * 1000)
    house.order("#1001", SKU, 1)
    house.run(minutes=10, step=1)
    assert house.erp.writes < 60
    house.erp.faults.clear()
    house.run(minutes=6)
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_what_is_told_and_resolved_reaches_the_incident_tool_as_two_notifications(house: House) -> None:
    told = {
        "incident": "I1", "fingerprint": "f", "severity": "ticket", "title": "t", "owner": "o", "cause": "c",
        "money_at_risk": None, "currency": None, "opened_at": house.clock.now().isoformat(), "url": "http://localhost",
    }  # fmt: skip
    for sequence, action in enumerate(("trigger", "resolve"), start=1):
        data = {**told, "action": action, "sequence": sequence}
        key = f"incident.notified:I1:{action}:{sequence}"
        house.sync.emit([Draft("incident.notified", "I1", key, house.clock.now(), data)])
    house.run()
    assert states(house, "incident") == ["delivered", "delivered"]


def test_a_warehouse_that_counted_an_order_before_we_knew_it_is_not_taken_off_twice(house: House) -> None:
    house.wms.faults.append("lost answer")
    house.order("#1001", SKU, 1)
    house.run()
    house.clock.advance(1)
    house.level(SKU, 10, allocated=1)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 10 - 1 - 1 - 2, "cautious while the warehouse has not confirmed"
    house.run(minutes=1)
    assert house.shop.levels[SKU, "WH1"] == 10 - 1 - 2


def test_what_no_database_keeps_as_text_holds_up_nobody(house: House) -> None:
    house.erp.faults.append("odd answer")
    house.hook("wms", "stock.level", "x@WH1", {"sku": "x\x00", "location": "\ud800", "on_hand": 1})
    house.hook("tills", "sale.recorded", "R\x00", {"ref": "R"}, event="sale \x00" + "9" * 500)
    house.order("#1001", SKU, 1)
    house.run()
    assert house.wms.effects["order", "#1001"] == 1
    assert states(house, "sales_order") == ["quarantined"]
    cases = {str(row["stage"]): row for row in rows(house, t.quarantine)}
    assert set(cases) == {"intake", "delivery"}
    assert "it is odd \ufffd" in str(cases["delivery"]["reason"])


def test_a_key_longer_than_its_column_is_kept_by_its_fingerprint(house: House) -> None:
    ref = "#" + "1" * 184
    house.order(ref, SKU, 1)
    house.order(ref, SKU, 1, event="told again")
    house.run()
    assert house.erp.effects["sales_order", ref] == 1


def test_an_offer_whose_base_was_lost_with_its_process_does_not_stop_the_lane(store: Store, clock: ManualClock) -> None:
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.level(SKU, 30)
    while house.sync.translate() or house.sync.process():
        pass
    [request] = house.sync.delivering.turn("shop", [], 10).requests
    send(house.shop, house.clock, request)  # the base was read on the way; the process dies before it records
    house.sync = house.restarted()
    house.clock.advance(31)
    house.sync.recover()
    house.shop.by_key[request[0].idempotency_key] = Outcome(Result.ALREADY_DELIVERED)
    house.shop.told_by_reading = True
    house.run(minutes=2)
    house.clock.advance(1)
    house.level(SKU, 40)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 38


def test_an_answer_to_an_earlier_request_does_not_end_the_wait_that_a_system_asked_for(house: House) -> None:
    for ref in ("#1001", "#1002", "#1003"):
        house.order(ref, SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    delivering = house.sync.delivering
    refused, taken = delivering.turn("erp", [], 2, capped=False).requests
    house.erp.faults.append("throttled")  # for 30 seconds
    [first], [second] = delivering.send("erp", refused), delivering.send("erp", taken)
    delivering.turn("erp", [first], 0)
    delivering.turn("erp", [second], 0)
    house.clock.advance(20)
    assert delivering.turn("erp", [], 1).requests == [], "the third waits, though the second was taken meanwhile"
    house.clock.advance(11)
    house.run(minutes=2)
    assert sum(house.erp.effects.values()) == 3


def test_a_state_that_is_being_claimed_is_not_superseded(postgresql_store: Store, clock: ManualClock) -> None:
    house = House(postgresql_store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    house.level(SKU, 30)
    while house.sync.translate() or house.sync.process():
        pass
    clock.advance(1)
    house.level(SKU, 40)
    while house.sync.translate():
        pass
    now = micros(clock.now())
    with ThreadPoolExecutor(1) as router, house.store.engine.begin() as claiming:
        claim = {"target": "shop", "flow": "stock-offers", "now": now, "limit": 5, "owner": "w", "until": now + 10**9}
        assert len(statements.claim(claiming, **claim)) == 1
        routed = router.submit(lambda: house.sync.process() + house.sync.process())
        waits = text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%superseded%'"
        )
        with house.store.engine.connect() as watching:
            while not watching.execute(waits).scalar_one() and not routed.done():
                watching.rollback()
        claiming.commit()
        routed.result(30)
    assert states(house, "available") == ["sending", "pending"]
