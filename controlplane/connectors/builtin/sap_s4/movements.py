"""Goods movements as material documents: receipts, returns, sales of the tills. Known by a mark in the reference document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from controlplane.connectors import odata
from controlplane.connectors.builtin.sap_s4.api import Api, mark
from controlplane.connectors.contract import Write
from controlplane.errors import BadInputError
from rules.outcomes import Outcome, Result

RECEIPT, ISSUE = "05", "03"
"""Codes of transactions: other goods receipt, goods issue."""
SOLD, HANDED_BACK = "251", "252"
"""Goods issue of a sale without a sales order, and its reversal."""


class Kind(NamedTuple):
    """Members of the message: its reference, and when goods moved; option with the movement type, or empty."""

    ref: str
    at: str
    movement: str


KINDS = {
    "item_receipt": Kind("receipt", "received_at", "receipt_movement"),
    "inventory_adjustment": Kind("return_ref", "received_at", "return_movement"),
    "cash_sale": Kind("ref", "sold_at", ""),
}


class Movements:
    """Material documents of one tenant."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def post(self, request: Write) -> Outcome:
        """Move goods, unless SAP has them moved."""
        body = self._body(request)
        if held := self._held(request):
            return held
        made, answer = self._api.documents.create("/A_MaterialDocumentHeader", body)
        native = f"{made.get('MaterialDocumentYear')}/{made.get('MaterialDocument')}"
        return Outcome(Result.DELIVERED, odata.warnings(answer.headers), native_id=native, evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Look for the document."""
        return self._held(request) or Outcome(Result.ABSENT, f"SAP has no material document of {request.business_ref}")

    def _held(self, request: Write) -> Outcome | None:
        ours = mark(request.entity, str(request.payload[KINDS[request.entity].ref]))
        chosen = f"ReferenceDocument eq {odata.text(ours)}"
        for rows, _ in self._api.documents.rows("/A_MaterialDocumentHeader", filter=chosen):
            for row in rows:
                if row.get("ReferenceDocument") == ours:
                    native = f"{row.get('MaterialDocumentYear')}/{row.get('MaterialDocument')}"
                    detail = f"SAP has {request.business_ref} as material document {native}"
                    return Outcome(Result.ALREADY_DELIVERED, detail, native_id=native)
        return None

    def _body(self, request: Write) -> dict[str, Any]:
        kind, payload = KINDS[request.entity], request.payload
        try:
            ref, day = str(payload[kind.ref]), odata.date(str(payload[kind.at]))
            items, code = self._items(kind, payload)
        except KeyError as error:
            remedy = f"nothing was sent; correct the flow, or the target's entity '{request.entity}'"
            raise BadInputError(
                f"a material document is not made from this message: it has no {error}; {remedy}"
            ) from error
        return {
            "GoodsMovementCode": code, "DocumentDate": day, "PostingDate": day,
            "ReferenceDocument": mark(request.entity, ref), "MaterialDocumentHeaderText": ref[:25],
            "to_MaterialDocumentItem": {"results": items},
        }  # fmt: skip

    def _items(self, kind: Kind, payload: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
        if kind.movement:
            movement, lines = self._api.option(kind.movement), payload["lines"]
        else:
            count = int(payload["quantity"])
            if not count:
                raise BadInputError("a sale of nothing moves no goods; drop the record", "quantity")
            movement = SOLD if count > 0 else HANDED_BACK
            lines = [{"sku": payload["sku"], "quantity": abs(count)}]
        plant, storage = self._api.place(str(payload["location"]))
        items = [
            {
                "GoodsMovementType": movement, "Material": self._api.theirs(str(line["sku"])), "Plant": plant,
                "StorageLocation": storage, "QuantityInEntryUnit": str(line["quantity"]),
                "EntryUnit": self._api.option("unit"),
            }
            for line in lines
        ]  # fmt: skip
        return items, RECEIPT if kind.movement else ISSUE
