"""Orders that were completed at a till, line by line; what was handed back counts negative. No personal data passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.connectors import taxes
from controlplane.connectors.builtin.square.api import Api, whole
from controlplane.connectors.contract import Context, Draft, Record
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError
from rules.money import MINOR_UNITS
from rules.units import exact

PATH = "/v2/orders/search"
PAGE = 500
SMALLEST = Decimal("1e-12")
HIDDEN = ("customer_id", "fulfillments", "tenders", "refunds", "metadata", "ticket_name", "source")
"""What may speak of a person, or is of no interest; never kept. Of the source its name is, for that tells who remits the tax."""


def completed(api: Api, locations: list[str], since: datetime | None) -> Iterator[tuple[list[Record], str]]:
    """Yield pages of (records, latest change in them), oldest change first: sales that a till made offline come late."""
    chosen: dict[str, Any] = {"state_filter": {"states": ["COMPLETED"]}}
    if since:
        chosen["date_time_filter"] = {"updated_at": {"start_at": since.isoformat().replace("+00:00", "Z")}}
    sort = {"sort_field": "UPDATED_AT", "sort_order": "ASC"}
    for at in range(0, len(locations), 10):
        asked = {"location_ids": locations[at : at + 10], "limit": PAGE, "query": {"filter": chosen, "sort": sort}}
        for rows, answer in api.rows(PATH, asked, "orders"):
            try:
                latest = max((str(row["updated_at"]) for row in rows), default="")
                yield [record(row) for row in rows], latest
            except (KeyError, TypeError):
                answer.fail("answered an order that breaks its contract")


def record(row: Mapping[str, Any]) -> Record:
    """Return an order as it is kept."""
    told = {name: value for name, value in row.items() if name not in HIDDEN}
    told |= {"source": {"name": _source(row)}}
    body = verbatim(told)
    return Record("orders", content_key("orders", f"{row['id']}@{row.get('version', '')}", body), body)


def drafts(context: Context, api: Api, order: Mapping[str, Any]) -> list[Draft]:
    """Return a `sale.recorded` for each line. Raises BadInputError, UnmappedError, ConnectorError, KeyError, TypeError, ValueError."""
    if order.get("state") != "COMPLETED":
        return []
    sold_at = str(order.get("closed_at") or order["created_at"])
    location = context.codes.ours("location", str(order["location_id"]))
    sold = [(line, 1) for line in order.get("line_items") or ()]
    back = [(line, -1) for one in order.get("returns") or () for line in one.get("return_line_items") or ()]
    goods = [
        (line, sign)
        for line, sign in [*sold, *back]
        if line.get("item_type", "ITEM") == "ITEM" and not _is_nothing(line)
    ]
    api.learn(str(line.get("catalog_object_id") or "") for line, _ in goods)
    made = []
    for line, sign in goods:
        ref = f"{order['id']}/{line['uid']}"
        if not line.get("catalog_object_id"):
            raise BadInputError(
                f"the line '{line.get('name')}' of sale {order['id']} is of no article; correct the record",
                "line_items",
            )
        data = {
            "ref": ref, "location": location, "sku": api.sku_of(str(line["catalog_object_id"])), "sold_at": sold_at,
            "quantity": sign * whole(line["quantity"], f"the quantity of {ref}"), **_price(line),
            "tax": _tax(context, order, line, sign),
        }  # fmt: skip
        made.append(Draft("sale.recorded", ref, f"sale.recorded:{ref}", datetime.fromisoformat(sold_at), data))
    return made


def _is_nothing(line: Mapping[str, Any]) -> bool:
    """Whether a line is of no unit and no money. One of no unit that costs something breaks the contract, and is told by name."""
    return not exact(line["quantity"]) and not int((line.get("total_money") or {}).get("amount", 0))


def _tax(context: Context, order: Mapping[str, Any], line: Mapping[str, Any], sign: int) -> dict[str, Any] | None:
    """What was charged, or given back; None where Square does not tell it. A marketplace remits what was ordered through it."""
    total = line.get("total_tax_money")
    if total is None:
        return None
    applied = {one.get("tax_uid") for one in line.get("applied_taxes") or ()}
    known = [one for one in _taxes(order) if one.get("uid") in applied]
    rates = [exact(one["percentage"]).scaleb(-2) for one in known if one.get("percentage") is not None]
    rate = sum(rates, Decimal(0)) if rates and len(rates) == len(applied) else None
    currency = str(total["currency"])
    amount = sign * Decimal(int(total["amount"])).scaleb(-MINOR_UNITS.get(currency, 2))
    names = [str(one.get("name") or "") for one in known]
    return taxes.of_line(
        context, currency, [amount], rates=[] if rate is None else [rate], jurisdictions=names, remitted=[_elsewhere(context, order)]
    )  # fmt: skip


def _taxes(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The order's taxes, and those of what was handed back with it."""
    return [
        *(order.get("taxes") or ()),
        *(tax for one in order.get("returns") or () for tax in one.get("return_taxes") or ()),
    ]


def _elsewhere(context: Context, order: Mapping[str, Any]) -> bool | None:
    """Whether the order came from a marketplace that remits its tax; None where Square does not say where from."""
    name = _source(order)
    return name in context.options.get("marketplaces", ()) if name else None


def _source(order: Mapping[str, Any]) -> str | None:
    told = order.get("source")
    name = told.get("name") if isinstance(told, dict) else None
    return name if isinstance(name, str) else None


def _price(line: Mapping[str, Any]) -> dict[str, str]:
    """What one cost, net of discounts and tax: so that all of them together are exact to the minor unit."""
    total, currency = line["total_money"], str(line["total_money"]["currency"])
    net = int(total["amount"]) - int((line.get("total_tax_money") or {}).get("amount", 0))
    amount = Decimal(net).scaleb(-MINOR_UNITS.get(currency, 2)) / exact(line["quantity"])
    return {"unit_price": format(amount.quantize(SMALLEST).normalize(), "f"), "currency": currency}
