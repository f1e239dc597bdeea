"""Stock of Vendure: what is on hand less what is allocated to orders is available. On hand is set absolutely, without a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.vendure.api import Api
from controlplane.connectors.contract import Context, Level, Write
from controlplane.connectors.http import Answer
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result

FEW = 100
_FIELDS = "id sku stockLevels { stockLocationId stockOnHand stockAllocated updatedAt }"
VARIANTS = f"""
query($skip: Int!, $take: Int!, $filter: ProductVariantFilterParameter) {{
  productVariants(options: {{skip: $skip, take: $take, sort: {{id: ASC}}, filter: $filter}}) {{
    totalItems items {{ {_FIELDS} }} }} }}"""
SET = f"mutation($input: [UpdateProductVariantInput!]!) {{ updateProductVariants(input: $input) {{ {_FIELDS} }} }}"


class Stock:
    """Stock of one shop."""

    def __init__(self, context: Context, api: Api) -> None:
        self._context, self._api = context, api

    def snapshot(self, locations: Sequence[str], keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield levels of the locations, or of the keys; a variant that is not kept at a location has none there."""
        places = {self._context.codes.theirs("location", name): name for name in locations}
        wanted = None if keys is None else set(keys)
        for chosen in self._chosen(keys):
            for rows, answer in self._api.pages(VARIANTS, filter=chosen):
                levels = [level for row in rows for level in self._levels(row, places, answer)]
                yield [one for one in levels if wanted is None or (one.sku, one.location) in wanted]

    def _chosen(self, keys: Sequence[tuple[str, str]] | None) -> list[dict[str, Any]]:
        if keys is None:
            return [{}]
        skus = sorted({self._context.codes.theirs("sku", sku) for sku, _ in keys})
        return [{"sku": {"in": skus[at : at + FEW]}} for at in range(0, len(skus), FEW)]

    def _levels(self, row: Mapping[str, Any], places: Mapping[str, str], answer: Answer) -> list[Level]:
        try:
            sku = self._context.codes.ours("sku", str(row["sku"]))
            return [
                _level(level, sku, places[str(level["stockLocationId"])], answer)
                for level in row["stockLevels"]
                if str(level["stockLocationId"]) in places
            ]
        except (KeyError, TypeError, ValueError):
            answer.fail(f"answered a variant that breaks its contract: {dict(row)}")

    def set_available(self, request: Write) -> Outcome:
        """Set on hand so that so many are available; refused where the shop shows something else than expected."""
        wanted, expected = int(request.payload["quantity"]), request.payload.get("expected")
        variant, shown = self._shown(request)
        assert shown.available is not None  # noqa: S101 - Vendure always tells both
        if shown.available == wanted:
            return _already(wanted, shown)
        if expected is not None and shown.available != int(expected):
            detail = f"the shop shows {shown.available}, not {expected}"
            return Outcome(Result.STALE, detail, target_at=shown.source_at, current=shown.available)
        level = {
            "stockLocationId": self._place(request),
            "stockOnHand": wanted + (shown.on_hand or 0) - shown.available,
        }
        made, answer, refused = self._api.tell(SET, input=[{"id": variant, "stockLevels": [level]}])
        if refused or not made or made[0] is None:
            return Outcome(
                Result.REJECTED, f"the shop refused: {refused or 'no variant came back'}", evidence=answer.evidence
            )
        evidence = {**answer.evidence, "from": shown.available, "to": wanted}
        return Outcome(Result.DELIVERED, native_id=variant, current=wanted, evidence=evidence)

    def read_back(self, request: Write) -> Outcome:
        """Tell from the level shown."""
        wanted = int(request.payload["quantity"])
        _, shown = self._shown(request)
        if shown.available == wanted:
            return _already(wanted, shown)
        return Outcome(Result.ABSENT, f"the shop shows {shown.available}, not {wanted}", current=shown.available)

    def _place(self, request: Write) -> str:
        return self._context.codes.theirs("location", str(request.payload["location"]))

    def _shown(self, request: Write) -> tuple[str, Level]:
        sku, location = str(request.payload["sku"]), str(request.payload["location"])
        theirs = self._context.codes.theirs("sku", sku)
        pages = self._api.pages(VARIANTS, filter={"sku": {"eq": theirs}})
        found = [(row, answer) for rows, answer in pages for row in rows]
        if len(found) != 1:
            raise RejectedError(
                f"the shop has {len(found)} variants with the SKU {theirs}; correct the shop, or map the SKU"
            )
        row, answer = found[0]
        levels = self._levels(row, {self._place(request): location}, answer)
        if not levels:
            raise RejectedError(f"the shop does not keep {theirs} at {location}; set its stock there once by hand")
        return str(row["id"]), levels[0]


def _already(wanted: int, shown: Level) -> Outcome:
    return Outcome(
        Result.ALREADY_DELIVERED, f"the shop shows {wanted} already", target_at=shown.source_at, current=wanted,
        evidence={"from": wanted, "to": wanted},
    )  # fmt: skip


def _level(level: Mapping[str, Any], sku: str, location: str, answer: Answer) -> Level:
    on_hand, allocated = int(level["stockOnHand"]), int(level["stockAllocated"])
    return Level(
        sku=sku, location=location, on_hand=on_hand, available=on_hand - allocated,
        source_at=datetime.fromisoformat(level["updatedAt"]), read_from=answer.started, read_to=answer.ended,
    )  # fmt: skip
