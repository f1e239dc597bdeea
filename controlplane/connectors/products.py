"""What a shop has to show of an item, made of `product.described`; and by what name the shop is asked for it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal

from controlplane.connectors.contract import Context, Write
from controlplane.errors import BadInputError
from rules.money import to_minor
from rules.outcomes import Outcome, Result

LONGEST = 60


@dataclass(frozen=True, slots=True)
class Selling:
    """How a shop sells: in which currency, and whether its prices hold the tax, which those that we are told do not."""

    currency: str
    taxed: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a shop has to show of one item."""

    sku: str
    """As the shop calls it."""
    title: str
    price: Decimal | None
    """Exact to the minor unit of the shop's currency, without tax; None: the price is left as it is."""
    active: bool


def wanted(context: Context, request: Write, selling: Selling) -> Wanted:
    """Return what the shop has to show. Raises BadInputError (UnmappedError) naming what cannot be shown there: nothing is
    converted, and nothing is rounded.
    """
    told = request.payload
    price = None if told["unit_price"] is None else _price(context, request, selling)
    return Wanted(context.codes.theirs("sku", str(told["sku"])), str(told["title"]), price, bool(told["active"]))


def _price(context: Context, request: Write, selling: Selling) -> Decimal:
    sku, shop, currency = request.payload["sku"], context.system, str(request.payload["currency"])
    price = Decimal(str(request.payload["unit_price"]))
    if currency != selling.currency:
        raise BadInputError(
            f"{sku} is priced in {currency}, and {shop} sells in {selling.currency}; nothing is converted: "
            f"price it in {selling.currency} at the source, or take {shop} out of the flow"
        )
    if selling.taxed:
        raise BadInputError(
            f"the price of {sku} is without tax, and those of {shop} include it; have the shop keep its prices without tax"
        )
    if price < 0 or to_minor(price, currency) != price:
        raise BadInputError(f"{price} {currency} of {sku} is no price to the minor unit; correct it at the source")
    return price


def handle_of(sku: str) -> str:
    """Return the name in addresses that a new product gets, and is found by again: of one SKU always the same, of two never."""
    plain = re.sub(r"[^a-z0-9]+", "-", sku.lower()).strip("-")
    if plain == sku.lower() and len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(sku.encode()).hexdigest()[:8]}".strip("-")


def already(sku: str, native_id: str) -> Outcome:
    """Return the outcome for an item that is shown as it has to be."""
    return Outcome(Result.ALREADY_DELIVERED, f"the shop shows {sku} like this already", native_id=native_id)
