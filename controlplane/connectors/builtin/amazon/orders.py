"""Orders (model 2026-01-01) as placed orders, net of discounts. The buyer is never asked for; the recipient only where the System
says so (`ship_to`), and no more is kept than tax depends on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from controlplane.connectors import taxes as kit
from controlplane.connectors.builtin.amazon import taxes
from controlplane.connectors.builtin.amazon.api import Api, listed
from controlplane.connectors.contract import Context, Draft, Record
from controlplane.connectors.http import Answer
from controlplane.connectors.paging import by_token, expiring
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError
from rules.units import exact

PATH = "/orders/2026-01-01/orders"
PAGE = 100
SETTLES = timedelta(minutes=2)
"""What changed within this time may not be told yet."""
SMALLEST = Decimal("1e-12")
HIDDEN = ("buyer", "recipient", "tax")
"""What speaks of a person: never kept. What an order says of tax is whose number is registered where."""
UNPLACED = frozenset({"PENDING", "PENDING_AVAILABILITY", "CANCELLED"})
"""Payment is not authorised, or nothing comes of it."""


def changed(context: Context, api: Api, marketplace: str, since: datetime, until: datetime) -> Iterator[list[Record]]:
    """Yield pages of the orders that changed between two instants. Raises ConnectorError."""

    def fetch(token: str | None) -> Answer:
        asked: dict[str, Any] = {
            "marketplaceIds": marketplace, "lastUpdatedAfter": stamp(since), "lastUpdatedBefore": stamp(until),
            "includedData": _wanted(context), "maxResultsPerPage": PAGE, "paginationToken": token,
        }  # fmt: skip
        return api.ask(PATH, **asked)

    for answer in by_token(expiring(fetch), _next, listed("orders")):
        try:
            yield [
                _record(context, row)
                for row in answer.json()["orders"]
                if row["fulfillment"]["fulfillmentStatus"] not in UNPLACED
            ]
        except (AttributeError, KeyError, TypeError):
            answer.fail("answered an order that breaks its contract")


def found(context: Context, api: Api, ref: str) -> dict[str, Any] | None:
    """Return an order as it is kept; None while it is not placed, or nothing comes of it. Raises ConnectorError."""
    answer = api.ask(f"{PATH}/{quote(ref, safe='')}", includedData=_wanted(context))
    try:
        row = answer.json()["order"]
        if row["orderId"] != ref:
            raise KeyError(ref)
        return None if row["fulfillment"]["fulfillmentStatus"] in UNPLACED else _kept(context, row)
    except (AttributeError, KeyError, TypeError):
        answer.fail("answered an order that breaks its contract")


def _next(answer: Answer) -> str | None:
    found = answer.json()
    pagination = found.get("pagination") or {} if isinstance(found, dict) else {}
    return pagination.get("nextToken")


def _wanted(context: Context) -> str:
    return ",".join(("FULFILLMENT", "PROCEEDS", "TAX", *(["RECIPIENT"] if context.options.get("ship_to") else [])))


def _record(context: Context, row: Mapping[str, Any]) -> Record:
    body = verbatim(_kept(context, row))
    return Record("orders", content_key("orders", f"{row['orderId']}@{row['lastUpdatedTime']}", body), body)


def _kept(context: Context, row: Mapping[str, Any]) -> dict[str, Any]:
    address = (row.get("recipient") or {}).get("deliveryAddress") or {}
    place = kit.place(context, address.get("countryCode"), address.get("stateOrRegion"), address.get("postalCode"))
    told = {name: value for name, value in row.items() if name not in HIDDEN}
    return told | ({"ship_to": place} if place else {})


def stamp(at: datetime) -> str:
    """Return an instant as Amazon writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def draft(context: Context, told: Mapping[str, Any], location: str, fba_location: str) -> list[Draft]:
    """Return `order.placed`. Raises BadInputError, UnmappedError, KeyError, TypeError, ValueError, ArithmeticError."""
    ref = str(told["orderId"])
    by_amazon = (told.get("fulfillment") or {}).get("fulfilledBy") == "AMAZON"
    place = fba_location if by_amazon else location
    if not place:
        option = "fba_location" if by_amazon else "location"
        raise BadInputError(
            f"order {ref}: the System has no `options.{option}`; name the location that it is shipped from"
        )
    currencies: set[str] = set()
    items = [item for item in told["orderItems"] if int(item["quantityOrdered"])]
    brought = [taxes.proceeds(item, currencies) for item in items]
    lines = [
        _line(context, at, item, got, place, ref, currencies)
        for at, (item, got) in enumerate(zip(items, brought, strict=True), 1)
    ]
    if not lines:
        return []
    if len(currencies) != 1:
        raise BadInputError(f"order {ref} is in {', '.join(sorted(currencies))}; an order has one currency")
    placed, currency = str(told["createdTime"]), currencies.pop()
    for line, item, got in zip(lines, items, brought, strict=True):
        line["tax"] = taxes.of_item(context, item, got, currency)
    data = {
        "ref": ref, "native_id": ref, "placed_at": placed, "currency": currency, "lines": lines,
        "tax": taxes.of_order(brought, currency), "ship_to": told.get("ship_to"),
    }  # fmt: skip
    return [Draft("order.placed", ref, f"order.placed:{ref}", datetime.fromisoformat(placed), data)]


def _line(
    context: Context, at: int, item: Mapping[str, Any], got: taxes.Proceeds | None, location: str, ref: str, currencies: set[str]
) -> dict[str, Any]:  # fmt: skip
    product, quantity = item["product"], int(item["quantityOrdered"])
    if not product.get("sellerSku"):
        raise BadInputError(f"line {at} of order {ref} has no SKU of the seller; correct the record", "orderItems")
    price = (product.get("price") or {}).get("unitPrice")
    if not price:
        raise BadInputError(f"line {at} of order {ref} has no price yet; replay it when Amazon tells one", "orderItems")
    currencies.add(str(price["currencyCode"]))
    return {
        "line": at, "native_id": str(item["orderItemId"]), "sku": context.codes.ours("sku", str(product["sellerSku"])),
        "location": location, "quantity": quantity, "unit_price": _price(exact(price["amount"]), quantity, got),
    }  # fmt: skip


def _price(unit: Decimal, quantity: int, got: taxes.Proceeds | None) -> str:
    """What one of them is worth after discounts."""
    if got is None or not got.discount:
        return str(unit)
    return format(((unit * quantity - got.discount) / quantity).quantize(SMALLEST).normalize(), "f")
