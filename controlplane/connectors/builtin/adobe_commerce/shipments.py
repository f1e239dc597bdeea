"""Shipments by `order/:id/ship`, which checks what is left to ship; the store de-duplicates nothing, so ours is looked for before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from controlplane.connectors.builtin.adobe_commerce.api import Api
from controlplane.connectors.contract import Context, Write
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result
from rules.units import exact


class Shipments:
    """Shipments of one store's orders."""

    def __init__(self, context: Context, api: Api) -> None:
        self._context, self._api = context, api

    def create(self, request: Write) -> Outcome:
        """Ship what a shipment carried, unless the order shows that already."""
        order = self._order(request)
        if held := self._held(order, request):
            return held
        carrier = str(request.payload.get("carrier") or "")
        source = self._context.codes.theirs("location", str(request.payload["location"]))
        body = {
            "items": self._items(order, request), "notify": False,
            "tracks": [{"track_number": mark(request), "title": carrier or "Shipment", "carrier_code": carrier or "custom"}],
            "arguments": {"extension_attributes": {"source_code": source}},
        }  # fmt: skip
        answer = self._api.tell(f"/order/{int(order['entity_id'])}/ship", body)
        made = answer.json()
        if not isinstance(made, int):
            answer.fail("answered the making of a shipment without its id")
        return Outcome(Result.DELIVERED, native_id=str(made), evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Look for the shipment of the order."""
        order = self._order(request)
        held = self._held(order, request)
        return held or Outcome(Result.ABSENT, f"order {order['increment_id']} has no shipment {mark(request)}")

    def _order(self, request: Write) -> dict[str, Any]:
        ref = str(request.payload["order_ref"])
        pages = self._api.rows("/orders", ("increment_id", "eq", ref), sort="entity_id")
        found = [row for rows, _ in pages for row in rows if row.get("increment_id") == ref]
        if len(found) != 1:
            raise RejectedError(f"the store has {len(found)} orders with the number {ref}; correct the order reference")
        return found[0]

    def _units(self, request: Write) -> Counter[str]:
        units: Counter[str] = Counter()
        for line in request.payload["lines"]:
            units[self._context.codes.theirs("sku", str(line["sku"]))] += int(line["quantity"])
        return units

    def _held(self, order: Mapping[str, Any], request: Write) -> Outcome | None:
        pages = self._api.rows("/shipments", ("order_id", "eq", order["entity_id"]), sort="entity_id")
        for shipment in (row for rows, _ in pages for row in rows):
            marks = {str(track.get("track_number")) for track in shipment.get("tracks") or ()}
            units: Counter[str] = Counter()
            for item in shipment["items"]:
                units[str(item["sku"])] += int(exact(item["qty"]))
            if mark(request) in marks and units == self._units(request):
                native = str(shipment.get("entity_id"))
                detail = f"order {order['increment_id']} shows it as shipment {native}"
                return Outcome(Result.ALREADY_DELIVERED, detail, native_id=native)
        return None

    def _items(self, order: Mapping[str, Any], request: Write) -> list[dict[str, Any]]:
        left, taken = self._units(request), []
        types = {item["item_id"]: item.get("product_type") for item in order["items"]}
        for item in order["items"]:
            if item.get("product_type") == "bundle" or types.get(item.get("parent_item_id")) == "configurable":
                continue  # a bundle leaves in its parts, and what was configured by its parent
            gone = sum(exact(item.get(name) or 0) for name in ("qty_shipped", "qty_refunded", "qty_canceled"))
            sku, open_ = str(item["sku"]), int(exact(item["qty_ordered"]) - gone)
            count = min(left[sku], open_)
            if count > 0:
                left[sku] -= count
                taken.append({"order_item_id": int(item["item_id"]), "qty": count})
        short = {sku: count for sku, count in left.items() if count}
        if short:
            raise RejectedError(
                f"order {order['increment_id']} has less left to ship than shipment {request.business_ref} carried; too many: {short}. "
                "Compare the shipment with the order's shipments in the store"
            )
        return taken


def mark(request: Write) -> str:
    """Return the track number that the shipment carries: the carrier's, or else our shipment id."""
    return str(request.payload.get("tracking") or request.payload["shipment"])
