"""While one ERP takes another's place, what is about an order goes to the one that booked it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.sync.kit import House, Vendor
from tests.controlplane.sync.policies import add, change

SKU = "0007-BLK-M"


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer whose shipments and returns name two ERPs."""
    house = House(store, clock)
    house.sap = Vendor("sap", clock)  # type: ignore[attr-defined]
    add(
        house, "System", "sap", connector="sap_s4", owner="finance-systems", role="erp", endpoint="https://sap.example.com",
        secrets={"user": "env:A", "password": "env:B"},
    )  # fmt: skip
    change(
        house, "Flow", "shipments",
        targets=[{"system": one, "entity": "item_fulfillment"} for one in ("erp", "sap")] + [{"system": "shop", "entity": "fulfillment"}],
    )  # fmt: skip
    change(
        house, "Flow", "returns", targets=[{"system": one, "entity": "inventory_adjustment"} for one in ("erp", "sap")]
    )
    house.product(SKU, "4.00")
    house.level(SKU, 50)
    house.run()
    return house


def orders_go_to(house: House, *erps: str) -> None:
    targets: list[Any] = [{"system": one, "entity": "sales_order"} for one in erps]
    change(house, "Flow", "orders", targets=[*targets, {"system": "wms", "entity": "order"}])


def told(house: House, entity: str) -> set[tuple[str, str]]:
    """Target and subject of the deliveries of an entity."""
    d = t.delivery.c
    with house.store.read() as connection:
        return {tuple(row) for row in connection.execute(select(d.target, d.subject).where(d.entity == entity))}


def come_back(house: House, ref: str, order: str) -> None:
    data = {
        "return_ref": ref, "order_ref": order, "location": "WH1", "received_at": house.clock.now().isoformat(),
        "lines": [{"sku": SKU, "quantity": 1}],
    }  # fmt: skip
    house.hook("wms", "return.received", ref, data)
    house.run()


def test_a_shipment_and_a_return_follow_their_order_to_the_erp_that_booked_it(house: House) -> None:
    house.order("#1", SKU, 1)
    house.run()
    orders_go_to(house, "sap")
    house.order("#2", SKU, 1)
    house.run()
    for number in ("1", "2"):
        house.shipment(f"S-{number}", f"#{number}", SKU, 1)
        house.run()
        come_back(house, f"R-{number}", f"#{number}")
    assert told(house, "sales_order") == {("erp", "#1"), ("sap", "#2")}
    assert told(house, "item_fulfillment") == {("erp", "S-1"), ("sap", "S-2")}
    assert told(house, "inventory_adjustment") == {("erp", "R-1"), ("sap", "R-2")}
    assert told(house, "fulfillment") == {("shop", "S-1"), ("shop", "S-2")}


def test_an_order_and_its_shipment_that_come_together_go_the_same_way(house: House) -> None:
    orders_go_to(house, "sap")
    house.order("#1", SKU, 1)
    house.shipment("S-1", "#1", SKU, 1)
    house.run()
    assert told(house, "item_fulfillment") == {("sap", "S-1")}


def test_an_order_that_both_book_is_shipped_in_both(house: House) -> None:
    orders_go_to(house, "erp", "sap")
    house.order("#1", SKU, 1)
    house.run()
    house.shipment("S-1", "#1", SKU, 1)
    house.run()
    assert told(house, "item_fulfillment") == {("erp", "S-1"), ("sap", "S-1")}
