"""One store: sources, source items, orders, shipments; lists by search criteria, whose page beyond the end repeats the last."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from itertools import count
from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.adobe.oauth import is_signed
from controlplane.sandbox.gate import hang_up

Answer = Response | tuple[Response, int]
Handler = Callable[..., Answer]
ROOT = "/rest/default/V1"
OAUTH = ("consumer-key-of-trial", "consumer-secret-of-trial", "access-token-of-trial", "access-token-secret-of-trial")
"""Of the one integration that may sign."""
_FILTER = re.compile(r"searchCriteria\[filterGroups\]\[(\d+)\]\[filters\]\[(\d+)\]\[(\w+)\]")


@dataclass
class Store:
    """What the store knows. `now` is the clock of both."""

    now: Callable[[], datetime]
    most: int = 300
    """Rows of a page, whatever is asked for."""
    sources: dict[str, bool] = field(default_factory=lambda: {"default": True})
    items: dict[tuple[str, str], float] = field(default_factory=dict)
    """(SKU, source) -> quantity."""
    products: set[str] = field(default_factory=set)
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    shipments: list[dict[str, Any]] = field(default_factory=list)
    maintenance: bool = False
    lost: int = 0
    """How many of the next writes take effect and are not answered."""
    nonces: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: Any = field(default_factory=lambda: count(1))

    def limit(self, most: int) -> None:
        """Give fewer rows at once."""
        self.most = most

    def buy(self, ref: str, sku: str) -> int:
        """Somebody buys one."""
        return self.order(ref, {"sku": sku, "qty_ordered": 1, "row_total": 12.34})

    def keep(self, sku: str, source: str, quantity: float) -> None:
        """So much lies at a source."""
        self.products.add(sku)
        self.items[sku, source] = quantity

    def order(self, ref: str, *lines: dict[str, Any], state: str = "processing") -> int:
        """Somebody orders. A line: sku, qty_ordered, row_total, and what else is told of it."""
        identity: int = next(self.numbers)
        now = stamp(self.now())
        items = [
            {
                "item_id": identity * 100 + at, "product_type": "simple", "qty_shipped": 0, "qty_refunded": 0,
                "qty_canceled": 0, "discount_amount": 0, **line,
            }
            for at, line in enumerate(lines, 1)
        ]  # fmt: skip
        total = sum(line.get("row_total", 0) for line in items)
        self.orders[identity] = {
            "entity_id": identity, "increment_id": ref, "state": state, "status": state, "created_at": now, "updated_at": now,
            "order_currency_code": "USD", "base_grand_total": total, "grand_total": total, "customer_email": "somebody@example.test",
            "items": items,
        }  # fmt: skip
        return identity

    def change(self, identity: int, state: str) -> None:
        """The order goes on."""
        self.orders[identity] |= {"state": state, "status": state, "updated_at": stamp(self.now())}


def stamp(at: datetime) -> str:
    """Return an instant as the store writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def refused(status: int, message: str, parameters: Any = None) -> tuple[Response, int]:
    """Return an error as the store writes one: with places for its parameters."""
    return jsonify({"message": message} | ({"parameters": parameters} if parameters else {})), status


def create(store: Store) -> Flask:
    """Return an application for one store. Its four secrets are `ck`, `cs`, `at`, `as`; `integration` is a bearer token."""
    app = Flask("adobe")

    def admitted(handle: Handler) -> Handler:
        @wraps(handle)
        def answered(**path: int) -> Answer:
            with store.lock:
                if store.maintenance:
                    return refused(503, "Service Temporarily Unavailable")
                bearer = request.headers.get("Authorization") == "Bearer integration"
                if not bearer and not is_signed(request, *OAUTH, store.nonces):
                    return refused(401, "The consumer isn't authorized to access %resources.", {"resources": "self"})
                return handle(**path)

        return answered

    @app.get(f"{ROOT}/store/storeConfigs")
    @admitted
    def configs() -> Answer:
        return jsonify([])

    @app.get(f"{ROOT}/inventory/sources")
    @admitted
    def sources() -> Answer:
        rows = [
            {"source_code": code, "name": code, "enabled": on, "country_id": "US", "postcode": "1"}
            for code, on in store.sources.items()
        ]
        return _listed(store, rows)

    _inventory(app, store, admitted)
    _orders(app, store, admitted)
    return app


def _inventory(app: Flask, store: Store, admitted: Callable[[Handler], Handler]) -> None:
    @app.get(f"{ROOT}/inventory/source-items")
    @admitted
    def source_items() -> Answer:
        rows = [
            {"sku": sku, "source_code": source, "quantity": quantity, "status": int(quantity > 0)}
            for (sku, source), quantity in store.items.items()
        ]
        return _listed(store, rows)

    @app.post(f"{ROOT}/inventory/source-items")
    @admitted
    def save() -> Answer:
        told = request.get_json()["sourceItems"]
        for one in told:
            if one["source_code"] not in store.sources:
                wrong = {
                    "message": 'Source with code "%code" does not exist.',
                    "parameters": {"code": one["source_code"]},
                }
                return jsonify(message="Validation Failed", errors=[wrong]), 400
            if one["sku"] not in store.products:
                return refused(400, 'Product with SKU "%1" does not exist.', [one["sku"]])
        for one in told:
            store.items[one["sku"], one["source_code"]] = one["quantity"]
        return _answered(store, jsonify([]))


def _orders(app: Flask, store: Store, admitted: Callable[[Handler], Handler]) -> None:
    @app.get(f"{ROOT}/orders")
    @admitted
    def orders() -> Answer:
        return _listed(store, list(store.orders.values()))

    @app.get(f"{ROOT}/shipments")
    @admitted
    def shipments() -> Answer:
        return _listed(store, store.shipments)

    @app.post(f"{ROOT}/order/<int:identity>/ship")
    @admitted
    def ship(identity: int) -> Answer:
        order = store.orders.get(identity)
        if order is None:
            return refused(404, "The entity that was requested doesn't exist. Verify the entity and try again.")
        told = request.get_json()
        lines = {line["item_id"]: line for line in order["items"]}
        for one in told["items"]:
            line = lines.get(one["order_item_id"])
            if line is None or one["qty"] > line["qty_ordered"] - line["qty_shipped"]:
                return refused(
                    400,
                    "Shipment Document Validation Error(s):\n%1",
                    ["The quantity to ship must not be greater than the unshipped quantity."],
                )
        for one in told["items"]:
            lines[one["order_item_id"]]["qty_shipped"] += one["qty"]
        made = next(store.numbers)
        tracks = [
            {**one, "order_id": identity, "parent_id": made, "weight": 0, "qty": 0, "description": ""}
            for one in told["tracks"]
        ]
        shipped = [
            {"order_item_id": one["order_item_id"], "qty": one["qty"], "sku": lines[one["order_item_id"]]["sku"]}
            for one in told["items"]
        ]
        whole = {"entity_id": made, "order_id": identity, "tracks": tracks, "comments": [], "items": shipped}
        store.shipments.append(whole)
        if all(line["qty_shipped"] >= line["qty_ordered"] for line in lines.values()):
            store.change(identity, "complete")
        return _answered(store, jsonify(made))


def _answered(store: Store, answer: Response) -> Response:
    if store.lost:
        store.lost -= 1
        return hang_up()
    return answer


def _listed(store: Store, rows: list[dict[str, Any]]) -> Answer:
    asked = request.args
    filters: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in asked.items():
        if found := _FILTER.fullmatch(name):
            filters.setdefault((found[1], found[2]), {})[found[3]] = value
    chosen = [row for row in rows if all(_fits(row, one) for one in filters.values())]
    size = min(store.most, int(asked.get("searchCriteria[pageSize]", 20)))
    last = max(1, -(-len(chosen) // size))
    page = min(last, int(asked.get("searchCriteria[currentPage]", 1)))
    groups = [
        {"filters": [{"field": one["field"], "value": one["value"], "condition_type": one["conditionType"]}]}
        for one in filters.values()
    ]
    criteria = {"filter_groups": groups, "page_size": size, "current_page": page}
    return jsonify(items=chosen[(page - 1) * size : page * size], search_criteria=criteria, total_count=len(chosen))


def _fits(row: dict[str, Any], one: dict[str, str]) -> bool:
    held, wanted = str(row.get(one["field"])), one["value"]
    if one["conditionType"] == "in":
        return held in wanted.split(",")
    return held >= wanted if one["conditionType"] == "gteq" else held == wanted
