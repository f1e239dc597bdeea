"""Safety stock, simulated on what a retailer's shop was really offered and sold."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from controlplane.clock import ManualClock
from controlplane.simulation import allocation_rules
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.simulation.past import Past, figures
from tests.controlplane.simulation.test_simulators import changed
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import change

SKU = "0007-BLK-M"


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """Five pieces in the warehouse; the shop was offered the three beyond the safety stock of two."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 0
    house.level(SKU, 5)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 3
    return house


def simulated(house: House, units: int) -> dict[str, tuple[float, float]]:
    house.clock.advance(60)
    rule = house.registry.snapshot().documents["AllocationRule", "shop"]
    return figures(Past(house.registry).simulated(allocation_rules.simulate, rule, changed(rule, safety_stock=units)))


def test_more_safety_stock_would_have_avoided_what_was_oversold(house: House) -> None:
    house.order("#1", SKU, 1)
    house.run()
    house.clock.advance(60)
    house.shop.down = True
    house.level(SKU, 1)  # three were broken, and one is sold: there is one, and the shop cannot be told
    house.run()
    house.order("#2", SKU, 2)
    house.clock.advance(60)
    house.shop.down = False
    house.run()
    as_it_was, stricter = simulated(house, 2), simulated(house, 4)
    assert as_it_was["oversold units"] == (1, 1)
    assert stricter["oversold units"] == (1, 0)
    assert stricter["units not sold for it"] == (0, 1), "the one of the two that there was"
    assert as_it_was["units not sold for it"] == (0, 0)
    assert stricter["oversold worth"][1] == 0 < stricter["oversold worth"][0]


def test_where_nothing_was_oversold_more_safety_stock_only_costs_sales(house: House) -> None:
    house.order("#1", SKU, 3)
    house.run()
    found = simulated(house, 5)
    assert found["oversold units"] == (0, 0)
    assert found["units not sold for it"] == (0, 3)
    assert found["sales missed for it"][1] > 0


def test_an_offer_is_taken_as_made_under_the_revision_that_governed_it(house: House) -> None:
    house.order("#1", SKU, 3)
    house.run()
    house.clock.advance(60)
    change(house, "AllocationRule", "shop", safety_stock=5)
    found = simulated(house, 6)
    assert found["units not sold for it"] == (3, 3), "three were shown because two were kept back then, and not five"
    assert simulated(house, 2)["units not sold for it"] == (3, 0)


def test_sales_of_what_was_never_offered_in_the_stretch_are_counted_and_told(house: House) -> None:
    house.order("#1", SKU, 1)
    house.run()
    house.clock.advance(60)
    with house.store.write() as connection:
        connection.execute(delete(t.delivery))
    rule = house.registry.snapshot().documents["AllocationRule", "shop"]
    impact = Past(house.registry).simulated(allocation_rules.simulate, rule, changed(rule, safety_stock=9))
    assert figures(impact)[allocation_rules.NOT_KNOWN] == (1, 1)
    assert any("1 of 1 order lines, of 1 SKUs, count as unaffected" in line for line in impact.not_simulated)
