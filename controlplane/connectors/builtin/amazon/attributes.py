"""What a listing has to show, made of a write: the quantity that we ship ourselves, or the price; and how it is told to Amazon.

A quantity replaces its attribute; a price is merged into its own, whose sales prices and prices for companies stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from controlplane.connectors.contract import Context, Write
from controlplane.connectors.products import Selling, wanted
from controlplane.errors import BadInputError
from rules.outcomes import Outcome, Result

QUANTITY, PRICE = "quantity", "price"
MERCHANT = "DEFAULT"
"""The channel of what we ship ourselves."""
SHOWN = {QUANTITY: "summaries,fulfillmentAvailability", PRICE: "summaries,offers"}
"""Entity -> what has to be told of a listing."""
EVERYBODY, CONSUMERS = "ALL", "B2C"


@dataclass(frozen=True, slots=True)
class Target:
    """What one listing has to show."""

    entity: str
    sku: str
    """As Amazon has it."""
    value: int | Decimal | None
    """None: nothing is told, and the listing is left as it is."""
    expected: int | None
    patch: Mapping[str, Any]
    """A JSON Patch operation, as Amazon takes it."""
    marketplace: str

    def shown(self, listing: Mapping[str, Any]) -> int | Decimal | None:
        """Return what a listing shows; None where it shows none."""
        return quantity_of(listing) if self.entity == QUANTITY else price_of(listing, self.marketplace)

    def met(self, listing: Mapping[str, Any]) -> bool:
        """Whether nothing is left to do."""
        return self.value is None or self.shown(listing) == self.value

    def already(self) -> Outcome:
        """Return the outcome where the listing shows it."""
        if self.value is None:
            return Outcome(Result.ALREADY_DELIVERED, f"no price of {self.sku} is told, and the listing keeps its own")
        told, current = (self.value, self.value) if isinstance(self.value, int) else (str(self.value), None)
        evidence = {"from": told, "to": told}
        return Outcome(Result.ALREADY_DELIVERED, f"the listing shows {told}", current=current, evidence=evidence)


def target_of(context: Context, request: Write, marketplace: str) -> Target:
    """Return what the write wants. Raises BadInputError (UnmappedError) naming what cannot be shown at Amazon."""
    if request.entity == PRICE:
        return _price(context, request, marketplace)
    sku, expected = context.codes.theirs("sku", str(request.payload["sku"])), request.payload.get("expected")
    value = int(request.payload["quantity"])
    patch = {
        "op": "replace", "path": "/attributes/fulfillment_availability",
        "value": [{"fulfillment_channel_code": MERCHANT, "quantity": value}],
    }  # fmt: skip
    return Target(QUANTITY, sku, value, None if expected is None else int(expected), patch, marketplace)


def _price(context: Context, request: Write, marketplace: str) -> Target:
    currency = str(context.options.get("currency", ""))
    if not currency:
        raise BadInputError(
            f"System '{context.system}' has no `options.currency`; name the one of the marketplace, or write no prices to it"
        )
    item = wanted(context, request, Selling(currency, bool(context.options.get("prices_with_tax", True))))
    patch = {} if item.price is None else _priced(item.price, currency, marketplace)
    return Target(PRICE, item.sku, item.price, None, patch, marketplace)


def _priced(price: Decimal, currency: str, marketplace: str) -> dict[str, Any]:
    schedule = [{"schedule": [{"value_with_tax": _number(price)}]}]
    offer = {"marketplace_id": marketplace, "currency": currency, "audience": EVERYBODY, "our_price": schedule}
    return {"op": "merge", "path": "/attributes/purchasable_offer", "value": [offer]}


def _number(price: Decimal) -> float:
    """Amazon takes a number: the one whose shortest decimal form is the price, or none."""
    number = float(price)
    if Decimal(repr(number)) != price:
        raise BadInputError(f"{price} is no price that can be told to Amazon exactly; correct it at the source")
    return number


def quantity_of(listing: Mapping[str, Any]) -> int | None:
    """Return the quantity that we ship ourselves; None of what Amazon ships."""
    for one in listing.get("fulfillmentAvailability") or ():
        if one.get("fulfillmentChannelCode") == MERCHANT:
            return int(one.get("quantity", 0))
    return None


def price_of(listing: Mapping[str, Any], marketplace: str) -> Decimal | None:
    """Return what consumers pay in the marketplace; None where it shows no price."""
    for one in listing.get("offers") or ():
        audience = (one.get("audience") or {}).get("value", EVERYBODY)
        if (one.get("marketplaceId"), one.get("offerType"), audience) == (marketplace, CONSUMERS, EVERYBODY):
            try:
                return Decimal(str(one["price"]["amount"]))
            except (KeyError, TypeError, InvalidOperation):
                return None
    return None


def issues_of(told: Mapping[str, Any]) -> str:
    """Return what Amazon has against a listing, or a change of it."""
    found = [one for one in told.get("issues") or () if isinstance(one, dict)]
    return "; ".join(f"{one.get('code')}: {one.get('message')}" for one in found)[:500]
