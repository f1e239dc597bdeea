"""Who moves the world: customers, stores, suppliers and staff. Each event re-arms itself from its own seeded stream."""

from collections.abc import Callable
from datetime import timedelta
from itertools import accumulate
from random import Random

from controlplane.sandbox.catalogue import WAREHOUSE, Item
from controlplane.sandbox.erp.documents import Ledger
from controlplane.sandbox.records import Event, Level
from controlplane.sandbox.scenario import FaultSpec
from controlplane.sandbox.shop.counter import Counter
from controlplane.sandbox.streams import stream
from controlplane.sandbox.tills import Tills
from controlplane.sandbox.wms.warehouse import Warehouse
from controlplane.sandbox.world import World

_NEVER = timedelta(days=3650)
SECOND = timedelta(seconds=1)


class Actors:
    """Runs whatever is due on the agenda. Call with the world locked."""

    def __init__(self, world: World, counter: Counter, warehouse: Warehouse, tills: Tills) -> None:
        self.world, self.counter, self.warehouse, self.tills = world, counter, warehouse, tills
        self.ledger: Ledger | None = None
        """The ERP's, once it is mounted: what is set up wrong there."""
        self._weights = list(accumulate(1 / (rank + 1) ** 0.7 for rank in range(len(world.catalogue.items))))
        self._handlers: dict[str, Callable[[Event], None]] = {
            "customer": self._customer,
            "store": self._store,
            "unmapped": self._unmapped,
            "till_drop": tills.drop,
            "purchase": self._purchase,
            "receive": warehouse.receive,
            "pick": warehouse.pick,
            "ship": warehouse.ship,
            "return": warehouse.take_back,
            "hands": self._hands,
            "traffic": self._traffic,
            "deed": self._deed,
            "fault_on": self._fault_on,
            "fault_off": self._fault_off,
        }
        if world.is_new:
            self._wake_up()

    def run(self, event: Event) -> None:
        """Let one due event happen."""
        self._handlers[event.kind](event)

    def _wake_up(self) -> None:
        world, actors, start = self.world, self.world.scenario.actors, self.world.meta.started_at
        world.trade_at(start + self._pause("customers", actors.customers.orders_per_minute / 60), "customer")
        world.trade_at(start + self._pause("receipts", actors.receipts.per_hour / 3600), "purchase")
        for store in world.scenario.retailer.stores:
            world.agenda.add(
                start + self._pause(f"store {store}", actors.stores.sales_per_minute / 60), "store", store=store
            )
            world.agenda.add(start + actors.stores.drop_every, "till_drop", store=store)
        for odd in actors.stores.unmapped:
            world.trade_at(start + odd.at, "unmapped", plu=odd.plu)
        if actors.traffic:
            world.trade_at(start + SECOND, "traffic")
        if actors.hands:
            world.trade_at(start + (actors.hands.first or actors.hands.every), "hands")

    def _luck(self, actor: str) -> Random:
        return stream(self.world.seed, actor, self.world.counters.next("luck " + actor))

    def _pause(self, actor: str, per_second: float) -> timedelta:
        pace = per_second * self.world.meta.rate
        gap = self._luck(actor + " pause").expovariate(1.0)
        return timedelta(seconds=gap / pace) if pace > 0 else _NEVER

    def _awake(self) -> bool:
        return self.world.meta.running and self.world.trading()

    def _again(self, event: Event, actor: str, per_second: float) -> None:
        self.world.trade_at(self.world.clock.now() + self._pause(actor, per_second), event.kind, **event.data)

    def _goods(self, luck: Random, lines: tuple[int, int], pieces: tuple[int, int]) -> list[tuple[Item, int]]:
        count = min(luck.randint(*lines), len(self.world.catalogue.items))
        chosen: dict[int, Item] = {}
        while len(chosen) < count:
            item = luck.choices(self.world.catalogue.items, cum_weights=self._weights)[0]
            chosen[item.number] = item
        return [(item, luck.randint(*pieces)) for item in chosen.values()]

    def _customer(self, event: Event) -> None:
        habits, luck = self.world.scenario.actors.customers, self._luck("customers")
        goods = self._goods(luck, habits.lines, habits.quantity)
        if self._awake():
            self.counter.place([(item.sku, pieces) for item, pieces in goods])
        since = self.world.clock.now() - self.world.meta.started_at
        factor = 1.0
        for burst in habits.bursts:
            factor *= burst.factor if burst.from_ <= since < burst.until else 1.0
        self._again(event, "customers", habits.orders_per_minute * factor / 60)

    def _store(self, event: Event) -> None:
        store = event.data["store"]
        goods = self._goods(self._luck(f"store {store}"), (1, 2), (1, 2))
        if self._awake():
            self.tills.sell(store, goods)
        self._again(event, f"store {store}", self.world.scenario.actors.stores.sales_per_minute / 60)

    def _unmapped(self, event: Event) -> None:
        if self._awake():
            goods = self._goods(self._luck("unmapped"), (1, 1), (1, 1))
            self.tills.sell(self.world.scenario.retailer.stores[0], goods, plu=event.data["plu"])

    def _purchase(self, event: Event) -> None:
        habits, luck = self.world.scenario.actors.receipts, self._luck("receipts")
        (item, quantity) = self._goods(luck, (1, 1), habits.quantity)[0]
        parts = min(luck.randint(1, habits.splits), quantity)
        delays = sorted(luck.uniform(120, 900) for _ in range(parts))
        if self._awake():
            row = self.warehouse.buy(self.world.counters.next("purchase"), item.sku, quantity)
            share = quantity // parts
            for at, delay in enumerate(delays):
                pieces = quantity - share * (parts - 1) if at == parts - 1 else share
                due = self.world.clock.now() + timedelta(seconds=delay)
                self.world.trade_at(due, "receive", purchase=row.id, quantity=pieces)
        self._again(event, "receipts", habits.per_hour / 3600)

    def _hands(self, event: Event) -> None:
        hands = self.world.scenario.actors.hands
        if hands is None:
            return
        luck = self._luck("hands")
        item, size = luck.choice(self.world.catalogue.items), luck.randint(*hands.delta)
        delta = size if luck.random() < 0.5 else -size
        if self._awake():
            level = self.world.level(item.sku)
            self.counter.hand_edit(level, max(0, level.shop_available + delta))
        self.world.trade_at(self.world.clock.now() + hands.every, event.kind)

    def _fault_on(self, event: Event) -> None:
        self.world.faults.switch_on(event.data["fault"])

    def _fault_off(self, event: Event) -> None:
        self.world.faults.switch_off(event.data["fault"])

    def _traffic(self, event: Event) -> None:
        habits, luck = self.world.scenario.actors.traffic, self._luck("traffic")
        if habits is None:
            return
        pace = habits.events_per_second * self.world.meta.rate
        count = int(pace) + (luck.random() < pace % 1)
        drawn = luck.choices(self.world.catalogue.items, cum_weights=self._weights, k=count) if self._awake() else []
        moved: dict[str, Level] = {}
        for item in drawn:
            pieces, freeing = luck.randint(*habits.quantity), luck.random() < 0.5
            level = self.world.level(item.sku)
            if change := -min(pieces, level.reserved) if freeing else min(pieces, max(0, level.ats)):
                self.warehouse.reserve(level, change)
                moved[level.key] = level
        self.warehouse.tell_together(list(moved.values()), habits.together)
        self.world.trade_at(self.world.clock.now() + SECOND, event.kind)

    def _deed(self, event: Event) -> None:
        name = event.data["fault"]
        spec = self.world.faults.spec(name)
        if spec is None or self.world.faults.strike(spec.kind, spec.target) is None:
            return
        self._do(spec, self._picked(spec.pick), name)
        if due := self.world.faults.again_at(name):
            self.world.agenda.add(due, event.kind, fault=name)
        else:
            self.world.faults.switch_off(name)

    def _do(self, spec: FaultSpec, level: Level, name: str) -> None:
        if spec.kind == "hand_edit":
            self.counter.hand_edit(level, max(0, level.shop_available + (spec.delta or 0)), name)
        elif self.ledger is not None and level.erp_factor == 1 and level.erp_code is None:
            if spec.kind == "wrong_unit":
                self.ledger.mistake_unit(level, spec.factor or 1)
            else:
                self.ledger.rename(level)

    def _picked(self, pick: str) -> Level:
        if pick in self.world.catalogue.by_sku:
            return self.world.level(pick)
        if pick == "random":
            return self.world.level(self._luck("hand edit").choice(self.world.catalogue.items).sku)
        sold = {item.sku: 0 for item in self.world.catalogue.items}
        for order in self.world.orders:
            for line in order.lines:
                sold[line.sku] += line.quantity
        return self.world.levels[f"{max(sold, key=lambda sku: sold[sku])}@{WAREHOUSE}"]
