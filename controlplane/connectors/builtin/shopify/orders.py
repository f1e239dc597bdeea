"""Orders: the webhook's REST shape and the poll's GraphQL shape read into the same draft, prices net of discounts. No personal data
passes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from controlplane.connectors.builtin.shopify import taxes
from controlplane.connectors.contract import Codes, Context, Draft
from controlplane.errors import BadInputError

SMALLEST = Decimal("1e-12")
TILL = "pos"
"""How the vendor names the source of an order that its Point of Sale took."""


def order_drafts(context: Context, body: Mapping[str, Any], location: str) -> list[Draft]:
    """Return what a webhook body or a polled node tells: nothing of a cancelled order.

    Of an order of the online shop `order.placed`; `location` is where it is shipped from. Of one that a till took `sale.recorded`
    for each line that was handed over, and `order.placed` with its store if it is sent. Raises BadInputError naming what is missing.
    """
    try:
        polled = "createdAt" in body
        if body.get("cancelledAt" if polled else "cancelled_at"):
            return []
        told = enumerate(_polled_lines(body) if polled else _told_lines(body), 1)
        lines = [(at, line) for at, line in told if line["quantity"] > 0]
        head = {
            "ref": str(body["name"]),
            "native_id": str(body["id"] if polled else body["admin_graphql_api_id"]),
            "placed_at": body["createdAt" if polled else "created_at"],
            "currency": body["currencyCode" if polled else "currency"],
        }
        occurred, currency = datetime.fromisoformat(head["placed_at"]), str(head["currency"])
        charged = partial(taxes.of_line, context, body, currency=currency, polled=polled)
        store = _store(body, head["ref"], context.codes, polled=polled)
        if store and not body.get("shippingLine" if polled else "shipping_lines"):
            return [_sale(at, line, store, head, occurred, charged(line)) for at, line in lines]
        ordered = [{**_line(at, line, location, head["ref"]), "tax": charged(line)} for at, line in lines]
        data = {**head, "lines": ordered, **taxes.of_order(context, body, currency, polled=polled)}
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BadInputError(f"the order breaks the shop's contract: {error!r}") from error
    named = data if store is None else {**data, "store": store}
    return [Draft("order.placed", head["ref"], f"order.placed:{head['ref']}", occurred, named)] if lines else []


def _store(body: Mapping[str, Any], ref: str, codes: Codes, *, polled: bool) -> str | None:
    """The store whose till took the order; None for an order of the online shop."""
    if body.get("sourceName" if polled else "source_name") != TILL:
        return None
    number = (body.get("retailLocation") or {}).get("id") if polled else body.get("location_id")
    if not number:
        raise BadInputError(
            f"order {ref} was taken by a till, and the shop does not say in which store; add it to the record, or drop it",
            "retailLocation" if polled else "location_id",
        )
    return codes.ours("location", str(number) if polled else f"gid://shopify/Location/{number}")


def _sale(
    at: int,
    line: Mapping[str, Any],
    store: str,
    head: Mapping[str, str],
    occurred: datetime,
    tax: dict[str, Any] | None,
) -> Draft:
    told, ref = _line(at, line, store, head["ref"]), f"{head['ref']}/{at}"
    data = {name: told[name] for name in ("sku", "location", "quantity", "unit_price")}
    data |= {"ref": ref, "currency": head["currency"], "sold_at": head["placed_at"], "tax": tax}
    return Draft("sale.recorded", ref, f"sale.recorded:{ref}", occurred, data)


def _polled_lines(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            **node,
            "price": node["originalUnitPriceSet"]["shopMoney"]["amount"],
            "discounts": [
                one["allocatedAmountSet"]["shopMoney"]["amount"] for one in node.get("discountAllocations") or ()
            ],
        }
        for node in body["lineItems"]["nodes"]
    ]


def _told_lines(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            **line,
            "id": f"gid://shopify/LineItem/{line['id']}",
            "discounts": [one["amount"] for one in line.get("discount_allocations") or ()],
        }
        for line in body["line_items"]
    ]


def _line(at: int, line: Mapping[str, Any], location: str, ref: str) -> dict[str, Any]:
    if not line.get("sku"):
        raise BadInputError(
            f"line {at} of order {ref} has no SKU; give the product one in the shop, or correct the record"
        )
    quantity = int(line["quantity"])
    try:
        price, off = Decimal(str(line["price"])), sum((Decimal(str(one)) for one in line["discounts"]), Decimal(0))
    except InvalidOperation as error:
        raise BadInputError(f"line {at} of order {ref} has the price {line['price']!r}, which is no amount") from error
    if off:  # of the whole line, the order's own discounts with it: tax is charged on what is left
        price = ((price * quantity - off) / quantity).quantize(SMALLEST).normalize()
    return {
        "line": at,
        "native_id": str(line["id"]),
        "sku": line["sku"],
        "location": location,
        "quantity": quantity,
        "unit_price": format(price, "f"),
    }
