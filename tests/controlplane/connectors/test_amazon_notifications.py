"""Notifications of Amazon as an event bus forwards them: known by a key, and what they tell of is read anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.contract import Draft, Inbound, SignatureError
from controlplane.errors import BadInputError
from rules.model.messages import StockLevel, parse
from tests.controlplane.connectors.amazon_kit import MARKET, Bench, entry, file, marketplace, opening


@pytest.fixture
def bench() -> Iterator[Bench]:
    with marketplace() as bench:
        bench.given.secrets["notification_key"] = "hush"
        yield bench


def notification(kind: str, payload: dict[str, Any], name: str = "n1") -> dict[str, Any]:
    return {
        "NotificationVersion": "1.0", "NotificationType": kind, "EventTime": "2026-11-27T06:00:00.000Z", "Payload": payload,
        "NotificationMetadata": {"NotificationId": name},
    }  # fmt: skip


def told(bench: Bench, event: dict[str, Any]) -> tuple[bytes, list[Draft]]:
    record = bench.connector.receive(Inbound({"x-api-key": "hush"}, json.dumps(event).encode()))
    assert record.event_key == f"{record.topic}:n1"
    return record.body, bench.connector.translate(record.topic, record.body)


def test_a_changed_order_is_read_anew_and_its_postal_code_is_not_kept(bench: Bench) -> None:
    bench.market.order("111", ("A", 2, "9.99"))
    change = {"OrderChangeNotification": {"AmazonOrderId": "111", "Summary": {"DestinationPostalCode": "48110"}}}
    body, [draft] = told(bench, notification("ORDER_CHANGE", change))
    assert b"48110" not in body
    assert (draft.type, draft.subject, draft.dedupe_key) == ("order.placed", "111", "order.placed:111")
    bench.market.order("112", ("A", 1, "9.99"), status="PENDING")
    assert told(bench, notification("ORDER_CHANGE", {"OrderChangeNotification": {"AmazonOrderId": "112"}}))[1] == []


def test_stock_of_its_warehouses_is_told_for_the_marketplace_of_the_system_only(bench: Bench) -> None:
    held = {
        "InboundQuantityBreakdown": {"Working": 1, "Shipped": 2, "Receiving": 0}, "Fulfillable": 10, "Unfulfillable": 3,
        "ReservedQuantityBreakdown": {"WarehouseProcessing": 1, "WarehouseTransfer": 0, "PendingCustomerOrder": 4},
    }  # fmt: skip
    rows = [{"MarketplaceId": place, "FulfillmentInventory": held} for place in (MARKET, "A2Q3Y263D00KWC")]
    event = notification("FBA_INVENTORY_AVAILABILITY_CHANGES", {"SKU": "A", "FulfillmentInventoryByMarketplace": rows})
    _, [draft] = told(bench, event)
    level = parse(draft.type, draft.data)
    assert isinstance(level, StockLevel)
    assert (level.sku, level.location, level.on_hand, level.allocated, level.available, level.in_transit) == (
        "A",
        "FBA",
        15,
        5,
        10,
        3,
    )


def test_a_settlement_report_that_is_done_is_fetched_at_once_in_an_event_of_the_bus_too(bench: Bench) -> None:
    name = bench.market.report(file(opening("1.00"), entry("1.00")))
    about = {
        "reportId": name, "reportType": "GET_V2_SETTLEMENT_REPORT_DATA_FLAT_FILE_V2", "processingStatus": "DONE",
        "reportDocumentId": f"amzn1.spdoc.{name}",
    }  # fmt: skip
    event = {
        "notificationType": "REPORT_PROCESSING_FINISHED", "notificationMetadata": {"notificationId": "n1"},
        "payload": {"reportProcessingFinishedNotification": about},
    }  # fmt: skip
    _, drafts = told(bench, {"version": "0", "detail-type": "REPORT_PROCESSING_FINISHED", "detail": event})
    assert {draft.dedupe_key for draft in drafts} == {
        draft.dedupe_key for draft in bench.drafts(entity="settlements").values()
    }
    about["reportType"] = "GET_FLAT_FILE_ACTIONABLE_ORDER_DATA"
    assert told(bench, event)[1] == []
    flawed = bench.market.report(file(opening("2.00"), entry("1.00")))
    about |= {"reportType": "GET_V2_SETTLEMENT_REPORT_DATA_FLAT_FILE_V2", "reportDocumentId": f"amzn1.spdoc.{flawed}"}
    with pytest.raises(BadInputError, match=r"line 2: .* 1\.00 is missing"):
        told(bench, event)


def test_a_notification_without_what_it_is_about_is_refused_and_one_of_a_strange_type_is_of_no_interest(
    bench: Bench,
) -> None:
    with pytest.raises(BadInputError, match="ORDER_CHANGE has no AmazonOrderId"):
        told(bench, notification("ORDER_CHANGE", {}))
    with pytest.raises(BadInputError, match="breaks Amazon's contract"):
        told(
            bench,
            notification("FBA_INVENTORY_AVAILABILITY_CHANGES", {"SKU": "A", "FulfillmentInventoryByMarketplace": [{}]}),
        )
    assert told(bench, notification("BRANDED_ITEM_CONTENT_CHANGE", {"Asin": "B0"}))[1] == []


@pytest.mark.parametrize("headers", [{}, {"x-api-key": ""}, {"x-api-key": "other"}, {"x-api-key": "h\u00fcsh"}])
def test_what_does_not_bear_the_key_is_not_taken(bench: Bench, headers: dict[str, str]) -> None:
    with pytest.raises(SignatureError, match="notification_key"):
        bench.connector.receive(Inbound(headers, b"{}"))


@pytest.mark.parametrize(
    ("url", "flawed"),
    [
        ("https://sqs.us-east-1.amazonaws.com/123456789012/spapi", False),
        ("https://sqs.us-east-1.amazonaws.com/spapi", True),
        ("https://user@sqs.us-east-1.amazonaws.com/123456789012/spapi", True),
        ("https://sqs.us-east-1.amazonaws.com/123456789012/spapi?Action=SendMessage", True),
        ("arn:aws:sqs:us-east-1:123456789012:spapi", True),
    ],
)
def test_the_address_of_a_queue_is_read_strictly(url: str, flawed: bool) -> None:
    check = AmazonConnector.manifest.check
    assert check is not None
    assert [path for path, _, _ in check("", {"queue_url": url})] == ([("options", "queue_url")] if flawed else [])


def test_a_system_that_names_a_queue_needs_its_secrets_and_consumes() -> None:
    with_queue = AmazonConnector.manifest.of({"queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"})
    without = AmazonConnector.manifest.of({})
    assert (with_queue.consumes, without.consumes) == (True, False)
    needed = [set(one.credential_schema()["required"]) for one in (with_queue, without)]
    assert needed[0] - needed[1] == {"queue_key_id", "queue_secret_key"}
