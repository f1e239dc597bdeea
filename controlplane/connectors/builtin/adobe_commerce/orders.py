"""Orders of Adobe Commerce once they are paid for, in the order's own currency, net of discounts and tax. Nothing personal is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from controlplane.connectors import taxes
from controlplane.connectors.builtin.adobe_commerce.api import Api
from controlplane.connectors.contract import Context, Draft, Record
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError
from rules.units import exact

PAID = frozenset({"processing", "complete", "closed"})
UNPAID = frozenset({"new", "pending_payment", "payment_review", "holded", "canceled"})
"""States of which nothing is to be done yet, or ever; one that is not known waits for somebody who knows it."""
GOODS = frozenset({"simple", "configurable", "grouped"})
"""Types of lines that leave a warehouse; of a bundle its parts do."""
SMALLEST = Decimal("1e-12")
ORDER = ("entity_id", "increment_id", "state", "created_at", "updated_at", "order_currency_code", "tax_amount")
LINE = (
    "item_id", "parent_item_id", "sku", "product_type", "qty_ordered", "row_total", "discount_amount",
    "discount_tax_compensation_amount", "tax_amount", "tax_percent",
)  # fmt: skip


def changed(api: Api, context: Context, since: datetime | None) -> Iterator[tuple[list[Record], str]]:
    """Yield pages of (records, latest change in them). Raises ConnectorError."""
    filters = [("updated_at", "gteq", stamp(since))] if since else []
    for rows, answer in api.rows("/orders", *filters, sort="entity_id"):
        try:
            latest = max((str(row["updated_at"]) for row in rows), default="")
            yield [_record(context, row) for row in rows if row["state"] not in UNPAID], latest
        except (AttributeError, IndexError, KeyError, TypeError):
            answer.fail("answered an order that breaks its contract")


def _record(context: Context, row: Mapping[str, Any]) -> Record:
    told = {name: row.get(name) for name in ORDER} | {"ship_to": _ship_to(context, row)}
    body = verbatim({**told, "items": [{name: line.get(name) for name in LINE} for line in row["items"]]})
    return Record("orders", content_key("orders", f"{row['increment_id']}@{row['updated_at']}", body), body)


def _ship_to(context: Context, row: Mapping[str, Any]) -> dict[str, str] | None:
    told = (row.get("extension_attributes") or {}).get("shipping_assignments") or [{}]
    address = (told[0].get("shipping") or {}).get("address") or {}
    return taxes.place(context, address.get("country_id"), address.get("region_code"), address.get("postcode"))


def stamp(at: datetime) -> str:
    """Return an instant as the store writes it: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def read_stamp(text: str) -> datetime:
    """Read an instant of the store. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def draft(context: Context, told: Mapping[str, Any], location: str) -> list[Draft]:
    """Return `order.placed`. Raises BadInputError, UnmappedError, KeyError, TypeError, ValueError, ArithmeticError."""
    ref, placed = str(told["increment_id"]), read_stamp(str(told["created_at"]))
    if told["state"] not in PAID:
        raise BadInputError(
            f"order {ref} is '{told['state']}', which is no state that is known; correct it to `processing`, or drop it",
            "state",
        )
    types = {line["item_id"]: line["product_type"] for line in told["items"]}
    goods = [
        line
        for line in told["items"]
        if line["product_type"] in GOODS
        and types.get(line.get("parent_item_id")) != "configurable"
        and exact(line["qty_ordered"])
    ]
    currency, total = str(told["order_currency_code"]), told.get("tax_amount")
    lines = [
        {**_line(context, at, line, location, ref), "tax": _tax(context, line, currency)}
        for at, line in enumerate(goods, 1)
    ]
    data = {
        "ref": ref, "native_id": str(told["entity_id"]), "placed_at": placed.isoformat(), "currency": currency,
        "lines": lines, "tax": taxes.money(None if total is None else exact(total), currency),
        "ship_to": told.get("ship_to"),
    }  # fmt: skip
    return [Draft("order.placed", ref, f"order.placed:{ref}", placed, data)] if lines else []


def _tax(context: Context, line: Mapping[str, Any], currency: str) -> dict[str, Any] | None:
    """Its tax: `row_total` is without it."""
    amount, percent = line.get("tax_amount"), line.get("tax_percent")
    if amount is None:
        return None
    rates = [exact(percent).scaleb(-2)] if percent is not None else []
    return taxes.of_line(context, currency, [exact(amount)], rates=rates)


def _line(context: Context, at: int, line: Mapping[str, Any], location: str, ref: str) -> dict[str, Any]:
    quantity = exact(line["qty_ordered"])
    if quantity != quantity.to_integral_value():
        raise BadInputError(
            f"line {at} of order {ref} is of {quantity} pieces; stock is counted in whole units", "items"
        )
    net = sum(
        (sign * exact(line.get(name) or 0))
        for name, sign in (("row_total", 1), ("discount_amount", -1), ("discount_tax_compensation_amount", 1))
    )
    price = (Decimal(net) / quantity).quantize(SMALLEST).normalize()
    return {
        "line": at, "native_id": str(line["item_id"]), "sku": context.codes.ours("sku", str(line["sku"])), "location": location,
        "quantity": int(quantity), "unit_price": format(price, "f"),
    }  # fmt: skip
