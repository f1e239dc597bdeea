"""Identities of the shop's objects, and the REST-shaped bodies of its webhooks."""

from typing import Any

from controlplane.sandbox.catalogue import CURRENCY, Item
from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.records import Fulfilment, Level, Refund, ShopOrder

DOMAIN = "trueup-sandbox.myshopify.com"
API_VERSION = "2026-04"
LOCATION_ID = 80_000_000_001


def store_id(name: str) -> int:
    """The number of a store's location: `ST1` is 80000000101."""
    return 80_000_000_100 + int(name.removeprefix("ST"))


def gid(kind: str, number: object) -> str:
    """The shop's global id."""
    return f"gid://shopify/{kind}/{number}"


def number_of(text: str, kind: str) -> int | None:
    """The number in a global id of that kind, or None when it is none."""
    head, _, tail = text.partition("?")[0].rpartition("/")
    return int(tail) if head == f"gid://shopify/{kind}" and tail.isdigit() else None


def level_body(item: Item, level: Level) -> dict[str, Any]:
    """`inventory_levels/update`."""
    return {
        "inventory_item_id": item.shop_item_id,
        "location_id": LOCATION_ID,
        "available": level.shop_available,
        "updated_at": iso_s(level.shop_updated_at),
        "admin_graphql_api_id": f"{gid('InventoryLevel', LOCATION_ID)}?inventory_item_id={item.shop_item_id}",
    }


def fulfilment_state(order: ShopOrder) -> str | None:
    """REST's word: null, `partial` or `fulfilled`."""
    if all(line.fulfilled >= line.quantity for line in order.lines):
        return "fulfilled"
    return "partial" if any(line.fulfilled for line in order.lines) else None


def order_body(order: ShopOrder) -> dict[str, Any]:
    """`orders/create` and `orders/updated`."""
    who = order.customer
    return {
        "id": order.id,
        "admin_graphql_api_id": gid("Order", order.id),
        "name": order.name,
        "order_number": int(order.name.lstrip("#")),
        "created_at": iso_s(order.created_at),
        "updated_at": iso_s(order.updated_at),
        "currency": CURRENCY,
        "total_price": str(order.total),
        "financial_status": "paid" if not order.refunded else "partially_refunded",
        "source_name": "pos" if order.store else "web",
        "location_id": store_id(order.store) if order.store else None,
        "shipping_lines": [{"title": "Standard", "price": "0.00"}] if order.ships else [],
        "fulfillment_status": fulfilment_state(order),
        "email": who["email"],
        "customer": {"first_name": who["first_name"], "last_name": who["last_name"], "email": who["email"]},
        "shipping_address": {
            "first_name": who["first_name"],
            "last_name": who["last_name"],
            "address1": who["address1"],
            "city": who["city"],
            "zip": who["zip"],
            "country_code": "US",
            "province_code": None,
        },
        "taxes_included": False,
        "total_tax": "0.00",
        "line_items": [
            {
                "id": line.id,
                "admin_graphql_api_id": gid("LineItem", line.id),
                "sku": line.sku,
                "quantity": line.quantity,
                "price": str(line.price),
                "fulfillable_quantity": line.quantity - line.fulfilled,
                "tax_lines": [],
                "discount_allocations": [],
            }
            for line in order.lines
        ],
    }


def fulfilment_body(order: ShopOrder, row: Fulfilment) -> dict[str, Any]:
    """`fulfillments/create`."""
    return {
        "id": row.id,
        "admin_graphql_api_id": gid("Fulfillment", row.id),
        "order_id": order.id,
        "name": f"{order.name}.{order.fulfilments.index(row) + 1}",
        "status": "success",
        "created_at": iso_s(row.created_at),
        "updated_at": iso_s(row.created_at),
        "tracking_company": row.tracking_company,
        "tracking_number": row.tracking_number,
        "location_id": LOCATION_ID,
        "line_items": [
            {"id": line.id, "sku": line.sku, "quantity": row.lines[str(line.id)], "price": str(line.price)}
            for line in order.lines
            if str(line.id) in row.lines
        ],
    }


def refund_body(order: ShopOrder, row: Refund) -> dict[str, Any]:
    """`refunds/create`: it names its order by number only."""
    return {
        "id": row.id,
        "admin_graphql_api_id": gid("Refund", row.id),
        "order_id": order.id,
        "created_at": iso_s(row.created_at),
        "processed_at": iso_s(row.created_at),
        "note": f"{order.customer['first_name']} was not happy",
        "refund_line_items": [
            {
                "line_item_id": line.id,
                "quantity": row.lines[str(line.id)],
                "restock_type": row.restock_type.lower(),
                "location_id": LOCATION_ID if row.restock_type == "RETURN" else None,
            }
            for line in order.lines
            if str(line.id) in row.lines
        ],
        "transactions": [
            {
                "kind": "refund",
                "gateway": row.gateway,
                "status": row.status.lower(),
                "amount": str(row.amount),
                "currency": CURRENCY,
            }
        ],
    }
