"""What tax an order was charged and where it goes, of the webhook's REST shape and the poll's GraphQL shape alike."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from controlplane.connectors import taxes
from controlplane.connectors.contract import Context
from rules.units import exact

SHIP_TO = "shipTo"


def stripped(context: Context, node: dict[str, Any]) -> dict[str, Any]:
    """Return a polled order with no more of the address than tax depends on, and policy shows."""
    address = node.get("shippingAddress") or {}
    told = taxes.place(context, address.get("countryCodeV2"), address.get("provinceCode"), address.get("zip"))
    return {**{name: value for name, value in node.items() if name != "shippingAddress"}, SHIP_TO: told}


def of_order(context: Context, body: Mapping[str, Any], currency: str, *, polled: bool) -> dict[str, Any]:
    """Return `tax` and `ship_to` of an order, as far as the shop tells them. Raises like a record that breaks its contract."""
    if polled:
        total = _shop_money(body.get("totalTaxSet"))
        return {"tax": taxes.money(total, currency), "ship_to": body.get(SHIP_TO)}
    address = body.get("shipping_address") or {}
    place = taxes.place(context, address.get("country_code"), address.get("province_code"), address.get("zip"))
    told = body.get("total_tax")
    return {"tax": taxes.money(None if told is None else exact(told), currency), "ship_to": place}


def of_line(context: Context, body: Mapping[str, Any], line: Mapping[str, Any], currency: str, *, polled: bool) -> Any:
    """Return the `tax` of a line; None where the shop does not tell it."""
    rows, included = (
        line.get("taxLines" if polled else "tax_lines"),
        body.get("taxesIncluded" if polled else "taxes_included"),
    )
    if rows is None or included is None:
        return None
    rates = [exact(row["rate"]) for row in rows if row.get("rate") is not None]
    titles = [str(row.get("title") or "") for row in rows]
    return taxes.of_line(
        context,
        currency,
        [_amount(row, polled=polled) for row in rows],
        rates=rates,
        jurisdictions=titles,
        included=bool(included),
        remitted=[_remitted(row, polled=polled) for row in rows],
    )


def _remitted(row: Mapping[str, Any], *, polled: bool) -> bool | None:
    """Whether the channel that sold it remits this tax; None where that is not known."""
    told = row.get("channelLiable" if polled else "channel_liable")
    return None if told is None else bool(told)


def _amount(row: Mapping[str, Any], *, polled: bool) -> Decimal:
    return (_shop_money(row["priceSet"]) or Decimal(0)) if polled else exact(row["price"])


def _shop_money(told: Mapping[str, Any] | None) -> Decimal | None:
    return exact(told["shopMoney"]["amount"]) if told else None
