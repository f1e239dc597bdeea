"""Orders of Vendure that were placed. No personal data is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.connectors import taxes
from controlplane.connectors.builtin.vendure.api import Api
from controlplane.connectors.contract import Context, Draft, Record
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError
from rules.units import exact

UNPLACED = frozenset({"Created", "Draft", "AddingItems", "ArrangingPayment", "Cancelled"})
CENT = Decimal("0.01")
"""Vendure keeps money as whole hundredths, whatever the currency, unless its MoneyStrategy was replaced."""
ORDERS = """
query($skip: Int!, $take: Int!, $filter: OrderFilterParameter) {
  orders(options: {skip: $skip, take: $take, sort: {id: ASC}, filter: $filter}) {
    totalItems items { id code state orderPlacedAt updatedAt currencyCode
      shippingAddress { countryCode province postalCode }
      lines { id orderPlacedQuantity proratedUnitPrice proratedUnitPriceWithTax taxRate taxLines { description }
        productVariant { sku } } } } }"""


def changed(api: Api, context: Context, since: datetime | None) -> Iterator[tuple[list[Record], str]]:
    """Yield pages of (records, latest change in them)."""
    chosen = {"updatedAt": {"after": since.isoformat()}} if since else {}
    for rows, answer in api.pages(ORDERS, filter=chosen):
        try:
            placed = [row for row in rows if row["orderPlacedAt"] and row["state"] not in UNPLACED]
            latest = max((str(row["updatedAt"]) for row in rows), default="")
            yield [_record(context, row) for row in placed], latest
        except (KeyError, TypeError):
            answer.fail("answered an order that breaks its contract")


def _record(context: Context, row: Mapping[str, Any]) -> Record:
    address = row.get("shippingAddress") or {}
    place = taxes.place(context, address.get("countryCode"), address.get("province"), address.get("postalCode"))
    body = verbatim({**{name: value for name, value in row.items() if name != "shippingAddress"}, "shipTo": place})
    return Record("orders", content_key("orders", f"{row['code']}@{row['updatedAt']}", body), body)


def draft(context: Context, told: Mapping[str, Any], location: str) -> list[Draft]:
    """Return `order.placed`; nothing of an order without goods. Raises BadInputError, UnmappedError, KeyError, TypeError, ValueError."""
    ref, placed = str(told["code"]), str(told["orderPlacedAt"])
    lines = [
        {**_line(context, at, line, location, ref), "tax": _tax(context, line, str(told["currencyCode"]))}
        for at, line in enumerate(told["lines"], 1)
        if line["orderPlacedQuantity"]
    ]
    data = {
        "ref": ref, "native_id": str(told["id"]), "placed_at": placed, "currency": told["currencyCode"], "lines": lines,
        "ship_to": told.get("shipTo"),
    }  # fmt: skip
    return [Draft("order.placed", ref, f"order.placed:{ref}", datetime.fromisoformat(placed), data)] if lines else []


def _tax(context: Context, line: Mapping[str, Any], currency: str) -> dict[str, Any] | None:
    """What was charged on what was ordered, whatever was taken off the order since; the shop's tax is by the piece."""
    if line.get("proratedUnitPriceWithTax") is None:
        return None
    each = int(line["proratedUnitPriceWithTax"]) - int(line["proratedUnitPrice"])
    rates = [exact(line["taxRate"]).scaleb(-2)] if line.get("taxRate") is not None else []
    names = [str(one.get("description") or "") for one in line.get("taxLines") or ()]
    return taxes.of_line(
        context, currency, [each * int(line["orderPlacedQuantity"]) * CENT], rates=rates, jurisdictions=names
    )


def _line(context: Context, at: int, line: Mapping[str, Any], location: str, ref: str) -> dict[str, Any]:
    sku = (line["productVariant"] or {}).get("sku")
    if not sku:
        raise BadInputError(
            f"line {at} of order {ref} has no SKU; give the variant one in the shop, or correct the record"
        )
    return {
        "line": at, "native_id": str(line["id"]), "sku": context.codes.ours("sku", str(sku)), "location": location,
        "quantity": int(line["orderPlacedQuantity"]), "unit_price": str(int(line["proratedUnitPrice"]) * CENT),
    }  # fmt: skip
