"""Adobe Commerce on trial, against a simulated store."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import ClassVar

from controlplane.connectors.builtin.adobe_commerce.connector import AdobeCommerceConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.single import Single
from controlplane.connectors.contract import Connector, Record, Write

SECRETS = {
    "consumer_key": "consumer-key-of-trial", "consumer_secret": "consumer-secret-of-trial", "access_token": "access-token-of-trial",
    "access_token_secret": "access-token-secret-of-trial",
}  # fmt: skip
SOURCE = "default"
PAGE = 50
"""Rows that the store gives at once, however many are asked for."""


class AdobeCommerceBench(Bench):
    """Articles lie at one source, orders are of one article each; the store's own lists tell what took effect."""

    connector: ClassVar[type[Connector]] = AdobeCommerceConnector
    against = "a simulated store"
    several_pages: ClassVar = {"source_items": 2 * PAGE + 1, "orders": 2 * PAGE + 1}
    enums: ClassVar = {"orders": ("state", "product_type")}

    def start(self, folder: Path) -> Place:
        """Start an empty store."""
        self.store, self._next = Single("adobe", folder), count(1)
        self.store.do("limit", most=PAGE)
        self._kept: set[str] = set()
        self._ordered: set[str] = set()
        return Place(self.store.url, SECRETS, {"locations": [SOURCE]})

    def stop(self) -> None:
        """Stop it."""
        self.store.stop()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Put articles at the source, or order."""
        found, make = (self._ordered, self._order) if entity == "orders" else (self._kept, self._article)
        while len(found) < at_least:
            make()
        return set(found)

    def _article(self) -> str:
        sku = f"SKU-{next(self._next):06d}"
        self.store.do("keep", sku=sku, source=SOURCE, quantity=7)
        self._kept.add(f"{sku}@{SOURCE}")
        return sku

    def _order(self) -> str:
        ref = f"{next(self._next):09d}"
        self.store.do("buy", ref=ref, sku=self._article())
        self._ordered.add(ref)
        return ref

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the order's number."""
        return {str(json.loads(record.body)["increment_id"])}

    def stir(self, entity: str) -> None:
        """Order, or put another article at the source."""
        if entity == "orders":
            self._order()
        else:
            self._article()

    def write(self, entity: str) -> Write:
        """Return what lies at the source of an article, or a shipment of an order."""
        if entity == "source_item":
            sku = self._article()
            data = {"sku": sku, "location": SOURCE, "on_hand": 91, "allocated": 0, "available": 91, "in_transit": 0}
            return Write(entity, f"{sku}@{SOURCE}", f"delivery-{sku}", data, f"{sku}@{SOURCE}")
        ref = self._order()
        [order] = [one for one in self.store.known("orders").values() if one["increment_id"] == ref]
        lines = [{"sku": order["items"][0]["sku"], "quantity": 1}]
        about = {
            "order_ref": ref,
            "location": SOURCE,
            "shipped_at": "2026-01-01T00:00:00+00:00",
            "carrier": "",
            "tracking": "",
        }
        return Write(
            entity, f"S-{ref}", f"delivery-{ref}", {"shipment": f"S-{ref}", "lines": lines, **about}, f"S-{ref}"
        )

    def effects(self, request: Write) -> int:
        """Look at the source, or count the shipments that bear the mark."""
        if request.entity == "source_item":
            held = {tuple(key): value for key, value in self.store.known("items")}
            return int(held.get((request.payload["sku"], SOURCE)) == request.payload["on_hand"])
        marks = [track["track_number"] for one in self.store.known("shipments") for track in one["tracks"]]
        return marks.count(request.payload["shipment"])

    def refused(self, entity: str) -> Write:
        """Return an article that the store does not have, or a shipment from a source that is not one."""
        good = self.write(entity)
        wrong = {"sku": "NONE"} if entity == "source_item" else {"lines": [{"sku": "NONE", "quantity": 1}]}
        return Write(entity, good.subject, good.idempotency_key, {**good.payload, **wrong}, good.business_ref)

    def is_write(self, asked: Asked) -> bool:
        """What is posted."""
        return asked.method == "POST"
