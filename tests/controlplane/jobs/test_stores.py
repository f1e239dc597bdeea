"""Stores that only count their shelves: a sale that was never told is found by what lies there and what the books say."""

from __future__ import annotations

import pytest

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.jobs.test_comparisons import NAME, Retailer
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU, rows

KEY = SKU, "ST1"


class Chain(Retailer):
    """A retailer with a store, of which the books agree: 20 pieces."""

    def begin(self) -> None:
        sides = [
            {"system": "erp", "entity": "inventory_balance", "field": "on_hand"},
            {"system": "wms", "entity": "inventory", "field": "on_hand", "locations": ["WH1"]},
            {"system": "shop", "entity": "levels", "field": "available", "locations": ["WH1"]},
            {"system": "tills", "entity": "stock", "field": "on_hand", "locations": ["ST1"]},
        ]
        change(self, "Comparison", NAME, sides=sides, locations=["WH1", "ST1"], source_sides={"ST1": "tills"})
        self.tills.levels[KEY] = self.erp.levels[KEY] = 20
        super().begin()

    def compare(self) -> dict[str, int]:
        """Compare everything, of which the warehouse's key counts as one and the store's as another."""
        counts = super().compare()
        return counts | {"agree": counts["agree"] - 1} if counts["agree"] == 2 else counts

    def sell(self, receipt: str, pieces: int, *, told: bool = True) -> None:
        """A till sells; unless the file is lost the plane is told, and the ERP books it."""
        self.clock.advance(1)
        self.tills.levels[KEY] -= pieces
        if not told:
            return
        ref, now = f"ST1/{receipt}/1", self.clock.now().isoformat()
        sale = {"ref": ref, "location": "ST1", "sku": SKU, "quantity": pieces, "unit_price": "5.00", "currency": "EUR"}
        self.hook("tills", "sale.recorded", ref, {**sale, "sold_at": now})
        self.sync.drain()
        self.erp.levels[KEY] -= pieces
        self.clock.advance(1)


@pytest.fixture
def chain(store: Store, clock: ManualClock) -> Chain:
    chain = Chain(store, clock)
    chain.begin()
    return chain


def at_store(chain: Chain) -> list[tuple[object, ...]]:
    found = [row for row in rows(chain, t.finding) if row["subject"] == f"{SKU}@ST1"]
    return [(row["side"], row["cause"], row["state"]) for row in found]


def test_sales_that_reached_the_books_are_no_difference(chain: Chain) -> None:
    chain.sell("R1", 3)
    chain.compare()
    assert at_store(chain) == []


def test_a_sale_whose_file_never_came_is_never_received_at_the_books(chain: Chain) -> None:
    chain.sell("R1", 3)
    chain.sell("R2", 2, told=False)
    chain.compare()
    chain.confirm(minutes=2.1)
    assert at_store(chain) == [("erp", "never_received", "open")]


def test_sales_on_their_way_do_not_make_a_suspicion_begin_anew(chain: Chain) -> None:
    chain.sell("R1", 2, told=False)
    chain.compare()
    chain.clock.advance(60)
    chain.erp.down = True
    chain.sell("R2", 1)
    chain.erp.down = False
    chain.erp.levels[KEY] += 1  # the books do not have it yet
    chain.compare()
    chain.erp.levels[KEY] -= 1
    chain.confirm(minutes=1.1)
    assert ("erp", "never_received", "open") in at_store(chain)


def test_a_count_that_is_not_there_fails_the_comparison(chain: Chain) -> None:
    chain.tills.down = True
    assert "tills" in chain.compare()["unread"]  # type: ignore[operator]
