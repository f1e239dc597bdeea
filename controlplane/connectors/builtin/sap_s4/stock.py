"""Stock by plant and storage location: what is there and is the company's own. What is promised to orders SAP tells elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controlplane.connectors import odata
from controlplane.connectors.builtin.sap_s4.api import Api
from controlplane.connectors.contract import Level
from controlplane.connectors.http import Answer

PAGE = 500
FEW = 40
HERE = frozenset({"01", "02", "07"})
"""Stock types that lie on the shelf: unrestricted, in quality inspection, blocked."""
ELSEWHERE = frozenset({"03", "04", "05", "06", "08", "09", "10", "11"})
"""Returns, and what is on its way between places: of no storage location yet."""
MEMBER = "MatlWrhsStkQtyInMatlBaseUnit"
Key = tuple[str, str]


class Stock:
    """Stock of one tenant. Batches of a material are added up; special stock is somebody else's, or an order's."""

    def __init__(self, api: Api, locations: Sequence[str]) -> None:
        self._api, self._locations = api, locations

    def snapshot(self, keys: Sequence[Key] | None) -> Iterator[list[Level]]:
        """Yield the configured locations (all, if none is named), or the keys."""
        wanted = None if keys is None else set(keys)
        for rows, answer in self._pages(keys):
            levels = (level for row in rows for level in self._levels(row, answer))
            yield [one for one in levels if wanted is None or (one.sku, one.location) in wanted]

    def _pages(self, keys: Sequence[Key] | None) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        about = {"expand": "to_MatlStkInAcctMod"}
        if keys is None:
            yield from self._api.stock.by_key("/A_MaterialStock", "Material", PAGE, **about)
            return
        names = sorted({self._api.theirs(sku) for sku, _ in keys})
        for at in range(0, len(names), FEW):
            chosen = " or ".join(f"Material eq {odata.text(name)}" for name in names[at : at + FEW])
            yield from self._api.stock.rows("/A_MaterialStock", filter=chosen, **about)

    def _levels(self, row: Mapping[str, Any], answer: Answer) -> Iterable[Level]:
        try:
            sku, held = self._api.ours(str(row["Material"])), self._held(odata.inner(row, "to_MatlStkInAcctMod"))
        except (KeyError, TypeError, ValueError) as error:
            answer.fail(f"answered stock that breaks its contract ({error!r}): {dict(row)}")
        places = {"/".join(self._api.place(name)): name for name in self._locations}
        for native, count in sorted(held.items()):
            if not places or native in places:
                location = places.get(native) or self._api.context.codes.ours("location", native)
                yield Level(sku, location, count, None, None, answer.started, answer.ended)

    def _held(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        held: dict[str, int] = defaultdict(int)
        for row in rows:
            kind = str(row["InventoryStockType"])
            if kind not in HERE | ELSEWHERE:
                raise ValueError(f"a stock type '{kind}' that nobody knows")
            if kind in HERE and not str(row.get("InventorySpecialStockType") or "").strip() and row["StorageLocation"]:
                held[f"{row['Plant']}/{row['StorageLocation']}"] += odata.whole(row[MEMBER])
        return held
