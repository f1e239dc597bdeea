"""ShipHero on trial, against the sandbox's warehouse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import httpx

from controlplane.clock import Clock
from controlplane.connectors.builtin.shiphero import documents
from controlplane.connectors.builtin.shiphero.connector import ShipHeroConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked, Canned
from controlplane.connectors.conformance.retailer import WAREHOUSE, Retailer, scenario
from controlplane.connectors.contract import Connector, Inbound, Record, Write

SKUS = 150
SEVERAL = 105
DOCUMENTS = {"shipments": "shipment", "receipts": "receipt", "returns": "return"}
SPENT = {
    "errors": [
        {
            "code": 30,
            "message": "There are not enough credits to perform the requested operation",
            "operation": "query",
            "required_credits": 301,
            "remaining_credits": 1,
            "time_remaining": "5 seconds",
        }
    ]
}
ARRIVED = 1000
"""Seconds within which what was ordered arrives; afterwards nothing moves by itself."""
BATCH = 40
"""Orders that are given to the warehouse before its credits are let fill up."""


class ShipHeroBench(Bench):
    """Orders are given to the warehouse as it takes them; what follows, and what took effect, its journal tells."""

    connector: ClassVar[type[Connector]] = ShipHeroConnector
    against = "the sandbox's warehouse"
    several_pages: ClassVar = {"inventory": SKUS, "shipments": SEVERAL, "receipts": SEVERAL, "returns": SEVERAL}
    enums: ClassVar = {"shipments": ("carrier",), "returns": ("status",)}
    throttling = Canned.of(200, SPENT)
    throttled_for = 5.0

    def start(self, folder: Path) -> Place:
        """Start a retailer whose receipts come only while they are asked for, and whose every shipment comes back."""
        actors: dict[str, Any] = {
            "receipts": {"per_hour": 120, "splits": 1},
            "returns": {"share": 1, "after": ["1m", "2m"]},
        }
        self.retailer = Retailer(folder, scenario(SKUS, **actors))
        self.retailer.control("POST", "/actors", {"running": False})
        self._skus, self._next = self.retailer.skus(), count()
        secrets = {name: self.retailer.secret(f"wms_{name}") for name in ("refresh_token", "webhook_secret")}
        given = self.retailer.http.post("/wms/auth/refresh", json={"refresh_token": secrets["refresh_token"]}).json()
        self._bearer = {"Authorization": f"Bearer {given['access_token']}"}
        return Place(f"{self.retailer.url}/wms", secrets, {"locations": [WAREHOUSE]})

    def stop(self) -> None:
        """Stop it."""
        self.retailer.stop()

    @property
    def clock(self) -> Clock:
        """The retailer's."""
        return self.retailer.clock

    def rest(self) -> None:
        """Let the credits fill up."""
        self.retailer.advance()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Have goods shipped, brought back or received until there are enough; levels there are as many as articles."""
        if entity == "inventory":
            return {f"{sku}@{WAREHOUSE}" for sku in self._skus}
        while (missing := at_least - len(found := self._documents(entity))) > 0:
            if entity == "receipts":
                self._receive()
            else:
                self._ship(min(missing, BATCH))
        return found

    def listed(self, entity: str, at_least: int) -> set[str]:
        """Give orders to the warehouse until there are enough."""
        while len(found := self._given()) < at_least:
            self._give(f"L-{next(self._next)}", self._sku())
        return found

    def _given(self) -> set[str]:
        effects = (event for event in self.retailer.journal("effect") if event["system"] == "wms")
        return {event["ref"] for event in effects if event["doc"] == "order"}

    def _documents(self, entity: str) -> set[str]:
        return {event["ref"] for event in self.retailer.journal("document") if event["doc"] == DOCUMENTS[entity]}

    def _receive(self) -> None:
        self.retailer.control("POST", "/actors", {"running": True})
        self.retailer.advance(1800)
        self.retailer.control("POST", "/actors", {"running": False})
        self.retailer.advance(ARRIVED)

    def _ship(self, orders: int) -> None:
        for _ in range(orders):
            self._give(f"B-{next(self._next)}", self._sku())
        self.retailer.advance(1200)

    def _give(self, name: str, sku: str) -> dict[str, Any]:
        line = {"sku": sku, "quantity": 1, "partner_line_item_id": "1"}
        order = {"order_number": name, "partner_order_id": name, "line_items": [line]}
        told = {"query": documents.ORDER_CREATE, "variables": {"data": order}}
        answer: httpx.Response = self.retailer.http.post("/wms/graphql", json=told, headers=self._bearer)
        return dict(answer.raise_for_status().json()["data"]["order_create"]["order"])

    def _sku(self) -> str:
        return self._skus[next(self._next) % len(self._skus)]

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the SKU and location, or the ids of what was shipped, received or brought back."""
        body = json.loads(record.body)
        if entity == "inventory":
            return {f"{level['sku']}@{level['warehouse_id']}" for level in body["inventory"]}
        if entity == "receipts":
            return {str(receipt["id"]) for receipt in body["purchase_order"]["receipts"] or ()}
        return {str(body["shipment" if entity == "shipments" else "return"]["id"])}

    def stir(self, entity: str) -> None:
        """Have an order allocated, which changes a level, and shipped where shipments are read."""
        self._give(f"S-{next(self._next)}", self._sku())
        if entity in ("shipments", "returns"):
            self.retailer.advance(600)

    def write(self, entity: str) -> Write:
        """Return an order."""
        name, sku = f"#C{next(self._next)}", self._sku()
        line = {
            "line": 1,
            "native_id": f"{name}/1",
            "sku": sku,
            "location": WAREHOUSE,
            "quantity": 1,
            "unit_price": "19.90",
        }
        data = {
            "ref": name, "native_id": f"order/{name}", "placed_at": self.clock.now().isoformat(), "currency": "USD",
            "lines": [line],
        }  # fmt: skip
        return Write("order", name, f"delivery-{name}", data, name)

    def effects(self, request: Write) -> int:
        """Count the orders that the warehouse has under the name."""
        effects = (event for event in self.retailer.journal("effect") if event["system"] == "wms")
        return sum(event["doc"] == "order" and event["ref"] == request.payload["ref"] for event in effects)

    def refused(self, entity: str) -> Write:
        """Return an order of an article that the warehouse does not have."""
        good = self.write(entity)
        return replace(good, payload={**good.payload, "lines": [{**good.payload["lines"][0], "sku": "9999-NONE"}]})

    def is_write(self, asked: Asked) -> bool:
        """Whether it is a mutation."""
        return b"mutation " in asked.body

    def is_read(self, asked: Asked) -> bool:
        """Whether it is a query, and not the way to a token."""
        return asked.path.endswith("/graphql") and not self.is_write(asked)

    def webhooks(self) -> Sequence[Inbound]:
        """Return what the warehouse tells of an order that is allocated, shipped and brought back, and of a receipt."""
        self._ship(1)
        self._receive()
        self.retailer.advance(1200)
        return self.retailer.told("wms", least=5)

    def under_another_id(self, inbound: Inbound) -> Inbound:
        """Return it with another message id, which is not signed."""
        return replace(inbound, headers={**inbound.headers, "x-shiphero-message-id": f"again-{next(self._next)}"})
