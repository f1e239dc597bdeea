"""Stock levels: read, and set by compare-and-set only. The vendor's opt-out (`changeFromQuantity: null`) is never used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import refusal
from controlplane.connectors.builtin.shopify.items import Items
from controlplane.connectors.builtin.shopify.levels import Levels, read_level
from controlplane.connectors.contract import Context, Level, UnmappedError, Write
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import Answer, with_evidence
from controlplane.connectors.outcomes import outcome_of
from controlplane.errors import ConnectorError, RejectedError, UnknownOutcomeError
from rules.outcomes import Outcome, Result

EVIDENCE = 1500
"""Characters that are kept of what was sent, and of what was answered."""


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
        self._items = Items(context, graphql)
        self._levels = Levels(context, graphql, self._items)

    # --- reading ---
    def snapshot(self, locations: Sequence[str], keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield levels of the locations, or of the keys (sku, location) only; a key that the shop lacks is left out."""
        return self._levels.snapshot(locations, keys)

    def _read(self, sku: str, location: str) -> tuple[dict[str, Any], Answer]:
        gid = self._context.codes.theirs("location", location)
        data, answer = self._graphql.ask(documents.LEVEL, item=self._items.id_of(sku), location=gid)
        node = data.get("inventoryItem")
        if not node:
            self._items.forget(sku)
            raise LookupError(sku)
        return node, answer

    def shown(self, sku: str, location: str) -> Shown:
        """Return what the shop shows now. Raises RejectedError when it does not stock the item there."""
        try:
            node, answer = self._read(sku, location)
        except LookupError:
            raise RejectedError(f"the shop has no item with the SKU {sku}; create it there, or map the SKU") from None
        level = read_level(node, location, answer, sku)
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

    def set_all(self, requests: Sequence[Write]) -> list[Outcome]:
        """Set several levels with one request, each by a mutation of its own under the key that it has alone.

        One that is refused leaves the others as they are; one that does not say what it was computed from is set by
        itself. Raises ConnectorError.
        """
        self._learn({str(request.payload["sku"]) for request in requests})
        sent: dict[int, tuple[dict[str, Any], str]] = {}
        found: dict[int, Outcome] = {}
        for at, request in enumerate(requests):
            try:
                if request.payload.get("expected") is None:
                    found[at] = self.set_available(request)
                else:
                    sent[at] = self._written(request, *_from_to(request), salt="")
            except (ConnectorError, UnmappedError) as error:  # of this one alone: what is sent together is sent below
                found[at] = outcome_of(error)
        if sent:
            data, answer = self._tell_all(list(sent.values()))
            for n, at in enumerate(sent, 1):
                found[at] = self._read_one(requests[at], data.get(f"set{n}"), answer, sent[at][0])
        return [found[at] for at in range(len(requests))]

    def _tell_all(self, writes: Sequence[tuple[dict[str, Any], str]]) -> tuple[dict[str, Any], Answer]:
        inputs = {f"input{n}": written for n, (written, _) in enumerate(writes, 1)}
        keys = {f"key{n}": key for n, (_, key) in enumerate(writes, 1)}
        try:
            return self._graphql.tell(documents.set_available(len(writes)), **inputs, **keys)
        except RejectedError as error:  # which of them was refused is not told, nor whether the others were carried out
            raise with_evidence(UnknownOutcomeError(str(error)), error.evidence) from error

    def _read_one(self, request: Write, payload: object, answer: Answer, written: dict[str, Any]) -> Outcome:
        """Return what came of one of several; its evidence is its own part of the exchange."""

        def part() -> dict[str, Any]:
            said = {"status": answer.status, "body": json.dumps(payload)[:EVIDENCE]}
            return {"request": {"method": "POST", "body": json.dumps(written)[:EVIDENCE]}, "response": said}

        try:
            outcome, again = self._read_set(request, payload, replace(answer, told=part), *_from_to(request))
            return self.set_available(request) if again else outcome
        except ConnectorError as error:
            return outcome_of(error)

    def _learn(self, skus: set[str]) -> None:
        """Look up all items at once; one that the shop has twice is told of where it is asked for by itself."""
        with suppress(RejectedError):
            self._items.learn(skus)

    def _set(self, request: Write, expected: int, wanted: int, salt: str) -> tuple[Outcome, bool]:
        written, key = self._written(request, expected, wanted, salt)
        data, answer = self._graphql.tell(documents.SET_AVAILABLE, input=written, key=key)
        return self._read_set(request, data.get("inventorySetQuantities"), answer, expected, wanted)

    def _written(self, request: Write, expected: int, wanted: int, salt: str) -> tuple[dict[str, Any], str]:
        """Return what is sent, and the key that the vendor knows it again by."""
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
        return written, key

    def _read_set(
        self, request: Write, payload: object, answer: Answer, expected: int, wanted: int
    ) -> tuple[Outcome, bool]:
        """Return what came of it, and whether the vendor asks for a new key."""
        if not isinstance(payload, dict):
            answer.fail("answered inventorySetQuantities without a payload")
        errors = payload.get("userErrors") or []
        if errors:
            codes = {error.get("code") for error in errors}
            return self._refused(request, errors, answer), "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED" in codes
        return delivered(payload.get("inventoryAdjustmentGroup"), expected, wanted, answer), False

    def _existing_item(self, sku: str) -> str:
        try:
            return self._items.id_of(sku)
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


def _from_to(request: Write) -> tuple[int, int]:
    return int(request.payload["expected"]), int(request.payload["quantity"])


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
