"""The Shopify connector against the sandbox's shop."""

from __future__ import annotations

import pytest

from controlplane.connectors.builtin.shopify.api import wait_for
from controlplane.connectors.contract import Inbound, SignatureError, Write
from controlplane.errors import BadInputError, UnknownOutcomeError
from rules.model.messages import parse
from rules.outcomes import Outcome, Result
from tests.controlplane.connectors.conftest import Retailer, offer

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"


def shown(retailer: Retailer, sku: str = SKU) -> int:
    return int(retailer.sandbox.truth(sku)["shop_available"])


def shipment(order: str, sku: str = SKU, quantity: int = 2, name: str = "SHP-1", tracking: str = "1Z1") -> Write:
    payload = {
        "shipment": name,
        "order_ref": order,
        "location": "WH1",
        "shipped_at": "2026-11-27T06:10:00Z",
        "carrier": "UPS",
        "tracking": tracking,
        "lines": [{"sku": sku, "quantity": quantity}],
    }
    return Write("fulfillment", name, f"delivery-{name}", payload, name)


# --- being told ---
def test_a_webhook_with_a_wrong_signature_is_refused(retailer: Retailer) -> None:
    retailer.sandbox.order((SKU, 1))
    retailer.advance(5)
    _, headers, body = retailer.heard.got[0]
    lowered = {name.lower(): value for name, value in headers.items()}
    with pytest.raises(SignatureError, match="webhook_secret"):
        retailer.connector("shop").receive(Inbound(lowered, body + b" "))
    with pytest.raises(SignatureError):
        retailer.connector("shop").receive(Inbound({"x-shopify-topic": "orders/create"}, body))


def test_an_order_told_by_webhook_and_by_poll_is_the_same_fact_and_carries_no_personal_data(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2), (OTHER, 1))
    retailer.advance(5)
    told = [draft for draft in retailer.told("shop") if draft.type == "order.placed"]
    polled = retailer.drafts("shop", "orders")
    assert [draft.data for draft in told] == [polled[0].data]
    assert told[0].dedupe_key == polled[0].dedupe_key == f"order.placed:{name}"
    order = parse("order.placed", told[0].data)
    assert [(line.sku, line.quantity, line.location) for line in order.lines] == [(SKU, 2, "WH1"), (OTHER, 1, "WH1")]
    assert "example.com" not in str(told[0].data)


def test_the_echo_of_a_stock_write_makes_no_message(retailer: Retailer) -> None:
    retailer.connector("shop").write(offer(SKU, 30, 38))
    retailer.advance(5)
    assert retailer.heard.topics() == ["inventory_levels/update"]
    assert retailer.told("shop") == []


def test_a_webhook_keeps_its_event_key_over_retries(retailer: Retailer) -> None:
    retailer.heard.answer = lambda attempt: 500 if attempt == 1 else 200
    retailer.sandbox.order((SKU, 1))
    retailer.advance(60)
    connector = retailer.connector("shop")
    keys = [
        connector.receive(Inbound({name.lower(): value for name, value in headers.items()}, body)).event_key
        for _, headers, body in retailer.heard.got
    ]
    assert len(keys) > len(set(keys))


def test_a_line_without_a_sku_is_refused_with_its_place(retailer: Retailer) -> None:
    body = (
        b'{"name":"#1","admin_graphql_api_id":"gid://shopify/Order/1","created_at":"2026-11-27T06:00:00Z","currency":"USD",'
        b'"line_items":[{"id":1,"sku":"","quantity":1,"price":"1.00"}]}'
    )
    with pytest.raises(BadInputError, match="line 1 of order #1 has no SKU"):
        retailer.connector("shop").translate("orders/create", body)


# --- polling ---
def test_polls_go_through_all_pages_and_go_on_from_the_cursor_with_overlap(retailer: Retailer) -> None:
    names = [retailer.sandbox.order((SKU, 1)) for _ in range(27)]
    connector = retailer.connector("shop")
    pages = list(connector.poll("orders", None))
    assert len(pages) == 2
    assert sum(len(page.records) for page in pages) == 27
    retailer.advance(600)
    late = retailer.sandbox.order((OTHER, 1))
    polled = {draft.subject for draft in retailer.drafts("shop", "orders", pages[-1].cursor)}
    assert polled == {*names, late}
    last = list(connector.poll("orders", pages[-1].cursor))[-1].cursor
    retailer.advance(600)
    assert {draft.subject for draft in retailer.drafts("shop", "orders", last)} == {late}


def test_an_order_polled_again_unchanged_has_the_same_event_key(retailer: Retailer) -> None:
    retailer.sandbox.order((SKU, 1))
    connector = retailer.connector("shop")
    first, second = (next(iter(connector.poll("orders", None))).records[0] for _ in range(2))
    assert first == second


# --- snapshots ---
def test_a_snapshot_has_every_level_with_the_shop_s_change_time_and_our_read_interval(retailer: Retailer) -> None:
    levels = [level for page in retailer.connector("shop").snapshot("levels") for level in page]
    assert len(levels) == 8
    level = next(level for level in levels if level.sku == SKU)
    assert (level.location, level.available, level.on_hand) == ("WH1", 38, 38)
    assert level.source_at == level.read_from == level.read_to == retailer.clock.now()


def test_a_snapshot_of_keys_reads_only_those_and_leaves_out_what_the_shop_lacks(retailer: Retailer) -> None:
    keys = [(SKU, "WH1"), ("no-such", "WH1")]
    levels = [level for page in retailer.connector("shop").snapshot("levels", keys) for level in page]
    assert [(level.sku, level.available) for level in levels] == [(SKU, 38)]


# --- setting stock ---
def test_stock_is_set_from_the_value_it_was_computed_from(retailer: Retailer) -> None:
    outcome = retailer.connector("shop").write(offer(SKU, 30, 38))
    assert outcome.result is Result.DELIVERED
    assert outcome.target_at == retailer.clock.now()
    assert (outcome.evidence["from"], outcome.evidence["to"]) == (38, 30)
    assert shown(retailer) == 30


def test_a_write_computed_from_an_old_value_is_stale_and_says_what_is_shown(retailer: Retailer) -> None:
    outcome = retailer.connector("shop").write(offer(SKU, 30, 37))
    assert (outcome.result, outcome.current) == (Result.STALE, 38)
    assert outcome.target_at is not None
    assert shown(retailer) == 38


def test_without_an_expected_value_the_level_is_read_first(retailer: Retailer) -> None:
    connector = retailer.connector("shop")
    outcome = connector.write(offer(SKU, 30, None))
    assert (outcome.result, outcome.evidence["from"]) == (Result.DELIVERED, 38)
    assert connector.write(offer(SKU, 30, None, key="offer-2")).result is Result.ALREADY_DELIVERED


def test_the_same_write_told_twice_takes_effect_once(retailer: Retailer) -> None:
    connector = retailer.connector("shop")
    connector.write(offer(SKU, 30, 38))
    retailer.sandbox.order((SKU, 1))
    assert connector.write(offer(SKU, 30, 38)).result is Result.DELIVERED
    assert shown(retailer) == 29


def test_a_lost_answer_is_unknown_and_the_same_key_tells_that_it_was_carried_out(retailer: Retailer) -> None:
    fault = retailer.sandbox.fault(kind="lost_response", target="shop", operation="write")
    connector = retailer.connector("shop")
    assert connector.write(offer(SKU, 30, 38)).result is Result.UNKNOWN
    retailer.sandbox.order((SKU, 1))
    assert connector.read_back(offer(SKU, 30, 38)).result is Result.ABSENT
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert connector.write(offer(SKU, 30, 38)).result is Result.DELIVERED
    assert shown(retailer) == 29, "carried out once, and the customer's unit stays sold"


def test_a_broken_shop_is_unknown_and_the_read_back_proves_the_absence(retailer: Retailer) -> None:
    fault = retailer.sandbox.fault(kind="error", target="shop", operation="write", status=502)
    connector = retailer.connector("shop")
    assert connector.write(offer(SKU, 30, 38)).result is Result.UNKNOWN
    assert connector.read_back(offer(SKU, 30, 38)).result is Result.ABSENT
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert connector.write(offer(SKU, 30, 38)).result is Result.DELIVERED


def test_a_read_back_of_a_third_value_leaves_it_to_the_key_and_the_comparison(retailer: Retailer) -> None:
    connector = retailer.connector("shop")
    outcome = connector.read_back(offer(SKU, 30, 31))
    assert (outcome.result, outcome.current) == (Result.ABSENT, 38)
    assert connector.write(offer(SKU, 30, 31)).result is Result.STALE


def test_a_key_whose_first_attempt_failed_is_replaced_by_a_new_one(retailer: Retailer) -> None:
    connector = retailer.connector("shop")
    assert connector.write(offer(SKU, 30, 20)).result is Result.STALE
    connector.write(offer(SKU, 20, 38, key="offer-2"))
    assert connector.write(offer(SKU, 30, 20)).result is Result.DELIVERED


def test_an_unknown_sku_is_rejected_with_the_remedy(retailer: Retailer) -> None:
    outcome = retailer.connector("shop").write(offer("no-such", 1, 2))
    assert outcome.result is Result.REJECTED
    assert "create it there, or map the SKU" in outcome.detail


def test_a_throttled_write_says_how_long_to_wait(retailer: Retailer) -> None:
    retailer.sandbox.fault(kind="throttled", target="shop")
    outcome = retailer.connector("shop").write(offer(SKU, 30, 38))
    assert outcome.result is Result.THROTTLED
    assert outcome.retry_after is not None
    assert outcome.retry_after > 0


def test_the_wait_is_what_is_missing_at_the_restore_rate() -> None:
    status = {"currentlyAvailable": 12, "restoreRate": 100}
    assert wait_for({"requestedQueryCost": 512, "throttleStatus": status}) == 5.0


# --- fulfilments ---
def _fulfilled(retailer: Retailer, request: Write) -> Outcome:
    return retailer.connector("shop").write(request)


def test_a_shipment_becomes_one_fulfilment_however_often_it_is_sent(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2), (OTHER, 1))
    first = _fulfilled(retailer, shipment(name))
    assert first.result is Result.DELIVERED
    assert first.target_at == retailer.clock.now()
    again = _fulfilled(retailer, shipment(name))
    assert (again.result, again.native_id) == (Result.ALREADY_DELIVERED, first.native_id)
    assert len(retailer.effects("shop", "shipment")) == 1


def test_two_shipments_of_one_order_are_two_fulfilments(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2), (OTHER, 1))
    assert _fulfilled(retailer, shipment(name, quantity=1)).result is Result.DELIVERED
    assert _fulfilled(retailer, shipment(name, quantity=1, name="SHP-2", tracking="1Z2")).result is Result.DELIVERED
    too_many = _fulfilled(retailer, shipment(name, quantity=1, name="SHP-3", tracking="1Z3"))
    assert too_many.result is Result.REJECTED
    assert "less left to fulfil" in too_many.detail


def test_a_fulfilment_whose_answer_was_lost_is_found_by_reading_back(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    fault = retailer.sandbox.fault(kind="lost_response", target="shop", operation="write")
    connector = retailer.connector("shop")
    assert connector.read_back(shipment(name)).result is Result.ABSENT
    assert connector.write(shipment(name)).result is Result.UNKNOWN
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert connector.read_back(shipment(name)).result is Result.ALREADY_DELIVERED


def test_a_shipment_without_a_tracking_number_is_recognised_by_its_id(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    connector = retailer.connector("shop")
    assert connector.write(shipment(name, tracking="")).result is Result.DELIVERED
    assert connector.read_back(shipment(name, tracking="")).result is Result.ALREADY_DELIVERED


def test_a_shop_that_is_down_leaves_a_read_back_undecided(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    retailer.sandbox.fault(kind="down", target="shop", mode="refuse")
    assert retailer.connector("shop").read_back(shipment(name)).result is Result.UNAVAILABLE


# --- several levels with one request ---
THIRD = "0002-BLK-XL"


def test_several_levels_are_set_with_one_request(retailer: Retailer) -> None:
    outcomes = retailer.connector("shop").write_many([offer(SKU, 30, 38, "a"), offer(OTHER, 31, 38, "b")])
    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED, Result.DELIVERED]
    assert (shown(retailer), shown(retailer, OTHER)) == (30, 31)
    assert all(outcome.target_at == retailer.clock.now() for outcome in outcomes)
    assert '"quantity": 31' in outcomes[1].evidence["request"]["body"]
    assert '"quantity": 30' not in outcomes[1].evidence["request"]["body"]


def test_one_level_that_is_refused_leaves_the_others_set(retailer: Retailer) -> None:
    writes = [
        offer(SKU, 30, 38, "a"),
        offer(OTHER, 31, 37, "b"),
        offer("no-such", 1, 2, "c"),
        offer(THIRD, 32, 38, "d"),
    ]
    outcomes = retailer.connector("shop").write_many(writes)
    told = [Result.DELIVERED, Result.STALE, Result.REJECTED, Result.DELIVERED]
    assert [outcome.result for outcome in outcomes] == told
    assert outcomes[1].current == 38
    assert [shown(retailer, sku) for sku in (SKU, OTHER, THIRD)] == [30, 38, 32]


def test_a_level_that_does_not_say_what_it_was_computed_from_is_set_by_itself(retailer: Retailer) -> None:
    writes = [offer(SKU, 30, 38, "a"), offer(OTHER, 31, None, "b")]
    outcomes = retailer.connector("shop").write_many(writes)
    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED, Result.DELIVERED]
    assert (shown(retailer), shown(retailer, OTHER)) == (30, 31)


def test_a_level_that_was_set_with_others_and_is_told_again_alone_takes_effect_once(retailer: Retailer) -> None:
    connector = retailer.connector("shop")
    connector.write_many([offer(SKU, 30, 38, "a"), offer(OTHER, 31, 38, "b")])
    retailer.sandbox.order((SKU, 1))
    assert connector.write(offer(SKU, 30, 38, "a")).result is Result.DELIVERED
    assert shown(retailer) == 29


def test_when_the_answer_to_several_is_lost_each_is_unknown_and_its_key_tells_later(retailer: Retailer) -> None:
    fault = retailer.sandbox.fault(kind="lost_response", target="shop", operation="write")
    connector, writes = retailer.connector("shop"), [offer(SKU, 30, 38, "a"), offer(OTHER, 31, 38, "b")]
    with pytest.raises(UnknownOutcomeError):
        connector.write_many(writes)
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert [connector.write(write).result for write in writes] == [Result.DELIVERED, Result.DELIVERED]
    assert (shown(retailer), shown(retailer, OTHER)) == (30, 31)
