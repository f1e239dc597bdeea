"""Many keys with one fault each, put in at random: what the comparison says of each, held against what was done to it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.jobs.test_comparison_causes import Twice, odd
from tests.controlplane.jobs.test_comparisons import Retailer
from tests.controlplane.sync.policies import add
from tests.controlplane.sync.test_loop import rows

KEYS = 80
CASE = 6
FAULTS = {
    "nothing": None,
    "edited in the shop": ("shop", "changed_at_target"),
    "edited in the books": ("erp", "changed_at_target"),
    "webhook lost": ("wms", "never_received"),
    "counted in cases": ("erp", "unit"),
    "listed twice": ("erp", "duplicate"),
    "gone from the shop": ("shop", "missing"),
    "untold": None,
}
"""What is done to a key -> the side and cause of its one finding."""


class Chaos:
    """A retailer in step, then with a fault put into each of its keys."""

    def __init__(self, retailer: Retailer, seed: int) -> None:
        self.retailer, self.random = retailer, Random(seed)
        self.done: dict[str, str] = {}
        self.erp: Twice = odd(retailer, "erp")
        add(retailer, "Mapping", "erp-unit", system="erp", entity="unit", codes={"EACH": "EA", "CASE": f"{CASE} EA"})

    def stock(self) -> None:
        """Give every system some of each article, and tell the plane."""
        house = self.retailer
        skus = [f"K{number:03}" for number in range(KEYS)]
        for sku in skus:
            house.wms.levels[sku, "WH1"] = house.erp.levels[sku, "WH1"] = self.random.randrange(20, 60)
            house.shop.levels[sku, "WH1"] = 0
        house.sync.healing.read_channel("shop")
        for sku in skus:
            house.level(sku, house.wms.levels[sku, "WH1"], version="1")
        house.sync.drain()
        assert house.compare()["agree"] == KEYS + 1
        house.clock.advance(1)

    def strike(self) -> None:
        """Do one thing to each key."""
        for number in range(KEYS):
            sku = f"K{number:03}"
            self.done[f"{sku}@WH1"] = fault = self.random.choice(list(FAULTS))
            self._do(fault, (sku, "WH1"))
        self.retailer.clock.advance(1)

    def _do(self, fault: str, key: tuple[str, str]) -> None:
        house, delta = self.retailer, self.random.choice((-5, -4, -3, -2, -1, 1, 2, 3, 4, 5))
        if fault == "edited in the shop":
            house.shop.levels[key] += delta
        elif fault == "edited in the books":
            house.erp.levels[key] += delta
        elif fault == "webhook lost":
            house.wms.levels[key] += delta
        elif fault == "counted in cases":
            house.erp.levels[key] *= CASE
        elif fault == "listed twice":
            self.erp.again[key] = house.erp.levels[key]
        elif fault == "gone from the shop":
            del house.shop.levels[key]
        elif fault == "untold":
            self.erp.silent.add(key)

    def confusion(self) -> Counter[tuple[str, str]]:
        """Return (what was done, what was said) -> how many keys."""
        said = dict.fromkeys(self.done, "nothing")
        for row in rows(self.retailer, t.finding):
            said[str(row["subject"])] = f"{row['side']} {row['cause']}"
        return Counter((fault, said[subject]) for subject, fault in self.done.items())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_fault_is_told_by_its_own_cause_and_no_other(sqlite_store: Store, clock: ManualClock, seed: int) -> None:
    retailer = Retailer(sqlite_store, clock)
    retailer.begin()
    chaos = Chaos(retailer, seed)
    chaos.stock()
    chaos.strike()
    counts = retailer.compare()
    confusion = chaos.confusion()
    right = {(fault, " ".join(said) if said else "nothing") for fault, said in FAULTS.items()}
    assert set(confusion) <= right, confusion
    assert counts["indeterminate"] == sum(fault == "untold" for fault in chaos.done.values())
