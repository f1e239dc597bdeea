"""Sales orders as the newer service has them: OData V4 over the books that the older one writes, too.

Days are ISO, decimals numbers unless text is asked for (`IEEE754Compatible`), lists stand in `value`, further pages are told relatively.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from controlplane.sandbox.sap import entities
from controlplane.sandbox.sap.books import Erp, Refusal, Row
from controlplane.sandbox.sap.services import Told, short

ROOT = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001"
TEXT = "IEEE754Compatible=true"
OPTIONS = {"$filter", "$top", "$skip", "$expand", "$skiptoken", "sap-client"}
ITEMS, PRICES = "_Item", "_ItemPricingElement"
HEAD = {
    name: name
    for name in (
        "SalesOrder", "SalesOrderType", "SalesOrganization", "DistributionChannel", "OrganizationDivision", "SoldToParty",
        "PurchaseOrderByCustomer", "CustomerPurchaseOrderDate", "TransactionCurrency", "TotalNetAmount", "CreationDate",
    )
} | {"LastChangeDateTime": "LastChangeDateTime", "to_Item": ITEMS}  # fmt: skip
ITEM = {
    "SalesOrderItem": "SalesOrderItem", "Material": "Product", "RequestedQuantity": "RequestedQuantity",
    "RequestedQuantityUnit": "RequestedQuantitySAPUnit", "ProductionPlant": "Plant", "StorageLocation": "StorageLocation",
    "NetAmount": "NetAmount", "to_PricingElement": PRICES,
}  # fmt: skip
PRICE = {
    "ConditionType": "ConditionType", "ConditionRateValue": "ConditionRateAmount", "ConditionCurrency": "ConditionCurrency",
    "ConditionQuantity": "ConditionQuantity", "ConditionQuantityUnit": "ConditionQuantitySAPUnit",
}  # fmt: skip
"""As the books call it -> as this service does."""
BELOW = {ITEMS: ITEM, PRICES: PRICE}
GIVEN = {"SalesOrder", "TotalNetAmount", "CreationDate", "LastChangeDateTime", "NetAmount"}
"""What SAP gives, and nobody who creates."""
DECIMALS = {"RequestedQuantity", "NetAmount", "TotalNetAmount", "ConditionRateAmount", "ConditionQuantity"}


def handle(erp: Erp, method: str, path: str, asked: Mapping[str, str], headers: Mapping[str, str], body: Any) -> Told:
    """Answer one request; `headers` with names in lower case. A refusal is an answer, too."""
    as_text = TEXT in headers.get("accept", "")
    try:
        if method == "GET" and path in ("", "SalesOrder"):
            return Told(200, _list(erp, asked, as_text=as_text) if path else {"value": [{"name": "SalesOrder"}]})
        if method != "POST" or path != "SalesOrder" or not isinstance(body, dict):
            raise Refusal("/IWBEP/CM_V4_COS/021", f"Resource not found for the segment '{path}'", 404)
        row = erp.together(lambda: erp.order(_taken(body, HEAD, TEXT in headers.get("content-type", ""))))
        return Told(201, _told(erp, row, HEAD, {ITEMS}, as_text=as_text), _headers(row, short(erp, row)))
    except Refusal as refusal:
        return told_of(refusal)


def told_of(refusal: Refusal) -> Told:
    """Return a refusal as V4 writes it."""
    details = [{"code": refusal.code, "message": one, "target": ""} for one in refusal.details]
    return Told(refusal.status, {"error": {"code": refusal.code, "message": refusal.words, "details": details}})


def _headers(row: Row, warning: str) -> dict[str, str]:
    said = [{"code": "V1/555", "message": warning, "numericSeverity": 3, "target": ""}]
    return {"ETag": entities.tag_of(row), **({"sap-messages": json.dumps(said)} if warning else {})}


def _list(erp: Erp, asked: Mapping[str, str], *, as_text: bool) -> Row:
    if odd := [name for name in asked if name not in OPTIONS]:
        raise Refusal("/IWBEP/CM_V4_COS/014", f"System query option '{odd[0]}' is not supported")
    found = [row for row in erp.books.orders.values() if entities.fits(row, asked.get("$filter", ""))]
    start = int(asked.get("$skip") or 0) + int(asked.get("$skiptoken") or 0)
    left = found[start:][: int(asked["$top"])] if "$top" in asked else found[start:]
    given = left[: erp.most] if erp.most else left
    wanted = set(filter(None, asked.get("$expand", "").split(",")))
    told: Row = {"value": [_told(erp, row, HEAD, wanted, as_text=as_text) for row in given]}
    if len(given) < len(left):
        more = {name: value for name, value in asked.items() if name in ("$filter", "$expand")}
        told["@odata.nextLink"] = f"SalesOrder?$skiptoken={start + len(given)}" + "".join(
            f"&{name}={value}" for name, value in more.items()
        )
    return told


def _told(erp: Erp, row: Row, names: Mapping[str, str], wanted: set[str], *, as_text: bool) -> Row:
    told: Row = {}
    for theirs, name in names.items():
        if name in BELOW:
            if name in wanted:
                inside = row.get(theirs) or []
                held = inside["results"] if isinstance(inside, Mapping) else inside
                told[name] = [_told(erp, one, BELOW[name], set(), as_text=as_text) for one in held]
        elif theirs in row:
            told[name] = _value(erp, name, row[theirs], as_text=as_text)
    if tag := entities.tag_of(row):
        told["@odata.etag"] = tag
    return told


def _value(erp: Erp, name: str, value: Any, *, as_text: bool) -> Any:
    if name in DECIMALS:
        return str(value) if as_text else float(value)
    if isinstance(value, datetime):
        told = value.isoformat().replace("+00:00", "Z")
        return told if name.endswith("DateTime") else told[:10]
    if name == "CustomerPurchaseOrderDate" and str(value).startswith("/Date("):
        return datetime.fromtimestamp(int(value[6:-2].partition("+")[0]) / 1000, UTC).date().isoformat()
    return str(value).zfill(18) if name == "Product" and erp.padded and str(value).isdigit() else value


def _taken(body: Row, names: Mapping[str, str], as_text: bool) -> Row:
    """The row of the books that a body asks for. Raises Refusal for a property that is not there, a decimal written otherwise."""
    known = {name: theirs for theirs, name in names.items() if name not in GIVEN}
    row: Row = {}
    for name, value in body.items():
        if name not in known:
            raise Refusal("/IWBEP/CM_V4_COS/071", f"The property '{name}' does not exist in this entity type")
        if name in BELOW:
            row[known[name]] = {"results": [_taken(one, BELOW[name], as_text) for one in value]}
        elif name in DECIMALS and isinstance(value, str) is not as_text:
            raise Refusal("/IWBEP/CM_V4_COS/063", f"Error while parsing the value {json.dumps(value)} of '{name}'")
        else:
            row[known[name]] = str(Decimal(str(value))) if name in DECIMALS else value
    return row
