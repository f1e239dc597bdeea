"""Entities as they are told: instants as `/Date(ms)/`, decimals as text, links for what is not expanded; lists and their filters."""

import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from controlplane.sandbox.sap.books import Erp, Refusal, Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TERM = re.compile(r"\s*(and|or)?\s*(\w+)\s+(eq|ne|gt|ge|lt|le)\s+(datetimeoffset|datetime)?'((?:[^']|'')*)'\s*")
COMPARE = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
MONEY = {
    "StandardPrice",
    "MovingAveragePrice",
    "NetAmount",
    "TotalNetAmount",
    "ConditionRateValue",
    "AmountInTransactionCurrency",
}
OPTIONS = {
    "$filter",
    "$top",
    "$skip",
    "$orderby",
    "$select",
    "$expand",
    "$inlinecount",
    "$format",
    "$skiptoken",
    "sap-client",
}


def stock(erp: Erp) -> list[Row]:
    """Return materials with their stock."""
    rows = []
    for material in erp.books.products:
        held = [
            {
                "Material": material, "Plant": plant, "StorageLocation": storage, "Batch": "", "Supplier": "", "Customer": "",
                "WBSElementInternalID": "0", "SDDocument": "", "SDDocumentItem": "0", "InventorySpecialStockType": "",
                "InventoryStockType": kind, "MaterialBaseUnit": "PC", "MatlWrhsStkQtyInMatlBaseUnit": quantity,
            }
            for (name, plant, storage, kind), quantity in erp.books.stock.items()
            if name == material
        ]  # fmt: skip
        rows.append({"Material": material, "MaterialBaseUnit": "PC", "to_MatlStkInAcctMod": held})
    return rows


def products(erp: Erp) -> list[Row]:
    """Return products with their names and values."""
    rows = []
    for name, told in erp.books.products.items():
        value = {
            "Product": name, "ValuationArea": "1010", "ValuationType": "", "InventoryValuationProcedure": "S",
            "StandardPrice": told["cost"], "MovingAveragePrice": told["cost"], "PriceUnitQty": Decimal(1), "Currency": "USD",
        }  # fmt: skip
        rows.append({
            "Product": name, "ProductType": "HAWA", "BaseUnit": "PC", "CrossPlantStatus": "" if told["sold"] else "01",
            "IsMarkedForDeletion": False, "LastChangeDateTime": told["at"], "to_Valuation": [value],
            "to_Description": [{"Product": name, "Language": "EN", "ProductDescription": told["title"]}],
        })  # fmt: skip
    return rows


def chosen(erp: Erp, rows: list[Row], asked: Mapping[str, str], here: str) -> Row:
    """Return the `d` of a list. Raises Refusal."""
    odd = [name for name in asked if name not in OPTIONS]
    if odd:
        raise Refusal(
            "/IWFND/CM_CORE/024",
            f"The Data Services Request contains SystemQueryOptions that are not allowed: {odd[0]}",
        )
    found = [row for row in rows if fits(row, asked.get("$filter", ""))]
    name, _, way = asked.get("$orderby", "").partition(" ")
    if name:
        found.sort(key=lambda row: row[name], reverse=way == "desc")
    total, start = len(found), int(asked.get("$skip") or 0) + int(asked.get("$skiptoken") or 0)
    left = found[start:][: int(asked["$top"])] if "$top" in asked else found[start:]
    given = left[: erp.most] if erp.most else left
    wanted = set(filter(None, asked.get("$expand", "").split(",")))
    told: Row = {"results": [expose(erp, row, wanted, asked.get("$select", "")) for row in given]}
    if asked.get("$inlinecount") == "allpages":
        told["__count"] = str(total)
    if len(given) < len(left):
        told["__next"] = f"{here}?$skiptoken={start + len(given)}" + "".join(
            f"&{name}={value}" for name, value in asked.items() if name not in ("$skiptoken", "$skip", "$top")
        )
    return told


def fits(row: Mapping[str, Any], condition: str) -> bool:
    """Judge a row by a filter: `and` binds closer than `or`. Raises Refusal."""
    return any(all(_fits(row, *term) for term in group) for group in _groups(condition)) if condition else True


def _groups(condition: str) -> Iterator[list[tuple[str, str, str, str]]]:
    at = 0
    group: list[tuple[str, str, str, str]] = []
    while at < len(condition):
        found = _TERM.match(condition, at)
        if found is None or (at > 0) != bool(found[1]):
            raise Refusal("/IWBEP/CM_MGW/022", f"Invalid filter at position {at}")
        if found[1] == "or":
            yield group
            group = []
        group.append((found[2], found[3], found[4] or "", found[5].replace("''", "'")))
        at = found.end()
    yield group


def _fits(row: Mapping[str, Any], name: str, how: str, kind: str, literal: str) -> bool:
    if name not in row:
        raise Refusal("/IWBEP/CM_MGW/010", f"Property {name} not found in the entity")
    held, wanted = row[name], literal
    if kind:
        if held is None:
            return False
        return bool(COMPARE[how](held, datetime.fromisoformat(literal)))
    if name in ("Material", "Product") and literal.isdigit():
        wanted = literal.lstrip("0")
    return bool(COMPARE[how](str(held), wanted))


def expose(erp: Erp, row: Mapping[str, Any], wanted: Iterable[str] = (), select: str = "") -> Row:
    """Return an entity as it is told."""
    named = set(filter(None, select.split(",")))
    told: Row = {}
    for name, value in row.items():
        if name == "version" or (named and name not in named):
            continue
        if name.startswith("to_"):
            inside = [expose(erp, one) for one in (value["results"] if isinstance(value, Mapping) else value)]
            told[name] = {"results": inside} if name in wanted else {"__deferred": {"uri": name}}
        else:
            told[name] = _told(erp, name, value)
    if tag := tag_of(row):
        told["__metadata"] = {"etag": tag}
    return told


def _told(erp: Erp, name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        zone = "" if value.tzinfo is None else "+0000"
        at = value if value.tzinfo else value.replace(tzinfo=UTC)
        return f"/Date({int((at - EPOCH).total_seconds() * 1000)}{zone})/"
    if isinstance(value, Decimal):
        return format(value, ".2f" if name in MONEY else ".3f")
    if erp.padded and name in ("Material", "Product") and str(value).isdigit():
        return str(value).zfill(40)
    return value


def tag_of(row: Mapping[str, Any]) -> str:
    """Return the ETag of what has one."""
    if "version" in row:
        return f"W/\"'{row['version']:04d}'\""
    if "SalesOrder" in row and "LastChangeDateTime" in row:
        return f"W/\"datetimeoffset'{row['LastChangeDateTime'].isoformat()}'\""
    return ""
