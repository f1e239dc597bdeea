"""A process that sends one feed and is killed while it waits for it: `python amazon_feeder.py ENDPOINT STORE`."""

from __future__ import annotations

import sys

from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.contract import Write
from controlplane.connectors.numbers import StoredNumbers
from controlplane.store import open_store
from tests.controlplane.connectors.amazon_kit import LOGIN, OPTIONS, Walking
from tests.controlplane.connectors.conftest import START, Given

MANY = 21


def wanted() -> list[Write]:
    """One quantity for each of so many articles; one of them Amazon refuses."""
    return [_quantity(f"SKU{at:03}", -1 if at == 3 else 7) for at in range(MANY)]


def _quantity(sku: str, units: int) -> Write:
    payload = {"sku": sku, "location": "WH1", "channel": "amazon", "quantity": units, "expected": None}
    return Write("quantity", f"{sku}@WH1", f"offer-{sku}", payload, f"{sku}@WH1")


def connector(endpoint: str, store: str) -> AmazonConnector:
    """A connector as a process makes it."""
    clock = Walking(START, pace=1.0)
    given = Given(endpoint, dict(LOGIN), {**OPTIONS, "login_endpoint": endpoint}, timeout=10, clock=clock)
    given.numbers = StoredNumbers(open_store(f"sqlite:///{store}"), clock, "amazon")
    return AmazonConnector(given.context())


if __name__ == "__main__":
    connector(sys.argv[1], sys.argv[2]).write_many(wanted())
