"""SAP S/4HANA on trial, against a simulated tenant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.sap_s4.connector import SapS4Connector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.conformance.single import Single
from controlplane.connectors.contract import Connector, Record, Write

SECRETS = {"user": "TRUEUP_COMM", "password": "sap-communication-password"}
HERE = "1010/101A"
PAGE = 40
"""Rows that the gateway gives at once, however many are asked for."""
AT = "2026-01-01T00:00:00+00:00"
PRICE = "1234.56"
EFFECTS = {"sales_order": "orders", "item_fulfillment": "deliveries", "journal_entry": "entries"}
OPTIONS = {
    "sales_organization": "1010", "distribution_channel": "10", "division": "00", "sold_to_party": "10100001",
    "company_code": "1010", "locations": [HERE],
}  # fmt: skip


class SapS4Bench(Bench):
    """Materials lie at one storage location; the tenant's own books tell what took effect."""

    connector: ClassVar[type[Connector]] = SapS4Connector
    against = "a simulated tenant"
    several_pages: ClassVar = {"inventory_balance": 2 * PAGE + 1, "items": 2 * PAGE + 1}
    enums: ClassVar = {"items": ("CrossPlantStatus", "InventoryValuationProcedure")}
    amounts: ClassVar = {"items": ("StandardPrice", "MovingAveragePrice")}
    orders: ClassVar[dict[str, str]] = {}
    """Options that say by which service sales orders are spoken of."""

    def start(self, folder: Path) -> Place:
        """Start a tenant."""
        self.tenant, self._next, self._kept = Single("sap", folder), count(1), set[str]()
        self.tenant.do("limit", most=PAGE)
        place = Place(self.tenant.url, SECRETS, OPTIONS | self.orders)
        self._hand = SapS4Connector(place.context("sap", self.clock))
        return place

    def stop(self) -> None:
        """Stop it."""
        self._hand.close()
        self.tenant.stop()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Put materials there."""
        while len(self._kept) < at_least:
            self._material()
        return {f"{sku}@{HERE}" for sku in self._kept} if entity == "inventory_balance" else set(self._kept)

    def _material(self) -> str:
        sku = f"SKU-{next(self._next):06d}"
        self.tenant.do("keep", material=sku, place=HERE, quantity=1000)
        self._kept.add(sku)
        return sku

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the material."""
        return {str(json.loads(record.body)["Product"])}

    def stir(self, entity: str) -> None:
        """Put another material there."""
        self._material()

    def write(self, entity: str) -> Write:
        """Return a document; a shipment's order is in SAP already."""
        number, sku = next(self._next), self._material()
        data: Mapping[str, Any] = getattr(self, f"_{entity}")(number, sku)
        ref = str(next(iter(data.values())))
        return Write(entity, ref, f"delivery-{ref}", data, ref)

    def _sales_order(self, number: int, sku: str) -> dict[str, Any]:
        line = {"line": 1, "native_id": "1", "sku": sku, "location": HERE, "quantity": 1, "unit_price": PRICE}
        return {"ref": f"#C{number}", "native_id": f"o/{number}", "placed_at": AT, "currency": "USD", "lines": [line]}

    def _item_fulfillment(self, number: int, sku: str) -> dict[str, Any]:
        ref = f"#C{number}"
        self._hand.write(Write("sales_order", ref, f"before-{number}", self._sales_order(number, sku), ref))
        lines = [{"sku": sku, "quantity": 1}]
        return {"shipment": f"S-{number}", "order_ref": ref, "location": HERE, "shipped_at": AT, "lines": lines}

    def _item_receipt(self, number: int, sku: str) -> dict[str, Any]:
        lines = [{"sku": sku, "quantity": 1}]
        return {"receipt": f"R-{number}", "purchase_order": "P-1", "location": HERE, "received_at": AT, "lines": lines}

    def _inventory_adjustment(self, number: int, sku: str) -> dict[str, Any]:
        lines = [{"sku": sku, "quantity": 1}]
        return {"return_ref": f"A-{number}", "order_ref": "#1", "location": HERE, "received_at": AT, "lines": lines}

    def _cash_sale(self, number: int, sku: str) -> dict[str, Any]:
        sold = {"location": HERE, "sku": sku, "quantity": 1, "unit_price": PRICE, "currency": "USD", "sold_at": AT}
        return {"ref": f"ST1/c/{number}", **sold}

    def _journal_entry(self, number: int, _sku: str) -> dict[str, Any]:
        lines = [
            {"account": "1100", "debit": PRICE, "credit": "0", "memo": ""},
            {"account": "4000", "debit": "0", "credit": PRICE, "memo": ""},
        ]
        about = {"document": f"C{number}", "business_date": AT[:10], "currency": "USD"}
        return {"posting_key": f"order/C{number}/revenue", **about, "lines": lines}

    def effects(self, request: Write) -> int:
        """Count what SAP's books hold under the business reference."""
        kind = EFFECTS.get(request.entity, "documents")
        return int(self.tenant.known("effects")[kind].count(request.business_ref))

    def refused(self, entity: str) -> Write:
        """Return a document of a material that SAP does not have, or a shipment of more than was ordered."""
        good = self.write(entity)
        if entity == "journal_entry":
            raise NotApplicable("SAP queues a journal entry before it looks whether it can be posted")
        if entity == "cash_sale":
            return replace(good, payload={**good.payload, "sku": "NONE"})
        [line] = good.payload["lines"]
        return replace(good, payload={**good.payload, "lines": [{**line, "sku": "NONE"}]})

    def is_write(self, asked: Asked) -> bool:
        """What is posted or changed; a batch of look-ups is neither."""
        return asked.method in ("POST", "PATCH")

    def is_read(self, asked: Asked) -> bool:
        """What is neither a write nor the fetching of a CSRF token."""
        return asked.method == "GET" and "x-csrf-token" not in asked.headers

    def sent_amounts(self, entity: str) -> tuple[str, ...]:
        """Return the price of an order; a journal entry is XML, and goods movements have none."""
        return (PRICE,) if entity == "sales_order" else ()


class SapS4V4Bench(SapS4Bench):
    """The same, where sales orders go by the service of OData V4; shipments look for their order there."""

    against = "a simulated tenant, sales orders by OData V4"
    orders: ClassVar = {"orders_api": "v4"}
