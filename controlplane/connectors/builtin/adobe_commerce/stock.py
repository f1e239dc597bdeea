"""Stock at the sources of multi-source inventory: what lies there, not what may be sold; the store takes its reservations off by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controlplane.connectors.builtin.adobe_commerce.api import Api
from controlplane.connectors.contract import Context, Level, Write
from controlplane.connectors.http import Answer
from rules.outcomes import Outcome, Result
from rules.units import exact

PATH = "/inventory/source-items"
FEW = 50


class Stock:
    """Source items of one store."""

    def __init__(self, context: Context, api: Api, locations: Sequence[str]) -> None:
        self._context, self._api, self._locations = context, api, locations

    def snapshot(self, keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield what lies at the configured sources, or of the keys."""
        codes = self._context.codes
        places = {codes.theirs("location", name): name for name in self._locations}
        wanted = None if keys is None else set(keys)
        skus = None if keys is None else sorted({codes.theirs("sku", sku) for sku, _ in keys})
        chunks = [None] if skus is None else [skus[at : at + FEW] for at in range(0, len(skus), FEW)]
        for chunk in chunks:
            chosen = [("source_code", "in", ",".join(sorted(places)))]
            chosen += [("sku", "in", ",".join(chunk))] if chunk else []
            for rows, answer in self._api.rows(PATH, *chosen, sort="source_item_id"):
                levels = [self._level(row, places, answer) for row in rows]
                yield [one for one in levels if wanted is None or (one.sku, one.location) in wanted]

    def _level(self, row: Mapping[str, Any], places: Mapping[str, str], answer: Answer) -> Level:
        try:
            number = exact(row["quantity"])
            if number != number.to_integral_value():
                raise ValueError(row["quantity"])
            sku, place = self._context.codes.ours("sku", str(row["sku"])), places[str(row["source_code"])]
        except (KeyError, TypeError, ValueError, ArithmeticError):
            answer.fail(f"answered a source item that breaks its contract: {dict(row)}")
        return Level(sku, place, int(number), None, None, answer.started, answer.ended)

    def set_on_hand(self, request: Write) -> Outcome:
        """Set what lies at the source, absolutely."""
        wanted = int(request.payload["on_hand"])
        item = {
            "sku": self._context.codes.theirs("sku", str(request.payload["sku"])),
            "source_code": self._context.codes.theirs("location", str(request.payload["location"])),
            "quantity": wanted, "status": int(wanted > 0),
        }  # fmt: skip
        answer = self._api.tell(PATH, {"sourceItems": [item]})
        if not isinstance(answer.json(), list):
            answer.fail("answered the saving of a source item with something that is not a list")
        return Outcome(Result.DELIVERED, current=wanted, evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Tell from what the source shows: set absolutely, so the same again is harmless."""
        wanted = int(request.payload["on_hand"])
        key = (str(request.payload["sku"]), str(request.payload["location"]))
        found = [level for page in self.snapshot([key]) for level in page]
        if found and found[0].on_hand == wanted:
            return Outcome(Result.ALREADY_DELIVERED, f"the source shows {wanted}", current=wanted)
        shown = found[0].on_hand if found else None
        return Outcome(Result.ABSENT, f"the source shows {shown}, not {wanted}", current=shown)
