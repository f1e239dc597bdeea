"""The ShipHero connector: what it declares, what it polls, and the order that it looks up before creating it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from controlplane.connectors import settings
from controlplane.connectors.auth import signed_by
from controlplane.connectors.builtin.shiphero import documents, drafts, shown
from controlplane.connectors.builtin.shiphero.api import make_api
from controlplane.connectors.builtin.shiphero.snapshots import Snapshots
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
from controlplane.connectors.records import content_key, loads, read_json, verbatim
from controlplane.errors import ThrottledError
from rules.outcomes import Guarantee, Outcome, Result

HOW = "looked up by `partner_order_id` before any create"
PAGE = 100
FEW = 20
"""Up to so many keys are read one by one; more are cheaper read with all the others."""
OVERLAP = timedelta(minutes=10)
"""How far behind the last change seen a poll starts: rows become visible late and out of order."""
CREDITS_BACK = 120.0
"""Seconds in which all credits come back, and some: longer is not waited for one page."""
KEPT_HEADERS = frozenset({"x-shiphero-message-id"})


class Listing(NamedTuple):
    """How an entity is polled: document, root field, name of the object in a webhook, field with its change time."""

    document: str
    root: str
    wrapper: str
    changed: str


LISTINGS = {
    "inventory": Listing(documents.INVENTORY, "warehouse_products", "inventory", "updated_at"),
    "shipments": Listing(documents.SHIPMENTS, "shipments", "shipment", "shipped_at"),
    "receipts": Listing(documents.PURCHASE_ORDERS, "purchase_orders", "purchase_order", "updated_at"),
    "returns": Listing(documents.RETURNS, "returns", "return", "received_at"),
}


SHOWN = Listing(documents.ORDERS_SHOWN, "orders", "order", "created_at")


class ShipHeroConnector(Connector):
    """A ShipHero warehouse. Options: locations (ours), mapped to warehouse ids by the location mapping; webhook_url; snapshot."""

    manifest: ClassVar[Manifest] = Manifest(
        name="shiphero",
        title="ShipHero (GraphQL)",
        reads=(
            ReadSpec("inventory", snapshot=True, changes=True),
            ReadSpec("shipments", changes=True),
            ReadSpec("receipts", changes=True),
            ReadSpec("returns", changes=True),
            ReadSpec("orders", listing="orders"),
        ),
        writes=(WriteSpec("order", ("order.placed",), Guarantee.READABLE, late_effect=15.0, how=HOW),),
        receives=("Inventory Update", "Order Allocated", "Shipment Update", "PO Update", "Return Update"),
        secrets=("refresh_token", "webhook_secret"),
        webhook_secrets=("webhook_secret",),
        options=("locations", "webhook_url", "snapshot"),
        verified_against="prose only, the sandbox",
        kind="wms",
        auth="bearer token from a refresh token, renewed before it runs out; webhooks by HMAC-SHA256",
        limits="4,004 credits, 60 a second come back; a query costs 1 and 1 for each row of its pages of 100",
        gaps=(
            "lots and serial numbers",
            "cancelling an order",
            "an exported snapshot larger than 256 MiB, or of a 3PL whose clients share SKUs",
        ),
        option_schemas={
            "locations": {"type": "array", "items": {"type": "string"}},
            "webhook_url": {"type": "string", "format": "uri"},
            "snapshot": {"enum": ["pages", "job"], "default": "pages", "description": "how all levels are read"},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._http, self._graphql = make_api(context)
        self._snapshots = Snapshots(context, self._graphql)
        self._locations = [str(name) for name in context.options.get("locations", ())]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ping(self) -> None:
        """Ask for one product."""
        self._graphql.ask(documents.PING)

    def settings(self) -> list[Setting]:
        """Read which warehouses the account has, and which webhooks are told to whom."""
        data, answer = self._graphql.ask(documents.WAREHOUSES)
        try:
            known = {str(one["id"]): True for one in data["account"]["data"]["warehouses"]}
        except (KeyError, TypeError):
            answer.fail("answered its account without warehouses")
        places = settings.locations(self.context, settings.among(known), "the account's warehouses")
        where = "(mutation webhook_create; its signature secret is a new one), or enable it again"
        return [*places, *settings.webhooks(self.context, self.manifest.receives, self._told(), where)]

    def _told(self) -> dict[str, list[str]]:
        told: dict[str, list[str]] = {}
        for nodes, _ in self._pages(Listing(documents.WEBHOOKS, "webhooks", "webhook", "name")):
            for node in nodes:
                # the vendor disables what does not answer for too long
                if node.get("enabled") is not False:
                    told.setdefault(str(node.get("name")), []).append(str(node.get("url")))
        return told

    # --- being told ---
    def receive(self, inbound: Inbound) -> Record:
        """Check the HMAC of the raw body; the message id stays the same over retries. The topic is in the body only."""
        signature = inbound.headers.get("x-shiphero-hmac-sha256")
        if not signed_by(self.context.secret("webhook_secret"), inbound.body, signature):
            raise SignatureError(
                "X-Shiphero-Hmac-Sha256 does not match the body; check webhook_secret of the System policy"
            )
        topic, event = _topic(inbound.body), inbound.headers.get("x-shiphero-message-id")
        kept = {name: value for name, value in inbound.headers.items() if name in KEPT_HEADERS}
        return Record(topic, f"{topic}:{event}" if event else content_key(topic, "", inbound.body), inbound.body, kept)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read stock, shipments, receipts and returns; everything else is of no interest."""
        return drafts.read(read_json(body), self.context.codes)

    # --- reading ---
    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield what changed since the cursor, with overlap. Rows come in no order, so the cursor moves at the end."""
        listing = LISTINGS.get(entity)
        if listing is None:
            yield from super().poll(entity, cursor)
            return
        held = cursor or {}
        since = datetime.fromisoformat(held["since"]) - OVERLAP if held else None
        seen = held.get("since", "")
        last: tuple[Record, ...] = ()
        for nodes, _ in self._pages(listing, since=since.isoformat() if since else None):
            if last:
                yield Page(last, held)
            seen = max([seen, *(node[listing.changed] for node in nodes)])
            last = tuple(_record(entity, listing, node) for node in nodes)
        yield Page(last, {"since": seen} if seen else {})

    def _pages(self, listing: Listing, **filters: str | None) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
            data, answer = self._asked(listing.document, first=PAGE, after=after, **filters)
            try:
                return data[listing.root]["data"], answer
            except (KeyError, TypeError):
                answer.fail(f"answered without {listing.root}.data")

        return relay(fetch)

    def _asked(self, document: str, *, after: str | None, **variables: Any) -> tuple[dict[str, Any], Answer]:
        """Ask for a page; in the middle of a walk wait for the credits that its first pages have spent. Raises ConnectorError."""
        waited = 0.0
        while True:
            try:
                return self._graphql.ask(document, after=after, **variables)
            except ThrottledError as error:
                waited += error.retry_after
                if after is None or waited > CREDITS_BACK:
                    raise
                self.context.clock.wait(threading.Event(), error.retry_after)

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `inventory` of the configured locations, or of the keys (sku, location)."""
        if entity != "inventory":
            yield from super().snapshot(entity, keys)
        if keys is not None and len(keys) <= FEW:
            for sku, location in keys:
                yield from self._levels(location, self.context.codes.theirs("sku", sku))
            return
        wanted = None if keys is None else set(keys)
        exported = self.context.options.get("snapshot") == "job"
        for location in self._locations:
            for page in self._exported(location) if exported else self._levels(location):
                yield page if wanted is None else [level for level in page if (level.sku, level.location) in wanted]

    def _exported(self, location: str) -> Iterator[list[Level]]:
        return self._snapshots.levels(self.context.codes.theirs("location", location), location)

    def _levels(self, location: str, sku: str | None = None) -> Iterator[list[Level]]:
        warehouse = self.context.codes.theirs("location", location)
        for nodes, answer in self._pages(LISTINGS["inventory"], warehouse=warehouse, sku=sku):
            yield [self._level(node, location, answer) for node in nodes]

    def _level(self, node: dict[str, Any], location: str, answer: Answer) -> Level:
        try:
            return Level(
                sku=self.context.codes.ours("sku", node["sku"]),
                location=location,
                on_hand=int(node["on_hand"]),
                available=int(node["available"]),
                source_at=datetime.fromisoformat(node["updated_at"]),
                read_from=answer.started,
                read_to=answer.ended,
            )
        except (KeyError, TypeError, ValueError):
            answer.fail("answered a stock level that breaks its contract")

    def entries(
        self, entity: str, subjects: Sequence[str] | None = None, since: datetime | None = None
    ) -> Iterator[list[Entry]]:
        """Yield where `orders` stand and what has left of them. A row that moves while pages are turned may come twice: the last counts."""
        if entity != "orders":
            yield from super().entries(entity, subjects, since)
        found: dict[str, Entry] = {}
        for number in subjects if subjects is not None else (None,):
            asked = {"since": since.isoformat() if since and number is None else None, "number": number}
            for nodes, answer in self._pages(SHOWN, **asked):
                for node in nodes:
                    one = shown.entry(node, answer)
                    found[str(node.get("id"))] = one
        yield list(found.values())

    # --- writing ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Create an `order`, unless it is there: the vendor takes the same order twice without a word."""
        self.manifest.write_spec(request.entity)
        return self._found(request) or self._create(request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look the order up by our reference."""
        self.manifest.write_spec(request.entity)
        return self._found(request) or Outcome(Result.ABSENT, f"the warehouse has no order {request.business_ref}")

    def _found(self, request: Write) -> Outcome | None:
        partner = request.payload["native_id"]
        orders = Listing(documents.ORDERS, "orders", "order", "created_at")
        nodes = [node for page, _ in self._pages(orders, partner=partner) for node in page]
        found = sorted((n for n in nodes if n.get("partner_order_id") == partner), key=lambda n: str(n["created_at"]))
        if not found:
            return None
        ids = tuple(str(node["id"]) for node in found)
        detail = f"the warehouse has it as {', '.join(ids)}"
        if len(found) > 1:
            detail += f": {len(found)} orders for one; cancel all but the first in the warehouse"
        at = datetime.fromisoformat(found[0]["created_at"])
        return Outcome(Result.ALREADY_DELIVERED, detail, target_at=at, native_id=ids[0], effects=ids)

    def _create(self, request: Write) -> Outcome:
        order = {
            "order_number": request.payload["ref"],
            "partner_order_id": request.payload["native_id"],
            "line_items": [
                {
                    "sku": self.context.codes.theirs("sku", line["sku"]),
                    "quantity": int(line["quantity"]),
                    "partner_line_item_id": line["native_id"],
                }
                for line in request.payload["lines"]
            ],
        }
        data, answer = self._graphql.tell(documents.ORDER_CREATE, data=order)
        try:
            made = data["order_create"]["order"]
            at, native = datetime.fromisoformat(made["created_at"]), str(made["id"])
        except (KeyError, TypeError, ValueError):
            answer.fail("answered order_create without an order")
        return Outcome(Result.DELIVERED, target_at=at, native_id=native, evidence=answer.evidence)


def _topic(body: bytes) -> str:
    try:
        found = loads(body).get("webhook_type")
    except (ValueError, AttributeError):
        return "unknown"
    return str(found or "unknown")[:80]


def _record(entity: str, listing: Listing, node: dict[str, Any]) -> Record:
    # wrapped the way a webhook brings it: one reader for both
    body = verbatim({listing.wrapper: [node] if listing.wrapper == "inventory" else node})
    identity = str(node.get("id") or f"{node['sku']}@{node['warehouse_id']}")
    return Record(entity, content_key(entity, identity, body), body)
