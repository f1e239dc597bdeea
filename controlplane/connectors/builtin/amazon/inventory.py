"""Stock of Amazon's own warehouses (FBA), which is read and cannot be set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from controlplane.connectors.builtin.amazon.api import Api, listed
from controlplane.connectors.contract import Context, Level
from controlplane.connectors.http import Answer
from controlplane.connectors.paging import by_token, expiring

SUMMARIES = "/fba/inventory/v1/summaries"
FEW = 50


class Inventory:
    """Stock of one seller in one marketplace."""

    def __init__(self, context: Context, api: Api, marketplace: str) -> None:
        self._context, self._api, self._marketplace = context, api, marketplace

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
            for answer in by_token(
                expiring(partial(self._summaries, skus)), _next_summary, listed("inventorySummaries", "payload")
            ):
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


def _chunks(keys: Sequence[tuple[str, str]]) -> list[Sequence[tuple[str, str]] | None]:
    return [keys[at : at + FEW] for at in range(0, len(keys), FEW)]


def _next_summary(answer: Answer) -> str | None:
    found = answer.json()
    pagination = found.get("pagination") or {} if isinstance(found, dict) else {}
    return pagination.get("nextToken")
