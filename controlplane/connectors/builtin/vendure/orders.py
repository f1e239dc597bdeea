"""Orders of Vendure that were placed. No personal data is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.connectors.builtin.vendure.api import Api
from controlplane.connectors.contract import Context, Draft, Record
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError

UNPLACED = frozenset({"Created", "Draft", "AddingItems", "ArrangingPayment", "Cancelled"})
CENT = Decimal("0.01")
"""Vendure keeps money as whole hundredths, whatever the currency, unless its MoneyStrategy was replaced."""
ORDERS = """
query($skip: Int!, $take: Int!, $filter: OrderFilterParameter) {
  orders(options: {skip: $skip, take: $take, sort: {id: ASC}, filter: $filter}) {
    totalItems items { id code state orderPlacedAt updatedAt currencyCode
      lines { id orderPlacedQuantity proratedUnitPrice productVariant { sku } } } } }"""


def changed(api: Api, since: datetime | None) -> Iterator[tuple[list[Record], str]]:
    """Yield pages of (records, latest change in them)."""
    chosen = {"updatedAt": {"after": since.isoformat()}} if since else {}
    for rows, answer in api.pages(ORDERS, filter=chosen):
        try:
            placed = [row for row in rows if row["orderPlacedAt"] and row["state"] not in UNPLACED]
            latest = max((str(row["updatedAt"]) for row in rows), default="")
            yield [_record(row) for row in placed], latest
        except (KeyError, TypeError):
            answer.fail("answered an order that breaks its contract")


def _record(row: Mapping[str, Any]) -> Record:
    body = verbatim(row)
    return Record("orders", content_key("orders", f"{row['code']}@{row['updatedAt']}", body), body)


def draft(context: Context, told: Mapping[str, Any], location: str) -> list[Draft]:
    """Return `order.placed`; nothing of an order without goods. Raises BadInputError, UnmappedError, KeyError, TypeError, ValueError."""
    ref, placed = str(told["code"]), str(told["orderPlacedAt"])
    lines = [
        _line(context, at, line, location, ref)
        for at, line in enumerate(told["lines"], 1)
        if line["orderPlacedQuantity"]
    ]
    data = {
        "ref": ref, "native_id": str(told["id"]), "placed_at": placed, "currency": told["currencyCode"], "lines": lines,
    }  # fmt: skip
    return [Draft("order.placed", ref, f"order.placed:{ref}", datetime.fromisoformat(placed), data)] if lines else []


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
