"""Tryton on trial, against a running server that TRUEUP_TRYTON_URL names (user admin, database retail, the demo's products SKU-….)."""

from __future__ import annotations

import base64
import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx

from controlplane.connectors.builtin.tryton.connector import TrytonConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.contract import Connector, Record, Write

WAREHOUSES = ("WH", "DC2")
CUSTOMER = "2"
MOST = 10_000
CHANGING = (b"model.sale.sale.create", b"model.sale.sale.quote", b"model.sale.sale.confirm")


class TrytonBench(Bench):
    """The server's own tables tell what is there; a sale has taken effect when it is confirmed."""

    connector: ClassVar[type[Connector]] = TrytonConnector
    against = "a running Tryton"

    def start(self, folder: Path) -> Place:
        """Sign in at the server."""
        url, password = os.environ.get("TRUEUP_TRYTON_URL"), os.environ.get("TRUEUP_TRYTON_PASSWORD", "tryton-demo")
        if not url:
            raise NotApplicable("no Tryton: set TRUEUP_TRYTON_URL to a test server, and TRUEUP_TRYTON_PASSWORD")
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60)
        user, token = self._call("common.db.login", "admin", {"password": password}, "en")[:2]
        told = base64.b64encode(f"admin:{user}:{token}".encode()).decode()
        self._http.headers["Authorization"] = f"Session {told}"
        options = {"database": "retail", "locations": list(WAREHOUSES), "customer": CUSTOMER}
        return Place(url, {"user": "admin", "password": password}, options)

    def stop(self) -> None:
        """Leave the server running; it is somebody else's."""
        if hasattr(self, "_http"):
            self._http.close()

    def _call(self, method: str, *params: Any) -> Any:
        answer = self._http.post("/retail/rpc/", json={"id": 1, "method": method, "params": params}).json()
        if answer.get("error"):
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _codes(self) -> set[str]:
        rows = self._call("model.product.product.search_read", [["code", "like", "SKU-%"]], 0, MOST, None, ["code"], {})
        return {str(row["code"]) for row in rows}

    def things(self, entity: str, at_least: int) -> set[str]:
        """Return what the server has: nothing of it can be made here."""
        if entity == "stock":
            return {f"{code}@{place}" for code in self._codes() for place in WAREHOUSES}
        if entity == "items":
            return self._codes()
        rows = self._call(
            "model.stock.shipment.out.search_read", [["state", "=", "done"]], 0, MOST, None, ["number"], {}
        )
        return {str(row["number"]) for row in rows}

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the key of stock, the code of an item, the number of a shipment."""
        told = json.loads(record.body)
        if entity == "stock":
            return {f"{told['sku']}@{told['location']}"}
        return {str(told["code" if entity == "items" else "number"])}

    def write(self, entity: str) -> Write:
        """Return an order that no other write was of."""
        ref = f"#{uuid.uuid4().hex[:10]}"
        line = {"line": 1, "native_id": "1", "sku": "SKU-0010", "location": "WH", "quantity": 1, "unit_price": "12.34"}
        placed = datetime.now(UTC).isoformat()
        payload = {"ref": ref, "native_id": ref, "placed_at": placed, "currency": "EUR", "lines": [line]}
        return Write(entity, ref, f"delivery-{ref}", payload, ref)

    def effects(self, request: Write) -> int:
        """Count the confirmed sales with the reference."""
        domain = [["reference", "=", request.business_ref], ["state", "not in", ["draft", "quotation", "cancelled"]]]
        return int(self._call("model.sale.sale.search_count", domain, {}))

    def refused(self, entity: str) -> Write:
        """Return an order of a product that is not there."""
        good = self.write(entity)
        lines = [{**good.payload["lines"][0], "sku": "NONE"}]
        return Write(entity, good.subject, good.idempotency_key, {**good.payload, "lines": lines}, good.business_ref)

    def is_write(self, asked: Asked) -> bool:
        """Everything is posted to one address; the method says what changes something."""
        return any(name in asked.body for name in CHANGING)

    def is_read(self, asked: Asked) -> bool:
        """A login is none."""
        return not self.is_write(asked) and b"common.db.login" not in asked.body
