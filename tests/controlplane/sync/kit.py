"""A retailer in memory: connectors with the guarantees of real vendors, and faults on demand. They share no code with
the plane but the connector contract, and count effects by business reference, never by our key."""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from controlplane.clock import ManualClock
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Inbound,
    Level,
    Manifest,
    Page,
    Record,
    UnmappedError,
    Write,
    WriteSpec,
)
from controlplane.errors import BadInputError, UnavailableError
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.sealing import Ring, Shield
from controlplane.store import Store
from controlplane.sync.engines import Sync
from rules.outcomes import Guarantee, Outcome, Result
from rules.personal import USUAL

DOCUMENTS = (
    "sales_order",
    "order",
    "item_fulfillment",
    "item_receipt",
    "inventory_adjustment",
    "cash_sale",
    "journal_entry",
    "fulfillment",
    "incident",
)


@dataclass
class Vendor(Connector):
    """One system. `faults` is a queue of what goes wrong with the next writes; empty means that all is well."""

    name: str
    clock: ManualClock
    guarantee: Guarantee = Guarantee.KEYED
    late_effect: float = 5.0
    faults: deque[str] = field(default_factory=deque)
    down: bool = False
    effects: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_key: dict[str, Outcome] = field(default_factory=dict)
    shown: dict[str, list[str]] = field(default_factory=dict)
    """The vendor's own ids of what took effect under a key."""
    levels: dict[tuple[str, str], int] = field(default_factory=dict)
    history: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    writes: int = 0
    told_by_reading: bool = False
    """Reading back tells of stock levels too."""
    pages: list[Page] = field(default_factory=list)
    meanwhile: list[Callable[[], object]] = field(default_factory=list)
    """What happens elsewhere while the next read-backs are on their way."""
    blind: bool = False
    """Documents cannot be looked up; only their key tells."""
    on_the_wire: list[tuple[datetime, Write]] = field(default_factory=list)
    """Writes that were given up and take effect at these instants, within the time that is declared."""

    def __post_init__(self) -> None:
        self.context = Context(self.name, "", {}, str, None, self.clock, 10.0)  # type: ignore[arg-type]
        specs = tuple(WriteSpec(entity, (), self.guarantee, self.late_effect) for entity in DOCUMENTS)
        self.manifest = Manifest(
            self.name, self.name, writes=(*specs, WriteSpec("available", (), Guarantee.CONDITIONAL, self.late_effect))
        )  # type: ignore[misc]

    # --- in ---
    def receive(self, inbound: Inbound) -> Record:
        body = json.loads(inbound.body)
        return Record(body["type"], f"{body['type']}:{body['event']}", inbound.body)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        if self.down:
            raise UnavailableError(f"{self.name} does not answer")
        yield from self.pages

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        try:
            raw = json.loads(body)
        except ValueError as error:
            raise BadInputError(f"not JSON: {error}") from error
        data = raw["data"]
        if data.get("sku") == "UNKNOWN":
            raise UnmappedError("sku", "UNKNOWN", self.name)
        at = datetime.fromisoformat(data["source_at"]) if "source_at" in data else self.clock.now()
        key = f"{raw['type']}:{raw['subject']}:{raw.get('version', '')}"
        return [Draft(raw["type"], raw["subject"], key, at, data)]

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        if self.down:
            raise UnavailableError(f"{self.name} does not answer")
        now = self.clock.now()
        wanted = self.levels if keys is None else [key for key in keys if key in self.levels]
        yield [
            Level(sku, location, self.levels[sku, location], self.levels[sku, location], now, now, now)
            for sku, location in wanted
        ]

    # --- out ---
    def write(self, request: Write) -> Outcome:
        self.arrive()
        self.writes += 1
        fault = "unavailable" if self.down else (self.faults.popleft() if self.faults else "")
        if fault == "unavailable":
            return Outcome(Result.UNAVAILABLE, f"{self.name} does not answer")
        if fault == "throttled":
            return Outcome(Result.THROTTLED, "slow down", retry_after=30)
        if fault == "odd answer":
            return Outcome(Result.REJECTED, "it is odd \x00 \ud800", evidence={"body": "\x00\ud800"})
        if fault == "rejected":
            return Outcome(Result.REJECTED, "no such customer")
        if fault == "defect":
            raise RuntimeError("the connector is broken")
        if fault == "unmapped":
            raise UnmappedError("tax_code", "STD", self.name)
        if fault == "lost request":
            return Outcome(Result.UNKNOWN, "no answer")
        if fault in ("late effect", "later effect"):  # later than is declared
            after = {"late effect": 0.9, "later effect": 3.0}[fault] * self.late_effect
            self.on_the_wire.append((self.clock.now() + timedelta(seconds=after), request))
            return Outcome(Result.UNKNOWN, "no answer")
        outcome = self._level(request) if request.entity == "available" else self._document(request)
        return Outcome(Result.UNKNOWN, "no answer") if fault == "lost answer" else outcome

    def arrive(self) -> None:
        """Let what was on the wire take effect, where its time has come."""
        come = [one for one in self.on_the_wire if one[0] <= self.clock.now()]
        self.on_the_wire = [one for one in self.on_the_wire if one not in come]
        for _, request in come:
            self._document(request)

    def _document(self, request: Write) -> Outcome:
        if self.guarantee is Guarantee.KEYED and request.idempotency_key in self.by_key:
            return Outcome(Result.ALREADY_DELIVERED)
        self.effects[request.entity, request.business_ref] += 1
        shown = self.shown.setdefault(request.idempotency_key, [])
        shown.append(f"{request.entity}/{sum(self.effects.values())}")
        self.by_key[request.idempotency_key] = Outcome(
            Result.ALREADY_DELIVERED, target_at=self.clock.now(), effects=tuple(shown)
        )
        return Outcome(Result.DELIVERED, target_at=self.clock.now())

    def _level(self, request: Write) -> Outcome:
        key = (request.payload["sku"], request.payload["location"])
        same = f"{request.idempotency_key}|{request.payload['expected']}|{request.payload['quantity']}"
        if same in self.by_key:
            return self.by_key[same]
        if self.levels.get(key) != request.payload["expected"]:
            return Outcome(Result.STALE, "changed", current=self.levels.get(key), target_at=self.clock.now())
        self.levels[key] = request.payload["quantity"]
        self.history[key].append(request.payload["quantity"])
        self.by_key[same] = Outcome(Result.DELIVERED, target_at=self.clock.now())
        return self.by_key[same]

    def read_back(self, request: Write) -> Outcome:
        self.arrive()
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if self.down:
            return Outcome(Result.UNAVAILABLE, f"{self.name} does not answer")
        if request.entity == "available" and not self.told_by_reading:
            return Outcome(Result.UNSEEN, "the key will tell")
        if self.blind and request.entity != "available":
            return Outcome(Result.UNSEEN, "the key will tell")
        return self.by_key.get(request.idempotency_key, Outcome(Result.ABSENT))


@dataclass
class Ringed:
    """Keys in memory."""

    held: Ring = field(default_factory=lambda: Ring.new(datetime(2026, 3, 2, 9, 0, tzinfo=UTC)))

    def ring(self) -> Ring:
        return self.held


PLAIN = Shield(USUAL, Ringed())
"""For records of which a test asks nothing personal."""


@dataclass
class House:
    """Vendors, a registry with the sandbox pack, and the sync that joins them."""

    store: Store
    clock: ManualClock
    pack: str | Path = "sandbox"
    keys: Ringed = field(default_factory=lambda: Ringed(), kw_only=True)

    def __post_init__(self) -> None:
        self.registry = Registry(self.store, self.clock)
        load_genesis(self.store, self.clock, self.registry, self.pack)
        self.erp = Vendor("erp", self.clock)
        self.wms = Vendor("wms", self.clock, Guarantee.READABLE)
        self.shop = Vendor("shop", self.clock, Guarantee.READABLE)
        self.tills = Vendor("tills", self.clock)
        self.pager = Vendor("pager", self.clock)
        self.sync = self.restarted()

    @property
    def connections(self) -> House:
        """Be a plane's connections too."""
        return self

    def restarted(self) -> Sync:
        """Return a new process's sync over the same store."""
        return Sync(self.store, self.clock, self.registry, self, keys=self.keys)  # type: ignore[arg-type]

    def get(self, system: str, at: object = None) -> Vendor:
        """Be the connections."""
        return getattr(self, system)

    def hook(
        self, system: str, kind: str, subject: str, data: dict[str, Any], event: str = "", version: str = ""
    ) -> bool:
        """Deliver a webhook; say whether it was new."""
        body = {
            "type": kind,
            "subject": subject,
            "data": data,
            "event": event or f"{subject}:{version}",
            "version": version,
        }
        return self.sync.take_webhook(system, Inbound({}, json.dumps(body).encode()))

    def level(
        self, sku: str, on_hand: int, allocated: int = 0, source_at: str | None = None, version: str = ""
    ) -> None:
        """The warehouse tells a stock level of WH1."""
        at = source_at or self.clock.now().isoformat()
        data = {
            "sku": sku,
            "location": "WH1",
            "on_hand": on_hand,
            "allocated": allocated,
            "available": on_hand - allocated,
            "in_transit": 0,
            "source_at": at,
        }
        self.hook("wms", "stock.level", f"{sku}@WH1", data, version=version or at)

    def order(self, ref: str, sku: str, quantity: int, event: str = "") -> bool:
        """A customer orders in the shop a second later, and its level falls at once."""
        self.clock.advance(1)
        if not event:
            self.shop.levels[sku, "WH1"] = self.shop.levels.get((sku, "WH1"), 0) - quantity
        line = {
            "line": 1,
            "native_id": "L1",
            "sku": sku,
            "location": "WH1",
            "quantity": quantity,
            "unit_price": "10.00",
        }
        data = {
            "ref": ref,
            "native_id": f"gid/{ref}",
            "placed_at": self.clock.now().isoformat(),
            "currency": "USD",
            "lines": [line],
        }
        return self.hook("shop", "order.placed", ref, data, event=event or ref)

    def shipment(self, shipment: str, order: str, sku: str, quantity: int) -> bool:
        """The warehouse ships."""
        data = {
            "shipment": shipment,
            "order_ref": order,
            "location": "WH1",
            "shipped_at": self.clock.now().isoformat(),
            "lines": [{"sku": sku, "quantity": quantity}],
        }
        return self.hook("wms", "shipment.shipped", shipment, data)

    def product(self, sku: str, cost: str, active: bool = True) -> None:
        """The ERP describes an item."""
        data = {
            "sku": sku, "title": sku, "unit_cost": cost, "unit_price": None, "currency": "USD", "active": active,
        }  # fmt: skip
        self.hook("erp", "product.described", sku, data, version=f"{cost}/{active}")

    def run(self, minutes: float = 0, step: float = 5.0) -> None:
        """Let the time pass and do what falls due."""
        self.sync.drain()
        for _ in range(int(minutes * 60 / step)):
            self.clock.advance(step)
            self.sync.drain()
        for vendor in (self.erp, self.wms, self.shop, self.tills, self.pager):
            if isinstance(vendor, Vendor):
                vendor.arrive()
