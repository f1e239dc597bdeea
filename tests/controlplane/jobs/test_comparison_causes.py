"""What a comparison of stock says beside the three gaps: given up, unmapped, another unit, another definition, listed twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Level
from controlplane.jobs import comparisons
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.jobs.test_comparisons import NAME, Retailer
from tests.controlplane.sync.kit import Vendor
from tests.controlplane.sync.policies import add, change
from tests.controlplane.sync.test_loop import SKU, rows

SKUS = [f"S{n}" for n in range(6)]


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def retailer(store: Store, clock: ManualClock) -> Retailer:
    retailer = Retailer(store, clock)
    retailer.begin()
    return retailer


def verdicts(retailer: Retailer, side: str) -> list[tuple[object, object]]:
    return [(row["subject"], row["cause"]) for row in rows(retailer, t.finding) if row["side"] == side]


class Twice(Vendor):
    """A side that lists one key again, and does not tell what it has of another."""

    again: dict[tuple[str, str], int]
    silent: set[tuple[str, str]]

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        for page in super().snapshot(entity, keys):
            yield [
                Level(x.sku, x.location, None, None, None, x.read_from, x.read_to)
                if (x.sku, x.location) in self.silent else x
                for x in page
            ]  # fmt: skip
        now = self.clock.now()
        asked = self.again if keys is None else [key for key in keys if key in self.again]
        yield [Level(*key, self.again[key], self.again[key], now, now, now) for key in asked]


def odd(retailer: Retailer, name: str) -> Twice:
    old: Any = getattr(retailer, name)
    new = Twice(name, retailer.clock, old.guarantee)
    new.levels, new.again, new.silent = old.levels, {}, set()
    setattr(retailer, name, new)
    return new


def test_a_key_that_a_side_lists_twice_is_that_keys_verdict_and_the_others_are_compared(retailer: Retailer) -> None:
    erp = odd(retailer, "erp")
    erp.levels["B", "WH1"] = 3
    erp.again[SKU, "WH1"] = 4
    counts = retailer.compare()
    assert "unread" not in counts
    assert counts["keys"] == 2
    assert verdicts(retailer, "erp") == [(f"{SKU}@WH1", "duplicate")]
    [finding] = [row for row in rows(retailer, t.finding) if row["side"] == "erp"]
    assert "10, 4" in finding["explanation"]
    assert len(finding["evidence"]["listed"]["erp"]) == 2


def test_a_value_that_is_not_told_is_indeterminate_and_never_zero_or_missing(retailer: Retailer) -> None:
    odd(retailer, "erp").silent.add((SKU, "WH1"))
    assert retailer.compare()["indeterminate"] == 1
    assert retailer.findings() == []


def test_a_suspicion_of_a_unit_goes_on_while_the_amount_moves(retailer: Retailer) -> None:
    add(retailer, "Mapping", "erp-unit", system="erp", entity="unit", codes={"EACH": "EA", "CASE": "5 EA"})
    retailer.erp.levels[SKU, "WH1"] = 50
    retailer.compare()
    retailer.order("#1001", SKU, 1)
    retailer.sync.drain()
    retailer.warehouse(9)
    retailer.tell()
    retailer.shipment("SH1", "#1001", SKU, 1)
    retailer.clock.advance(57)
    retailer.sync.drain()
    retailer.erp.levels[SKU, "WH1"] = 45
    retailer.compare()
    retailer.confirm(minutes=1.1)
    assert [row["state"] for row in rows(retailer, t.finding) if row["cause"] == "unit"] == ["open"]


def test_a_side_that_counts_in_a_unit_of_its_own_is_told_so(retailer: Retailer) -> None:
    add(retailer, "Mapping", "erp-unit", system="erp", entity="unit", codes={"EACH": "EA", "CASE": "5 EA"})
    retailer.erp.levels[SKU, "WH1"] = 2
    retailer.compare()
    assert verdicts(retailer, "erp") == [(f"{SKU}@WH1", "unit")]
    retailer.erp.levels[SKU, "WH1"] = 3
    retailer.compare()
    assert verdicts(retailer, "erp")[1:] == [(f"{SKU}@WH1", "changed_at_target")]


def stocked(retailer: Retailer, allocated: dict[str, int]) -> None:
    """The warehouse and the books know some articles; part of each is allocated."""
    for sku in allocated:
        retailer.wms.levels[sku, "WH1"] = retailer.erp.levels[sku, "WH1"] = 20
        retailer.shop.levels[sku, "WH1"] = 0
    retailer.sync.healing.read_channel("shop")
    for sku, units in allocated.items():
        retailer.level(sku, 20, units)
    retailer.sync.drain()
    wms: Any = retailer.wms
    kept = wms.snapshot

    def told(entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        for page in kept(entity, keys):
            yield [
                Level(x.sku, x.location, x.on_hand, (x.on_hand or 0) - allocated.get(x.sku, 0), None, x.read_from, x.read_to)
                for x in page
            ]  # fmt: skip

    wms.snapshot = told


def test_books_that_show_what_is_free_instead_of_what_is_there_are_another_definition(retailer: Retailer) -> None:
    allocated = {sku: n + 1 for n, sku in enumerate(SKUS)}
    stocked(retailer, allocated)
    for sku, units in allocated.items():
        retailer.erp.levels[sku, "WH1"] = 20 - units
    retailer.compare()
    assert verdicts(retailer, "erp") == [(f"{sku}@WH1", "definition") for sku in SKUS]
    retailer.clock.advance(150)
    assert comparisons.confirm(retailer, NAME)["opened"] == len(SKUS)  # type: ignore[arg-type]
    assert {cause for _, cause in verdicts(retailer, "erp")} == {"definition"}


def test_one_edit_by_as_much_as_is_allocated_is_no_definition(retailer: Retailer) -> None:
    allocated = {sku: n + 1 for n, sku in enumerate(SKUS)}
    stocked(retailer, allocated)
    retailer.compare()
    for sku in SKUS[:3]:
        retailer.erp.levels[sku, "WH1"] = 20 - allocated[sku]
    retailer.compare()
    assert verdicts(retailer, "erp") == [(f"{sku}@WH1", "changed_at_target") for sku in SKUS[:3]]


def shipped(retailer: Retailer, fault: str) -> None:
    retailer.order("#1001", SKU, 2)
    retailer.sync.drain()
    retailer.erp.faults.extend([fault] * 400)
    retailer.shipment("SH1", "#1001", SKU, 2)
    retailer.warehouse(8)
    retailer.tell()
    retailer.sync.drain()


def test_a_delivery_that_waits_for_a_translation_is_unmapped(retailer: Retailer) -> None:
    shipped(retailer, "unmapped")
    retailer.compare()
    assert (f"{SKU}@WH1", "unmapped") in verdicts(retailer, "erp")


def test_a_delivery_that_was_refused_is_quarantined(retailer: Retailer) -> None:
    shipped(retailer, "rejected")
    retailer.compare()
    assert (f"{SKU}@WH1", "quarantined") in verdicts(retailer, "erp")


def test_a_delivery_whose_budget_is_spent_has_failed(retailer: Retailer) -> None:
    change(retailer, "RetryPolicy", "default", budget="2m")
    shipped(retailer, "unavailable")
    retailer.run(minutes=30, step=30)
    retailer.compare()
    assert (f"{SKU}@WH1", "failed") in verdicts(retailer, "erp")


def test_a_difference_within_the_safety_stock_or_a_share_agrees(retailer: Retailer) -> None:
    retailer.shop.levels[SKU, "WH1"] = 10
    near = {"available": {"within_safety_stock": True}, "on_hand": {"relative": "0.1"}}
    change(retailer, "Comparison", NAME, tolerances=near)
    retailer.erp.levels[SKU, "WH1"] = 11
    assert retailer.compare()["agree"] == 1
    retailer.shop.levels[SKU, "WH1"] = 11
    assert retailer.compare()["suspected"] == 1


def test_a_store_has_its_own_side_of_record_and_others_do_not_miss_its_stock(retailer: Retailer) -> None:
    sides = [
        {"system": "erp", "entity": "inventory_balance", "field": "on_hand"},
        {"system": "wms", "entity": "inventory", "field": "on_hand", "locations": ["WH1"]},
        {"system": "shop", "entity": "levels", "field": "available", "locations": ["WH1"]},
        {"system": "tills", "entity": "counts", "field": "on_hand", "locations": ["ST1"]},
    ]
    change(retailer, "Comparison", NAME, sides=sides, locations=["WH1", "ST1"], source_sides={"ST1": "tills"})
    retailer.tills.levels["T", "ST1"] = 4
    retailer.erp.levels["T", "ST1"] = 4
    assert retailer.compare()["agree"] == 2
    assert rows(retailer, t.finding) == []


def test_a_run_that_spends_its_budget_says_so_and_the_next_goes_on_where_it_stopped(retailer: Retailer) -> None:
    change(retailer, "Comparison", NAME, budget={"differences": 2})
    for sku in ("A", "B", "C", "D"):
        retailer.wms.levels[sku, "WH1"] = 1
    counts = retailer.compare()
    assert (counts["keys"], counts["skipped"]) == (3, 2)
    [_, run] = rows(retailer, t.comparison_run)
    assert (run["state"], run["skipped"], run["said"]["resume"]) == ("stopped", 2, "C@WH1")
    assert "2 differences" in run["said"]["stopped"]
    retailer.compare()
    assert {subject for subject, _ in verdicts(retailer, "wms")} == {f"{sku}@WH1" for sku in "ABCD"}


def test_only_what_was_asked_for_is_read_and_counted(retailer: Retailer) -> None:
    retailer.wms.levels["A", "WH1"] = 1
    retailer.wms.levels["B", "WH1"] = 1
    counts = comparisons.run(retailer, NAME, "ann", ["A", f"{SKU}@WH1", "B@ST9"])  # type: ignore[arg-type]
    assert counts["keys"] == 2
    assert [row["subject"] for row in rows(retailer, t.finding) if row["side"] == "wms"] == ["A@WH1"]
    run = rows(retailer, t.comparison_run)[-1]
    assert (run["state"], run["trigger"], run["subjects"]) == ("partial", "ann", ["A", f"{SKU}@WH1", "B@ST9"])
