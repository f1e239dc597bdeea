"""The blueprint enforced: who is not of record for a field cannot write it, and what waits for that loses nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.registry import revisions
from controlplane.registry.packs import pack_folder
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.sync.kit import House

SKU = "0007-BLK-M"


def house_with(store: Store, clock: ManualClock, folder: Path, **entities: dict[str, Any]) -> House:
    """Return a house on the shipped policies, with entities owned otherwise."""
    shutil.copytree(pack_folder("sandbox"), folder)
    documents = list(yaml.safe_load_all((folder / "domains.yaml").read_text()))
    for document in documents:
        for entity, ownership in entities.items():
            if entity in document["spec"]["entities"]:
                document["spec"]["entities"][entity] = ownership
    (folder / "domains.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return House(store, clock, folder)


@pytest.fixture
def house(store: Store, clock: ManualClock, tmp_path: Path) -> House:
    """The ERP is of record for products, but the shop for their titles; the warehouse for stock, but the ERP for what comes."""
    return house_with(
        store, clock, tmp_path / "pack",
        product={"system_of_record": "erp", "fields": {"title": "shop"}},
        stock={"system_of_record": "wms", "fields": {"in_transit": "erp"}},
    )  # fmt: skip


def describe(house: House, system: str, version: str, **told: Any) -> None:
    """A system describes an item."""
    data = {
        "sku": SKU, "title": "Shirt", "unit_cost": "4.00", "unit_price": None, "currency": "USD", "active": True, **told
    }  # fmt: skip
    house.hook(system, "product.described", SKU, data, event=f"{system}{version}", version=f"{system}{version}")
    house.clock.advance(1)
    house.run()


def count(house: House, system: str, version: str, **told: int) -> None:
    """A system tells a level of WH1."""
    data = {
        "sku": SKU, "location": "WH1", "on_hand": 10, "allocated": 0, "available": 10, "in_transit": 0, **told,
        "source_at": house.clock.now().isoformat(),
    }  # fmt: skip
    house.hook(system, "stock.level", f"{SKU}@WH1", data, event=f"{system}{version}", version=f"{system}{version}")
    house.clock.advance(1)
    house.run()


def on_record(house: House, table: Any) -> Any:
    with house.store.read() as connection:
        return connection.execute(select(table)).one()


def waiting(house: House) -> list[Any]:
    with house.store.read() as connection:
        return list(
            connection.execute(
                select(t.quarantine).where(t.quarantine.c.stage == "process").order_by(t.quarantine.c.id)
            )
        )


def test_a_write_from_a_system_that_is_not_of_record_waits_with_that_reason(house: House) -> None:
    describe(house, "erp", "1")
    describe(house, "shop", "1", unit_cost="1.00")
    (case,) = waiting(house)
    assert (case.stage, case.reason_code, case.fault, case.system) == ("process", "not_of_record", "unit_cost", "shop")
    assert "writes unit_cost, and erp is of record for it by the Domain products" in case.reason
    assert case.record["unit_cost"] == "1.00", "it waits whole"
    assert str(on_record(house, t.product).unit_cost) == "4.00"


def test_a_fields_owner_writes_it_and_the_rest_of_its_message_changes_nothing(house: House) -> None:
    describe(house, "erp", "1")
    describe(house, "shop", "1", title="Fine shirt")
    assert waiting(house) == []
    assert on_record(house, t.product).title == "Fine shirt"


def test_restating_what_is_no_ones_news_is_no_write_and_overwrites_nothing(house: House) -> None:
    describe(house, "erp", "1")
    describe(house, "shop", "1", title="Fine shirt")
    describe(house, "erp", "2", unit_cost="5.00")
    assert waiting(house) == [], "the ERP tells the title as it told it before"
    row = on_record(house, t.product)
    assert (row.title, str(row.unit_cost)) == ("Fine shirt", "5.00")
    describe(house, "erp", "3", unit_cost="5.00", title="Shirt, red")
    (case,) = waiting(house)
    assert (case.reason_code, case.fault) == ("not_of_record", "title")
    assert on_record(house, t.product).title == "Fine shirt"


def test_who_is_of_record_creates_a_key_whole_and_nobody_else_creates_it(house: House) -> None:
    describe(house, "shop", "1")
    (case,) = waiting(house)
    assert case.fault == "active, currency, unit_cost"
    describe(house, "erp", "1")
    assert on_record(house, t.product).title == "Shirt"


def test_stock_is_counted_by_one_and_what_is_in_transit_told_by_another(house: House) -> None:
    count(house, "wms", "1", in_transit=0)
    count(house, "erp", "1", in_transit=7)
    assert waiting(house) == []
    count(house, "wms", "2", on_hand=9, available=9)
    row = on_record(house, t.stock_position)
    assert (row.on_hand, row.in_transit) == (9, 7)
    count(house, "erp", "2", on_hand=3, available=3, in_transit=7)
    (case,) = waiting(house)
    assert case.fault == "available, on_hand"
    assert on_record(house, t.stock_position).on_hand == 9


def test_what_waits_goes_through_when_the_blueprint_was_wrong(store: Store, clock: ManualClock) -> None:
    house = House(store, clock)
    house.hook("erp", "order.placed", "#1", order("#1"))
    house.run()
    (case,) = waiting(house)
    assert (case.reason_code, case.fault, case.owner) == ("not_of_record", "order", "finance-systems")
    assert not house.erp.effects
    amend(house, "orders", ["shop", "erp"])
    house.sync.replay(case.id, "olga")
    house.run()
    assert [one.state for one in waiting(house)] == ["replayed"]


def order(ref: str) -> dict[str, Any]:
    line = {"line": 1, "native_id": "L1", "sku": SKU, "location": "WH1", "quantity": 1, "unit_price": "10.00"}
    return {
        "ref": ref, "native_id": ref, "placed_at": "2026-03-02T08:00:00+00:00", "currency": "USD", "lines": [line],
    }  # fmt: skip


def amend(house: House, domain: str, systems: list[str]) -> None:
    """Put another system of record in force."""
    document = house.registry.snapshot().domains[domain]
    content = document.model_dump(mode="json")
    content["spec"]["entities"]["order"]["system_of_record"] = systems
    with house.store.write() as connection:
        revisions.write(
            connection, house.clock, [type(document).model_validate(content)], author="ada", origin="test", reason="test"
        )  # fmt: skip
