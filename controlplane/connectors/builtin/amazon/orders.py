"""Orders (model 2026-01-01) as placed orders. Neither buyer nor recipient is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from controlplane.connectors.builtin.amazon.api import Api
from controlplane.connectors.contract import Draft, Record
from controlplane.connectors.http import Answer
from controlplane.connectors.paging import by_token, expiring
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError
from rules.units import exact

PATH = "/orders/2026-01-01/orders"
PAGE = 100
SETTLES = timedelta(minutes=2)
"""What changed within this time may not be told yet."""
UNPLACED = frozenset({"PENDING", "PENDING_AVAILABILITY", "CANCELLED"})
"""Payment is not authorised, or nothing comes of it."""


def changed(api: Api, marketplace: str, since: datetime, until: datetime) -> Iterator[list[Record]]:
    """Yield pages of the orders that changed between two instants. Raises ConnectorError."""

    def fetch(token: str | None) -> Answer:
        asked: dict[str, Any] = {
            "marketplaceIds": marketplace, "lastUpdatedAfter": stamp(since), "lastUpdatedBefore": stamp(until),
            "includedData": "FULFILLMENT", "maxResultsPerPage": PAGE, "paginationToken": token,
        }  # fmt: skip
        return api.ask(PATH, **asked)

    for answer in by_token(expiring(fetch), _next):
        try:
            yield [
                _record(row)
                for row in answer.json()["orders"]
                if row["fulfillment"]["fulfillmentStatus"] not in UNPLACED
            ]
        except (KeyError, TypeError):
            answer.fail("answered an order that breaks its contract")


def found(api: Api, ref: str) -> dict[str, Any] | None:
    """Return an order as it is kept; None while it is not placed, or nothing comes of it. Raises ConnectorError."""
    answer = api.ask(f"{PATH}/{quote(ref, safe='')}", includedData="FULFILLMENT")
    try:
        row = answer.json()["order"]
        if row["orderId"] != ref:
            raise KeyError(ref)
        return None if row["fulfillment"]["fulfillmentStatus"] in UNPLACED else _kept(row)
    except (KeyError, TypeError):
        answer.fail("answered an order that breaks its contract")


def _next(answer: Answer) -> str | None:
    found = answer.json()
    pagination = found.get("pagination") or {} if isinstance(found, dict) else {}
    return pagination.get("nextToken")


def _record(row: Mapping[str, Any]) -> Record:
    body = verbatim(_kept(row))
    return Record("orders", content_key("orders", f"{row['orderId']}@{row['lastUpdatedTime']}", body), body)


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("buyer", "recipient")}


def stamp(at: datetime) -> str:
    """Return an instant as Amazon writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def draft(told: Mapping[str, Any], location: str, fba_location: str, ours: Any) -> list[Draft]:
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
    lines = [_line(at, item, place, ref, ours, currencies) for at, item in enumerate(items, 1)]
    if not lines:
        return []
    if len(currencies) != 1:
        raise BadInputError(f"order {ref} is in {', '.join(sorted(currencies))}; an order has one currency")
    placed = str(told["createdTime"])
    data = {"ref": ref, "native_id": ref, "placed_at": placed, "currency": currencies.pop(), "lines": lines}
    return [Draft("order.placed", ref, f"order.placed:{ref}", datetime.fromisoformat(placed), data)]


def _line(at: int, item: Mapping[str, Any], location: str, ref: str, ours: Any, currencies: set[str]) -> dict[str, Any]:
    product = item["product"]
    if not product.get("sellerSku"):
        raise BadInputError(f"line {at} of order {ref} has no SKU of the seller; correct the record", "orderItems")
    price = (product.get("price") or {}).get("unitPrice")
    if not price:
        raise BadInputError(f"line {at} of order {ref} has no price yet; replay it when Amazon tells one", "orderItems")
    currencies.add(str(price["currencyCode"]))
    return {
        "line": at, "native_id": str(item["orderItemId"]), "sku": ours("sku", str(product["sellerSku"])), "location": location,
        "quantity": int(item["quantityOrdered"]), "unit_price": str(exact(price["amount"])),
    }  # fmt: skip
