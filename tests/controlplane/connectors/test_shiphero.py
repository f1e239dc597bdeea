"""The ShipHero connector against the sandbox's warehouse."""

from __future__ import annotations

import json

import pytest

from controlplane.connectors.builtin.shiphero.api import wait_for
from controlplane.connectors.contract import Inbound, SignatureError, Write
from controlplane.errors import BadInputError
from rules.model.messages import parse
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Retailer, write_of

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"


def order_write(retailer: Retailer, *lines: tuple[str, int]) -> Write:
    """Place an order in the shop and return the write that brings it to the warehouse."""
    name = retailer.sandbox.order(*(lines or ((SKU, 2),)))
    draft = next(draft for draft in retailer.drafts("shop", "orders") if draft.subject == name)
    return write_of("order", draft, key=f"delivery-{name}")


def told_by_the_warehouse(retailer: Retailer, topic: str) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a webhook of the topic; webhooks keep no order among themselves."""
    heard = ((head, body) for source, head, body in retailer.heard.got if source == "wms")
    return next((head, body) for head, body in heard if json.loads(body)["webhook_type"] == topic)


def test_a_webhook_with_a_wrong_signature_is_refused(retailer: Retailer) -> None:
    connector = retailer.connector("wms")
    connector.write(order_write(retailer))
    retailer.advance(5)
    headers, body = told_by_the_warehouse(retailer, "Inventory Update")
    lowered = {name.lower(): value for name, value in headers.items()}
    assert connector.receive(Inbound(lowered, body)).topic == "Inventory Update"
    with pytest.raises(SignatureError, match="webhook_secret"):
        connector.receive(Inbound({**lowered, "x-shiphero-hmac-sha256": "AAAA"}, body))


def test_a_webhook_that_is_told_again_under_another_id_is_the_same_fact(retailer: Retailer) -> None:
    connector = retailer.connector("wms")
    connector.write(order_write(retailer))
    retailer.advance(5)
    headers, body = told_by_the_warehouse(retailer, "Inventory Update")
    lowered = {name.lower(): value for name, value in headers.items()}
    first, again = (connector.receive(Inbound({**lowered, "x-shiphero-message-id": one}, body)) for one in ("1", "2"))
    assert first.event_key != again.event_key, "the id is not signed, so it vouches for nothing"
    keys = [[draft.dedupe_key for draft in connector.translate(one.topic, one.body)] for one in (first, again)]
    assert keys[0] == keys[1]
    assert all(keys[0])


def test_webhook_and_poll_tell_the_same_facts_with_the_same_keys(retailer: Retailer) -> None:
    retailer.connector("wms").write(order_write(retailer, (SKU, 2), (OTHER, 1)))
    retailer.advance(300)
    told = {draft.dedupe_key: draft for draft in retailer.told("wms")}
    shipped = retailer.drafts("wms", "shipments")
    levels = [draft for draft in retailer.drafts("wms", "inventory") if draft.data["sku"] in (SKU, OTHER)]
    assert len(shipped) == 1
    assert len(levels) == 2
    for draft in [*shipped, *levels]:
        assert told[draft.dedupe_key].data == draft.data
        parse(draft.type, draft.data)


def test_stock_keeps_on_hand_allocated_available_and_in_transit_apart(retailer: Retailer) -> None:
    retailer.connector("wms").write(order_write(retailer, (SKU, 2)))
    level = next(draft for draft in retailer.drafts("wms", "inventory") if draft.data["sku"] == SKU)
    counts = {name: level.data[name] for name in ("on_hand", "allocated", "available", "in_transit")}
    assert counts == {"on_hand": 40, "allocated": 2, "available": 38, "in_transit": 0}
    assert level.source_version == level.data["source_at"]


def test_two_changes_within_one_millisecond_are_two_facts(retailer: Retailer) -> None:
    connector = retailer.connector("wms")
    connector.write(order_write(retailer, (SKU, 2)))
    connector.write(order_write(retailer, (SKU, 3)))
    retailer.advance(5)
    levels = [draft for draft in retailer.told("wms") if draft.type == "stock.level"]
    assert len({draft.source_version for draft in levels}) == 1
    assert len({draft.dedupe_key for draft in levels}) == 2


def test_a_purchase_order_makes_one_message_for_each_receipt(retailer: Retailer) -> None:
    receipt = '{"id": "R-%s", "received_at": "2026-11-27T06:00:00.000Z", "sku": "0007-BLK-M", "quantity": 5}'
    body = f'{{"purchase_order": {{"po_number": "PO-1", "warehouse_id": "WH1", "receipts": [{receipt % 1}, {receipt % 2}]}}}}'
    drafts = retailer.connector("wms").translate("PO Update", body.encode())
    assert [draft.dedupe_key for draft in drafts] == ["receipt.received:R-1", "receipt.received:R-2"]
    parse("receipt.received", drafts[0].data)


def test_returned_goods_that_were_not_shelved_are_not_counted(retailer: Retailer) -> None:
    lines = '[{"sku": "a", "quantity": 1, "restocked": false}, {"sku": "b", "quantity": 2, "restocked": true}]'
    body = (
        '{"return": {"id": "RMA-1", "order_number": "#1001", "warehouse_id": "WH1", '
        f'"received_at": "2026-11-27T06:00:00.000Z", "line_items": {lines}}}}}'
    )
    (draft,) = retailer.connector("wms").translate("returns", body.encode())
    assert draft.data["lines"] == [{"sku": "b", "quantity": 2}]


def test_a_record_without_its_fields_is_refused(retailer: Retailer) -> None:
    with pytest.raises(BadInputError, match="warehouse's contract"):
        retailer.connector("wms").translate("Shipment Update", b'{"shipment": {"id": "1"}}')
    with pytest.raises(BadInputError, match="not JSON"):
        retailer.connector("wms").translate("Shipment Update", b"<html>")


def test_polls_go_on_from_the_cursor(retailer: Retailer) -> None:
    connector = retailer.connector("wms")
    connector.write(order_write(retailer))
    retailer.advance(300)
    cursor = list(connector.poll("shipments", None))[-1].cursor
    assert len(retailer.drafts("wms", "shipments", cursor)) == 1
    retailer.advance(900)
    connector.write(order_write(retailer))
    retailer.advance(900)
    cursor = list(connector.poll("shipments", cursor))[-1].cursor
    assert len(retailer.drafts("wms", "shipments", cursor)) == 1


def test_a_snapshot_has_every_article_or_those_asked_for(retailer: Retailer) -> None:
    connector = retailer.connector("wms")
    levels = [level for page in connector.snapshot("inventory") for level in page]
    assert {(level.location, level.on_hand, level.available) for level in levels} == {("WH1", 40, 40)}
    assert len(levels) == 8
    asked = [level for page in connector.snapshot("inventory", [(SKU, "WH1")]) for level in page]
    assert [level.sku for level in asked] == [SKU]


def test_an_order_is_created_once_although_the_warehouse_takes_duplicates(retailer: Retailer) -> None:
    connector, request = retailer.connector("wms"), order_write(retailer)
    first = connector.write(request)
    assert first.result is Result.DELIVERED
    assert first.target_at == retailer.clock.now()
    assert connector.write(request).result is Result.ALREADY_DELIVERED
    assert connector.read_back(request).native_id == first.native_id
    assert [ordinal for _, ordinal in retailer.effects("wms", "order")] == [1]


def test_an_order_whose_answer_was_lost_is_found_by_reading_back(retailer: Retailer) -> None:
    connector, request = retailer.connector("wms"), order_write(retailer)
    assert connector.read_back(request).result is Result.ABSENT
    fault = retailer.sandbox.fault(kind="lost_response", target="wms", operation="write")
    assert connector.write(request).result is Result.UNKNOWN
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert connector.read_back(request).result is Result.ALREADY_DELIVERED


def test_two_orders_for_one_are_named_in_the_detail(retailer: Retailer) -> None:
    connector, request = retailer.connector("wms"), order_write(retailer)
    connector.write(request)
    twin = {"order_number": request.payload["ref"], "partner_order_id": request.payload["native_id"]}
    goods = [{"sku": SKU, "quantity": 2}]
    mutation = "mutation ($data: CreateOrderInput!) { order_create(data: $data) { order { id } } }"
    retailer.sandbox.wms(mutation, data={**twin, "line_items": goods})
    outcome = connector.read_back(request)
    assert outcome.result is Result.ALREADY_DELIVERED
    assert "2 orders for one" in outcome.detail
    assert len(set(outcome.effects)) == 2
    assert all(one in outcome.detail for one in outcome.effects)


def test_an_unknown_sku_is_rejected(retailer: Retailer) -> None:
    request = order_write(retailer)
    lines = [{**request.payload["lines"][0], "sku": "no-such"}]
    outcome = retailer.connector("wms").write(
        Write("order", request.subject, "k", {**request.payload, "lines": lines}, request.business_ref)
    )
    assert outcome.result is Result.REJECTED
    assert "no-such" in outcome.detail


def test_running_out_of_credits_is_throttling_with_the_time_told(retailer: Retailer) -> None:
    retailer.sandbox.fault(kind="throttled", target="wms")
    outcome = retailer.connector("wms").write(order_write(retailer))
    assert outcome.result is Result.THROTTLED
    assert outcome.retry_after is not None
    assert outcome.retry_after >= 1


def test_the_wait_comes_from_the_text_or_from_the_missing_credits() -> None:
    assert wait_for({"time_remaining": "17 seconds"}) == 17
    assert wait_for({"required_credits": 301, "remaining_credits": 1}) == 5


def test_a_token_that_ran_out_is_fetched_anew(retailer: Retailer) -> None:
    connector = retailer.connector("wms")
    connector.ping()
    retailer.advance(28 * 86400 + 60)
    connector.ping()
