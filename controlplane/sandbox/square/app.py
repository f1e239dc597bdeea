"""Tills of one seller: catalogue, counts, sales, money, webhooks. Keys of writes are remembered with what they wrote."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.gate import hang_up
from controlplane.sandbox.square import money
from controlplane.sandbox.square.money import stamp

OLDEST = timedelta(hours=24)
TOKEN = "EAAA-token"  # noqa: S105 - a sandbox's
Answer = Response | tuple[Response, int]
Handler = Callable[..., Answer]


@dataclass
class Seller(money.Balance):
    """What Square knows of one seller. `now` is the clock of both."""

    page: int = 100
    locations: tuple[str, ...] = ("L1", "L2")
    catalogue: dict[str, str] = field(default_factory=dict)
    """Variation -> SKU."""
    counts: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """(variation, location) -> (units in stock, when that was computed)."""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    """Key of a write -> how often it was carried out."""
    keys: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    lost: int = 0
    """How many of the next writes take effect and are not answered."""
    throttled: int = 0
    """How many of the next requests are refused for their number."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _ordered: list[tuple[str, str]] = field(default_factory=list)

    def counted(self) -> list[tuple[str, str]]:
        """What there are counts of, in order, which is put in order only when something new is counted."""
        if len(self._ordered) != len(self.counts):
            self._ordered = sorted(self.counts)
        return self._ordered

    def count(self, variation: str, location: str, units: int) -> None:
        """Somebody counted, or sold."""
        self.counts[variation, location] = (units, stamp(self.now()))

    def stock(self, variation: str, sku: str, location: str, units: int) -> None:
        """A variation is made, and counted."""
        self.catalogue[variation] = sku
        self.count(variation, location, units)

    def buy(self, ref: str, location: str, variation: str, total: int) -> None:
        """Somebody buys one."""
        self.sell(ref, location, (variation, "1", total))

    def sell(
        self, ref: str, location: str, *lines: tuple[str, str, int], tax: int = 0, sold_at: datetime | None = None
    ) -> None:
        """Somebody buys: (variation, quantity, what all of it costs in cents, tax included)."""
        items = [
            {
                "uid": f"{ref}-{at}", "name": variation, "quantity": quantity, "catalog_object_id": variation, "item_type": "ITEM",
                "base_price_money": money.money(total), "total_tax_money": money.money(tax), "total_money": money.money(total),
            }
            for at, (variation, quantity, total) in enumerate(lines, 1)
        ]  # fmt: skip
        closed = stamp(sold_at or self.now())
        self.orders[ref] = {
            "id": ref, "location_id": location, "state": "COMPLETED", "version": 4, "created_at": closed, "closed_at": closed,
            "updated_at": stamp(self.now()), "line_items": items, "customer_id": "somebody",
        }  # fmt: skip

    def give_back(self, ref: str, sale: str, location: str, variation: str, quantity: str, total: int) -> None:
        """Somebody brings goods back."""
        line = {
            "uid": f"{ref}-r", "quantity": quantity, "catalog_object_id": variation, "item_type": "ITEM",
            "total_money": money.money(total), "total_tax_money": money.money(0),
        }  # fmt: skip
        now = stamp(self.now())
        self.orders[ref] = {
            "id": ref, "location_id": location, "state": "COMPLETED", "version": 1, "created_at": now, "closed_at": now,
            "updated_at": now, "returns": [{"uid": "r", "source_order_id": sale, "return_line_items": [line]}],
        }  # fmt: skip


def signed(key: str, address: str, body: bytes) -> str:
    """Return the signature of a webhook: of the subscribed address and the body together."""
    return base64.b64encode(hmac.new(key.encode(), address.encode() + body, hashlib.sha256).digest()).decode()


def refused(status: int, category: str, code: str, detail: str) -> tuple[Response, int]:
    """Return an error as Square writes one."""
    return jsonify(errors=[{"category": category, "code": code, "detail": detail}]), status


def create(seller: Seller) -> Flask:
    """Return an application for one seller, whose token is `EAAA-token`."""
    app = Flask("square")

    def admitted(handle: Handler) -> Handler:
        @wraps(handle)
        def answered(**path: str) -> Answer:
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return refused(401, "AUTHENTICATION_ERROR", "UNAUTHORIZED", "This request could not be authorized.")
            with seller.lock:
                if seller.throttled:
                    seller.throttled -= 1
                    return refused(
                        429, "RATE_LIMIT_ERROR", "RATE_LIMITED", "Your application is sending too many requests."
                    )
                return handle(**path)

        return answered

    @app.get("/v2/locations")
    @admitted
    def locations() -> Answer:
        return jsonify(locations=[{"id": name, "name": name, "status": "ACTIVE"} for name in seller.locations])

    _catalogue(app, seller, admitted)
    _inventory(app, seller, admitted)
    _sales(app, seller, admitted)
    money.routes(app, seller, admitted)
    return app


def _paged(
    seller: Seller, rows: list[Any], limit: int, name: str, told_of: Callable[[Any], Any] = lambda one: one
) -> Answer:
    told = request.get_json().get("cursor")
    at = int(told.removeprefix("c")) if told else 0
    size = min(limit, seller.page)
    more = {"cursor": f"c{at + size}"} if at + size < len(rows) else {}
    return jsonify({name: [told_of(one) for one in rows[at : at + size]], **more})


def _catalogue(app: Flask, seller: Seller, admitted: Callable[[Handler], Handler]) -> None:
    def told(variation: str) -> dict[str, Any]:
        data = {"item_id": f"I-{variation}", "sku": seller.catalogue[variation], "name": "Regular"}
        return {
            "type": "ITEM_VARIATION",
            "id": variation,
            "version": 1,
            "is_deleted": False,
            "item_variation_data": data,
        }

    @app.post("/v2/catalog/batch-retrieve")
    @admitted
    def retrieve() -> Answer:
        wanted = request.get_json()["object_ids"]
        return jsonify(objects=[told(one) for one in wanted if one in seller.catalogue])

    @app.post("/v2/catalog/search")
    @admitted
    def find() -> Answer:
        wanted = request.get_json()["query"]["exact_query"]["attribute_value"].lower()
        found = [told(one) for one, sku in sorted(seller.catalogue.items()) if sku.lower() == wanted]
        return _paged(seller, found, 100, "objects")


def _inventory(app: Flask, seller: Seller, admitted: Callable[[Handler], Handler]) -> None:
    def told(variation: str, location: str) -> dict[str, Any]:
        units, at = seller.counts[variation, location]
        return {
            "catalog_object_id": variation, "catalog_object_type": "ITEM_VARIATION", "state": "IN_STOCK", "location_id": location,
            "quantity": str(units), "calculated_at": at,
        }  # fmt: skip

    @app.post("/v2/inventory/counts/batch-retrieve")
    @admitted
    def counts() -> Answer:
        asked = request.get_json()
        places, chosen = asked.get("location_ids"), asked.get("catalog_object_ids")
        rows = [
            (variation, place)
            for variation, place in seller.counted()
            if (places is None or place in places) and (chosen is None or variation in chosen)
        ]
        return _paged(seller, rows, int(asked.get("limit", 100)), "counts", lambda one: told(*one))

    @app.post("/v2/inventory/changes/batch-create")
    @admitted
    def change() -> Answer:
        asked = request.get_json()
        key, content = asked["idempotency_key"], json.dumps(asked, sort_keys=True)
        if key in seller.keys:
            before, answer = seller.keys[key]
            if before != content:
                return refused(
                    400,
                    "INVALID_REQUEST_ERROR",
                    "IDEMPOTENCY_KEY_REUSED",
                    "The idempotency key was used with another body.",
                )
            return jsonify(answer)
        written = []
        for one in (change["physical_count"] for change in asked["changes"]):
            age = seller.now() - datetime.fromisoformat(one["occurred_at"])
            if age > OLDEST or age < timedelta(0):
                return refused(
                    400, "INVALID_REQUEST_ERROR", "INVALID_TIME", "occurred_at is older than 24 hours or in the future."
                )
            if one["catalog_object_id"] not in seller.catalogue or one["location_id"] not in seller.locations:
                return refused(400, "INVALID_REQUEST_ERROR", "NOT_FOUND", "No such catalog object or location.")
        for one in (change["physical_count"] for change in asked["changes"]):
            seller.count(one["catalog_object_id"], one["location_id"], int(one["quantity"]))
            written.append(told(one["catalog_object_id"], one["location_id"]))
        seller.taken[key] = seller.taken.get(key, 0) + 1
        seller.keys[key] = (content, {"counts": written})
        if seller.lost:
            seller.lost -= 1
            return hang_up()
        return jsonify(counts=written)


def _sales(app: Flask, seller: Seller, admitted: Callable[[Handler], Handler]) -> None:
    @app.post("/v2/orders/search")
    @admitted
    def search() -> Answer:
        asked = request.get_json()
        query = asked.get("query", {})
        times = query.get("filter", {}).get("date_time_filter", {})
        if "updated_at" in times and query.get("sort", {}).get("sort_field") != "UPDATED_AT":
            return refused(
                400,
                "INVALID_REQUEST_ERROR",
                "BAD_REQUEST",
                "sort_field must be UPDATED_AT when filtering on updated_at.",
            )
        since = times.get("updated_at", {}).get("start_at", "")
        states = query.get("filter", {}).get("state_filter", {}).get("states")
        rows = [
            one
            for one in seller.orders.values()
            if one["location_id"] in asked["location_ids"]
            and (not since or datetime.fromisoformat(one["updated_at"]) >= datetime.fromisoformat(since))
            and (not states or one["state"] in states)
        ]
        return _paged(
            seller, sorted(rows, key=lambda one: (one["updated_at"], one["id"])), int(asked.get("limit", 500)), "orders"
        )

    @app.get("/v2/orders/<ref>")
    @admitted
    def order(ref: str) -> Answer:
        if ref not in seller.orders:
            return refused(404, "INVALID_REQUEST_ERROR", "NOT_FOUND", f"Order not found for id {ref}")
        return jsonify(order=seller.orders[ref])
