"""Avalara on trial, against a simulated account. What is asked has no effect there but its answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.avalara.connector import AvalaraConnector
from controlplane.connectors.builtin.avalara.estimates import CREATE
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.single import Single
from controlplane.connectors.contract import Connector, Write

SECRETS = {"account_id": "1100012345", "license_key": "A1B2C3D4E5F6A7B8"}


class AvalaraBench(Bench):
    """An account with the general tax code."""

    connector: ClassVar[type[Connector]] = AvalaraConnector
    against = "a simulated account"

    def start(self, folder: Path) -> Place:
        """Start an account."""
        self.account, self._next = Single("avalara", folder), count(1)
        return Place(self.account.url, SECRETS, {"tax_codes": ["P0000000"]})

    def stop(self) -> None:
        """Stop it."""
        self.account.stop()

    def write(self, entity: str) -> Write:
        """Return a question about goods on which no tax is due, and none was charged."""
        name = f"shipment.shipped:S-{next(self._next)}:revenue"
        here = {"country": "US", "region": "OR", "postal_code": "97201"}
        line: dict[str, Any] = {
            "number": "1", "sku": "A-1", "quantity": 2, "amount": "20.00", "tax": "0.00", "tax_code": "P0000000",
        }  # fmt: skip
        data = {
            "posting_key": name, "document": name, "cause": name, "engine": "tax", "rule": "revenue", "rule_revision": "1",
            "issued_on": "2026-11-27", "currency": "USD", "ship_from": here, "ship_to": here, "lines": [line],
            "tolerance": "0.01",
        }  # fmt: skip
        return Write(entity, name, f"delivery-{name}", data, name)

    def effects(self, request: Write) -> int:
        """One where it was computed, however often, for that leaves nothing there; a transaction that the account kept is another."""
        return int(request.business_ref in self.account.known("computed")) + len(self.account.known("kept"))

    def refused(self, entity: str) -> Write:
        """Return a question about a place that is none."""
        good = self.write(entity)
        return replace(good, payload={**good.payload, "ship_to": {"country": "US"}})

    def is_write(self, asked: Asked) -> bool:
        """Estimates are what is asked for."""
        return asked.method == "POST" and asked.path.startswith(CREATE)
