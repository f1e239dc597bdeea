"""The OData services: what is asked of which, and what each answers. One request, or a part of a batch: both come by here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from controlplane.sandbox.sap import entities
from controlplane.sandbox.sap.books import Erp, Refusal, Row, amount, inner

ROOT = "/sap/opu/odata/sap"
_KEYED = re.compile(r"(\w+)\('((?:[^']|'')*)'\)(?:/(\w+))?")
LISTS: dict[str, dict[str, Callable[[Erp], list[Row]]]] = {
    "API_MATERIAL_STOCK_SRV": {"A_MaterialStock": entities.stock},
    "API_PRODUCT_SRV": {"A_Product": entities.products},
    "API_SALES_ORDER_SRV": {"A_SalesOrder": lambda erp: list(erp.books.orders.values())},
    "API_OUTBOUND_DELIVERY_SRV;v=0002": {
        "A_OutbDeliveryHeader": lambda erp: list(erp.books.deliveries.values()),
        "A_OutbDeliveryItem": lambda erp: [
            one for row in erp.books.deliveries.values() for one in row["to_DeliveryDocumentItem"]
        ],
    },
    "API_MATERIAL_DOCUMENT_SRV": {"A_MaterialDocumentHeader": lambda erp: list(erp.books.documents)},
    "API_JOURNALENTRYITEMBASIC_SRV": {"A_JournalEntryItemBasic": lambda erp: list(erp.books.entries)},
}
ORDER = {
    "SalesOrder", "SalesOrderType", "SalesOrganization", "DistributionChannel", "OrganizationDivision", "SoldToParty",
    "PurchaseOrderByCustomer", "CustomerPurchaseOrderDate", "SalesOrderDate", "RequestedDeliveryDate", "TransactionCurrency", "to_Item",
}  # fmt: skip
ORDER_ITEM = {
    "SalesOrderItem", "Material", "RequestedQuantity", "RequestedQuantityUnit", "ProductionPlant", "StorageLocation",
    "ProductTaxClassification1", "to_PricingElement",
}  # fmt: skip
DELIVERY = {"to_DeliveryDocumentItem"}
DELIVERY_ITEM = {"ReferenceSDDocument", "ReferenceSDDocumentItem", "ActualDeliveryQuantity", "DeliveryQuantityUnit"}
CHANGES = {"BillOfLading", "DeliveryDocumentBySupplier", "MeansOfTransport"}
DOCUMENT = {
    "GoodsMovementCode", "DocumentDate", "PostingDate", "ReferenceDocument", "MaterialDocumentHeaderText", "to_MaterialDocumentItem",
}  # fmt: skip
DOCUMENT_ITEM = {
    "GoodsMovementType", "Material", "Plant", "StorageLocation", "QuantityInEntryUnit", "EntryUnit", "GoodsMovementReasonCode",
}  # fmt: skip
LENGTHS = {
    "PurchaseOrderByCustomer": 35,
    "BillOfLading": 35,
    "ReferenceDocument": 16,
    "MaterialDocumentHeaderText": 25,
    "Material": 40,
}


@dataclass(frozen=True)
class Told:
    """What is answered; None for nothing."""

    status: int
    body: Row | None = None
    headers: dict[str, str] = field(default_factory=dict)


def handle(
    erp: Erp, service: str, method: str, path: str, asked: Mapping[str, str], headers: Mapping[str, str], body: Any
) -> Told:
    """Answer one request of a service; `headers` with names in lower case. A refusal is an answer, too."""
    try:
        if service not in LISTS:
            raise Refusal("/IWFND/MED/170", f"No service found for namespace '', name '{service}', version '0001'", 403)
        if method == "GET":
            return _read(erp, service, path, asked)
        return _change(erp, method, service, path, asked, headers, body)
    except Refusal as refusal:
        return told_of(refusal)


def told_of(refusal: Refusal) -> Told:
    """Return a refusal as SAP writes it."""
    details = [
        {"code": refusal.code, "message": one, "severity": "error", "target": ""}
        for one in (refusal.words, *refusal.details)
    ]
    message = {"lang": "en", "value": refusal.words}
    inside = {"transactionid": "0", "errordetails": details}
    return Told(refusal.status, {"error": {"code": refusal.code, "message": message, "innererror": inside}})


def _read(erp: Erp, service: str, path: str, asked: Mapping[str, str]) -> Told:
    if not path:
        return Told(200, {"d": {"EntitySets": sorted(LISTS[service])}})
    if found := _KEYED.fullmatch(path):
        row = _entity(erp, service, found[1], found[2])
        wanted = set(filter(None, asked.get("$expand", "").split(",")))
        tag = entities.tag_of(row)
        return Told(200, {"d": entities.expose(erp, row, wanted)}, {"ETag": tag} if tag else {})
    if path not in LISTS[service]:
        raise Refusal("/IWFND/CM_CORE/007", f"Resource not found for the segment '{path}'", 404)
    return Told(200, {"d": entities.chosen(erp, LISTS[service][path](erp), asked, path)})


def _entity(erp: Erp, service: str, kind: str, key: str) -> Row:
    held = {"A_SalesOrder": erp.books.orders, "A_OutbDeliveryHeader": erp.books.deliveries}.get(kind)
    row = held.get(unquote(key)) if held is not None and kind in LISTS[service] else None
    if row is None:
        raise Refusal("/IWBEP/CM_MGW_RT/020", f"Resource not found for the key '{key}'", 404)
    return row


def _change(
    erp: Erp, method: str, service: str, path: str, asked: Mapping[str, str], headers: Mapping[str, str], body: Any
) -> Told:
    if method == "POST" and service.startswith("API_OUTBOUND") and path in ("PickAllItems", "PostGoodsIssue"):
        return _called(erp, service, path, asked, headers)
    if method in ("PATCH", "MERGE") and (found := _KEYED.fullmatch(path)):
        return _patched(erp, service, found, headers, body)
    if method != "POST" or not isinstance(body, dict):
        raise Refusal("/IWFND/CM_CORE/001", f"Method {method} not allowed for {path}", 405)
    match path:
        case "A_SalesOrder":
            _only(body, ORDER)
            for one in inner(body, "to_Item"):
                _only(one, ORDER_ITEM)
            row = erp.together(lambda: erp.order(body))
            return _created(erp, row, short(erp, row))
        case "A_OutbDeliveryHeader":
            _only(body, DELIVERY)
            for one in inner(body, "to_DeliveryDocumentItem"):
                _only(one, DELIVERY_ITEM)
            return _created(erp, erp.together(lambda: erp.deliver(body)))
        case "A_MaterialDocumentHeader":
            _only(body, DOCUMENT)
            for one in inner(body, "to_MaterialDocumentItem"):
                _only(one, DOCUMENT_ITEM)
            return _created(erp, erp.together(lambda: erp.move(body)))
    raise Refusal("/IWFND/CM_CORE/007", f"Resource not found for the segment '{path}'", 404)


def _created(erp: Erp, row: Row, warning: str = "") -> Told:
    tag = entities.tag_of(row)
    headers = {"ETag": tag} if tag else {}
    if warning:
        headers["sap-message"] = f'{{"code":"V1/555","message":"{warning}","severity":"warning","details":[]}}'
    return Told(201, {"d": entities.expose(erp, row)}, headers)


def short(erp: Erp, order: Row) -> str:
    """Return what SAP warns of: an item of which there is not enough; empty for nothing."""
    for one in order["to_Item"]:
        held = erp.books.stock.get((one["Material"], one["ProductionPlant"], one["StorageLocation"], "01"))
        if held is None or held < amount(one, "RequestedQuantity"):
            return f"Item {one['SalesOrderItem']}: requested quantity is not available"
    return ""


def _only(told: Row, known: set[str]) -> None:
    for name, value in told.items():
        if name not in known:
            raise Refusal("/IWBEP/CM_MGW_RT/043", f"Property '{name}' is invalid")
        if isinstance(value, str) and len(value) > LENGTHS.get(name, 1000):
            raise Refusal("/IWBEP/CM_MGW/096", f"Property '{name}' has invalid value '{value}'")


def _matching(row: Row, headers: Mapping[str, str]) -> None:
    told = headers.get("if-match")
    if not told:
        raise Refusal(
            "/IWFND/CM_MGW/428", "Data Services Request is required to be conditional. Try using 'If-Match'", 428
        )
    if told not in ("*", entities.tag_of(row)):
        raise Refusal("/IWFND/CM_MGW/412", "Precondition Failed: the resource has been changed by another user", 412)


def _patched(erp: Erp, service: str, found: re.Match[str], headers: Mapping[str, str], body: Any) -> Told:
    row = _entity(erp, service, found[1], found[2])
    _matching(row, headers)
    told = body.get("d", body) if isinstance(body, dict) else {}
    _only(told, CHANGES)
    erp.free(found[2], "VL/046", "Delivery {} is currently being processed by user {}")
    row |= {**told, "version": row["version"] + 1}
    return Told(204, None, {"ETag": entities.tag_of(row)})


def _called(erp: Erp, service: str, path: str, asked: Mapping[str, str], headers: Mapping[str, str]) -> Told:
    number = str(asked.get("DeliveryDocument") or "").strip("'")
    row = _entity(erp, service, "A_OutbDeliveryHeader", number)
    _matching(row, headers)
    erp.together(lambda: erp.pick(row) if path == "PickAllItems" else erp.issue(row))
    report = {
        "SystemMessageIdentification": "VL", "SystemMessageNumber": "000", "SystemMessageType": "S",
        "DeliveryDocument": number, "DeliveryDocumentItem": "",
    }  # fmt: skip
    return Told(200, {"d": {"results": [report]}})
