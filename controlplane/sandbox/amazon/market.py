"""What the marketplace knows: orders, packages, stock of its warehouses, listings, and what it was told and has not carried out yet."""

import gzip
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

MERCHANT = "DEFAULT"
BY_MARKETPLACE = {"model": "MARKETPLACE_FACILITATOR", "responsibleParty": "Amazon Services, Inc."}
SETTLEMENT = "GET_V2_SETTLEMENT_REPORT_DATA_FLAT_FILE_V2"


@dataclass
class Bucket:
    """Requests of one operation: so many at once, then so many a second."""

    rate: float
    burst: float
    left: float = field(init=False)
    at: datetime | None = None

    def __post_init__(self) -> None:
        self.left = self.burst

    def take(self, now: datetime) -> bool:
        """Whether one more may pass."""
        if self.at is not None:
            self.left = min(self.burst, self.left + (now - self.at).total_seconds() * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


RATES = {
    "searchOrders": (0.0056, 20), "getOrder": (0.5, 30), "confirmShipment": (2, 10), "getInventorySummaries": (2, 2),
    "getListingsItem": (5, 10), "searchListingsItems": (5, 5), "patchListingsItem": (5, 5),
    "getReports": (0.0222, 10), "getReportDocument": (0.0167, 15), "createFeedDocument": (0.5, 15), "createFeed": (0.0083, 15),
    "getFeeds": (0.0222, 10), "getFeed": (2, 15), "getFeedDocument": (0.0222, 10),
}  # fmt: skip
"""Operation -> requests a second and burst, as the vendor publishes them."""


@dataclass
class Paper:
    """A document at the store of objects, and until when its address is good."""

    content: bytes = b""
    kind: str = "text/plain"
    packed: bool = False
    expected: bool = False
    """Whether it may be put there, which whoever is to send it does."""
    signed: dict[str, datetime] = field(default_factory=dict)
    """What stands in the address -> until when."""


@dataclass
class Market:
    """One seller in one marketplace. `now` is the clock of both."""

    now: Callable[[], datetime]
    seller: str = "SELLER1"
    client: str = "client"
    secret: str = "secret"  # noqa: S105 - of nobody
    refresh: str = "refresh"
    marketplace: str = "ATVPDKIKX0DER"
    page: int = 50
    settles: timedelta = timedelta(minutes=2)
    """What changed within this time is not told yet."""
    token_life: timedelta = timedelta(seconds=30)
    queue: timedelta = timedelta(minutes=1)
    """How long an accepted change of a listing takes to show."""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    stock: dict[str, dict[str, Any]] = field(default_factory=dict)
    listings: dict[str, dict[str, Any]] = field(default_factory=dict)
    most: int = 1_000
    """Listings that one search pages through at most."""
    queued: list[tuple[datetime, str, str, Any]] = field(default_factory=list)
    """When it was accepted, SKU, what of it, and the value."""
    feeds: dict[str, dict[str, Any]] = field(default_factory=dict)
    feed_waits: timedelta = timedelta(seconds=20)
    """How long a feed is in the queue."""
    feed_takes: timedelta = timedelta(seconds=20)
    """How long a feed is worked on."""
    feed_shows: bool = True
    """Whether a listing shows at once what a feed has done, or as late as any change."""
    feed_ends: list[tuple[str, int]] = field(default_factory=list)
    """How the next feeds end, and after how many messages, where that is not with the last one."""
    tokens: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    listed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Page token -> the whole list that it is of."""
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, Paper] = field(default_factory=dict)
    store: str = ""
    """Where documents lie, if not at the marketplace itself."""
    good_for: float = 300.0
    """Seconds that an address of a document is good for."""
    shown: Counter[str] = field(default_factory=Counter)
    """SKU, what of it, and value -> how often a listing came to show it."""
    limited: bool = True
    lost: Counter[str] = field(default_factory=Counter)
    """Operation -> how many of the next requests take effect and are not answered."""
    watched: dict[str, Callable[[], None]] = field(default_factory=dict)
    """Operation -> what happens when it has taken effect, before it is answered."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    buckets: dict[str, Bucket] = field(default_factory=lambda: {name: Bucket(*told) for name, told in RATES.items()})

    # --- for whoever tries it from outside ---
    def hurry(self, client: str, secret: str, refresh: str) -> None:
        """Carry out at once what is accepted, and let in who says so."""
        self.client, self.secret, self.refresh = client, secret, refresh
        self.queue = timedelta(0)

    def refill(self) -> None:
        """Every bucket is full again."""
        self.buckets = {name: Bucket(*told) for name, told in RATES.items()}

    def buy(self, ref: str, sku: str, quantity: int, price: str, ago: float = 0.0) -> None:
        """Somebody ordered an article so many seconds ago."""
        self.order(ref, (sku, quantity, price))
        at = stamp(self.now() - timedelta(seconds=ago))
        self.orders[ref] |= {"createdTime": at, "lastUpdatedTime": at}

    def settlement(self, text: str) -> str:
        """A report of a settlement is made; return its id."""
        return self.report(text.encode())

    @property
    def packages(self) -> Counter[str]:
        """Tracking number -> how many packages bear it."""
        return Counter(one["trackingNumber"] for order in self.orders.values() for one in order["packages"])

    # --- what happens ---
    def order(
        self, ref: str, *items: tuple[str, int, str], by: str = "MERCHANT", status: str = "UNSHIPPED", tax: str = "0", off: str = "0",
        remits: bool = True,
    ) -> None:  # fmt: skip
        """Somebody in Seattle orders (SKU, quantity, price), so much tax and discount on each; the marketplace `remits` the tax."""
        now = stamp(self.now())
        lines: list[dict[str, Any]] = [
            {
                "orderItemId": f"{ref}-{at}", "quantityOrdered": quantity,
                "product": {
                    "asin": f"B0{at:08d}", "title": sku, "sellerSku": sku,
                    "price": {"unitPrice": _usd(price)},
                },
                "fulfillment": {"quantityFulfilled": 0, "quantityUnfulfilled": quantity},
                "proceeds": _proceeds(quantity * Decimal(price), Decimal(tax), Decimal(off)),
                "tax": {"taxCollections": [BY_MARKETPLACE]} if remits else {},
            }
            for at, (sku, quantity, price) in enumerate(items, 1)
        ]  # fmt: skip
        if status.startswith("PENDING"):
            for line in lines:
                del line["product"]["price"], line["proceeds"]
        self.orders[ref] = {
            "orderId": ref, "createdTime": now, "lastUpdatedTime": now,
            "salesChannel": {"channelName": "AMAZON", "marketplaceId": self.marketplace, "marketplaceName": "Amazon.com"},
            "fulfillment": {"fulfillmentStatus": status, "fulfilledBy": by}, "orderItems": lines, "packages": [],
            "recipient": {"deliveryAddress": {
                "name": "Jane Doe", "addressLine1": "1 Any St", "city": "Seattle", "stateOrRegion": "WA", "postalCode": "98101",
                "countryCode": "US",
            }},
        }  # fmt: skip

    def pay(self, ref: str, price: str) -> None:
        """What was pending is authorised."""
        order = self.orders[ref]
        order["fulfillment"]["fulfillmentStatus"] = "UNSHIPPED"
        for line in order["orderItems"]:
            line["product"]["price"] = {"unitPrice": _usd(price)}
            line["proceeds"] = _proceeds(line["quantityOrdered"] * Decimal(price), Decimal(0), Decimal(0))
        order["lastUpdatedTime"] = stamp(self.now())

    def ship(self, ref: str, package: dict[str, Any]) -> str:
        """Take a package of the order; return what is wrong with it. Told again under its number it is the same package."""
        order = self.orders[ref]
        held = [one for one in order["packages"] if one["packageReferenceId"] == package["packageReferenceId"]]
        if held:
            held[0]["trackingNumber"] = package["trackingNumber"]
            return ""
        lines = {line["orderItemId"]: line for line in order["orderItems"]}
        for item in package["orderItems"]:
            line = lines.get(item["orderItemId"])
            if line is None or item["quantity"] > line["fulfillment"]["quantityUnfulfilled"]:
                return f"Invalid quantity {item['quantity']} of order item {item['orderItemId']}"
        for item in package["orderItems"]:
            lines[item["orderItemId"]]["fulfillment"]["quantityUnfulfilled"] -= item["quantity"]
            lines[item["orderItemId"]]["fulfillment"]["quantityFulfilled"] += item["quantity"]
        open_ = sum(line["fulfillment"]["quantityUnfulfilled"] for line in order["orderItems"])
        order["packages"].append({
            "packageReferenceId": package["packageReferenceId"], "createdTime": stamp(self.now()),
            "packageStatus": {"status": "SHIPPED"}, "carrier": package.get("carrierName") or package["carrierCode"],
            "shipTime": package["shipDate"], "trackingNumber": package["trackingNumber"], "packageItems": package["orderItems"],
        })  # fmt: skip
        order["fulfillment"]["fulfillmentStatus"] = "PARTIALLY_SHIPPED" if open_ else "SHIPPED"
        order["lastUpdatedTime"] = stamp(self.now())
        return ""

    def keep(self, sku: str, fulfillable: int, reserved: int = 0) -> None:
        """The warehouses hold so many."""
        self.stock[sku] = {"fulfillable": fulfillable, "reserved": reserved, "changed": stamp(self.now())}

    def list_item(self, sku: str, quantity: int, channel: str = MERCHANT, price: str = "10.00") -> None:
        """The seller lists an article, which he ships himself unless the channel is one of Amazon's."""
        now = stamp(self.now())
        self.listings[sku] = {"quantity": quantity, "created": now, "changed": now, "channel": channel, "price": price}

    def unlist(self, sku: str) -> None:
        """The seller takes a listing away."""
        del self.listings[sku]

    def report(self, content: bytes, kind: str = SETTLEMENT, charset: str = "utf-8", status: str = "DONE") -> str:
        """A report is made; return its id."""
        name = str(900_000 + len(self.reports))
        self.documents[f"amzn1.spdoc.{name}"] = Paper(
            gzip.compress(content), f"text/tab-separated-values;charset={charset}", packed=True
        )
        self.reports[name] = {
            "reportId": name, "reportType": kind, "processingStatus": status, "createdTime": stamp(self.now()),
            "marketplaceIds": [self.marketplace], "reportDocumentId": f"amzn1.spdoc.{name}",
        }  # fmt: skip
        return name

    def settle(self) -> None:
        """Carry out what was accepted long enough ago, the last of each listing last."""
        now = self.now()
        for told in [one for one in self.queued if one[0] + self.queue <= now]:
            self.queued.remove(told)
            _, sku, name, value = told
            self.show(sku, name, value)

    def show(self, sku: str, name: str, value: Any) -> None:
        """A listing shows something else from now on; how often is counted."""
        if sku in self.listings:
            self.listings[sku] |= {name: value, "changed": stamp(self.now())}
            self.shown[f"{sku} {name} {value}"] += 1


def stamp(at: datetime) -> str:
    """Return an instant as the vendor writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _usd(amount: Decimal | str) -> dict[str, str]:
    return {"amount": str(amount), "currencyCode": "USD"}


def _proceeds(goods: Decimal, tax: Decimal, off: Decimal) -> dict[str, Any]:
    """What an item brings; a kind that brings nothing is left out. The part of each that is of the goods is all of it."""
    kinds = {"ITEM": goods, "TAX": tax, "DISCOUNT": off}
    rows = [
        {"type": kind, "subtotal": _usd(amount)}
        | ({"detailedBreakdowns": [{"subtype": "ITEM", "value": _usd(amount)}]} if kind != "ITEM" else {})
        for kind, amount in kinds.items()
        if amount
    ]
    return {"proceedsTotal": _usd(goods + tax - off), "breakdowns": rows}
