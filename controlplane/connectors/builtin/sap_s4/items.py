"""Products: what they are called, cost and whether they are sold. The service is known from prose only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.connectors import odata
from controlplane.connectors.builtin.sap_s4.api import Api, external
from controlplane.connectors.contract import Draft, Record
from controlplane.connectors.records import content_key, verbatim

PAGE = 200
SMALLEST = Decimal("1e-12")
ITEM = ("Product", "LastChangeDateTime", "IsMarkedForDeletion", "CrossPlantStatus")
NAME = ("Language", "ProductDescription")
VALUE = (
    "ValuationArea", "InventoryValuationProcedure", "StandardPrice", "MovingAveragePrice", "PriceUnitQty", "Currency",
)  # fmt: skip


def changed(api: Api, since: datetime | None) -> Iterator[tuple[list[Record], str]]:
    """Yield pages of (records, latest change in them, as ISO). Raises ConnectorError."""
    chosen = {"filter": f"LastChangeDateTime ge {odata.instant(since)}"} if since else {}
    about = {"expand": "to_Description,to_Valuation"}
    for rows, answer in api.products.by_key("/A_Product", "Product", PAGE, **about, **chosen):
        try:
            latest = max(odata.read_instant(str(row["LastChangeDateTime"])) for row in rows)
            yield [_record(row) for row in rows], latest.isoformat()
        except (KeyError, TypeError, ValueError):
            answer.fail("answered a product that breaks its contract")


def _record(row: Mapping[str, Any]) -> Record:
    told: dict[str, Any] = {name: row.get(name) for name in ITEM}
    told["names"] = [{name: one.get(name) for name in NAME} for one in odata.inner(row, "to_Description")]
    told["values"] = [{name: one.get(name) for name in VALUE} for one in odata.inner(row, "to_Valuation")]
    body = verbatim(told)
    return Record("items", content_key("items", str(row["Product"]), body), body)


def draft(api: Api, told: Mapping[str, Any]) -> list[Draft]:
    """Return `product.described`. Raises UnmappedError, KeyError, TypeError, ValueError, ArithmeticError."""
    sku = api.ours(str(told["Product"]))
    at = odata.read_instant(str(told["LastChangeDateTime"]))
    cost, currency = _cost(api, told)
    active = not told.get("IsMarkedForDeletion") and not str(told.get("CrossPlantStatus") or "")
    data = {
        "sku": sku, "title": _title(told, api.option("language")), "unit_cost": cost, "unit_price": None,
        "currency": currency, "active": active,
    }  # fmt: skip
    key = f"product.described:{sku}:{at.isoformat()}:{cost}{'' if active else ':inactive'}"
    return [Draft("product.described", sku, key, at, data, source_version=at.isoformat())]


def _title(told: Mapping[str, Any], language: str) -> str:
    names = {str(one["Language"]): str(one["ProductDescription"] or "") for one in told["names"]}
    return names.get(language) or next(iter(names.values()), "") or external(str(told["Product"]))


def _cost(api: Api, told: Mapping[str, Any]) -> tuple[str | None, str]:
    """The price of one piece in the valuation area, or the only one there is: standard, or moving average."""
    area = str(api.context.options.get("valuation_area") or "")
    found = [one for one in told["values"] if not area or one["ValuationArea"] == area]
    if len(found) != 1:
        return None, api.option("currency")
    name = "StandardPrice" if found[0]["InventoryValuationProcedure"] == "S" else "MovingAveragePrice"
    price = odata.decimal(found[0][name]) / odata.decimal(found[0]["PriceUnitQty"] or "1")
    return format(price.quantize(SMALLEST).normalize(), "f"), str(found[0]["Currency"] or api.option("currency"))
