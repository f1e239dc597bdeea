"""The shop's objects as the API shows them: thin wrappers whose attributes and methods are the schema's fields."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.sandbox.catalogue import CURRENCY, WAREHOUSE, Item
from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.records import Fulfilment, Level, ShopLine, ShopOrder
from controlplane.sandbox.shop import bodies
from controlplane.sandbox.shop.bodies import LOCATION_ID, gid
from controlplane.sandbox.shop.money import Money, bag, money
from controlplane.sandbox.shop.people import address, customer
from controlplane.sandbox.shop.products import Products
from controlplane.sandbox.shop.search import connection, matching
from controlplane.sandbox.world import World

Shown = dict[str, Any]


class Views:
    """Builds what resolvers return: dictionaries, with functions where a field takes arguments."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.products = Products(world)
        self.money = Money(world, self)

    def shop(self) -> Shown:
        """The shop itself."""
        return {
            "__typename": "Shop",
            "id": gid("Shop", 1),
            "name": "Trueup Sandbox",
            "myshopifyDomain": bodies.DOMAIN,
            "currencyCode": CURRENCY,
            "ianaTimezone": "Etc/UTC",
            "taxesIncluded": False,
        }

    def location(self) -> Shown:
        """The one location the shop sells from."""
        return {
            "__typename": "Location",
            "id": gid("Location", LOCATION_ID),
            "name": WAREHOUSE,
            "isActive": True,
            "legacyResourceId": str(LOCATION_ID),
            "inventoryLevel": lambda _info, inventoryItemId, **_: self.level_by_item(inventoryItemId),  # noqa: N803 vendor's name
            "inventoryLevels": lambda _info, **page: self.levels(self._all_levels(), **page),
        }

    def location_of(self, name: str) -> Shown:
        """The location of that name: a store is shown as one, and its stock is not kept here."""
        if name == WAREHOUSE:
            return self.location()
        number = bodies.store_id(name)
        known = {"__typename": "Location", "id": gid("Location", number), "name": name, "isActive": True}
        return known | {"legacyResourceId": str(number), "inventoryLevel": None}

    def _all_levels(self) -> list[Level]:
        return [self.world.level(item.sku) for item in self.world.catalogue.items]

    def level_by_item(self, item_gid: str) -> Shown | None:
        """The level of an inventory item's global id, or None."""
        item = self.item_by_gid(item_gid)
        return self.level(self.world.level(item.sku)) if item else None

    def item_by_gid(self, item_gid: str) -> Item | None:
        """The article behind an inventory item's global id, or None."""
        number = bodies.number_of(item_gid, "InventoryItem") or 0
        return self.world.catalogue.by_shop_item.get(number) or self.products.made_item(number)

    def levels(
        self,
        rows: Iterable[Level],
        *,
        first: int | None = None,
        after: str | None = None,
        reverse: bool = False,
        query: str | None = None,
        **_: object,
    ) -> Shown:
        """A page of levels; `query` may filter by updated_at or inventory_item_id."""
        number = {item.sku: item.shop_item_id for item in self.world.catalogue.items}
        fields: dict[str, Any] = {
            "updated_at": lambda lv: lv.shop_updated_at,
            "inventory_item_id": lambda lv: number[lv.sku],
        }
        found = matching(rows, query, fields)
        page = connection(found, lambda lv: number[lv.sku], first=first, after=after, reverse=reverse)
        return _shown_page(page, self.level)

    def level(self, level: Level) -> Shown:
        """An inventory level: available and committed are kept, on_hand is their sum."""
        item = self.world.catalogue.by_sku[level.sku]
        return {
            "__typename": "InventoryLevel",
            "id": f"{gid('InventoryLevel', LOCATION_ID)}?inventory_item_id={item.shop_item_id}",
            "isActive": True,
            "createdAt": iso_s(self.world.meta.started_at),
            "updatedAt": iso_s(level.shop_updated_at),
            "item": lambda _info: self.item(item),
            "location": lambda _info: self.location(),
            "quantities": lambda _info, names: [
                self._quantity(item, level, name) for name in names if name in QUANTITIES
            ],
        }

    def _quantity(self, item: Item, level: Level, name: str) -> Shown:
        known = {
            "available": level.shop_available,
            "committed": level.shop_committed,
            "on_hand": level.shop_available + level.shop_committed,
        }
        return {
            "__typename": "InventoryQuantity",
            "id": f"{gid('InventoryQuantity', item.shop_item_id)}?inventory_level_id={LOCATION_ID}&name={name}",
            "name": name,
            "quantity": known.get(name, 0),
            "updatedAt": iso_s(level.shop_updated_at) if name == "available" else None,
        }

    def item(self, item: Item) -> Shown:
        """An inventory item."""
        level = self.world.levels.get(f"{item.sku}@{WAREHOUSE}")
        opened = iso_s(self.world.meta.started_at)
        return {
            "__typename": "InventoryItem",
            "id": gid("InventoryItem", item.shop_item_id),
            "sku": item.sku,
            "tracked": True,
            "requiresShipping": True,
            "legacyResourceId": str(item.shop_item_id),
            "createdAt": opened,
            "updatedAt": opened,
            "unitCost": money(item.cost),
            "variant": lambda _info: self.variant(item),
            "inventoryLevel": lambda _info, locationId, **_: self._level_at(level, locationId),  # noqa: N803 vendor's name
            "inventoryLevels": lambda _info, **page: self.levels([level] if level else [], **page),
        }

    def _level_at(self, level: Level | None, location_gid: str) -> Shown | None:
        return self.level(level) if level and location_gid == gid("Location", LOCATION_ID) else None

    def variant(self, item: Item) -> Shown:
        """A product variant."""
        level, product = self.world.levels.get(f"{item.sku}@{WAREHOUSE}"), self.products.of(item)
        return {
            "__typename": "ProductVariant",
            "id": gid("ProductVariant", item.shop_variant_id),
            "sku": item.sku,
            "barcode": item.plu,
            "title": product.title,
            "displayName": product.title,
            "price": f"{product.price:.2f}",
            "inventoryQuantity": level.shop_available if level else 0,
            "inventoryItem": lambda _info: self.item(item),
            "product": lambda _info: self.product(item),
        }

    def product(self, item: Item) -> Shown:
        """A product, which has one variant here."""
        product = self.products.of(item)
        return {
            "__typename": "Product",
            "id": gid("Product", item.shop_product_id),
            "title": product.title,
            "handle": product.handle,
            "status": product.status,
            "hasOnlyDefaultVariant": True,
            "updatedAt": iso_s(product.updated_at),
            "variants": lambda _info, first=None, after=None, reverse=False, **_: _only(
                self.variant(item), first, after, reverse
            ),
        }

    # --- orders ---
    def order(self, row: ShopOrder) -> Shown:
        """An order with its customer, lines, fulfilment order and fulfilments."""
        state = {None: "UNFULFILLED", "partial": "PARTIALLY_FULFILLED", "fulfilled": "FULFILLED"}
        return {
            "__typename": "Order",
            "id": gid("Order", row.id),
            "legacyResourceId": str(row.id),
            "name": row.name,
            "createdAt": iso_s(row.created_at),
            "processedAt": iso_s(row.created_at),
            "updatedAt": iso_s(row.updated_at),
            "cancelledAt": None,
            "currencyCode": CURRENCY,
            "displayFinancialStatus": _paid(row),
            "displayFulfillmentStatus": state[bodies.fulfilment_state(row)],
            "email": row.customer["email"],
            "customer": customer(row.customer),
            "shippingAddress": address(row),
            "totalPriceSet": bag(row.total),
            "currentTotalPriceSet": bag(row.total),
            "lineItems": lambda _info, **page: self._lines(row, **page),
            "fulfillmentOrders": lambda _info, **page: _only(self.fulfilment_order(row), **page),
            "fulfillments": lambda _info, first=None: [self.fulfilment(row, one) for one in row.fulfilments[:first]],
            "refunds": lambda _info, first=None: [self.money.refund(row, one) for one in row.refunds[:first]],
            "sourceName": "pos" if row.store else "web",
            "retailLocation": lambda _info: self.location_of(row.store) if row.store else None,
            "shippingLine": {"id": gid("ShippingLine", row.id), "title": "Standard"} if row.ships else None,
            "taxesIncluded": False,
            "totalTaxSet": bag(Decimal("0.00")),
        }

    def _lines(
        self, row: ShopOrder, first: int | None = None, after: str | None = None, reverse: bool = False
    ) -> Shown:
        page = connection(row.lines, lambda line: line.id, first=first, after=after, reverse=reverse)
        return _shown_page(page, self.line)

    def line(self, line: ShopLine) -> Shown:
        """An order line."""
        item = self.world.catalogue.by_sku[line.sku]
        return {
            "__typename": "LineItem",
            "id": gid("LineItem", line.id),
            "sku": line.sku,
            "title": item.title,
            "name": item.title,
            "quantity": line.quantity,
            "currentQuantity": line.quantity,
            "unfulfilledQuantity": line.quantity - line.fulfilled,
            "requiresShipping": True,
            "originalUnitPriceSet": bag(line.price),
            "discountedUnitPriceSet": bag(line.price),
            "taxLines": [],
            "discountAllocations": [],
            "variant": lambda _info: self.variant(item),
        }

    def fulfilment_order(self, row: ShopOrder) -> Shown:
        """The order's one fulfilment order, at the warehouse."""
        state = {None: "OPEN", "partial": "IN_PROGRESS", "fulfilled": "CLOSED"}
        return {
            "__typename": "FulfillmentOrder",
            "id": gid("FulfillmentOrder", row.id),
            "orderId": gid("Order", row.id),
            "orderName": row.name,
            "status": state[bodies.fulfilment_state(row)],
            "requestStatus": "UNSUBMITTED",
            "createdAt": iso_s(row.created_at),
            "updatedAt": iso_s(row.updated_at),
            "assignedLocation": {"name": WAREHOUSE, "location": lambda _info: self.location()},
            "order": lambda _info: self.order(row),
            "lineItems": lambda _info, **page: self._fulfilment_order_lines(row, **page),
            "fulfillments": lambda _info, **page: self._fulfilments(row, **page),
        }

    def _fulfilment_order_lines(
        self, row: ShopOrder, first: int | None = None, after: str | None = None, reverse: bool = False
    ) -> Shown:
        page = connection(row.lines, lambda line: line.id, first=first, after=after, reverse=reverse)
        return _shown_page(page, self._fulfilment_order_line)

    def _fulfilment_order_line(self, line: ShopLine) -> Shown:
        item = self.world.catalogue.by_sku[line.sku]
        return {
            "__typename": "FulfillmentOrderLineItem",
            "id": gid("FulfillmentOrderLineItem", line.id),
            "sku": line.sku,
            "inventoryItemId": gid("InventoryItem", item.shop_item_id),
            "totalQuantity": line.quantity,
            "remainingQuantity": line.quantity - line.fulfilled,
            "lineItem": lambda _info: self.line(line),
            "variant": lambda _info: self.variant(item),
        }

    def _fulfilments(
        self, row: ShopOrder, first: int | None = None, after: str | None = None, reverse: bool = False
    ) -> Shown:
        page = connection(row.fulfilments, lambda one: one.id, first=first, after=after, reverse=reverse)
        return _shown_page(page, lambda one: self.fulfilment(row, one))

    def fulfilment(self, row: ShopOrder, one: Fulfilment) -> Shown:
        """A fulfilment: SUCCESS at once, and no carrier event, as recorded from the vendor."""
        tracked = one.tracking_number or one.tracking_company or one.tracking_url
        tracking = {"company": one.tracking_company, "number": one.tracking_number, "url": one.tracking_url}
        lines = [line for line in row.lines if str(line.id) in one.lines]
        return {
            "__typename": "Fulfillment",
            "id": gid("Fulfillment", one.id),
            "legacyResourceId": str(one.id),
            "name": f"{row.name}-F{row.fulfilments.index(one) + 1}",
            "status": "SUCCESS",
            "displayStatus": "FULFILLED",
            "createdAt": iso_s(one.created_at),
            "updatedAt": iso_s(one.created_at),
            "totalQuantity": sum(one.lines.values()),
            "order": lambda _info: self.order(row),
            "location": lambda _info: self.location(),
            "trackingInfo": lambda _info, first=None: [tracking][:first] if tracked else [],
            "fulfillmentLineItems": lambda _info, **page: self._fulfilment_lines(one, lines, **page),
        }

    def _fulfilment_lines(
        self,
        one: Fulfilment,
        lines: list[ShopLine],
        first: int | None = None,
        after: str | None = None,
        reverse: bool = False,
    ) -> Shown:
        page = connection(lines, lambda line: line.id, first=first, after=after, reverse=reverse)
        return _shown_page(
            page,
            lambda line: {
                "id": gid("FulfillmentLineItem", line.id),
                "quantity": one.lines[str(line.id)],
                "lineItem": lambda _info: self.line(line),
            },
        )


QUANTITIES = ("available", "on_hand", "committed", "incoming", "reserved", "damaged", "safety_stock", "quality_control")


def _shown_page(page: Shown, show: Any) -> Shown:
    nodes = [show(row) for row in page["nodes"]]
    edges = [{"cursor": edge["cursor"], "node": node} for edge, node in zip(page["edges"], nodes, strict=True)]
    return {"edges": edges, "nodes": nodes, "pageInfo": page["pageInfo"]}


def _only(node: Shown, first: int | None = None, after: str | None = None, reverse: bool = False) -> Shown:
    page = connection([node], lambda one: one["id"], first=first, after=after, reverse=reverse)
    return _shown_page(page, lambda one: one)


def _paid(row: ShopOrder) -> str:
    return "PAID" if not row.refunded else "REFUNDED" if row.refunded >= row.total else "PARTIALLY_REFUNDED"


def moment(row: ShopOrder, sort_key: str) -> datetime:
    """What an order is sorted by."""
    return row.updated_at if sort_key == "UPDATED_AT" else row.created_at
