"""The Shopify connector: what it declares, and which part does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors.auth import signed_by
from controlplane.connectors.builtin.shopify import documents, money, settings, shown, taxes
from controlplane.connectors.builtin.shopify.api import DEFAULT_VERSION, make_api
from controlplane.connectors.builtin.shopify.fulfilments import FULFILLABLE, VOID, Fulfilments
from controlplane.connectors.builtin.shopify.orders import order_drafts
from controlplane.connectors.builtin.shopify.products import Products
from controlplane.connectors.builtin.shopify.stock import Stock
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Entry,
    Inbound,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Record,
    Setting,
    SignatureError,
    Write,
    WriteSpec,
)
from controlplane.connectors.graphql import relay
from controlplane.connectors.http import Answer
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import content_key, read_json, verbatim
from rules.outcomes import Guarantee, Outcome

OVERLAP = timedelta(minutes=5)
"""How far behind the last change seen a poll starts; the vendor's search index lags."""
ORDER_TOPICS = ("orders/create", "orders/updated")
REFUND_TOPIC = "refunds/create"
PAGE = 25
COMPARED = "`changeFromQuantity` and `@idempotent`"
TRACKED = "looked up by tracking number and contents"
BY_SKU = "looked up by SKU"
LEVELS = 50
"""Levels that one request sets: each costs some ten points, and no request may cost more than a thousand."""
TOGETHER, LATE = 500, 300.0
"""Items of one bulk operation, and the seconds within which one that we lost sight of may still change something."""


class ShopifyConnector(Connector):
    """A Shopify shop. Options: api_version, locations (ours; online orders are shipped from the first), snapshot (pages, bulk).

    returns (goods that a refund puts back are told), gateways_elsewhere (whose own connectors tell their refunds).

    Others say how the shop has to be set, and nothing else: currency, time_zone, webhook_url.
    """

    manifest: ClassVar[Manifest] = Manifest(
        name="shopify",
        title="Shopify (GraphQL Admin)",
        reads=(
            ReadSpec("levels", snapshot=True),
            ReadSpec("orders", changes=True, listing="orders"),
            ReadSpec("products", listing="articles"),
            *(ReadSpec(entity, changes=True) for entity in money.LISTINGS),
        ),
        writes=(
            WriteSpec(
                "available", ("stock.offer",), Guarantee.CONDITIONAL, late_effect=5.0, batch=LEVELS, how=COMPARED
            ),
            WriteSpec("fulfillment", ("shipment.shipped",), Guarantee.READABLE, late_effect=10.0, how=TRACKED),
            WriteSpec(
                "product", ("product.described",), Guarantee.READABLE, late_effect=LATE, batch=TOGETHER, how=BY_SKU
            ),
        ),
        receives=(*ORDER_TOPICS, "inventory_levels/update", "fulfillments/create", REFUND_TOPIC),
        secrets=("access_token", "webhook_secret"),
        webhook_secrets=("webhook_secret",),
        options=(
            "api_version",
            "locations",
            "currency",
            "time_zone",
            "webhook_url",
            "snapshot",
            "returns",
            "gateways_elsewhere",
        ),
        verified_against=f"the vendor's schema {DEFAULT_VERSION}, recorded answers, the sandbox",
        kind="shop",
        auth="access token in X-Shopify-Access-Token; webhooks by HMAC-SHA256",
        limits="cost of a query against a bucket of points (2,000 and 100 a second at least); pages of 25 orders, 100 items",
        gaps=(
            "edits of orders",
            "two parcels of one order with the same number and contents",
            "payouts that change after 30 days",
            "when a movement is available, and when a payout came into its state",
            "a refund with more than 100 lines",
        ),
        statuses={
            "fulfillmentOrder": dict.fromkeys(sorted(FULFILLABLE), "can be fulfilled"),
            "fulfillment": dict.fromkeys(sorted(VOID), "counts as not there"),
            "balance_transaction.type": dict(money.KINDS),
            "payout.status": dict(money.STATES),
        },
        option_schemas={
            "api_version": {"type": "string", "pattern": r"^\d{4}-\d{2}$", "default": DEFAULT_VERSION},
            "locations": {"type": "array", "items": {"type": "string"}},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "time_zone": {"type": "string", "description": "as Etc/UTC"},
            "webhook_url": {"type": "string", "format": "uri"},
            "returns": {"type": "boolean", "default": False, "description": "tell goods that a refund puts back"},
            "gateways_elsewhere": {"type": "array", "items": {"type": "string"}},
            "snapshot": {"enum": ["pages", "bulk"], "default": "pages", "description": "how all levels are read"},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._http, self._graphql = make_api(context)
        self._stock = Stock(context, self._graphql)
        self._fulfilments = Fulfilments(context, self._graphql)
        self._products = Products(context, self._graphql)
        self._locations = [str(name) for name in context.options.get("locations", ())]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ping(self) -> None:
        """Ask for the shop's name."""
        self._graphql.ask(documents.PING)

    def settings(self) -> list[Setting]:
        """Read how the shop is set: currency, time zone, version of the API, locations, webhook subscriptions."""
        return settings.read(self.context, self._graphql, self.manifest.receives)

    def receive(self, inbound: Inbound) -> Record:
        """Check the HMAC of the raw body; the webhook id stays the same over the vendor's retries."""
        if not signed_by(
            self.context.secret("webhook_secret"), inbound.body, inbound.headers.get("x-shopify-hmac-sha256")
        ):
            raise SignatureError(
                "X-Shopify-Hmac-Sha256 does not match the body; check webhook_secret of the System policy"
            )
        topic = inbound.headers.get("x-shopify-topic", "unknown")
        event = inbound.headers.get("x-shopify-webhook-id")
        kept = {name: value for name, value in inbound.headers.items() if name in KEPT_HEADERS}
        if topic == REFUND_TOPIC:
            body = money.kept(read_json(inbound.body))
            return Record(topic, f"{topic}:{event}" if event else content_key(topic, "", body), body, kept)
        return Record(topic, f"{topic}:{event}" if event else content_key(topic, "", inbound.body), inbound.body, kept)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield orders, refunds, movements or payouts changed since the cursor, oldest first, with overlap."""
        if entity in money.LISTINGS:
            yield from money.poll(self._graphql, entity, cursor)
            return
        if entity != "orders":
            yield from super().poll(entity, cursor)
        since = datetime.fromisoformat(cursor["updated_at"]) - OVERLAP if cursor else None
        query = f"updated_at:>='{since.strftime('%Y-%m-%dT%H:%M:%SZ')}'" if since else None
        seen = cursor["updated_at"] if cursor else ""

        def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
            data, answer = self._graphql.ask(documents.ORDERS, first=PAGE, after=after, query=query)
            return data["orders"], answer

        for nodes, _ in relay(fetch):
            whole = [self._with_all_lines(taxes.stripped(self.context, node)) for node in nodes]
            seen = max([seen, *(node["updatedAt"] for node in whole)])
            yield Page(tuple(_record(node) for node in whole), {"updated_at": seen} if seen else {})

    def _with_all_lines(self, node: dict[str, Any]) -> dict[str, Any]:
        info = node["lineItems"]["pageInfo"]
        if not info["hasNextPage"]:
            return node

        def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
            cursor = after or info["endCursor"]
            data, answer = self._graphql.ask(documents.ORDER_LINES, id=node["id"], after=cursor)
            return data["order"]["lineItems"], answer

        rest = [line for lines, _ in relay(fetch) for line in lines]
        return {**node, "lineItems": {"nodes": [*node["lineItems"]["nodes"], *rest]}}

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read orders, and money; everything else the shop tells is an echo or of no interest."""
        if topic in (*ORDER_TOPICS, "orders"):
            location = self._locations[0] if self._locations else ""
            return order_drafts(self.context, read_json(body), location)
        if topic == REFUND_TOPIC:
            return self._refund(money.refund_named(self._graphql, read_json(body)))
        if topic == money.REFUNDS:
            return self._refund(read_json(body))
        if topic in (money.BALANCE, money.PAYOUTS):
            reader = money.movement if topic == money.BALANCE else money.payout
            return money.read(lambda: reader(read_json(body)))
        return []

    def _refund(self, told: dict[str, Any]) -> list[Draft]:
        elsewhere = [str(name) for name in self.context.options.get("gateways_elsewhere", ())]
        back = self.context.options.get("returns", False)
        return money.read(
            lambda: [*money.refund(told, elsewhere), *(money.goods(told, self.context.codes) if back else ())]
        )

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `levels` of the configured locations, or of the keys."""
        if entity != "levels":
            yield from super().snapshot(entity, keys)
        yield from self._stock.snapshot(self._locations, keys)

    def entries(
        self, entity: str, subjects: Sequence[str] | None = None, since: datetime | None = None
    ) -> Iterator[list[Entry]]:
        """Yield where `orders` stand and what is fulfilled of them; or what `products` cost, and whether they are sold."""
        if entity == "orders":
            yield from shown.orders(self._graphql, subjects, since)
        elif entity == "products":
            yield from shown.articles(self.context, self._graphql, subjects)
        else:
            yield from super().entries(entity, subjects, since)

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Set `available`, create a `fulfillment`, or have a `product` shown as it is told."""
        self.manifest.write_spec(request.entity)
        if request.entity == "product":
            return self._products.put([request])[0]
        return (
            self._stock.set_available(request) if request.entity == "available" else self._fulfilments.create(request)
        )

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Have up to five hundred items shown as they are told, by one bulk operation; or set up to fifty levels.

        Raises ConnectorError.
        """
        entities = {request.entity for request in requests}
        if entities == {"available"}:
            return self._stock.set_all(requests)
        return self._products.put(requests) if entities == {"product"} else super().write_many(requests)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look at the level, for the fulfilment, or at the item."""
        self.manifest.write_spec(request.entity)
        if request.entity == "product":
            return self._products.read_back(request)
        return self._stock.read_back(request) if request.entity == "available" else self._fulfilments.read_back(request)


KEPT_HEADERS = frozenset(
    {"x-shopify-topic", "x-shopify-webhook-id", "x-shopify-event-id", "x-shopify-triggered-at", "x-shopify-shop-domain"}
)


def _record(node: dict[str, Any]) -> Record:
    body = verbatim(node)
    return Record("orders", content_key("orders", f"{node['id']}@{node['updatedAt']}", body), body)
