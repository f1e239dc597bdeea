"""Orders: the webhook's REST shape and the poll's GraphQL shape read into the same draft. No personal data passes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError


def order_draft(body: Mapping[str, Any], location: str) -> list[Draft]:
    """Return `order.placed` of a webhook body or a polled node; nothing for a cancelled order.

    `location` is where online orders are shipped from. Raises BadInputError naming what is missing.
    """
    try:
        polled = "createdAt" in body
        if body.get("cancelledAt" if polled else "cancelled_at"):
            return []
        lines = _polled_lines(body) if polled else _told_lines(body)
        ref = str(body["name"])
        data = {
            "ref": ref,
            "native_id": str(body["id"] if polled else body["admin_graphql_api_id"]),
            "placed_at": body["createdAt" if polled else "created_at"],
            "currency": body["currencyCode" if polled else "currency"],
            "lines": [_line(at, line, location, ref) for at, line in enumerate(lines, 1) if line["quantity"] > 0],
        }
        occurred = datetime.fromisoformat(data["placed_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"the order breaks the shop's contract: {error!r}") from error
    return [Draft("order.placed", ref, f"order.placed:{ref}", occurred, data)] if data["lines"] else []


def _polled_lines(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**node, "price": node["originalUnitPriceSet"]["shopMoney"]["amount"]} for node in body["lineItems"]["nodes"]
    ]


def _told_lines(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**line, "id": f"gid://shopify/LineItem/{line['id']}"} for line in body["line_items"]]


def _line(at: int, line: Mapping[str, Any], location: str, ref: str) -> dict[str, Any]:
    if not line.get("sku"):
        raise BadInputError(
            f"line {at} of order {ref} has no SKU; give the product one in the shop, or correct the record"
        )
    try:
        price = Decimal(str(line["price"]))
    except InvalidOperation as error:
        raise BadInputError(f"line {at} of order {ref} has the price {line['price']!r}, which is no amount") from error
    return {
        "line": at,
        "native_id": str(line["id"]),
        "sku": line["sku"],
        "location": location,
        "quantity": int(line["quantity"]),
        "unit_price": str(price),
    }
