"""Shopify on trial, against the sandbox's shop."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import ClassVar

from controlplane.clock import Clock
from controlplane.connectors.builtin.shopify.api import DEFAULT_VERSION
from controlplane.connectors.builtin.shopify.connector import ShopifyConnector
from controlplane.connectors.conformance.bench import Bench, GivenCodes, Place
from controlplane.connectors.conformance.faults import Asked, Canned
from controlplane.connectors.conformance.retailer import WAREHOUSE, Retailer, scenario
from controlplane.connectors.contract import Connector, Inbound, Record, Write

SKUS = 150
THROTTLED = {
    "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
    "extensions": {
        "cost": {
            "requestedQueryCost": 301,
            "actualQueryCost": None,
            "throttleStatus": {"maximumAvailable": 2000.0, "currentlyAvailable": 1.0, "restoreRate": 100.0},
        }
    },
}


class ShopifyBench(Bench):
    """Orders are placed and stock is edited through the sandbox's control API; its journal tells what took effect."""

    connector: ClassVar[type[Connector]] = ShopifyConnector
    against = "the sandbox's shop"
    several_pages: ClassVar = {
        "levels": SKUS,
        "products": SKUS,
        "orders": 60,
        "refunds": 30,
        "balance_transactions": 55,
        "payouts": 55,
    }
    enums: ClassVar = {"orders": ("currencyCode",), "refunds": ("currencyCode",), "payouts": ("status",)}
    # a movement has an object and its text both under the name of `amount`
    amounts: ClassVar = {"orders": ("amount",), "payouts": ("amount",)}
    throttling = Canned.of(200, THROTTLED)
    throttled_for = 3.0

    def start(self, folder: Path) -> Place:
        """Start a quiet retailer."""
        self.retailer = Retailer(folder, scenario(SKUS))
        self._skus, self._next = self.retailer.skus(), count()
        self._before: dict[str, int] = {}
        self._refunds: set[str] = set()
        self._payouts: set[str] = set()
        shop = next(row["shop_id"] for row in self.retailer.control("GET", "/catalogue")["locations"] if row["shop_id"])
        self.place = Place(
            f"{self.retailer.url}/shop",
            {name: self.retailer.secret(f"shop_{name}") for name in ("access_token", "webhook_secret")},
            {"api_version": DEFAULT_VERSION, "locations": [WAREHOUSE]},
            GivenCodes({"location": {shop: WAREHOUSE}}),
        )
        return self.place

    def stop(self) -> None:
        """Stop it."""
        self.retailer.stop()

    @property
    def clock(self) -> Clock:
        """The retailer's."""
        return self.retailer.clock

    def rest(self) -> None:
        """Let the budget of the API fill up."""
        self.retailer.advance()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Place orders until there are enough; levels there are as many as articles."""
        if entity == "levels":
            return {f"{sku}@{WAREHOUSE}" for sku in self._skus}
        if entity == "payouts":
            while len(self._payouts) < at_least:
                self._pay_out()
            return set(self._payouts)
        if entity == "refunds":
            while len(self._refunds) < at_least:
                self._give_back()
            return set(self._refunds)
        for _ in range(at_least - len(self._orders())):
            self.retailer.order((self._sku(), 1))
        return self._orders()

    def listed(self, entity: str, at_least: int) -> set[str]:
        """Return every article, or the orders."""
        return set(self._skus) if entity == "products" else self.things(entity, at_least)

    def _pay_out(self) -> None:
        made = self.retailer.control("POST", "/shop/payout", {})["payout"]
        self._payouts.add(f"gid://shopify/ShopifyPaymentsPayout/{made}")

    def _give_back(self) -> None:
        order = self.retailer.order((self._sku(), 1))["order"]
        told = {"order": order, "quantity": 1, "restock_type": "RETURN", "amount": "1.50", "gateway": "paypal"}
        made = self.retailer.control("POST", "/shop/refund", told)["refund"]
        self._refunds.add(f"gid://shopify/Refund/{made}")

    def _orders(self) -> set[str]:
        return {event["ref"] for event in self.retailer.journal("document") if event["doc"] == "order"}

    def _sku(self) -> str:
        return self._skus[next(self._next) % len(self._skus)]

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the name of the order, the order that a movement is of, or the id of a refund or payout."""
        body = json.loads(record.body)
        if entity == "balance_transactions":
            return {body["associatedOrder"]["name"]} if body["type"] == "CHARGE" else set()
        return {body["id"] if entity in ("refunds", "payouts") else body["name"]}

    def stir(self, entity: str) -> None:
        """Edit a level by hand, or place another order."""
        if entity == "levels":
            self.retailer.control("POST", "/hand-edit", {"sku": self._sku(), "delta": -1})
        elif entity == "payouts":
            self._pay_out()
        elif entity == "refunds":
            self._give_back()
        else:
            self.retailer.order((self._sku(), 1))

    def write(self, entity: str) -> Write:
        """Return an offer of one piece less, or the shipment of a new order."""
        return self._offer(self._sku()) if entity == "available" else self._shipment()

    def _offer(self, sku: str, moved: int = 0, key: str = "") -> Write:
        shown = self._shown(sku)
        name = key or f"offer-{next(self._next)}"
        self._before[name] = self._set(sku)
        data = {"sku": sku, "location": WAREHOUSE, "channel": "shop", "quantity": shown - 1, "expected": shown + moved}
        return Write("available", f"{sku}@{WAREHOUSE}", name, data, f"{sku}@{WAREHOUSE}")

    def _shown(self, sku: str) -> int:
        rows = self.retailer.truth()
        return next(int(row["shop_available"]) for row in rows if row["sku"] == sku and row["location"] == WAREHOUSE)

    def _shipment(self) -> Write:
        sku, name = self._sku(), f"SHP-{next(self._next)}"
        order = self.retailer.order((sku, 2))["order"]
        data = {
            "shipment": name, "order_ref": order, "location": WAREHOUSE, "shipped_at": self.clock.now().isoformat(),
            "carrier": "UPS", "tracking": f"1Z{name}", "lines": [{"sku": sku, "quantity": 2}],
        }  # fmt: skip
        return Write("fulfillment", name, f"delivery-{name}", data, name)

    def effects(self, request: Write) -> int:
        """Count the shop's own changes of the level since the write was made, or fulfilments of its order."""
        if request.entity == "available":
            return self._set(request.payload["sku"]) - self._before.get(request.idempotency_key, 0)
        effects = [e for e in self.retailer.journal("effect") if e["system"] == "shop" and e["doc"] == "shipment"]
        return sum(event["ref"].partition("/")[0] == request.payload["order_ref"] for event in effects)

    def _set(self, sku: str) -> int:
        values = (event for event in self.retailer.journal("value") if event["system"] == "shop")
        return Counter(e["sku"] for e in values if (e["cause"], e["field"]) == ("inventorySetQuantities", "available"))[
            sku
        ]

    def stale(self, entity: str) -> Write:
        """Return an offer computed from five pieces more than there are."""
        return self._offer(self._sku(), moved=5)

    def refused(self, entity: str) -> Write:
        """Return an offer of an article that the shop does not have, or a shipment of an order that it does not have."""
        good = self.write(entity)
        wrong = {"sku": "9999-NONE"} if entity == "available" else {"order_ref": "#999999"}
        return replace(good, payload={**good.payload, **wrong})

    def is_write(self, asked: Asked) -> bool:
        """Whether it is a mutation."""
        return b"mutation " in asked.body and b"mutation RunBulkQuery" not in asked.body

    def webhooks(self) -> Sequence[Inbound]:
        """Return what the shop tells of an order, of a hand that edits stock, of a refund, and of a fulfilment."""
        self.retailer.order((self._sku(), 1))
        self.stir("levels")
        self._give_back()
        made = ShopifyConnector(self.place.context("shop", self.clock))
        made.write(self._shipment())
        made.close()
        self.retailer.advance()
        return self.retailer.told("shop", least=5)

    def under_another_id(self, inbound: Inbound) -> Inbound:
        """Return it with another webhook id, which is not signed."""
        return replace(inbound, headers={**inbound.headers, "x-shopify-webhook-id": f"again-{next(self._next)}"})


class ShopifyBulkBench(ShopifyBench):
    """The same, where levels and articles are exported: there is one page of either, and looks at an operation are repeated for an hour."""

    against = "the sandbox's shop, in bulk"
    several_pages: ClassVar = {name: count for name, count in ShopifyBench.several_pages.items() if name != "levels"}

    def start(self, folder: Path) -> Place:
        """Start it, and have it say so."""
        self.place = super().start(folder)
        self.place = replace(self.place, options={**self.place.options, "snapshot": "bulk"})
        return self.place

    def is_read(self, asked: Asked) -> bool:
        """Whether it asks for data, or has it exported, or fetches the file."""
        return super().is_read(asked) and b"query Bulk" not in asked.body
