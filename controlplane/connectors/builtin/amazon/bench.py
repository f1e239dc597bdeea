"""Amazon on trial, against a simulated marketplace; its queue is one of an SQS that somebody else wrote, where that is installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.builtin.amazon.notifications import HEADER, KEPT, ORDER, SECRET, STOCK
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked, Canned
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.conformance.single import Single
from controlplane.connectors.contract import Connector, Inbound, Record, Write

MARKET, OURS, THEIRS = "ATVPDKIKX0DER", "WH1", "FBA"
PAGE, FEW = 50, 20
AGO = 200.0
"""Seconds since which an order stands: younger than two minutes it is not told yet."""
KEY = "key-of-the-bench"
LOGIN = {
    "client_id": "client-of-the-bench",
    "client_secret": "secret-of-the-bench",
    "refresh_token": "refresh-of-the-bench",
}
SIGNED = {"queue_key_id": "AKIDEXAMPLEBENCH", "queue_secret_key": "wJalrXUtnFEMI-of-the-bench"}
COLUMNS = (
    "settlement-id", "deposit-date", "total-amount", "currency", "transaction-type", "order-id", "amount-type", "amount-description",
    "amount", "posted-date",
)  # fmt: skip
AT = "2026-01-01T00:00:00.000Z"


class AmazonBench(Bench):
    """Listings, stock, orders and settlement reports are made as they are asked for; the market's books tell what took effect."""

    connector: ClassVar[type[Connector]] = AmazonConnector
    against = "a simulated marketplace, and SQS as moto serves it"
    several_pages: ClassVar = {"fba": 2 * PAGE + 1, "offers": 2 * FEW + 1, "orders": 2 * PAGE + 1, "settlements": 3}
    enums: ClassVar = {"orders": ("fulfillmentStatus", "fulfilledBy", "channelName", "currencyCode")}
    amounts: ClassVar = {"orders": ("amount",)}
    throttling = Canned.of(429, {"errors": [{"code": "QuotaExceeded", "message": ""}]}, x_amzn_RateLimit_Limit="0.5")
    throttled_for = 2.0
    webhook_key = HEADER

    def start(self, folder: Path) -> Place:
        """Start a seller with nothing listed and nothing sold, and a queue where an SQS can be had."""
        self.market, self._next = Single("amazon", folder), count(1)
        self._queue: Any = None
        self.market.do(
            "hurry", client=LOGIN["client_id"], secret=LOGIN["client_secret"], refresh=LOGIN["refresh_token"]
        )
        self._known: dict[str, set[str]] = {"fba": set(), "offers": set(), "orders": set(), "settlements": set()}
        options: dict[str, Any] = {
            "seller": "SELLER1", "marketplace": MARKET, "location": OURS, "fba_location": THEIRS, "currency": "USD",
            "prices_with_tax": False, "login_endpoint": self.market.url,
        }  # fmt: skip
        if not self._queueing():
            return Place(self.market.url, {**LOGIN, SECRET: KEY}, options, beside=(self.market.url,))
        secrets, beside = {**LOGIN, SECRET: KEY, **SIGNED}, (self.market.url, self._url)
        return Place(self.market.url, secrets, {**options, "queue_url": self._url}, beside=beside)

    def _queueing(self) -> bool:
        try:
            boto3, moto = import_module("boto3"), import_module("moto.server")
        except ImportError:
            return False
        self._sqs: Any = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells each request
        self._sqs.start()
        base = "http://{}:{}".format(*self._sqs.get_host_and_port())
        keys = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
        self._queue = boto3.client("sqs", endpoint_url=base, region_name="us-east-1", **keys)
        self._queue.create_queue(QueueName="notifications")
        self._queue.purge_queue(QueueUrl=f"{base}/123456789012/notifications")
        self._url = f"{base}/123456789012/notifications"
        return True

    def stop(self) -> None:
        """Stop both."""
        self.market.stop()
        if self._queue:
            self._sqs.stop()

    def rest(self) -> None:
        """Fill the buckets."""
        self.market.do("refill")

    # --- reading ---
    def things(self, entity: str, at_least: int) -> set[str]:
        """Make what is missing."""
        while len(self._known[entity]) < at_least:
            self.stir(entity)
        return set(self._known[entity])

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the order, or the row of a settlement."""
        told = json.loads(record.body)
        return {str(told["orderId"] if entity == "orders" else told["settlement"]["id"])}

    def stir(self, entity: str) -> None:
        """Add one: a listing, stock, an order, a settlement."""
        number = next(self._next)
        if entity == "fba":
            self.market.do("keep", sku=f"FBA-{number}", fulfillable=number % 90)
            self._known[entity].add(f"FBA-{number}@{THEIRS}")
        elif entity == "offers":
            self._listing()
        elif entity == "orders":
            self._order()
        else:
            self.market.do("settlement", text=_report(str(number)))
            self._known[entity].add(str(number))

    def _listing(self) -> str:
        sku = f"SKU-{next(self._next)}"
        self.market.do("list_item", sku=sku, quantity=5)
        self._known["offers"].add(f"{sku}@{OURS}")
        return sku

    def _order(self) -> str:
        ref = f"111-{next(self._next)}"
        self.market.do("buy", ref=ref, sku="A", quantity=2, price="12.34", ago=AGO)
        self._known["orders"].add(ref)
        return ref

    # --- writing ---
    def write(self, entity: str) -> Write:
        """Return a quantity or a price of a new listing, or a package of a new order."""
        if entity == "shipment_confirmation":
            return self._package(1)
        sku = self._listing()
        return self._quantity(sku, 91) if entity == "quantity" else self._price(sku, "12.34")

    def _quantity(self, sku: str, quantity: int) -> Write:
        payload = {"sku": sku, "location": OURS, "channel": "amazon", "quantity": quantity, "expected": None}
        return Write("quantity", f"{sku}@{OURS}", f"delivery-{sku}", payload, f"{sku}@{OURS}")

    def _price(self, sku: str, price: str) -> Write:
        payload = {"sku": sku, "title": sku, "unit_price": price, "currency": "USD", "active": True}
        return Write("price", sku, f"delivery-{sku}", payload, sku)

    def _package(self, quantity: int) -> Write:
        ref = self._order()
        payload = {
            "shipment": f"S-{ref}", "order_ref": ref, "location": OURS, "shipped_at": "2026-01-01T00:00:00+00:00", "carrier": "UPS",
            "tracking": f"T-{ref}", "lines": [{"sku": "A", "quantity": quantity}],
        }  # fmt: skip
        return Write("shipment_confirmation", f"S-{ref}", f"delivery-{ref}", payload, f"S-{ref}")

    def effects(self, request: Write) -> int:
        """Count how often the listing came to show it, or packages."""
        if request.entity == "shipment_confirmation":
            return int(self.market.known("packages").get(request.payload["tracking"], 0))
        told = request.payload
        wanted = f"quantity {told['quantity']}" if request.entity == "quantity" else f"price {told['unit_price']}"
        return int(self.market.known("shown").get(f"{told['sku']} {wanted}", 0))

    def refused(self, entity: str) -> Write:
        """Return a quantity below nothing, a price of nothing, and a package with more than was ordered."""
        if entity == "shipment_confirmation":
            return self._package(99)
        sku = self._listing()
        return self._quantity(sku, -1) if entity == "quantity" else self._price(sku, "0.00")

    def sent_amounts(self, entity: str) -> tuple[str, ...]:
        """A price is told to the cent."""
        return ("12.34",) if entity == "price" else ()

    def is_write(self, asked: Asked) -> bool:
        """Packages are posted."""
        return asked.method == "PATCH" or asked.path.endswith("/shipmentConfirmation")

    def is_read(self, asked: Asked) -> bool:
        """Tokens are fetched elsewhere."""
        return not self.is_write(asked)

    # --- receiving ---
    def webhooks(self) -> Sequence[Inbound]:
        """Return a notification of each type, as an event bus forwards it."""
        return [self._forwarded(self._notification(topic)) for topic in KEPT]

    def under_another_id(self, inbound: Inbound) -> Inbound:
        """Return the notification as it comes when it is told anew."""
        told = json.loads(inbound.body)
        return self._forwarded(told | {"NotificationMetadata": {"NotificationId": f"n{next(self._next)}"}})

    def _forwarded(self, told: dict[str, Any]) -> Inbound:
        return Inbound({HEADER: KEY}, json.dumps(told).encode())

    def _notification(self, topic: str) -> dict[str, Any]:
        about: dict[str, Any] = dict.fromkeys(KEPT[topic], "1")
        if topic == ORDER:
            about = {"AmazonOrderId": self._order()}
        elif topic == STOCK:
            about = {"SKU": "A", "FulfillmentInventoryByMarketplace": []}
        return {
            "NotificationType": topic, "EventTime": AT, "Payload": {f"{topic}Notification": about},
            "NotificationMetadata": {"NotificationId": f"n{next(self._next)}"},
        }  # fmt: skip

    # --- the queue ---
    def enqueue(self, many: int) -> list[bytes]:
        """Tell of changed orders, and return what is to be kept of each."""
        if not self._queue:
            raise NotApplicable("moto, which serves the queue, is not installed")
        kept = []
        for _ in range(many):
            told = self._notification(ORDER)
            self._queue.send_message(QueueUrl=self._url, MessageBody=json.dumps(told))
            [about] = told["Payload"].values()
            wanted = {"about": about, "at": AT, "type": ORDER}
            kept.append(json.dumps(wanted, sort_keys=True, separators=(",", ":")).encode())
        return kept


def _report(name: str) -> str:
    """A settlement of one sale and its fee."""
    opened = {
        "settlement-id": name,
        "deposit-date": "2026-01-05 02:00:00 UTC",
        "total-amount": "10.34",
        "currency": "USD",
    }
    sale = {
        "settlement-id": name, "transaction-type": "Order", "order-id": f"111-{name}", "amount-type": "ItemPrice",
        "amount-description": "Principal", "amount": "12.34", "posted-date": "2026-01-02",
    }  # fmt: skip
    fee = sale | {"amount-type": "ItemFees", "amount-description": "Commission", "amount": "-2.00"}
    lines = ["\t".join(row.get(column, "") for column in COLUMNS) for row in (opened, sale, fee)]
    return "\r\n".join(["\t".join(COLUMNS), *lines, ""])
