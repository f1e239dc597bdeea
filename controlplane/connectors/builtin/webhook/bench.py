"""The incident tool's inlet on trial, against the sandbox's."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import ClassVar

from controlplane.clock import Clock
from controlplane.connectors.builtin.webhook.connector import WebhookConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.retailer import Retailer, scenario
from controlplane.connectors.contract import Connector, Write


class WebhookBench(Bench):
    """Notifications of incidents of the bench's own."""

    connector: ClassVar[type[Connector]] = WebhookConnector
    against = "the sandbox's incident tool"
    silent_success = "the inlet says what it likes with its 2xx, and incident tools do not agree on it"

    def start(self, folder: Path) -> Place:
        """Start a quiet retailer."""
        self.retailer, self._next = Retailer(folder, scenario(8)), count()
        return Place(f"{self.retailer.url}/pager/events", {"token": self.retailer.secret("pager_token")})

    def stop(self) -> None:
        """Stop it."""
        self.retailer.stop()

    @property
    def clock(self) -> Clock:
        """The retailer's."""
        return self.retailer.clock

    def write(self, entity: str) -> Write:
        """Return a notification of a new incident."""
        name = f"INC-{next(self._next)}"
        data = {
            "incident": name, "fingerprint": f"drift:{name}", "action": "trigger", "sequence": 1, "severity": "page",
            "title": "Stock drifts", "owner": "ecommerce", "cause": "changed at the target", "money_at_risk": "12.50",
            "currency": "USD", "opened_at": self.clock.now().isoformat(), "url": "",
        }  # fmt: skip
        return Write("incident", name, f"delivery-{name}", data, name)

    def effects(self, request: Write) -> int:
        """Count the incidents that the tool has: it keeps one for each `dedup_key` and action, however often it is told."""
        told = self.retailer.control("GET", "/pager")
        found = {(event["dedup_key"], event["event_action"]) for event in told if request.subject in str(event["body"])}
        return len(found)

    def sent_amounts(self, entity: str) -> tuple[str, ...]:
        """Return the money at risk."""
        return ("12.50",)

    def is_write(self, asked: Asked) -> bool:
        """Whether it is a notification: nothing else is asked."""
        return asked.method == "POST"
