"""Make many deliveries at once, the short way: as routing writes them, without what comes before it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft
from controlplane.store.types import micros
from controlplane.sync.ledger import append
from controlplane.sync.routing import owed
from controlplane.sync.routing.owed import Owed
from rules.ids import new_id
from tests.controlplane.sync.kit import House

SKU = "0007-BLK-M"


class Still(ManualClock):
    """Nothing takes any time, so that nothing is cut short where the machine is slow."""

    def stopwatch(self) -> float:
        """Stand still."""
        return 0.0


def orders(house: House, count: int, first: int = 0) -> None:
    """So many customers order, each a millisecond after the other; the messages are accepted, and not processed."""
    with house.store.write() as connection:
        for number in range(first, first + count):
            house.clock.advance(0.001)
            ref, now = f"#{number:03}", house.clock.now()
            line = {"line": 1, "native_id": "L1", "sku": SKU, "location": "WH1", "quantity": 1, "unit_price": "10.00"}
            data = {"ref": ref, "native_id": ref, "placed_at": now.isoformat(), "currency": "USD", "lines": [line]}
            draft = Draft("order.placed", ref, f"order.placed:{ref}", now, data)
            append(connection, house.clock, draft, source="shop", registry_version=1, trace_id="0" * 32)


def routed(house: House) -> None:
    """Let everything be owed that was accepted, and send nothing."""
    while house.sync.translate() or house.sync.process():
        pass


def waiting(house: House, target: str, count: int, *, flow: str = "orders", **columns: Any) -> list[str]:
    """Write deliveries that wait; return their ids. `due` is in seconds from now; other columns as given."""
    now = house.clock.now()
    due = columns.pop("due", 0.0)
    rows = [_row(house, target, flow, number, now + timedelta(seconds=due)) | columns for number in range(count)]
    with house.store.write() as connection:
        owed.write(connection, [Owed(row) for row in rows], now)
    return [str(row["id"]) for row in rows]


def _row(house: House, target: str, flow: str, number: int, due: Any) -> dict[str, Any]:
    now, identity = house.clock.now(), new_id(house.clock.now())
    subject = f"{flow}-{number:05}-{identity[-6:]}"
    return {
        "id": identity, "message_id": identity, "flow": flow, "target": target, "entity": "journal_entry", "subject": subject,
        "order_key": subject, "idempotency_key": identity, "coalesce": False, "payload": "{}", "state": "pending",
        "head": False, "due_at": micros(due), "deadline_at": micros(now + timedelta(days=1)), "pause_base": 0,
        "promise_at": micros(now), "attempts": 1, "fence": 1, "created_at": micros(now), "finished_at": None,
        "retry_revision": house.registry.snapshot().revision("RetryPolicy", "default"), "registry_version": 1,
        "money": None, "currency": None, "trace_id": "0" * 32,
    }  # fmt: skip
