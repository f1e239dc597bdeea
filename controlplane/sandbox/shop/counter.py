"""The shop's own life: orders placed or refused, fulfilments booked, stock edited by hand; each told by webhook."""

from decimal import Decimal
from typing import Any

from controlplane.sandbox.catalogue import WAREHOUSE
from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.records import Fulfilment, Level, Refund, Shipment, ShopLine, ShopOrder
from controlplane.sandbox.shop import bodies
from controlplane.sandbox.streams import stream
from controlplane.sandbox.world import FIRST_ORDER_ID, FIRST_ORDER_NUMBER, World, as_lines

_FIRST = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Tony", "Radia", "Ken")
_LAST = ("Sample", "Example", "Placeholder", "Specimen", "Testcase", "Mock", "Nobody")
_CITIES = ("Springfield", "Rivertown", "Lakeside", "Hillview")


class Counter:
    """What customers and staff do in the shop. Inventory policy DENY: nothing is sold beyond `available`."""

    def __init__(self, world: World) -> None:
        self.world = world

    def place(self, wanted: list[tuple[str, int]]) -> ShopOrder | None:
        """An order of (sku, pieces), or None when the shop refuses it: that is journalled as a lost sale."""
        short = [sku for sku, pieces in wanted if self.world.level(sku).shop_available < pieces]
        if self.world.faults.is_down("shop") or short:
            lines = as_lines({f"{sku}@{WAREHOUSE}": pieces for sku, pieces in wanted})
            self.world.journal.write(
                "lost_sale", lines=lines, reason="not available" if short else "shop down", skus=short
            )
            return None
        order = self._write_down(wanted)
        self.world.orders.put(str(order.id), order)
        self.world.journal.write(
            "document",
            doc="order",
            ref=order.name,
            lines=[
                {"sku": n.sku, "location": WAREHOUSE, "quantity": n.quantity, "price": str(n.price)}
                for n in order.lines
            ],
            expected_targets=["erp", "wms"],
            expect_quarantine=False,
        )
        for line in order.lines:
            self._sell(order, line)
        self.tell("orders/create", bodies.order_body(order), [order.name])
        return order

    def _write_down(self, wanted: list[tuple[str, int]]) -> ShopOrder:
        world, now = self.world, self.world.time_of("shop")
        number = world.counters.next("order")
        luck = stream(world.seed, "person", number)
        first, last = luck.choice(_FIRST), luck.choice(_LAST)
        customer = {
            "id": str(70_000_000_000 + number),
            "first_name": first,
            "last_name": last,
            "email": f"{first}.{last}.{number}@example.com".lower(),
            "address1": f"{luck.randint(1, 200)} Example Street",
            "city": luck.choice(_CITIES),
            "zip": f"{luck.randint(10000, 99999)}",
        }
        lines = [
            ShopLine(id=20_000_000_000 + number * 100 + at, sku=sku, quantity=n, price=self._price(sku))
            for at, (sku, n) in enumerate(wanted, 1)
        ]
        return ShopOrder(
            id=FIRST_ORDER_ID + number,
            name=f"#{FIRST_ORDER_NUMBER + number}",
            created_at=now,
            updated_at=now,
            customer=customer,
            lines=lines,
        )

    def _price(self, sku: str) -> Decimal:
        item = self.world.catalogue.by_sku[sku]
        changed = self.world.shop_products.get(str(item.number))
        return changed.price if changed else item.price

    def _sell(self, order: ShopOrder, line: ShopLine) -> None:
        level = self.world.level(line.sku)
        beyond = line.quantity - max(0, level.on_hand - level.open_units)
        if beyond > 0:
            self.world.journal.write("oversold", order=order.name, sku=line.sku, units=beyond)
        self.world.move_shop(level, -line.quantity, line.quantity, "order", order.name)
        self.world.move_open(level, line.quantity, "order", order.name)
        self.tell_level(level)

    def fulfil(self, order: ShopOrder, pieces: dict[int, int], tracking: dict[str, Any]) -> Fulfilment:
        """Book a fulfilment of pieces by line id; the caller has checked what remains."""
        now = self.world.time_of("shop")
        row = Fulfilment(
            id=30_000_000_000 + self.world.counters.next("fulfilment"),
            created_at=now,
            lines={str(line_id): quantity for line_id, quantity in pieces.items()},
            tracking_number=tracking.get("number") or next(iter(tracking.get("numbers") or []), None),
            tracking_company=tracking.get("company"),
            tracking_url=tracking.get("url"),
        )
        order.fulfilments.append(row)
        order.updated_at = now
        shipment = self._shipment_behind(order, row)
        ref = shipment.id if shipment else f"{order.name}/fulfillment-{len(order.fulfilments)}"
        for line in order.lines:
            if line.id in pieces:
                line.fulfilled += pieces[line.id]
                self.world.move_shop(self.world.level(line.sku), 0, -pieces[line.id], "fulfillment", ref)
        self.world.orders.put(str(order.id), order)
        self.world.effect("shop", "shipment", ref, bodies.gid("Fulfillment", row.id), self._by_sku(order, row))
        self.tell("fulfillments/create", bodies.fulfilment_body(order, row), [order.name, ref])
        self.tell("orders/updated", bodies.order_body(order), [order.name])
        return row

    def _by_sku(self, order: ShopOrder, row: Fulfilment) -> dict[str, int]:
        found: dict[str, int] = {}
        for line in order.lines:
            if str(line.id) in row.lines:
                key = f"{line.sku}@{WAREHOUSE}"
                found[key] = found.get(key, 0) + row.lines[str(line.id)]
        return found

    def _shipment_behind(self, order: ShopOrder, row: Fulfilment) -> Shipment | None:
        """The shipment this fulfilment speaks of: the one its tracking names, else the first untold one alike."""
        mine = self.world.shipments_of(order.name)
        goods = {key.partition("@")[0]: n for key, n in self._by_sku(order, row).items()}
        told = f"{row.tracking_number or ''} {row.tracking_url or ''}"
        named = [s for s in mine if s.tracking in told or s.id in told]
        alike = [s for s in mine if not s.fulfilled and s.lines == goods]
        found = next(iter(named or alike), None)
        if found:
            found.fulfilled = True
            self.world.shipments.put(found.id, found)
        return found

    def sell_at(self, store: str, wanted: list[tuple[str, int]], *, ships: bool) -> ShopOrder:
        """A till of the shop takes an order in a store; unless it is sent, the goods are handed over, and the shop keeps no stock there."""
        order = self._write_down(wanted)
        order.store, order.ships = store, ships
        self.world.orders.put(str(order.id), order)
        self.world.journal.write("pos_order", order=order.name, store=store, ships=ships)
        self.tell("orders/create", bodies.order_body(order), [order.name])
        return order

    def give_back(self, order: ShopOrder, row: Refund) -> Refund:
        """A refund; what is restocked is available again."""
        order.refunds.append(row)
        order.updated_at = row.created_at
        for line in order.lines:
            if str(line.id) in row.lines and row.restock_type == "RETURN" and order.store is None:
                level = self.world.level(line.sku)
                self.set_available(level, level.shop_available + row.lines[str(line.id)], "refund", order.name)
        self.world.orders.put(str(order.id), order)
        self.tell("refunds/create", bodies.refund_body(order, row), [order.name])
        self.tell("orders/updated", bodies.order_body(order), [order.name])
        return row

    def set_available(self, level: Level, available: int, cause: str, ref: str) -> None:
        """The shop's available becomes this number, on_hand moves along; told by webhook."""
        self.world.move_shop(level, available - level.shop_available, 0, cause, ref)
        self.tell_level(level)

    def hand_edit(self, level: Level, available: int, ref: str = "") -> None:
        """Somebody types another number into the shop."""
        self.world.journal.write(
            "hand_edit", sku=level.sku, location=level.location, **{"from": level.shop_available, "to": available}
        )
        self.set_available(level, available, "hand_edit", ref)

    def tell_level(self, level: Level) -> None:
        """`inventory_levels/update` for this article."""
        item = self.world.catalogue.by_sku[level.sku]
        self.tell("inventory_levels/update", bodies.level_body(item, level), [level.key])

    def tell(self, topic: str, body: dict[str, Any], keys: list[str]) -> None:
        """Owe the plane a webhook of this topic."""
        headers = {
            "X-Shopify-Topic": topic,
            "X-Shopify-Triggered-At": iso_s(self.world.time_of("shop")),
            "X-Shopify-Shop-Domain": bodies.DOMAIN,
            "X-Shopify-API-Version": bodies.API_VERSION,
        }
        self.world.outbox.post("shop", topic, body, keys, headers)
