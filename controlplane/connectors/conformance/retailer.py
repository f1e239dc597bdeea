"""The sandbox retailer as a bench's system: a process of its own, spoken to over HTTP, whose journal tells what took effect."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from controlplane.clock import ManualClock, SystemClock
from controlplane.connectors.conformance.listening import Listener
from controlplane.connectors.conformance.process import Process
from controlplane.connectors.contract import Inbound

START = datetime(2026, 11, 27, 6, tzinfo=UTC)
REST = 120.0
"""Seconds of the simulated clock in which every budget of the retailer is full again."""
WAREHOUSE = "WH1"
HEARD = 10.0


def scenario(skus: int, **actors: Mapping[str, Any]) -> dict[str, Any]:
    """Return a retailer in which nobody acts by himself, but as told."""
    quiet: dict[str, Mapping[str, Any]] = {
        "customers": {"orders_per_minute": 0},
        "stores": {"sales_per_minute": 0},
        "receipts": {"per_hour": 0},
        "returns": {"share": 0},
        "warehouse": {"pick_seconds": [60, 60], "ship_seconds": [60, 60], "split_share": 0},
    }
    stock = {"skus": skus, "stock": [400, 400], "store_stock": [20, 20]}
    return {"minutes": 100_000, "retailer": stock, "actors": quiet | actors}


class Retailer:
    """One sandbox that runs, stepped; `clock` goes with it."""

    def __init__(self, folder: Path, played: Mapping[str, Any]) -> None:
        self.home, self.clock, self.listener = folder / "home", ManualClock(START, pace=1.0), Listener()
        file = folder / "scenario.yaml"
        file.write_text(json.dumps(played), encoding="utf-8")
        self._process = Process(
            [
                sys.executable, "-m", "controlplane.sandbox", "--port", "0", "--home", str(self.home), "--scenario", str(file),
                "--plane", self.listener.url, "--stepped", "--start", START.isoformat(), "--with-parent",
            ],
            folder / "sandbox.log",
        )  # fmt: skip
        self.url = self._process.ready("listening on").split()[-1]
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False, headers={"X-Sandbox": "control"})
        self._read = 0
        self._events: list[dict[str, Any]] = []

    def stop(self) -> None:
        """End it."""
        self.http.close()
        self._process.stop()
        self.listener.close()

    def secret(self, name: str) -> str:
        """Return one of the secrets that it made up."""
        return (self.home / "secrets" / name).read_text(encoding="ascii")

    def advance(self, seconds: float = REST) -> None:
        """Let time go by, for the retailer and for whoever uses its clock."""
        self.clock.advance(seconds)
        self.control("POST", "/advance", {"to": self.clock.now().isoformat()})

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask its control API."""
        answer = self.http.request(method, f"/control{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """Return what really happened, of one kind of event."""
        while (page := self.control("GET", f"/journal?after={self._read}&limit=5000"))["events"]:
            self._events += page["events"]
            self._read = page["next"]
        return [event for event in self._events if event["kind"] == kind]

    def truth(self) -> list[dict[str, Any]]:
        """Return every article at every location, in everybody's books."""
        return list(self.control("GET", "/truth"))

    def skus(self) -> list[str]:
        """Return the SKU of every article, in order."""
        return sorted({row["sku"] for row in self.truth()})

    def order(self, *lines: tuple[str, int]) -> dict[str, Any]:
        """Place an order in the shop; returns its name (`order`) and id."""
        told = [{"sku": sku, "quantity": quantity} for sku, quantity in lines]
        return dict(self.control("POST", "/order", {"lines": told}))

    def told(self, system: str, least: int = 1) -> list[Inbound]:
        """Return the webhooks that a system has sent; waits until so many have come."""
        wall, pause = SystemClock(), threading.Event()
        until = wall.stopwatch() + HEARD
        while True:
            found = [inbound for path, inbound in self.listener.heard if path == f"/hooks/{system}"]
            if len(found) >= least or wall.stopwatch() > until:
                return found
            wall.wait(pause, 0.02)
