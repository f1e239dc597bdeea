"""The physics of the warehouse: promise, pick, ship, receive, restock. It ships only what it was given an order for."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from controlplane.sandbox.catalogue import WAREHOUSE
from controlplane.sandbox.records import (
    Event,
    Level,
    PurchaseOrder,
    Receipt,
    Return,
    Shipment,
    ShopOrder,
    StockMove,
    WmsLine,
    WmsOrder,
)
from controlplane.sandbox.streams import stream
from controlplane.sandbox.wms import bodies
from controlplane.sandbox.world import World, as_lines


class UnknownSkuError(Exception):
    """An order names an article the warehouse does not keep."""


class Warehouse:
    """Everything that happens inside WH1. Its chance depends on the order it handles, not on when it gets it."""

    def __init__(self, world: World) -> None:
        self.world = world

    # --- orders ---
    def accept(self, data: dict[str, Any]) -> WmsOrder:
        """Take an order as given. The same order sent twice is taken twice: that is the vendor's habit."""
        world, now = self.world, self.world.time_of("wms")
        for line in data["line_items"]:
            if line["sku"] not in world.catalogue.by_sku:
                raise UnknownSkuError(line["sku"])
        shop_order = self._shop_order(data)
        number = data["order_number"]
        order = WmsOrder(
            id=f"WO-{world.counters.next('wms_order'):06d}",
            order_number=number,
            partner_order_id=data.get("partner_order_id"),
            shop_order=str(shop_order.id) if shop_order else None,
            ref=shop_order.name if shop_order else number,
            created_at=now,
            updated_at=now,
            lines=[
                WmsLine(sku=n["sku"], quantity=n["quantity"], partner_line_item_id=n.get("partner_line_item_id"))
                for n in data["line_items"]
            ],
        )
        world.wms_orders.put(order.id, order)
        world.effect("wms", "order", order.ref, order.id, {f"{n.sku}@{WAREHOUSE}": n.quantity for n in order.lines})
        for line in order.lines:
            self._reserve(order, line, now_short=True)
        self._start_when_complete(order)
        return order

    def _shop_order(self, data: dict[str, Any]) -> ShopOrder | None:
        partner = str(data.get("partner_order_id") or "").rsplit("/", 1)[-1]
        return self.world.order_named(data["order_number"]) or self.world.orders.get(partner)

    def _reserve(self, order: WmsOrder, line: WmsLine, *, now_short: bool = False) -> None:
        level = self.world.level(line.sku)
        wanted = line.quantity - line.allocated - line.shipped
        taken = min(wanted, max(0, level.available))
        level.backorder += (wanted if now_short else 0) - taken
        line.allocated += taken
        if taken:
            self.world.move_physical(level, 0, "allocation", order.ref, allocated=taken)
            self._tell_stock(level)
        self.world.wms_orders.put(order.id, order)

    def _start_when_complete(self, order: WmsOrder) -> None:
        if order.status != "pending" or any(line.allocated < line.quantity for line in order.lines):
            return
        order.status, order.updated_at = "allocated", self.world.time_of("wms")
        self.world.wms_orders.put(order.id, order)
        self._tell("Order Allocated", {"order": bodies.order(order)}, [order.ref])
        pause = self._luck(order, "pick").uniform(*self.world.scenario.actors.warehouse.pick_seconds)
        self.world.agenda.add(self.world.clock.now() + timedelta(seconds=pause), "pick", order=order.id)

    def pick(self, event: Event) -> None:
        """The goods are on the trolley; they leave in one shipment, or sometimes in two."""
        order = self.world.wms_orders[event.data["order"]]
        order.status, order.updated_at = "picking", self.world.time_of("wms")
        self.world.wms_orders.put(order.id, order)
        chance, habits = self._luck(order, "ship"), self.world.scenario.actors.warehouse
        whole = {str(index): line.quantity for index, line in enumerate(order.lines)}
        parts = _halves(whole) if chance.random() < habits.split_share else [whole]
        due = self.world.clock.now()
        for part in parts:
            due += timedelta(seconds=chance.uniform(*habits.ship_seconds))
            self.world.agenda.add(due, "ship", order=order.id, lines=part, last=part is parts[-1])

    def ship(self, event: Event) -> None:
        """Goods leave the building."""
        world, order = self.world, self.world.wms_orders[event.data["order"]]
        number = sum(1 for s in world.shipments_of(order.ref) if s.order_id == order.id) + 1
        row = Shipment(
            id=f"SHP-{order.id[3:]}-{number}",
            order_id=order.id,
            order_number=order.order_number,
            partner_order_id=order.partner_order_id,
            order_ref=order.ref,
            shipped_at=world.time_of("wms"),
            carrier=bodies.CARRIER,
            tracking=f"1Z999AA1{order.id[3:]}{number}",
            lines={},
        )
        self._carry_out(order, row, event.data["lines"])
        order.status = "fulfilled" if event.data["last"] else "partially_fulfilled"
        order.updated_at = world.time_of("wms")
        world.wms_orders.put(order.id, order)
        world.keep_shipment(row)
        lines = {f"{sku}@{WAREHOUSE}": quantity for sku, quantity in row.lines.items()}
        world.journal.write(
            "document",
            doc="shipment",
            ref=row.id,
            order_ref=order.ref,
            lines=as_lines(lines),
            expected_targets=["shop", "erp"],
            expect_quarantine=False,
        )
        self._tell("Shipment Update", {"shipment": bodies.shipment(row)}, [row.id, order.ref])
        self._perhaps_return(row)

    def _carry_out(self, order: WmsOrder, row: Shipment, part: dict[str, int]) -> None:
        for index, quantity in part.items():
            line = order.lines[int(index)]
            line.allocated -= quantity
            line.shipped += quantity
            row.lines[line.sku] = row.lines.get(line.sku, 0) + quantity
        for sku, quantity in row.lines.items():
            level = self.world.level(sku)
            # first the order is closed, then the goods go: in between the available-to-sell must not dip
            level.open_units -= self._close_shop_lines(order, sku, quantity)
            self.world.move_physical(level, -quantity, "shipment", row.id, allocated=-quantity)
            self._history(level, -quantity, f"shipment {row.id}")

    def _close_shop_lines(self, order: WmsOrder, sku: str, quantity: int) -> int:
        sold = self.world.orders.get(order.shop_order or "")
        closed = 0
        for line in sold.lines if sold else []:
            if line.sku == sku:
                part = min(line.quantity - line.shipped, quantity - closed)
                line.shipped += part
                closed += part
        if sold and closed:
            self.world.orders.put(str(sold.id), sold)
        return closed

    # --- what others sell ---
    def reserve(self, level: Level, pieces: int) -> None:
        """Promise so many pieces to another channel, or free them again (below 0). Nobody is told by this."""
        level.reserved += pieces
        self.world.move_physical(level, 0, "reservation", "", allocated=pieces)
        self.world.settle_ats(level, "reservation", "")

    def tell_together(self, levels: Sequence[Level], together: int) -> None:
        """Tell of the stock of articles, so many with one webhook."""
        for at in range(0, len(levels), together):
            part = levels[at : at + together]
            self._tell(
                "Inventory Update", {"inventory": [bodies.product(one) for one in part]}, [one.key for one in part]
            )

    # --- goods coming in ---
    def buy(self, number: int, sku: str, quantity: int) -> PurchaseOrder:
        """A purchase order goes out; the goods are on order."""
        now = self.world.time_of("wms")
        name = f"PO-{number:04d}"
        row = PurchaseOrder(id=name, number=name, sku=sku, quantity=quantity, created_at=now, updated_at=now)
        self.world.purchases.put(name, row)
        level = self.world.level(sku)
        self.world.move_physical(level, 0, "purchase", name, on_order=quantity)
        self._tell_stock(level)
        return row

    def receive(self, event: Event) -> None:
        """A part of a purchase order arrives and is put away."""
        world, row = self.world, self.world.purchases[event.data["purchase"]]
        now, quantity = world.time_of("wms"), event.data["quantity"]
        receipt = Receipt(
            id=f"RCV-{row.number[3:]}-{len(row.receipts) + 1}", received_at=now, sku=row.sku, quantity=quantity
        )
        row.receipts.append(receipt)
        row.updated_at = now
        world.purchases.put(row.id, row)
        self._document("receipt", receipt.id, None, row.sku, quantity)
        level = world.level(row.sku)
        world.move_physical(level, quantity, "receipt", receipt.id, on_order=-quantity)
        self._history(level, quantity, f"receipt {receipt.id}")
        self._tell("PO Update", {"purchase_order": bodies.purchase(row)}, [receipt.id])
        self._serve_backorders(level)

    def _perhaps_return(self, row: Shipment) -> None:
        habits, chance = (
            self.world.scenario.actors.returns,
            stream(self.world.seed, "returns", row.order_ref, *row.lines),
        )
        if chance.random() >= habits.share:
            return
        pause = chance.uniform(habits.after[0].total_seconds(), habits.after[1].total_seconds())
        sku = chance.choice(sorted(row.lines))
        due = self.world.clock.now() + timedelta(seconds=pause)
        self.world.trade_at(due, "return", shipment=row.id, sku=sku, quantity=1)

    def take_back(self, event: Event) -> None:
        """A customer's return arrives and is restocked."""
        world, row = self.world, self.world.shipments[event.data["shipment"]]
        sku, quantity = event.data["sku"], event.data["quantity"]
        back = Return(
            id=f"RET-{row.id[4:]}",
            order_number=row.order_number,
            order_ref=row.order_ref,
            shipment_id=row.id,
            sku=sku,
            quantity=quantity,
            received_at=world.time_of("wms"),
        )
        world.returns.put(back.id, back)
        self._document("return", back.id, row.order_ref, sku, quantity)
        level = world.level(sku)
        world.move_physical(level, quantity, "return", back.id)
        self._history(level, quantity, f"return {back.id}")
        self._tell("Return Update", {"return": bodies.returned(back)}, [back.id, row.order_ref])
        self._serve_backorders(level)

    def _serve_backorders(self, level: Level) -> None:
        self._tell_stock(level)
        waiting = [o for o in self.world.wms_orders if o.status == "pending"] if level.backorder else []
        for order in waiting:
            for line in order.lines:
                if line.sku == level.sku and line.allocated < line.quantity:
                    self._reserve(order, line)
            self._start_when_complete(order)

    # --- telling ---
    def _document(self, doc: str, ref: str, order_ref: str | None, sku: str, quantity: int) -> None:
        more = {"order_ref": order_ref} if order_ref else {}
        self.world.journal.write(
            "document",
            doc=doc,
            ref=ref,
            **more,
            lines=as_lines({f"{sku}@{WAREHOUSE}": quantity}),
            expected_targets=["erp"],
            expect_quarantine=False,
        )

    def _history(self, level: Level, change: int, reason: str) -> None:
        now = self.world.time_of("wms")
        number = self.world.counters.next("stock_move")
        row = StockMove(
            id=f"IC-{number:07d}", sku=level.sku, change=change, on_hand=level.on_hand, reason=reason, created_at=now
        )
        self.world.moves.put(row.id, row)
        if change < 0:
            self._tell_stock(level)

    def _tell_stock(self, level: Level) -> None:
        self._tell("Inventory Update", {"inventory": [bodies.product(level)]}, [level.key])

    def _tell(self, topic: str, body: dict[str, Any], keys: list[str]) -> None:
        self.world.outbox.post("wms", topic, {"webhook_type": topic, "account_id": 1} | body, keys, {})

    def _luck(self, order: WmsOrder, what: str) -> Any:
        return stream(self.world.seed, "warehouse", what, order.ref)


def _halves(whole: dict[str, int]) -> list[dict[str, int]]:
    """Two shipments of what can be split: by lines where there are several, else by pieces."""
    keys = list(whole)
    if len(keys) > 1:
        return [{keys[0]: whole[keys[0]]}, {key: whole[key] for key in keys[1:]}]
    pieces = whole[keys[0]]
    return [whole] if pieces < 2 else [{keys[0]: pieces // 2}, {keys[0]: pieces - pieces // 2}]
