"""Changes of a listing as JSON Patch tells them: the quantity that the seller ships, and the price of an offer."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from controlplane.sandbox.amazon.market import MERCHANT

QUANTITY, OFFER = "/attributes/fulfillment_availability", "/attributes/purchasable_offer"


def read(patches: Sequence[Mapping[str, Any]], marketplace: str) -> tuple[str, Any]:
    """Return what of a listing is changed, and to what. Raises ValueError with the issue's words."""
    [told] = patches
    if told["op"] not in ("replace", "merge") or told["path"] not in (QUANTITY, OFFER):
        raise ValueError(f"'{told['op']}' of '{told['path']}' is not supported")
    value = told["value"][0]
    return _quantity(value) if told["path"] == QUANTITY else _price(value, marketplace)


def _quantity(value: Mapping[str, Any]) -> tuple[str, Any]:
    quantity = value.get("quantity")
    if value.get("fulfillment_channel_code") != MERCHANT or not isinstance(quantity, int) or quantity < 0:
        raise ValueError("'quantity' is no whole number")
    return "quantity", quantity


def _price(value: Mapping[str, Any], marketplace: str) -> tuple[str, Any]:
    if value.get("marketplace_id") != marketplace or value.get("currency") != "USD":
        raise ValueError("'purchasable_offer' is of another marketplace, or in another currency")
    price = Decimal(str(value["our_price"][0]["schedule"][0]["value_with_tax"]))
    if price <= 0:
        raise ValueError("'our_price' has to be more than 0")
    return "price", f"{price:.2f}"


def issue(message: str) -> dict[str, Any]:
    """Return an issue as the vendor writes one."""
    return {"code": "90220", "message": message, "severity": "ERROR", "categories": ["INVALID_ATTRIBUTE"]}
