"""The world: everybody's books of the same goods, the one lock, and the journal of every number that moves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from controlplane.sandbox import records
from controlplane.sandbox.agenda import Agenda, Counters
from controlplane.sandbox.catalogue import WAREHOUSE, Catalogue
from controlplane.sandbox.clock import Clock
from controlplane.sandbox.faults import Faults
from controlplane.sandbox.journal import Journal
from controlplane.sandbox.records import Level
from controlplane.sandbox.scenario import Clocked, Scenario
from controlplane.sandbox.secrets_files import Secrets
from controlplane.sandbox.store import Store
from controlplane.sandbox.streams import stream
from controlplane.sandbox.webhooks import Outbox

FIRST_ORDER_ID, FIRST_ORDER_NUMBER = 10_000_000_000, 1000
"""The shop's order number n has id FIRST_ORDER_ID + n and name `#(FIRST_ORDER_NUMBER + n)`."""


class World:
    """The whole retailer's state. Take `transaction()` around each look or change: it locks, and commits at the end."""

    def __init__(self, home: Path, clock: Clock, scenario: Scenario, seed: int, plane: str) -> None:
        self.home, self.clock, self.scenario = home, clock, scenario
        self.lock = threading.RLock()
        self.secrets = Secrets(home / "secrets")
        self.store = Store(home / "world.sqlite", fresh=clock.stepped)
        self.journal = Journal(self.store, clock)
        self._open_shelves()
        self.meta = self._begin(seed)
        self.seed = self.meta.seed
        self.catalogue = Catalogue(scenario.retailer.skus, scenario.retailer.stores)
        self.agenda = Agenda(self.store.shelf("agenda", records.Event), self.counters)
        self.faults = Faults(
            self.store.shelf("faults", records.Fault), self.agenda, self.journal, clock, self.counters, self.seed
        )
        self.outbox = Outbox(
            self.store.shelf("outbox", records.Outgoing),
            self.store.shelf("unsubscribed", records.Unsubscribed),
            plane=plane,
            secrets=self.secrets.read,
            faults=self.faults,
            journal=self.journal,
            clock=clock,
            counters=self.counters,
            seed=self.seed,
        )
        if self.is_new:
            self._stock_up()

    def _open_shelves(self) -> None:
        shelf = self.store.shelf
        self.counters = Counters(shelf("numbers", records.Numbers))
        self.metas = shelf("meta", records.Meta)
        self.levels = shelf("levels", records.Level)
        self.orders = shelf("orders", records.ShopOrder)
        self.answers = shelf("answers", records.KeptAnswer)
        self.shop_products = shelf("shop_products", records.ShopProduct)
        self.uploads = shelf("uploads", records.Upload)
        self.shop_payouts = shelf("shop_payouts", records.ShopPayout)
        self.bulk_operations = shelf("bulk_operations", records.BulkOperation)
        self.wms_orders = shelf("wms_orders", records.WmsOrder)
        self.shipments = shelf("shipments", records.Shipment)
        self._shipments_of: dict[str, list[records.Shipment]] = {}
        for row in self.shipments:
            self._shipments_of.setdefault(row.order_ref, []).append(row)
        self.purchases = shelf("purchases", records.PurchaseOrder)
        self.returns = shelf("returns", records.Return)
        self.moves = shelf("moves", records.StockMove)
        self.till_lines = shelf("till_lines", records.TillLine)
        self.erp_records = shelf("erp_records", records.ErpRecord)
        self.wms_snapshots = shelf("wms_snapshots", records.WmsSnapshot)
        self.erp_jobs = shelf("erp_jobs", records.ErpJob)
        self.effects = shelf("effects", records.Numbers)
        self.tokens = shelf("tokens", records.Event)
        self.pages = shelf("pages", records.PagerEvent)

    def _begin(self, seed: int) -> records.Meta:
        kept = self.metas.get("meta")
        self.is_new = kept is None
        now = self.clock.now()
        return kept or self.metas.put("meta", records.Meta(started_at=now, seed=seed))

    def _stock_up(self) -> None:
        retail = self.scenario.retailer
        for item in self.catalogue.items:
            for location in self.catalogue.locations:
                at_home = location == WAREHOUSE
                pieces = stream(self.seed, "stock", item.sku, location).randint(
                    *(retail.stock if at_home else retail.store_stock)
                )
                offered = max(0, pieces - retail.safety) if at_home else 0
                level = Level(
                    sku=item.sku,
                    location=location,
                    on_hand=pieces,
                    wms_updated_at=self.time_of("wms"),
                    ats=offered,
                    erp_on_hand=pieces,
                    erp_updated_at=self.time_of("erp"),
                    shop_available=offered,
                    shop_updated_at=self.time_of("shop"),
                )
                self.levels.put(level.key, level)
                self._open_books(level)
        for spec in self.scenario.faults:
            self.faults.add(spec, self.meta.started_at)

    def _open_books(self, level: Level) -> None:
        """The journal begins with every number that can be compared."""
        home = level.location == WAREHOUSE
        values = {("wms" if home else "truth", "on_hand"): level.on_hand, ("erp", "on_hand"): level.erp_on_hand}
        values["erp", "available"] = level.erp_on_hand
        if home:
            values["wms", "available"], values["truth", "ats"] = level.available, level.ats
            values["shop", "available"], values["shop", "on_hand"] = level.shop_available, level.shop_available
        for (system, field), value in values.items():
            self._value(system, field, level, value, "opening", "")

    @contextmanager
    def transaction(self) -> Iterator["World"]:
        """The world locked; what happened inside is durable when it ends."""
        with self.lock:
            try:
                yield self
            finally:
                self.store.commit()

    @property
    def trading_ends(self) -> datetime | None:
        """When customers, stores, receipts and returns stop; None when never."""
        minutes = self.scenario.minutes
        return None if minutes is None else self.meta.started_at + timedelta(minutes=minutes)

    def trading(self) -> bool:
        """Whether the shop and the stores are open at this moment."""
        ends = self.trading_ends
        return ends is None or self.clock.now() < ends

    def trade_at(self, due: datetime, kind: str, **data: object) -> None:
        """Something of trade happens at `due`, unless the shop and the stores have closed by then."""
        ends = self.trading_ends
        if ends is None or due < ends:
            self.agenda.add(due, kind, **data)

    def time_of(self, system: Clocked) -> datetime:
        """The present moment by the clock of a system, which may be wrong."""
        return self.clock.now() + self.scenario.retailer.clocks.get(system, timedelta())

    def level(self, sku: str, location: str = WAREHOUSE) -> Level:
        """Everybody's books of one article at one place."""
        return self.levels[f"{sku}@{location}"]

    def order_named(self, name: str) -> records.ShopOrder | None:
        """The shop's order of that name, with or without `#`, or None."""
        digits = name.removeprefix("#")
        number = int(digits) - FIRST_ORDER_NUMBER if digits.isdecimal() else 0
        return self.orders.get(str(FIRST_ORDER_ID + number)) if number > 0 else None

    def shipments_of(self, order_ref: str) -> list[records.Shipment]:
        """What left the warehouse for an order, in order of departure."""
        return self._shipments_of.get(order_ref, [])

    def keep_shipment(self, row: records.Shipment) -> None:
        """Remember a new shipment."""
        self.shipments.put(row.id, row)
        self._shipments_of.setdefault(row.order_ref, []).append(row)

    def effect(self, system: str, doc: str, ref: str, native_id: str, lines: dict[str, int]) -> None:
        """Journal that a business document took effect at a system; the ordinal tells first from again."""
        key = f"{system}|{doc}|{ref}"
        count = self.effects.get(key) or records.Numbers()
        count.values["n"] = count.values.get("n", 0) + 1
        self.effects.put(key, count)
        self.journal.write(
            "effect",
            system=system,
            doc=doc,
            ref=ref,
            native_id=native_id,
            ordinal=count.values["n"],
            lines=as_lines(lines),
        )

    def move_physical(
        self, level: Level, pieces: int, cause: str, ref: str, allocated: int = 0, on_order: int = 0
    ) -> None:
        """Goods really move (`pieces` ±), or the warehouse promises (`allocated` ±) or awaits them (`on_order` ±)."""
        before = level.available
        level.on_hand += pieces
        level.allocated += allocated
        level.on_order += on_order
        level.wms_updated_at = self.time_of("wms")
        self.levels.put(level.key, level)
        book = "wms" if level.location == WAREHOUSE else "truth"
        if pieces:
            self._value(book, "on_hand", level, level.on_hand, cause, ref)
            self.settle_ats(level, cause, ref)
        if level.available != before and book == "wms":
            self._value(book, "available", level, level.available, cause, ref)

    def move_open(self, level: Level, pieces: int, cause: str, ref: str) -> None:
        """Units the shop has sold and nobody has shipped yet change by `pieces`."""
        level.open_units += pieces
        self.levels.put(level.key, level)
        self.settle_ats(level, cause, ref)

    def settle_ats(self, level: Level, cause: str, ref: str) -> None:
        """Journal the available-to-sell that the shop ought to show, when it changed."""
        ats = max(0, level.on_hand - level.reserved - level.open_units - self.scenario.retailer.safety)
        if level.location == WAREHOUSE and ats != level.ats:
            level.ats = ats
            self.levels.put(level.key, level)
            self._value("truth", "ats", level, ats, cause, ref)

    def move_shop(self, level: Level, available: int, committed: int, cause: str, ref: str) -> None:
        """The shop's own numbers change by these amounts."""
        before = level.shop_available + level.shop_committed
        level.shop_available += available
        level.shop_committed += committed
        level.shop_updated_at = self.time_of("shop")
        self.levels.put(level.key, level)
        if available:
            self._value("shop", "available", level, level.shop_available, cause, ref)
        on_hand = level.shop_available + level.shop_committed
        if on_hand != before:
            self._value("shop", "on_hand", level, on_hand, cause, ref)

    def move_erp(self, level: Level, pieces: int, committed: int, cause: str, ref: str) -> None:
        """The ERP's books change by a document: stock by `pieces`, stock promised to sales orders by `committed`."""
        before = level.erp_on_hand - level.erp_committed
        level.erp_on_hand += pieces
        level.erp_committed += committed
        level.erp_updated_at = self.time_of("erp")
        self.levels.put(level.key, level)
        if pieces:
            self._value("erp", "on_hand", level, level.erp_on_hand, cause, ref)
        after = level.erp_on_hand - level.erp_committed
        if after != before:
            self._value("erp", "available", level, after, cause, ref)

    def _value(self, system: str, field: str, level: Level, value: int, cause: str, ref: str) -> None:
        self.journal.write(
            "value",
            system=system,
            field=field,
            sku=level.sku,
            location=level.location,
            value=value,
            cause=cause,
            cause_ref=ref,
        )


def as_lines(pieces: dict[str, int]) -> list[dict[str, object]]:
    """`{"sku@location": n}` as the journal's list of lines; keys without a location keep only `sku`."""
    lines: list[dict[str, object]] = []
    for key, quantity in pieces.items():
        sku, _, location = key.partition("@")
        lines.append({"sku": sku, "location": location or None, "quantity": quantity})
    return lines
