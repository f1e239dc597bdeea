"""Canonical messages written as the ERP's records. The external id comes from the business document, never by chance.

Every record carries `custbody_business_ref` and `custbody_doc_kind`, so that people and auditors find it by the name
that the business uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

from controlplane.connectors.contract import Codes
from controlplane.connectors.taxes import exempt_code
from controlplane.errors import BadInputError

Payload = Mapping[str, Any]


class Document(NamedTuple):
    """A record as it is put: REST type, external id, body."""

    type: str
    external_id: str
    body: dict[str, Any]


def document(entity: str, payload: Payload, codes: Codes, zone: tzinfo = UTC) -> Document:
    """Return the record for a canonical message.

    Raises UnmappedError for a code that the ERP does not know, and BadInputError for a message that this record is not made from.
    """
    kind = KINDS[entity]
    try:
        ref = str(payload[kind.ref])
        body = {"custbody_business_ref": ref, "custbody_doc_kind": kind.doc, **kind.write(payload, codes, zone)}
    except KeyError as error:
        remedy = f"nothing was sent; correct the flow, or the target's entity '{entity}'"
        raise BadInputError(f"a {kind.type} is not made from this message: it has no {error}; {remedy}") from error
    return Document(kind.type, f"{kind.prefix}-{ref}", body)


def sales_order_id(ref: str) -> str:
    """Return the external id of the sales order for an order reference."""
    return f"SO-{ref}"


def _item(sku: str, codes: Codes) -> dict[str, str]:
    return {"externalId": codes.theirs("sku", sku)}


def _location(name: str, codes: Codes) -> dict[str, str]:
    return {"id": codes.theirs("location", name)}


def _day(at: Any, zone: tzinfo) -> str:
    """The day on which something happened, where the account keeps its books."""
    return datetime.fromisoformat(str(at)).astimezone(zone).date().isoformat()


def _goods(payload: Payload, codes: Codes) -> dict[str, Any]:
    place = _location(payload["location"], codes)
    lines = [
        {"item": _item(line["sku"], codes), "quantity": line["quantity"], "location": place}
        for line in payload["lines"]
    ]
    return {"location": place, "item": {"items": lines}}


def _untaxed(line: Payload, codes: Codes) -> dict[str, dict[str, str]]:
    """The tax code under which the ERP books none, for a line whose tax a marketplace remits itself."""
    code = exempt_code(codes, "NetSuite", line)
    return {"taxCode": {"id": code}} if code else {}


def _order(payload: Payload, codes: Codes, zone: tzinfo) -> dict[str, Any]:
    lines = [
        {
            "item": _item(line["sku"], codes),
            "quantity": line["quantity"],
            "rate": str(line["unit_price"]),
            "location": _location(line["location"], codes),
            **_untaxed(line, codes),
        }
        for line in payload["lines"]
    ]
    day, place = _day(payload["placed_at"], zone), lines[0]["location"]
    return {"tranDate": day, "otherRefNum": payload["ref"], "location": place, "item": {"items": lines}}


def _fulfilment(payload: Payload, codes: Codes, zone: tzinfo) -> dict[str, Any]:
    return {
        "createdFrom": {"externalId": sales_order_id(payload["order_ref"])},
        "tranDate": _day(payload["shipped_at"], zone),
        "shipStatus": {"id": "C"},
        **_goods(payload, codes),
    }


def _receipt(payload: Payload, codes: Codes, zone: tzinfo) -> dict[str, Any]:
    day = _day(payload["received_at"], zone)
    return {"tranDate": day, "memo": f"purchase order {payload['purchase_order']}", **_goods(payload, codes)}


def _return(payload: Payload, codes: Codes, zone: tzinfo) -> dict[str, Any]:
    place = _location(payload["location"], codes)
    lines = [
        {"item": _item(line["sku"], codes), "adjustQtyBy": line["quantity"], "location": place}
        for line in payload["lines"]
    ]
    return {
        "tranDate": _day(payload["received_at"], zone),
        "memo": f"return of order {payload['order_ref']}",
        "inventory": {"items": lines},
    }


def _sale(payload: Payload, codes: Codes, zone: tzinfo) -> dict[str, Any]:
    place, quantity = _location(payload["location"], codes), int(payload["quantity"])
    if quantity < 1:
        raise BadInputError(
            f"till sale {payload['ref']} hands back {-quantity} units, and a cash sale takes goods out only; "
            "book the return in the ERP by hand and drop the record"
        )
    line = {"item": _item(payload["sku"], codes), "quantity": quantity, "rate": str(payload["unit_price"])}
    if payload.get("tax_code"):
        line["taxCode"] = {"id": codes.theirs("tax_code", payload["tax_code"])}
    line |= _untaxed(payload, codes)
    day = _day(payload["sold_at"], zone)
    return {"tranDate": day, "location": place, "item": {"items": [{**line, "location": place}]}}


def _journal(payload: Payload, codes: Codes, _zone: tzinfo) -> dict[str, Any]:
    lines = [
        {
            "account": {"id": codes.theirs("account", line["account"])},
            "debit": str(line["debit"]),
            "credit": str(line["credit"]),
            "memo": line.get("memo", ""),
        }
        for line in payload["lines"]
    ]
    memo = f"posting {payload['posting_key']}"
    return {"tranDate": payload["business_date"], "memo": memo, "line": {"items": lines}}


class Kind(NamedTuple):
    """How an entity is written: REST type, prefix of the external id, field with the reference, document kind."""

    type: str
    prefix: str
    ref: str
    doc: str
    write: Callable[[Payload, Codes, tzinfo], dict[str, Any]]


KINDS = {
    "sales_order": Kind("salesOrder", "SO", "ref", "order", _order),
    "item_fulfillment": Kind("itemFulfillment", "IF", "shipment", "shipment", _fulfilment),
    "item_receipt": Kind("itemReceipt", "IR", "receipt", "receipt", _receipt),
    "inventory_adjustment": Kind("inventoryAdjustment", "IA", "return_ref", "return", _return),
    "cash_sale": Kind("cashSale", "CS", "ref", "till_sale", _sale),
    "journal_entry": Kind("journalEntry", "JE", "posting_key", "posting", _journal),
}
"""Entity of the manifest -> how it is written."""
