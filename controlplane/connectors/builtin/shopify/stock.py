"""Stock levels: read, and set by compare-and-set only. The vendor's opt-out (`changeFromQuantity: null`) is never used."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import refusal, term
from controlplane.connectors.contract import Context, Level, Write
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result

PAGE = 100
FEW = 50
"""Up to so many keys are read one by one; more are cheaper read with all the others."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the shop shows of one item at one location."""

    available: int
    on_hand: int | None
    changed_at: datetime | None


class Stock:
    """Stock of one shop. Keeps the item ids that it has looked up."""

    def __init__(self, context: Context, graphql: GraphqlClient) -> None:
        self._context, self._graphql = context, graphql
        self._items: dict[str, str] = {}
        self._lock = threading.Lock()

    # --- reading ---
    def snapshot(self, locations: Sequence[str], keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield levels of the locations, or of the keys (sku, location) only; a key that the shop lacks is left out."""
        if keys is not None and len(keys) <= FEW:
            yield [level for sku, location in keys for level in self._one(sku, location)]
            return
        wanted = None if keys is None else set(keys)
        for location in locations:
            for page in self._all(location):
                yield page if wanted is None else [level for level in page if (level.sku, level.location) in wanted]

    def _all(self, location: str) -> Iterator[list[Level]]:
        gid = self._context.codes.theirs("location", location)

        def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
            data, answer = self._graphql.ask(documents.LEVELS, first=PAGE, after=after, location=gid)
            return data["inventoryItems"], answer

        for nodes, answer in relay(fetch):
            levels = (_level(node, location, answer, self._our_sku(node)) for node in nodes if node.get("sku"))
            yield [level for level in levels if level]

    def _one(self, sku: str, location: str) -> list[Level]:
        try:
            node, answer = self._read(sku, location)
        except LookupError:
            return []
        level = _level(node, location, answer, sku)
        return [level] if level else []

    def _our_sku(self, node: dict[str, Any]) -> str:
        return self._context.codes.ours("sku", node["sku"])

    def _read(self, sku: str, location: str) -> tuple[dict[str, Any], Answer]:
        gid = self._context.codes.theirs("location", location)
        data, answer = self._graphql.ask(documents.LEVEL, item=self.item_id(sku), location=gid)
        node = data.get("inventoryItem")
        if not node:
            with self._lock:
                self._items.pop(sku, None)
            raise LookupError(sku)
        return node, answer

    def item_id(self, sku: str) -> str:
        """Return the shop's id of the item. Raises LookupError when it has none, RejectedError when it has several."""
        with self._lock:
            if sku in self._items:
                return self._items[sku]
        theirs = self._context.codes.theirs("sku", sku)
        data, answer = self._graphql.ask(documents.ITEM_BY_SKU, query=term("sku", theirs))
        try:
            found = [node["id"] for node in data["inventoryItems"]["nodes"] if node["sku"] == theirs]
        except (KeyError, TypeError):
            answer.fail("answered a search for items without nodes")
        if not found:
            raise LookupError(sku)
        if len(found) > 1:
            raise RejectedError(
                f"the shop has {len(found)} items with the SKU {theirs}; make the SKU unique in the shop"
            )
        with self._lock:
            self._items[sku] = found[0]
        return str(found[0])

    def shown(self, sku: str, location: str) -> Shown:
        """Return what the shop shows now. Raises RejectedError when it does not stock the item there."""
        try:
            node, answer = self._read(sku, location)
        except LookupError:
            raise RejectedError(f"the shop has no item with the SKU {sku}; create it there, or map the SKU") from None
        level = _level(node, location, answer, sku)
        if level is None or level.available is None:
            raise RejectedError(f"the shop does not stock {sku} at {location}; activate the item at the location")
        return Shown(level.available, level.on_hand, level.source_at)

    # --- writing ---
    def set_available(self, request: Write) -> Outcome:
        """Set `available` if it is still what the write was computed from (`expected`; None: what it is right now)."""
        wanted, expected = int(request.payload["quantity"]), request.payload.get("expected")
        if expected is None:
            shown = self.shown(request.payload["sku"], request.payload["location"])
            if shown.available == wanted:
                return already(wanted, shown)
            expected = shown.available
        outcome, again = self._set(request, int(expected), wanted, salt="")
        if again:  # the vendor keeps a failed first attempt under its key for good and asks for a new one
            outcome, _ = self._set(request, int(expected), wanted, salt="again")
        return outcome

    def _set(self, request: Write, expected: int, wanted: int, salt: str) -> tuple[Outcome, bool]:
        quantity = {
            "inventoryItemId": self._existing_item(request.payload["sku"]),
            "locationId": self._context.codes.theirs("location", request.payload["location"]),
            "quantity": wanted,
            "changeFromQuantity": expected,
        }
        written = {
            "name": "available",
            "reason": "correction",
            "referenceDocumentUri": f"gid://trueup/StockOffer/{quote(request.idempotency_key, safe='')}",
            "quantities": [quantity],
        }
        # the values are part of the key: the vendor refuses one key with two sets of parameters
        key = str(uuid5(NAMESPACE_URL, f"{request.idempotency_key}|{expected}|{wanted}|{salt}"))
        data, answer = self._graphql.tell(documents.SET_AVAILABLE, input=written, key=key)
        payload = data.get("inventorySetQuantities")
        if not isinstance(payload, dict):
            answer.fail("answered inventorySetQuantities without a payload")
        errors = payload.get("userErrors") or []
        if errors:
            codes = {error.get("code") for error in errors}
            return self._refused(request, errors, answer), "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED" in codes
        return delivered(payload.get("inventoryAdjustmentGroup"), expected, wanted, answer), False

    def _existing_item(self, sku: str) -> str:
        try:
            return self.item_id(sku)
        except LookupError:
            raise RejectedError(f"the shop has no item with the SKU {sku}; create it there, or map the SKU") from None

    def _refused(self, request: Write, errors: list[dict[str, Any]], answer: Answer) -> Outcome:
        codes = {error.get("code") for error in errors}
        if "CHANGE_FROM_QUANTITY_STALE" in codes:
            shown = self.shown(request.payload["sku"], request.payload["location"])
            return stale(
                shown, f"the shop shows {shown.available}, not {request.payload.get('expected')}", answer.evidence
            )
        if "IDEMPOTENCY_CONCURRENT_REQUEST" in codes:
            return Outcome(Result.UNKNOWN, "the same write is still being carried out", evidence=answer.evidence)
        return Outcome(Result.REJECTED, f"the shop refused: {refusal(errors)}", evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Tell from the value shown, and where that proves nothing, let the key decide.

        A customer may order between our write and this reading, so any value but the old one can mean either. The same
        write under the same key is answered with its first result if it was carried out, and refused as stale if not.
        """
        shown = self.shown(request.payload["sku"], request.payload["location"])
        wanted, expected = int(request.payload["quantity"]), request.payload.get("expected")
        if expected is None:
            if shown.available == wanted:
                return already(wanted, shown)
            return stale(shown, f"the shop shows {shown.available}, and what it showed before is not known", {})
        still = shown.available == expected
        detail = f"the shop still shows {expected}" if still else f"the shop shows {shown.available}; the key will tell"
        return Outcome(Result.ABSENT, detail, current=shown.available)


def already(wanted: int, shown: Shown) -> Outcome:
    """Return the outcome for a level that shows what it was to be set to."""
    return Outcome(
        Result.ALREADY_DELIVERED,
        f"the shop shows {wanted} already",
        target_at=shown.changed_at,
        current=wanted,
        evidence={"from": wanted, "to": wanted},
    )


def stale(shown: Shown, detail: str, evidence: dict[str, Any]) -> Outcome:
    """Return the outcome for a level that has moved; `target_at` says when it moved."""
    return Outcome(
        Result.STALE,
        detail,
        target_at=shown.changed_at,
        current=shown.available,
        evidence={**evidence, "from": shown.available},
    )


def delivered(group: dict[str, Any] | None, expected: int, wanted: int, answer: Answer) -> Outcome:
    """Return the outcome of a write that the shop carried out; setting a value to itself makes no group."""
    return Outcome(
        Result.DELIVERED,
        target_at=datetime.fromisoformat(group["createdAt"]) if group else None,
        native_id=group["id"] if group else None,
        evidence={**answer.evidence, "from": expected, "to": wanted},
    )


def _level(node: dict[str, Any], location: str, answer: Answer, sku: str) -> Level | None:
    try:
        level = node["inventoryLevel"]
        if level is None:
            return None
        named = {quantity["name"]: quantity for quantity in level["quantities"]}
        available, on_hand = named["available"], named.get("on_hand")
        changed = available.get("updatedAt")
        return Level(
            sku=sku,
            location=location,
            on_hand=on_hand["quantity"] if on_hand else None,
            available=available["quantity"],
            source_at=datetime.fromisoformat(changed) if changed else None,
            read_from=answer.started,
            read_to=answer.ended,
        )
    except (KeyError, TypeError, ValueError):
        answer.fail(f"answered a level of {sku} that breaks its contract")
