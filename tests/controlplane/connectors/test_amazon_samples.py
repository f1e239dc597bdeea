"""Files of Amazon's that nobody here wrote, each read or refused with its place: the table of files and results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlplane.connectors.contract import Inbound
from tests.controlplane.connectors.samples import alone, at_hand, files_of, outcome
from tests.controlplane.connectors.simulators import SPECS
from tests.openapi import broken

pytestmark = at_hand("amazon-sp-api")
ROOT = SPECS / "amazon-sp-api"
OPTIONS = {"seller": "A1", "marketplace": "ATVPDKIKX0DER", "location": "WH1", "fba_location": "FBA"}
REPLIES = {
    "feeds-createFeed": ("feeds-api-model/feeds_2021-06-30.json", "CreateFeedResponse"),
    "feeds-createFeedDocument": ("feeds-api-model/feeds_2021-06-30.json", "CreateFeedDocumentResponse"),
    "feeds-getFeed": ("feeds-api-model/feeds_2021-06-30.json", "Feed"),
    "feeds-getFeedDocument": ("feeds-api-model/feeds_2021-06-30.json", "FeedDocument"),
    "listings-getListingsItem": ("listings-items-api-model/listingsItems_2021-08-01.json", "Item"),
    "orders-confirmShipment": ("orders-api-model/ordersV0.json", "ConfirmShipmentErrorResponse"),
    "orders-getOrder": ("orders-api-model/ordersV0.json", "GetOrderResponse"),
    "orders-getOrderItems": ("orders-api-model/ordersV0.json", "GetOrderItemsResponse"),
    "pricing-patchListingsItem": ("listings-items-api-model/listingsItems_2021-08-01.json", "ListingsItemSubmissionResponse"),
    "reports-getReport": ("reports-api-model/reports_2021-06-30.json", "Report"),
    "reports-getReportDocument": ("reports-api-model/reports_2021-06-30.json", "ReportDocument"),
}  # fmt: skip
"""Sample reply -> the model and the definition that it is one of."""


def result_of(name: str) -> str:
    told = json.loads((ROOT / name).read_bytes())
    folder, _, file = name.partition("/")
    if folder == "models":
        methods = ("get", "post", "put", "patch", "delete")
        return f"described: {sum(method in item for item in told['paths'].values() for method in methods)} operations"
    if folder == "sample-responses":
        return _reply(file.removesuffix(".json"), told)
    if file.startswith("notifications/"):
        return " | ".join(dict.fromkeys(_notified(one) for one in _examples(told)))
    kinds = ("messages", "issues", "items")
    return (
        f"example: {' '.join(f'{len(told[one])} {one}' for one in kinds if one in told)}"
        if "header" in told
        else "described: a schema"
    )


def _reply(name: str, told: Any) -> str:
    model, definition = REPLIES[name]
    wrong = broken(ROOT / "models" / model, definition, told)
    return f"refused: {wrong[0]}" if wrong else f"fits {definition}"


def _examples(told: dict[str, Any]) -> list[Any]:
    """The examples of a schema; where there is none of the whole, one that is put together of those of its parts."""
    return told.get("examples") or [_assembled(told)]


def _assembled(schema: dict[str, Any]) -> Any:
    if "properties" in schema:
        return {name: _assembled(one) for name, one in schema["properties"].items()}
    if schema.get("examples"):
        return schema["examples"][0]
    return schema.get("default") or (schema.get("enum") or [None])[0]


def _notified(told: Any) -> str:
    connector = alone("amazon", OPTIONS, {"notification_key": "hush"})
    record = connector.receive(Inbound({"x-api-key": "hush"}, json.dumps(told).encode()))
    return f"{record.topic}: {outcome(connector, record.topic, record.body)}"


TABLE: dict[str, str] = {
    "models/external-fulfillment/externalFulfillmentInventory_2024-09-11.json": "described: 1 operations",
    "models/fba-inventory-api-model/fbaInventory.json": "described: 4 operations",
    "models/feeds-api-model/feeds_2021-06-30.json": "described: 6 operations",
    "models/finances-api-model/financesV0.json": "described: 4 operations",
    "models/finances-api-model/finances_2024-06-19.json": "described: 3 operations",
    "models/finances-api-model/transfers_2024-06-01.json": "described: 4 operations",
    "models/listings-items-api-model/listingsItems_2021-08-01.json": "described: 5 operations",
    "models/notifications-api-model/notifications.json": "described: 10 operations",
    "models/orders-api-model/ordersV0.json": "described: 10 operations",
    "models/orders-api-model/orders_2026-01-01.json": "described: 2 operations",
    "models/reports-api-model/reports_2021-06-30.json": "described: 9 operations",
    "sample-responses/feeds-createFeed.json": "fits CreateFeedResponse",
    "sample-responses/feeds-createFeedDocument.json": "fits CreateFeedDocumentResponse",
    "sample-responses/feeds-getFeed.json": "fits Feed",
    "sample-responses/feeds-getFeedDocument.json": "fits FeedDocument",
    "sample-responses/listings-getListingsItem.json": "fits Item",
    "sample-responses/orders-confirmShipment.json": "fits ConfirmShipmentErrorResponse",
    "sample-responses/orders-getOrder.json": "fits GetOrderResponse",
    "sample-responses/orders-getOrderItems.json": "fits GetOrderItemsResponse",
    "sample-responses/pricing-patchListingsItem.json": "fits ListingsItemSubmissionResponse",
    "sample-responses/reports-getReport.json": "fits Report",
    "sample-responses/reports-getReportDocument.json": "fits ReportDocument",
    "schemas/feeds/listings-feed-message-schema-v2.json": "described: a schema",
    "schemas/feeds/listings-feed-processing-report-schema-v2.example.json": "example: 3 issues 2 items",
    "schemas/feeds/listings-feed-processing-report-schema-v2.json": "described: a schema",
    "schemas/feeds/listings-feed-schema-v2.example.json": "example: 5 messages",
    "schemas/feeds/listings-feed-schema-v2.json": "described: a schema",
    "schemas/notifications/FBAInventoryAvailabilityChangeNotification.json": "FBA_INVENTORY_AVAILABILITY_CHANGES: read: stock.level",
    "schemas/notifications/FeedProcessingFinishedNotification.json": "FEED_PROCESSING_FINISHED: of no interest",
    "schemas/notifications/FulfillmentOrderStatusNotification.json": "FULFILLMENT_ORDER_STATUS: of no interest",
    "schemas/notifications/ListingsItemMfnQuantityChange.json": "LISTINGS_ITEM_MFN_QUANTITY_CHANGE: of no interest",
    "schemas/notifications/ListingsItemStatusChangeNotification.json": "LISTINGS_ITEM_STATUS_CHANGE: of no interest",
    "schemas/notifications/OrderChangeNotification.json": "ORDER_CHANGE: looked up",
    "schemas/notifications/ReportProcessingFinishedNotification.json": "REPORT_PROCESSING_FINISHED: of no interest",
    "schemas/notifications/TransactionUpdateNotification.json": "TRANSACTION_UPDATE: of no interest",
}  # fmt: skip


def test_every_sample_is_in_the_table() -> None:
    assert files_of("amazon-sp-api") == set(TABLE)


@pytest.mark.parametrize("name", list(TABLE))
def test_every_sample_is_read_or_refused_with_its_place(name: str) -> None:
    assert result_of(name) == TABLE[name]
