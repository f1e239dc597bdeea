"""Stock at Amazon: its own warehouses' (FBA, read only), and the quantity a listing offers that we ship ourselves (MFN).

A quantity is accepted, not set: it shows some minutes later, or never. So it is read back, and counts only when it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from controlplane.connectors.builtin.amazon.api import Api
from controlplane.connectors.builtin.amazon.listings import Listings, product_type
from controlplane.connectors.contract import Context, Level, Write
from controlplane.connectors.http import Answer
from controlplane.connectors.outcomes import AWAITED
from controlplane.connectors.paging import by_token, expiring
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result

SUMMARIES = "/fba/inventory/v1/summaries"
FEW = 50
MERCHANT = "DEFAULT"
"""The channel of what we ship ourselves."""
SHOWN = "summaries,fulfillmentAvailability"


class Inventory:
    """Stock of one seller in one marketplace."""

    def __init__(self, context: Context, api: Api, seller: str, marketplace: str) -> None:
        self._context, self._api, self._marketplace = context, api, marketplace
        self._listings = Listings(api, seller, marketplace)

    def fba(self, location: str, keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield what Amazon's warehouses hold: on hand is sellable and reserved together. Raises ConnectorError."""
        codes, chunks = self._context.codes, [None] if keys is None else _chunks(keys)
        for chunk in chunks:
            skus = (
                None
                if chunk is None
                else ",".join(codes.theirs("sku", sku) for sku, place in chunk if place == location)
            )
            if skus == "":
                continue
            for answer in by_token(expiring(partial(self._summaries, skus)), _next_summary):
                try:
                    rows = answer.json()["payload"]["inventorySummaries"]
                    yield [self._level(row, location, answer) for row in rows]
                except (KeyError, TypeError, ValueError):
                    answer.fail("answered stock that breaks its contract")

    def _summaries(self, skus: str | None, token: str | None) -> Answer:
        asked: dict[str, Any] = {
            "details": "true", "granularityType": "Marketplace", "granularityId": self._marketplace,
            "marketplaceIds": self._marketplace, "sellerSkus": skus, "nextToken": token,
        }  # fmt: skip
        return self._api.ask(SUMMARIES, paced="summaries", **asked)

    def _level(self, row: Mapping[str, Any], location: str, answer: Answer) -> Level:
        details = row["inventoryDetails"]
        free = int(details["fulfillableQuantity"])
        held = int((details.get("reservedQuantity") or {}).get("totalReservedQuantity", 0))
        changed = row.get("lastUpdatedTime")
        return Level(
            sku=self._context.codes.ours("sku", str(row["sellerSku"])), location=location, on_hand=free + held, available=free,
            source_at=datetime.fromisoformat(changed) if changed else None, read_from=answer.started, read_to=answer.ended,
        )  # fmt: skip

    # --- what we ship ourselves ---
    def offered(self, location: str, keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield what listings offer, all or those of the keys; one that does not exist, or is not ours to ship, is left out.

        Raises ConnectorError.
        """
        if keys is None:
            for items, answer in self._listings.whole(SHOWN):
                yield [level for item in items if (level := self._offer(item, location, answer))]
            return
        ours = {self._context.codes.theirs("sku", sku): sku for sku, place in keys if place == location}
        found = self._listings.some(list(ours), SHOWN)
        levels = (self._offer(item, location, answer, ours[sku]) for sku, (item, answer) in found.items())
        yield [level for level in levels if level]

    def _offer(self, item: Mapping[str, Any], location: str, answer: Answer, sku: str = "") -> Level | None:
        """Return what a listing offers; None of what Amazon ships."""
        quantity = _quantity(item)
        if quantity is None:
            return None
        named = sku or self._context.codes.ours("sku", str(item["sku"]))
        return Level(named, location, None, quantity, None, answer.started, answer.ended)

    def set_quantity(self, request: Write) -> Outcome:
        """Offer so many, unless the listing shows something else than expected. Accepted is not done: the outcome stays unknown."""
        wanted, expected = int(request.payload["quantity"]), request.payload.get("expected")
        sku = self._context.codes.theirs("sku", str(request.payload["sku"]))
        listing, _ = self._existing(sku)
        shown = _quantity(listing)
        if shown == wanted:
            return _already(wanted)
        if expected is not None and shown is not None and shown != int(expected):
            return Outcome(Result.STALE, f"the listing shows {shown}, not {expected}", current=shown)
        patch = {
            "op": "replace", "path": "/attributes/fulfillment_availability",
            "value": [{"fulfillment_channel_code": MERCHANT, "quantity": wanted}],
        }  # fmt: skip
        answer = self._listings.patch(sku, product_type(listing), [patch])
        told = answer.json()
        status = told.get("status") if isinstance(told, dict) else None
        if status == "INVALID":
            return Outcome(Result.REJECTED, f"Amazon refused: {_issues(told)}", evidence=answer.evidence)
        if status != "ACCEPTED":
            answer.fail(f"answered a listing's change with the status {status!r}")
        evidence = {**answer.evidence, "from": shown, "to": wanted, AWAITED: "the listing"}
        return Outcome(
            Result.UNKNOWN, f"queued as {told.get('submissionId')}; it counts when it shows", evidence=evidence
        )

    def read_back(self, request: Write) -> Outcome:
        """Tell from what the listing shows."""
        wanted = int(request.payload["quantity"])
        listing, _ = self._existing(self._context.codes.theirs("sku", str(request.payload["sku"])))
        shown = _quantity(listing)
        if shown == wanted:
            return _already(wanted)
        return Outcome(
            Result.ABSENT,
            f"the listing shows {shown}, not {wanted}: {_issues(listing) or 'no issue told'}",
            current=shown,
        )

    def _existing(self, sku: str) -> tuple[dict[str, Any], Answer]:
        found = self._listings.one(sku, SHOWN)
        if found is None:
            raise RejectedError(f"the seller has no listing with the SKU {sku}; create it at Amazon, or map the SKU")
        return found


def _chunks(keys: Sequence[tuple[str, str]]) -> list[Sequence[tuple[str, str]] | None]:
    return [keys[at : at + FEW] for at in range(0, len(keys), FEW)]


def _next_summary(answer: Answer) -> str | None:
    found = answer.json()
    pagination = found.get("pagination") or {} if isinstance(found, dict) else {}
    return pagination.get("nextToken")


def _quantity(listing: Mapping[str, Any]) -> int | None:
    for one in listing.get("fulfillmentAvailability") or ():
        if one.get("fulfillmentChannelCode") == MERCHANT:
            return int(one.get("quantity", 0))
    return None


def _issues(told: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{one.get('code')}: {one.get('message')}" for one in told.get("issues") or () if isinstance(one, dict)
    )[:500]


def _already(wanted: int) -> Outcome:
    return Outcome(
        Result.ALREADY_DELIVERED, f"the listing shows {wanted}", current=wanted, evidence={"from": wanted, "to": wanted}
    )
