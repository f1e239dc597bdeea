"""What the warehouse tells, read into drafts. Webhook and poll bring the same objects, so they make the same drafts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controlplane.connectors.contract import Codes, Draft
from controlplane.errors import BadInputError
from rules.model.messages import stock_key

Reader = Callable[[Mapping[str, Any], Codes], list[Draft]]


def read(body: Mapping[str, Any], codes: Codes) -> list[Draft]:
    """Return the drafts of a webhook body, or of a polled object wrapped the same way. Raises BadInputError."""
    try:
        return [draft for name, reader in READERS.items() if name in body for draft in reader(body[name], codes)]
    except BadInputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"the record breaks the warehouse's contract: {error!r}; correct it, or drop it") from error


def _stock(levels: Any, codes: Codes) -> list[Draft]:
    return [_level(level, codes) for level in levels]


def _level(told: Mapping[str, Any], codes: Codes) -> Draft:
    sku, location = codes.ours("sku", told["sku"]), codes.ours("location", str(told["warehouse_id"]))
    counts = {
        "on_hand": int(told["on_hand"]),
        "allocated": int(told["allocated"]),
        "available": int(told["available"]),
        "in_transit": int(told["on_order"]),
    }
    version, subject = str(told["updated_at"]), stock_key(sku, location)
    # several changes may fall into one millisecond: only the counts tell them apart
    state = "/".join(str(count) for count in counts.values())
    data = {"sku": sku, "location": location, **counts, "source_at": version}
    key = f"stock.level:{subject}:{version}:{state}"
    return Draft("stock.level", subject, key, datetime.fromisoformat(version), data, source_version=version)


def _shipment(told: Mapping[str, Any], codes: Codes) -> list[Draft]:
    data = {
        "shipment": str(told["id"]),
        "order_ref": str(told["order_number"]),
        "location": codes.ours("location", str(told["warehouse_id"])),
        "shipped_at": told["shipped_at"],
        "carrier": told.get("carrier") or "",
        "tracking": told.get("tracking_number") or "",
        "lines": _lines(told["line_items"], codes),
    }
    return _document("shipment.shipped", data["shipment"], data["shipped_at"], data)


def _receipts(told: Mapping[str, Any], codes: Codes) -> list[Draft]:
    location = codes.ours("location", str(told["warehouse_id"]))
    drafts: list[Draft] = []
    for receipt in told.get("receipts") or ():
        data = {
            "receipt": str(receipt["id"]),
            "purchase_order": str(told["po_number"]),
            "location": location,
            "received_at": receipt["received_at"],
            "lines": _lines([receipt], codes),
        }
        drafts += _document("receipt.received", data["receipt"], data["received_at"], data)
    return drafts


def _return(told: Mapping[str, Any], codes: Codes) -> list[Draft]:
    shelved = [line for line in told["line_items"] if line.get("restocked", True)]
    data = {
        "return_ref": str(told["id"]),
        "order_ref": str(told["order_number"]),
        "location": codes.ours("location", str(told["warehouse_id"])),
        "received_at": told["received_at"],
        "lines": _lines(shelved, codes),
    }
    return _document("return.received", data["return_ref"], data["received_at"], data)


def _document(kind: str, ref: str, at: str, data: dict[str, Any]) -> list[Draft]:
    return [Draft(kind, ref, f"{kind}:{ref}", datetime.fromisoformat(at), data)] if data["lines"] else []


def _lines(told: Any, codes: Codes) -> list[dict[str, Any]]:
    return [
        {"sku": codes.ours("sku", line["sku"]), "quantity": int(line["quantity"])}
        for line in told
        if int(line["quantity"]) > 0
    ]


READERS: dict[str, Reader] = {
    "inventory": _stock,
    "shipment": _shipment,
    "purchase_order": _receipts,
    "return": _return,
}
"""Name of the object in a webhook's body -> its reader."""
