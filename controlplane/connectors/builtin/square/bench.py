"""Square on trial, against simulated tills."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.square import payments
from controlplane.connectors.builtin.square.connector import COUNTED, SIGNATURE, SquareConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked
from controlplane.connectors.conformance.single import Single
from controlplane.connectors.contract import Connector, Inbound, Record, Write

HOOK, SECRET = "https://plane.example/hooks/square", "whsec-of-the-bench"
PLACE = "L1"
PAGE, FEW = 100, 20


class SquareBench(Bench):
    """Variations are made with their counts; the seller's keys tell how often a count was taken."""

    connector: ClassVar[type[Connector]] = SquareConnector
    against = "simulated tills"
    several_pages: ClassVar = dict.fromkeys(payments.POLLED, 2 * FEW + 1) | {
        "counts": 2 * PAGE + 1,
        "sales": 2 * PAGE + 1,
    }
    enums: ClassVar = {
        "sales": ("currency",),
        "payments": ("currency",),
        "refunds": ("currency",),
        "payouts": ("status",),
    }

    def start(self, folder: Path) -> Place:
        """Start a seller with nothing counted and nothing sold."""
        self.tills, self._next = Single("square", folder), count(1)
        self._counted: set[str] = set()
        self._sold: set[str] = set()
        secrets = {"access_token": "EAAA-token", "webhook_secret": SECRET}
        return Place(self.tills.url, secrets, {"locations": [PLACE], "webhook_url": HOOK})

    def stop(self) -> None:
        """Stop it."""
        self.tills.stop()

    def things(self, entity: str, at_least: int) -> set[str]:
        """Count variations, or sell."""
        if entity == "sales":
            while len(self._sold) < at_least:
                self._sell()
            return set(self._sold)
        if entity in payments.POLLED:
            while len(known := set(self.tills.known(entity))) < at_least:
                for _ in range(at_least - len(known)):
                    self.stir(entity)
            return known
        while len(self._counted) < at_least:
            self._variation()
        return set(self._counted)

    def _variation(self) -> str:
        number = next(self._next)
        self.tills.do("stock", variation=f"V{number}", sku=f"SKU-{number}", location=PLACE, units=number % 90)
        self._counted.add(f"SKU-{number}@{PLACE}")
        return f"V{number}"

    def _sell(self) -> None:
        ref = f"O{next(self._next)}"
        self.tills.do("buy", ref=ref, location=PLACE, variation=self._variation(), total=1234)
        self._sold.add(ref)

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return the order, payment, refund or payout; an entry is of its payout."""
        told = json.loads(record.body)
        return set() if record.topic == payments.ENTRIES else {str(told["id"])}

    def stir(self, entity: str) -> None:
        """Sell, have money move, or count another variation."""
        if entity == "sales":
            self._sell()
        elif entity in payments.POLLED:
            self._moved(entity)
        else:
            self._variation()

    def _moved(self, entity: str) -> str:
        paid = str(self.tills.do("pay", name=f"P{next(self._next)}", location=PLACE, amount=1234, fee=66))
        if entity == payments.REFUNDS:
            return str(self.tills.do("refund", name=f"R{paid}", payment=paid, amount=100))
        return str(self.tills.do("pay_out", name=f"po{paid}", location=PLACE)) if entity == payments.PAYOUTS else paid

    def write(self, entity: str) -> Write:
        """Return a count of a variation that no other write was of."""
        number = self._variation().removeprefix("V")
        payload = {"sku": f"SKU-{number}", "location": PLACE, "channel": "square", "quantity": 91, "expected": None}
        return Write(entity, f"SKU-{number}@{PLACE}", f"delivery-{number}", payload, f"SKU-{number}@{PLACE}")

    def effects(self, request: Write) -> int:
        """Count what was taken under the key."""
        return int(self.tills.known("taken").get(request.idempotency_key, 0))

    def refused(self, entity: str) -> Write:
        """Return a count at a location that is not the seller's."""
        good = self.write(entity)
        return Write(entity, good.subject, good.idempotency_key, {**good.payload, "location": "L9"}, good.business_ref)

    def is_write(self, asked: Asked) -> bool:
        """Reads are posted as well."""
        return asked.path.endswith("/batch-create")

    def is_read(self, asked: Asked) -> bool:
        """There is no session."""
        return not self.is_write(asked)

    def webhooks(self) -> Sequence[Inbound]:
        """Return a count and an order as Square tells them."""
        self.things("sales", 1)
        variation = self._variation()
        row = {"catalog_object_id": variation, "state": "IN_STOCK", "location_id": PLACE, "quantity": "5"}
        row["calculated_at"] = "2026-01-01T00:00:00.000Z"
        order = {"order_id": next(iter(self._sold)), "state": "COMPLETED"}
        return [
            self._told(COUNTED, {"inventory_counts": [row]}),
            self._told("order.created", {"order_created": order}),
            self._told("order.updated", {"order_updated": order}),
            *(self._of_money(topic, entity) for topic, entity in payments.TOLD.items()),
        ]

    def _of_money(self, topic: str, entity: str) -> Inbound:
        name = self._moved(entity)
        if topic in ("payout.paid", "payout.failed"):
            self.tills.do("arrive", name=name, status=topic.partition(".")[2].upper())
        return self._told(topic, {entity.removesuffix("s"): self.tills.known(entity)[name]})

    def _told(self, topic: str, told: dict[str, Any]) -> Inbound:
        event = {"type": topic, "event_id": f"e{next(self._next)}", "data": {"object": told}}
        body = json.dumps(event).encode()
        mark = base64.b64encode(hmac.new(SECRET.encode(), HOOK.encode() + body, hashlib.sha256).digest()).decode()
        return Inbound({SIGNATURE: mark}, body)
