"""Evidence is chosen by key: so many queries for some hundred keys, however many rows the ledger has."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from controlplane.clock import ManualClock
from controlplane.jobs import comparisons
from controlplane.store import Store
from probes.comparisons.evidence import load, standing
from tests.controlplane.jobs.test_comparisons import NAME, Retailer, Slow
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU

KEY = (SKU, "WH1")
SYSTEMS = ["erp", "wms", "shop"]
ASKED = {("erp", "on_hand"): [KEY], ("shop", "available"): [KEY]}


@pytest.fixture
def retailer(store: Store, clock: ManualClock) -> Retailer:
    """A retailer in step."""
    retailer = Retailer(store, clock)
    retailer.begin()
    return retailer


def queries(retailer: Retailer) -> int:
    """How many queries a comparison of everything makes, those of its own transactions of writing aside."""
    found: list[str] = []

    def note(*call: Any) -> None:
        found.append(call[2])

    event.listen(retailer.store.engine, "before_cursor_execute", note)
    comparisons.run(retailer, NAME, "test")  # type: ignore[arg-type]
    event.remove(retailer.store.engine, "before_cursor_execute", note)
    return len([query for query in found if query.lstrip().startswith(("SELECT", "WITH"))])


def stock(retailer: Retailer, articles: int) -> None:
    """Put so many more articles into every system, and tell the ledger."""
    for number in range(articles):
        sku = f"X{number:05}"
        retailer.wms.levels[sku, "WH1"] = retailer.erp.levels[sku, "WH1"] = 10
        retailer.shop.levels[sku, "WH1"] = 8
        retailer.level(sku, 10)
    retailer.sync.healing.read_channel("shop")
    retailer.sync.drain()
    retailer.compare()


def test_the_number_of_queries_does_not_grow_with_the_keys_that_are_looked_at_together(retailer: Retailer) -> None:
    few = queries(retailer)
    stock(retailer, 60)
    assert queries(retailer) == few


def test_the_ledger_allows_what_it_took_for_true_when_the_reading_began_and_all_that_it_heard_since(
    retailer: Retailer,
) -> None:
    retailer.clock.advance(60)
    began = retailer.clock.now()
    for on_hand in (11, 12):
        retailer.clock.advance(1)
        retailer.level(SKU, on_hand)
        retailer.sync.drain()
    with retailer.store.read() as connection:
        around = standing(connection, SYSTEMS, began, retailer.clock.now())
        heard = load(connection, around, [KEY], ASKED).heard(KEY)
    assert sorted(heard) == [(10, 10), (11, 11), (12, 12)]


def test_evidence_of_one_key_holds_nothing_of_another(retailer: Retailer) -> None:
    stock(retailer, 3)
    with retailer.store.read() as connection:
        around = standing(connection, SYSTEMS, retailer.clock.now(), retailer.clock.now())
        evidence = load(connection, around, [KEY], ASKED)
    assert set(evidence.positions) == {KEY}
    assert {key for held in evidence.levels.values() for key in held} == {KEY}


def test_what_was_sent_long_after_a_row_was_read_does_not_make_an_edit_look_right(retailer: Retailer) -> None:
    retailer.warehouse(15)
    retailer.tell()
    retailer.sync.drain()
    assert retailer.shop.levels[KEY] == 13
    retailer.clock.advance(30)
    retailer.shop.levels[KEY] = 8  # by as much as is written a minute after it was read

    def write_back() -> None:
        retailer.clock.advance(60)
        retailer.shop.levels[KEY] = 13
        retailer.wms.levels[KEY] = 10
        retailer.tell()
        retailer.sync.drain()
        assert retailer.shop.levels[KEY] == 8

    retailer.erp = Slow("erp", retailer.clock)
    retailer.erp.levels[KEY] = 10
    retailer.erp.meanwhile_read = write_back  # type: ignore[attr-defined]
    sides = [
        {"system": "shop", "entity": "levels", "field": "available"},
        {"system": "wms", "entity": "inventory", "field": "on_hand"},
        {"system": "erp", "entity": "inventory_balance", "field": "on_hand"},
    ]
    change(retailer, "Comparison", NAME, sides=sides)
    retailer.compare()
    assert ("shop", "changed_at_target", "suspected") in retailer.findings()
