"""NetSuite on trial, against the sandbox's ERP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.clock import Clock
from controlplane.connectors.builtin.netsuite import access
from controlplane.connectors.builtin.netsuite.connector import NetSuiteConnector
from controlplane.connectors.conformance.bench import Bench, GivenCodes, Place
from controlplane.connectors.conformance.retailer import WAREHOUSE, Retailer, scenario
from controlplane.connectors.contract import Connector, Record, Write

SKUS = 1050
DOCUMENTS = {
    "sales_order": "order",
    "item_fulfillment": "shipment",
    "item_receipt": "receipt",
    "inventory_adjustment": "return",
    "cash_sale": "till_sale",
    "journal_entry": "posting",
}
PRICE = "1234.56"


class NetSuiteBench(Bench):
    """Balances move by documents that another connector of the bench puts; the ERP's journal tells what took effect."""

    connector: ClassVar[type[Connector]] = NetSuiteConnector
    against = "the sandbox's ERP"
    several_pages: ClassVar = {"inventory_balance": SKUS, "items": SKUS}
    enums: ClassVar = {"items": ("inactive",)}
    amounts: ClassVar = {"items": ("cost",)}

    def start(self, folder: Path) -> Place:
        """Start a quiet retailer with more articles than a page of SuiteQL holds."""
        self.retailer = Retailer(folder, scenario(SKUS))
        self._skus, self._next = self.retailer.skus(), count()
        self._truth = {(row["sku"], row["location"]) for row in self.retailer.truth() if row["erp_on_hand"] is not None}
        places = {row["erp_id"]: row["location"] for row in self.retailer.control("GET", "/catalogue")["locations"]}
        secrets = {name: self.retailer.secret(f"erp_{name}") for name in access.TBA}
        options = {"realm": "1234567_SB1", "currency": "USD", "locations": list(places.values())}
        place = Place(f"{self.retailer.url}/erp", secrets, options, GivenCodes({"location": places}))
        self._hand = NetSuiteConnector(place.context("erp", self.clock))
        return place

    def stop(self) -> None:
        """Stop it."""
        self._hand.close()
        self.retailer.stop()

    @property
    def clock(self) -> Clock:
        """The retailer's."""
        return self.retailer.clock

    def rest(self) -> None:
        """Let some time go by."""
        self.retailer.advance()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Return the SKUs, or every balance: there are as many as there are articles."""
        return set(self._skus) if entity == "items" else {f"{sku}@{place}" for sku, place in self._truth}

    def listed(self, entity: str, at_least: int) -> set[str]:
        """Return the SKUs, or the orders once there are enough."""
        if entity == "items":
            return set(self._skus)
        while len(found := self._ordered()) < at_least:
            self._hand.write(self.write("sales_order"))
        return found

    def _ordered(self) -> set[str]:
        effects = (event for event in self.retailer.journal("effect") if event["system"] == "erp")
        return {event["ref"] for event in effects if event["doc"] == "order"}

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the SKU."""
        return {str(json.loads(record.body)["sku"])}

    def stir(self, entity: str) -> None:
        """Sell or do not sell an article any more; let some of it come back into a store."""
        if entity == "items":
            at = next(self._next)
            self.retailer.control("POST", "/item", {"sku": self._skus[at % len(self._skus)], "active": bool(at % 2)})
        else:
            self._hand.write(self.write("inventory_adjustment"))

    def _sku(self) -> str:
        return self._skus[next(self._next) % len(self._skus)]

    def write(self, entity: str) -> Write:
        """Return a document; a fulfilment's order is in the ERP already."""
        number = next(self._next)
        make = getattr(self, f"_{entity}")
        data: Mapping[str, Any] = make(number, self._sku(), self.clock.now().isoformat())
        ref = str(next(iter(data.values())))
        return Write(entity, ref, f"delivery-{ref}", data, ref)

    def _sales_order(self, number: int, sku: str, at: str) -> dict[str, Any]:
        line = {"line": 1, "native_id": "1", "sku": sku, "location": WAREHOUSE, "quantity": 1, "unit_price": PRICE}
        return {"ref": f"#C{number}", "native_id": f"o/{number}", "placed_at": at, "currency": "USD", "lines": [line]}

    def _item_fulfillment(self, number: int, sku: str, at: str) -> dict[str, Any]:
        order = Write(
            "sales_order", f"#C{number}", f"before-{number}", self._sales_order(number, sku, at), f"#C{number}"
        )
        self._hand.write(order)
        lines = [{"sku": sku, "quantity": 1}]
        return {
            "shipment": f"S-{number}",
            "order_ref": f"#C{number}",
            "location": WAREHOUSE,
            "shipped_at": at,
            "lines": lines,
        }

    def _item_receipt(self, number: int, sku: str, at: str) -> dict[str, Any]:
        lines = [{"sku": sku, "quantity": 1}]
        return {
            "receipt": f"R-{number}",
            "purchase_order": "P-1",
            "location": WAREHOUSE,
            "received_at": at,
            "lines": lines,
        }

    def _inventory_adjustment(self, number: int, sku: str, at: str) -> dict[str, Any]:
        lines = [{"sku": sku, "quantity": 1}]
        return {"return_ref": f"A-{number}", "order_ref": "#1", "location": "ST1", "received_at": at, "lines": lines}

    def _cash_sale(self, number: int, sku: str, at: str) -> dict[str, Any]:
        sold = {"location": "ST1", "sku": sku, "quantity": 1, "unit_price": PRICE, "currency": "USD", "sold_at": at}
        return {"ref": f"ST1/c/{number}", **sold}

    def _journal_entry(self, number: int, _sku: str, at: str) -> dict[str, Any]:
        lines = [
            {"account": "1100", "debit": PRICE, "credit": "0", "memo": ""},
            {"account": "4000", "debit": "0", "credit": PRICE, "memo": ""},
        ]
        key = f"order/C{number}/revenue"
        return {
            "posting_key": key,
            "document": f"C{number}",
            "business_date": at[:10],
            "currency": "USD",
            "lines": lines,
        }

    def effects(self, request: Write) -> int:
        """Count what the ERP journalled under the business reference."""
        effects = (event for event in self.retailer.journal("effect") if event["system"] == "erp")
        return sum(e["doc"] == DOCUMENTS[request.entity] and e["ref"] == request.business_ref for e in effects)

    def refused(self, entity: str) -> Write:
        """Return a document of an article that the ERP does not have, or a posting that does not balance."""
        good = self.write(entity)
        if entity == "cash_sale":
            return replace(good, payload={**good.payload, "sku": "9999-NONE"})
        wrong = {"debit": "1.00"} if entity == "journal_entry" else {"sku": "9999-NONE"}
        first, *others = good.payload["lines"]
        return replace(good, payload={**good.payload, "lines": [{**first, **wrong}, *others]})

    def sent_amounts(self, entity: str) -> tuple[str, ...]:
        """Return the price, where the document has one."""
        return (PRICE,) if entity in ("sales_order", "cash_sale", "journal_entry") else ()
