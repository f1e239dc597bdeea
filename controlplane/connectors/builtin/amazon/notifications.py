"""Notifications, off a queue, or as an EventBridge API destination forwards them with a key of our own. They tell what to read anew.

Amazon tells them to queues and event buses only. Of a notification only what is needed is kept: an order's holds a postal code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controlplane.connectors.auth import fits
from controlplane.connectors.builtin.amazon import orders
from controlplane.connectors.builtin.amazon.api import Api
from controlplane.connectors.builtin.amazon.reports import KIND, Reports
from controlplane.connectors.contract import Context, Draft, Inbound, Record, SignatureError
from controlplane.connectors.records import content_key, read_json, verbatim
from controlplane.errors import BadInputError

HEADER, SECRET = "x-api-key", "notification_key"
ORDER, STOCK, REPORT = "ORDER_CHANGE", "FBA_INVENTORY_AVAILABILITY_CHANGES", "REPORT_PROCESSING_FINISHED"
KEPT: dict[str, tuple[str, ...]] = {
    ORDER: ("SellerId", "AmazonOrderId", "OrderChangeType"),
    STOCK: ("SellerId", "SKU", "FNSKU", "FulfillmentInventoryByMarketplace"),
    REPORT: ("sellerId", "accountId", "reportId", "reportType", "processingStatus", "reportDocumentId"),
    "FEED_PROCESSING_FINISHED": ("sellerId", "accountId", "feedId", "feedType", "processingStatus", "resultFeedDocumentId"),
    "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": ("SellerId", "Sku", "FulfillmentChannelCode", "Quantity"),
    "LISTINGS_ITEM_STATUS_CHANGE": ("SellerId", "MarketplaceId", "Sku", "Status"),
    "TRANSACTION_UPDATE": ("TransactionType", "PostedDate", "TotalAmount", "RelatedIdentifiers"),
    "FULFILLMENT_ORDER_STATUS": ("SellerId", "EventType", "SellerFulfillmentOrderId", "FulfillmentOrderStatus"),
}  # fmt: skip
"""Type -> what is kept of its payload. Those that nothing is made of are checked, and of no interest."""
TOPICS = tuple(KEPT)
NEEDED = {
    ORDER: ("AmazonOrderId",), STOCK: ("SKU", "FulfillmentInventoryByMarketplace"), REPORT: ("reportId", "reportType", "processingStatus"),
    "FEED_PROCESSING_FINISHED": ("feedId", "feedType", "processingStatus"), "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": ("Sku", "Quantity"),
    "LISTINGS_ITEM_STATUS_CHANGE": ("Sku", "Status"), "TRANSACTION_UPDATE": ("TransactionType", "TotalAmount"),
    "FULFILLMENT_ORDER_STATUS": ("SellerFulfillmentOrderId", "FulfillmentOrderStatus"),
}  # fmt: skip


def receive(context: Context, inbound: Inbound) -> Record:
    """Check the key, and name the type and the notification, whose id stays the same over retries. Raises SignatureError."""
    if not fits(context.secret(SECRET), [inbound.headers.get(HEADER, "")], lambda key: key):
        raise SignatureError(f"{HEADER} does not match; check {SECRET}, and the connection of the API destination")
    return record_of(inbound.body)


def queued(body: bytes, name: str) -> Record:
    """Return a message of a queue as a record; one that cannot be read waits as it is, under its `name` at the queue."""
    try:
        return record_of(body)
    except BadInputError:
        return Record("unknown", content_key("unknown", name, body), body)


def record_of(body: bytes) -> Record:
    """Return a notification with what is needed of it. Raises BadInputError for what is no JSON object."""
    told = _opened(read_json(body))
    topic = str(_of(told, "NotificationType") or "unknown")
    named = _of(_of(told, "NotificationMetadata"), "NotificationId")
    kept = verbatim(_kept(topic, told))
    return Record(topic, f"{topic}:{named}" if named else content_key(topic, "", kept), kept)


def _opened(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event bus puts a notification into an event of its own."""
    detail = told.get("detail")
    return detail if isinstance(detail, Mapping) and "detail-type" in told else told


def _of(told: Any, name: str) -> Any:
    """Some types are written in small letters, some are not."""
    if not isinstance(told, Mapping):
        return None
    return told.get(name, told.get(name[:1].lower() + name[1:]))


def _payload(told: Mapping[str, Any]) -> Any:
    """Some payloads are wrapped in the name of the notification."""
    payload = _of(told, "Payload")
    inner = next(iter(payload.values())) if isinstance(payload, Mapping) and len(payload) == 1 else None
    return inner if isinstance(inner, Mapping) else payload


def _kept(topic: str, told: Mapping[str, Any]) -> dict[str, Any]:
    payload = _payload(told)
    some = (
        {name: payload[name] for name in KEPT.get(topic, ()) if name in payload} if isinstance(payload, Mapping) else {}
    )
    return {"type": topic, "at": _of(told, "EventTime"), "about": some}


def drafts(
    context: Context, topic: str, told: Mapping[str, Any], api: Api, reports: Reports, place: str, marketplace: str,
    read: Callable[[Any], list[Draft]],
) -> list[Draft]:  # fmt: skip
    """Return what a notification leads to: the order (`read`), the report, or the stock at `place`; of other types nothing.

    Raises BadInputError, ConnectorError, KeyError, TypeError, ValueError.
    """
    about = told["about"]
    missing = [name for name in NEEDED[topic] if name not in about]
    if missing:
        raise BadInputError(f"the notification {topic} has no {', '.join(missing)}; correct it, or drop it", missing[0])
    if topic == ORDER:
        return read(orders.found(context, api, str(about["AmazonOrderId"])))
    if topic == STOCK:
        return _stock(told, about, place, marketplace, context.codes.ours)
    if topic == REPORT and about["reportType"] == KIND and about["processingStatus"] == "DONE":
        return reports.whole(str(about["reportId"]), str(about["reportDocumentId"]))
    return []


def _stock(
    told: Mapping[str, Any], about: Mapping[str, Any], place: str, marketplace: str, ours: Callable[[str, str], str]
) -> list[Draft]:  # fmt: skip
    if not place:
        raise BadInputError("the System has no `options.fba_location`; name the location of what Amazon ships")
    at = datetime.fromisoformat(str(told["at"]))
    sku = ours("sku", str(about["SKU"]))
    return [
        _level(one["FulfillmentInventory"], sku, place, at)
        for one in about["FulfillmentInventoryByMarketplace"]
        if one["MarketplaceId"] == marketplace
    ]


def _level(held: Mapping[str, Any], sku: str, place: str, at: datetime) -> Draft:
    free, reserved = int(held["Fulfillable"]), sum(int(units) for units in held["ReservedQuantityBreakdown"].values())
    coming = sum(int(units) for units in held["InboundQuantityBreakdown"].values())
    data = {
        "sku": sku, "location": place, "on_hand": free + reserved, "allocated": reserved, "available": free, "in_transit": coming,
        "source_at": at.isoformat(),
    }  # fmt: skip
    subject = f"{sku}@{place}"
    return Draft("stock.level", subject, f"stock.level:{subject}:{at.isoformat()}", at, data, at.isoformat())
