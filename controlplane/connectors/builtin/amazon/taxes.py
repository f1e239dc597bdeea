"""What an item of an order is worth, what tax was charged on it, and who remits that: of its proceeds and its tax collections.

Proceeds are told by kind, and tax and discounts in turn by what they are of: here only goods count, and not shipping or wrapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from controlplane.connectors import taxes
from controlplane.connectors.contract import Context
from controlplane.errors import BadInputError
from rules.units import exact

BY_AMAZON = "MARKETPLACE_FACILITATOR"
"""The only model of tax collection there is: Amazon withholds the tax and remits it. Without one the seller owes it."""
GOODS = frozenset({"ITEM", "DISCOUNT"})
"""What of a tax or a discount is of the goods, of their own discount too."""


class Proceeds(NamedTuple):
    """What all units of an item brought."""

    discount: Decimal
    """Of the goods, as what is taken off."""
    tax: Decimal
    """Of the goods."""
    all_tax: Decimal
    """That on shipping and wrapping too."""
    apart: bool
    """Tax comes on top of the prices; else they have it in them."""


def proceeds(item: Mapping[str, Any], currencies: set[str]) -> Proceeds | None:
    """Return what an item brought; None where Amazon does not tell it. Raises BadInputError, KeyError, TypeError, ArithmeticError."""
    told = item.get("proceeds") or {}
    rows = told.get("breakdowns")
    if not rows:
        return None
    kinds: dict[str, Decimal] = {}
    goods: dict[str, Decimal] = {}
    for row in rows:
        kind, amount = str(row["type"]), _money(row["subtotal"], currencies)
        kinds[kind] = kinds.get(kind, Decimal(0)) + amount
        goods[kind] = goods.get(kind, Decimal(0)) + amount - _besides(row, currencies)
    discount, tax = abs(kinds.get("DISCOUNT", Decimal(0))), kinds.get("TAX", Decimal(0))
    parts = sum((amount for kind, amount in kinds.items() if kind != "DISCOUNT"), -discount)
    total = _money(told["proceedsTotal"], currencies) if told.get("proceedsTotal") else parts
    if total not in (parts, parts - tax):
        raise BadInputError(
            f"the proceeds of item {item.get('orderItemId')} make {parts}, and their total is {total}; correct the record",
            "proceeds",
        )
    return Proceeds(
        abs(goods.get("DISCOUNT", Decimal(0))), goods.get("TAX", Decimal(0)), tax,
        total == parts or by_amazon(item),
    )  # fmt: skip


def by_amazon(item: Mapping[str, Any]) -> bool:
    """Say whether Amazon remits an item's tax. Raises BadInputError for a model of collection that is none of Amazon's."""
    models = {str(one["model"]) for one in (item.get("tax") or {}).get("taxCollections") or () if one.get("model")}
    unknown = sorted(models - {BY_AMAZON})
    if unknown:
        raise BadInputError(
            f"the tax of item {item.get('orderItemId')} is collected as {unknown[0]}, and who remits it then is not known; "
            "report it, and replay when it is",
            "taxCollections",
        )
    return bool(models)


def of_item(context: Context, item: Mapping[str, Any], told: Proceeds | None, currency: str) -> dict[str, Any] | None:
    """Return the `tax` of a line; None where Amazon does not tell it."""
    if told is None:
        return None
    return taxes.of_line(context, currency, [told.tax], included=not told.apart, remitted=[by_amazon(item)])


def of_order(told: Sequence[Proceeds | None], currency: str) -> str | None:
    """Return all tax of an order; None where of an item it is not told."""
    known = [one for one in told if one is not None]
    return taxes.money(sum((one.all_tax for one in known), Decimal(0)), currency) if len(known) == len(told) else None


def _besides(row: Mapping[str, Any], currencies: set[str]) -> Decimal:
    details = row.get("detailedBreakdowns") or ()
    return sum(
        (_money(one["value"], currencies) for one in details if one.get("value") and one.get("subtype") not in GOODS),
        Decimal(0),
    )


def _money(told: Mapping[str, Any], currencies: set[str]) -> Decimal:
    currencies.add(str(told["currencyCode"]))
    return exact(told["amount"])
