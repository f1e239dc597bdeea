"""Write rows as the other rooms write them, for tests of what health makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import Table, insert, select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Connector
from controlplane.errors import NotFoundError
from controlplane.health.observations import Observation, ProbeContext, record
from controlplane.registry import Registry
from controlplane.registry.packs import check, install, pack_folder
from controlplane.store import Store
from controlplane.store import tables as t
from rules.ids import new_id
from rules.policy.reading import Entry

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@cache
def sandbox_pack() -> Sequence[Entry]:
    """Read and lint the shipped pack once for all tests."""
    entries, problems = check([pack_folder("sandbox")])
    assert problems == []
    return entries


class Retailer:
    """A store with the shipped pack in force, and short ways to write what has happened."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        install(store, clock, sandbox_pack(), "sandbox")
        self.snapshot = Registry(store, clock).snapshot()
        self.connectors: dict[str, Connector] = {}

    def get(self, system_name: str) -> Connector:
        """Return a connector, as the connections do."""
        if system_name not in self.connectors:
            raise NotFoundError(f"no system '{system_name}'")
        return self.connectors[system_name]

    @property
    def context(self) -> ProbeContext:
        return ProbeContext(self.store, self.snapshot, self, self.clock)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def write(self, table: Table, **values: Any) -> None:
        with self.store.write() as conn:
            conn.execute(insert(table).values(**values))

    def rows(self, table: Table) -> list[Any]:
        with self.store.read() as conn:
            return list(conn.execute(select(table)))

    def observe(self, *seen: Observation) -> None:
        with self.store.write() as conn:
            record(conn, seen)

    def message(self, kind: str, subject: str, source: str, data: dict[str, Any], **values: Any) -> str:
        message_id = new_id(self.now)
        row = {
            "id": message_id, "type": kind, "schema_version": 1, "source": source, "subject": subject,
            "dedupe_key": message_id, "occurred_at": self.now, "accepted_at": self.now, "trace_id": "0" * 32,
            "data": data, "state": "processed", "registry_version": 1,
        }  # fmt: skip
        self.write(t.message, **row | values)
        return message_id

    def delivery(
        self, flow: str, target: str, subject: str, *, kind: str = "order.placed", state: str = "pending", **values: Any
    ) -> str:
        payload = values.pop("payload", {"ref": subject})
        occurred = values.pop("occurred_at", self.now)
        message_id = self.message(kind, subject, self.snapshot.flows[flow].spec.source, payload, occurred_at=occurred)
        delivery_id = new_id(self.now)
        row = {
            "id": delivery_id, "message_id": message_id, "flow": flow, "target": target, "entity": "document",
            "subject": subject, "order_key": subject, "idempotency_key": delivery_id, "coalesce": False,
            "payload": payload, "state": state, "due_at": self.now, "deadline_at": self.now + timedelta(days=1),
            "promise_at": self.now + 5 * MINUTE, "created_at": self.now, "retry_revision": "r", "registry_version": 1,
        }  # fmt: skip
        if state in ("delivered", "superseded", "stale"):
            row["finished_at"] = self.now
        self.write(t.delivery, **row | values)
        if state == "quarantined":
            self.write(
                t.quarantine, id=new_id(self.now), stage="delivery", system=target, flow=flow, reason_code="rejected",
                reason="r", remedy="m", subject=subject, record=payload, state="waiting", owner="store-ops",
                opened_at=self.now, message_id=message_id, delivery_id=delivery_id,
            )  # fmt: skip
        return delivery_id

    def offer(self, sku: str, state: str, quantity: int = 5, **values: Any) -> str:
        payload = {"sku": sku, "location": "WH1", "quantity": quantity}
        return self.delivery(
            "stock-offers",
            "shop",
            f"{sku}@WH1",
            kind="stock.offer",
            state=state,
            payload=payload,
            coalesce=True,
            **values,
        )

    def attempt(self, delivery_id: str, system: str, outcome: str, *, flow: str = "orders", **values: Any) -> None:
        row = {
            "id": new_id(self.now), "delivery_id": delivery_id, "number": 1, "kind": "write", "system": system,
            "flow": flow, "started_at": self.now - SECOND, "finished_at": self.now, "outcome": outcome, "detail": "",
            "retry_revision": "r",
        }  # fmt: skip
        self.write(t.attempt, **row | values)

    def order(self, ref: str, sku: str, quantity: int, price: str = "10.00", **values: Any) -> None:
        placed_at = values.pop("placed_at", self.now)
        warehouse_at = values.pop("warehouse_at", None)
        shipped = values.pop("shipped", 0)
        row = {
            "ref": ref, "source": "shop", "native_id": ref, "state": "pending_validation", "location": "WH1",
            "placed_at": placed_at, "value": quantity * Decimal(price), "currency": "EUR", "updated_at": self.now,
            "message_id": "m",
        }  # fmt: skip
        self.write(t.order_state, **row | values)
        self.write(
            t.order_line, order_ref=ref, line=1, sku=sku, location="WH1", quantity=quantity, shipped=shipped, returned=0,
            unit_price=Decimal(price), warehouse_at=warehouse_at,
        )  # fmt: skip

    def stock(self, sku: str, available: int) -> None:
        level = {
            "sku": sku, "location": "WH1", "on_hand": available, "allocated": 0, "available": available,
            "in_transit": 0, "source_at": self.now, "message_id": "m",
        }  # fmt: skip
        self.write(t.stock_change, **level, changed_at=self.now)
        known = any(row.sku == sku for row in self.rows(t.stock_position))
        if not known:
            self.write(t.stock_position, **level, source="wms", updated_at=self.now)

    def hear(self, system: str) -> None:
        """Take in something from a system, so that its silence afterwards has a beginning."""
        intake_id = new_id(self.now)
        self.write(
            t.intake, id=intake_id, system=system, channel="webhook", topic="t", event_key=intake_id, headers={},
            body=b"{}", received_at=self.now, trace_id="0" * 32, state="translated",
        )  # fmt: skip

    def stands(self, system: str, **values: Any) -> None:
        self.write(t.system_state, **{"system": system, "consecutive_failures": 0} | values)


def values(seen: list[Observation], indicator: str) -> dict[str, float | None]:
    """Return the values of an indicator by the text of its labels."""
    return {",".join(one.labels.values()): one.value for one in seen if one.indicator == indicator}
