"""Writes into a broker, and what a connector of it is given."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from controlplane.clock import SystemClock
from controlplane.connectors.contract import Context, Write
from tests.addresses import opened
from tests.controlplane.connectors.conftest import PlainCodes


def context_of(endpoint: str, options: dict[str, Any], timeout: float = 5.0, **secrets: str) -> Context:
    """What a connector at an endpoint of loopback is given."""
    return Context(
        system="bus", endpoint=endpoint, options=options, secret=secrets.__getitem__, codes=PlainCodes(), clock=SystemClock(),
        timeout=timeout, given=frozenset(secrets), internal=opened(endpoint),
    )  # fmt: skip


def sale(number: int, subject: str = "", owed_since: datetime | None = None) -> Write:
    """A document."""
    ref = subject or f"R{number}.a@x"
    data = {"ref": ref, "location": "ST1", "sku": "0042", "quantity": 1, "unit_price": "12.90", "currency": "EUR",
            "sold_at": "2026-11-27T06:00:00Z", "tax_code": None}  # fmt: skip
    return Write("sale.recorded", ref, f"delivery-{number}", data, ref, owed_since=owed_since)


def level(number: int) -> Write:
    """A state."""
    data = {"sku": "0042", "location": "WH1", "on_hand": number, "allocated": 0, "available": number, "in_transit": 0,
            "source_at": "2026-11-27T06:00:00Z"}  # fmt: skip
    return Write("stock.level", "0042@WH1", f"level-{number}", data, "0042@WH1")
