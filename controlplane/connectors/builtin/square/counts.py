"""What Square counts in stock at a location; and counts that we tell it, under a key of ours and with the time that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from controlplane.connectors.builtin.square.api import Api, whole
from controlplane.connectors.contract import Context, Draft, Level, Write
from controlplane.connectors.http import Answer
from rules.model.messages import stock_key
from rules.outcomes import Outcome, Result

PATH = "/v2/inventory/counts/batch-retrieve"
FEW = 100
IN_STOCK = "IN_STOCK"
LONGEST = 128
"""Characters of a key, as Square takes it."""


class Counts:
    """Stock at the locations of one seller."""

    def __init__(self, context: Context, api: Api, locations: Sequence[str]) -> None:
        self._context, self._api, self._locations = context, api, locations

    def snapshot(self, keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield the counts of the configured locations, or of the keys. Square counts what is sellable: on hand and available alike.

        The newest come first, so what changes meanwhile may move rows to a later page, where they come again: they count once.
        """
        seen: set[tuple[str, str]] = set()
        places = {self._context.codes.theirs("location", name): name for name in self._locations}
        base = {"location_ids": sorted(places), "states": [IN_STOCK], "limit": 1000}
        wanted = None if keys is None else set(keys)
        ids = None if keys is None else sorted({self._api.id_of(sku) for sku, _ in keys})
        chunks = [None] if ids is None else [ids[at : at + FEW] for at in range(0, len(ids), FEW)]
        for chunk in chunks:
            asked = base if chunk is None else {**base, "catalog_object_ids": chunk}
            for rows, answer in self._api.rows(PATH, asked, "counts"):
                self._api.learn(str(row.get("catalog_object_id") or "") for row in rows)
                levels = [level for row in rows if (level := self._level(row, places, answer))]
                told = {
                    (one.sku, one.location): one
                    for one in levels
                    if wanted is None or (one.sku, one.location) in wanted
                }
                yield [one for key, one in told.items() if key not in seen]
                seen.update(told)  # `|=` would copy all of `seen` for each page

    def _level(self, row: Mapping[str, Any], places: Mapping[str, str], answer: Answer) -> Level | None:
        try:
            sku = self._api.known_sku(str(row["catalog_object_id"]))
            place = places.get(str(row["location_id"]))
            if sku is None or place is None or row["state"] != IN_STOCK:
                return None
            units, at = whole(row["quantity"], sku), datetime.fromisoformat(row["calculated_at"])
        except (KeyError, TypeError, ValueError):
            answer.fail(f"answered a count that breaks its contract: {dict(row)}")
        return Level(sku, place, units, units, at, answer.started, answer.ended)

    def draft(self, row: Mapping[str, Any]) -> list[Draft]:
        """Return `stock.level` of a count that a webhook tells; nothing of another state, or of a place that is not ours to watch."""
        places = {self._context.codes.theirs("location", name): name for name in self._locations}
        place = places.get(str(row["location_id"]))
        if row["state"] != IN_STOCK or place is None:
            return []
        sku, version = self._api.sku_of(str(row["catalog_object_id"])), str(row["calculated_at"])
        units, subject = whole(row["quantity"], sku), stock_key(sku, place)
        data = {
            "sku": sku, "location": place, "on_hand": units, "allocated": 0, "available": units, "in_transit": 0,
            "source_at": version,
        }  # fmt: skip
        key = f"stock.level:{subject}:{version}:{units}"
        return [Draft("stock.level", subject, key, datetime.fromisoformat(version), data, source_version=version)]

    def tell(self, request: Write) -> Outcome:
        """Tell a physical count. Under one key Square counts once; of a key with another content it says so."""
        count = {
            "catalog_object_id": self._api.id_of(str(request.payload["sku"])), "state": IN_STOCK,
            "location_id": self._context.codes.theirs("location", str(request.payload["location"])),
            "quantity": str(int(request.payload["quantity"])),
            "occurred_at": self._context.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "reference_id": _key(request),
        }  # fmt: skip
        asked = {
            "idempotency_key": _key(request), "ignore_unchanged_counts": True,
            "changes": [{"type": "PHYSICAL_COUNT", "physical_count": count}],
        }  # fmt: skip
        wanted = int(request.payload["quantity"])
        answer, errors = self._api.tell("/v2/inventory/changes/batch-create", asked)
        if any(error.get("code") == "IDEMPOTENCY_KEY_REUSED" for error in errors):  # with the time of an earlier try
            return Outcome(Result.ALREADY_DELIVERED, "Square has the count under its key", evidence=answer.evidence)
        if errors:
            told = "; ".join(f"{one.get('code')}: {one.get('detail', '')}" for one in errors)[:500]
            return Outcome(Result.REJECTED, f"Square refused: {told}", evidence=answer.evidence)
        return Outcome(Result.DELIVERED, current=wanted, evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Tell from the count; where it shows something else, the key makes the same count harmless."""
        wanted = int(request.payload["quantity"])
        key = (str(request.payload["sku"]), str(request.payload["location"]))
        found = [level for page in self.snapshot([key]) for level in page]
        if found and found[0].on_hand == wanted:
            return Outcome(
                Result.ALREADY_DELIVERED, f"Square counts {wanted}", target_at=found[0].source_at, current=wanted
            )
        shown = found[0].on_hand if found else None
        return Outcome(Result.UNSEEN, f"Square counts {shown}, not {wanted}", current=shown)


def _key(request: Write) -> str:
    key = request.idempotency_key
    return key if len(key) <= LONGEST else sha256(key.encode()).hexdigest()
