"""What is odd, older, or said twice otherwise: it never stops what stands behind it, and is never lost in silence."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft
from controlplane.registry.packs import pack_folder
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.sync.kit import House, Vendor

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    return House(store, clock)


def cases(house: House, stage: str = "process") -> list[Any]:
    with house.store.read() as connection:
        return list(connection.execute(select(t.quarantine).where(t.quarantine.c.stage == stage)))


def receive(house: House, receipt: str, quantity: int, event: str, system: str = "wms") -> None:
    """Goods arrive."""
    data = {
        "receipt": receipt, "purchase_order": "PO1", "location": "WH1", "received_at": "2026-03-02T08:00:00+00:00",
        "lines": [{"sku": SKU, "quantity": quantity}],
    }  # fmt: skip
    house.hook(system, "receipt.received", receipt, data, event=event, version=event)
    house.run()


def described(house: House, title: str, at: datetime) -> None:
    """The ERP describes an item as it was at an instant."""
    data = {"sku": SKU, "title": title, "unit_cost": "4.00", "unit_price": None, "currency": "USD", "active": True}
    house.erp.told_at = at  # type: ignore[attr-defined]
    house.hook("erp", "product.described", SKU, data, event=title, version=title)
    house.run()


class Dated(Vendor):
    """A vendor that says when something happened."""

    told_at: datetime

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        return [
            Draft(draft.type, draft.subject, draft.dedupe_key, self.told_at, draft.data)
            for draft in super().translate(topic, body)
        ]


# --- what cannot be read or counted ---


def test_a_message_whose_row_cannot_even_be_read_is_set_aside_and_the_others_go_on(house: House) -> None:
    receive(house, "RC1", 5, "1")
    house.level(SKU, 10)
    house.hook("wms", "receipt.received", "RC2", {
        "receipt": "RC2", "purchase_order": "PO1", "location": "WH1", "received_at": "2026-03-02T08:00:00+00:00",
        "lines": [{"sku": SKU, "quantity": 1}],
    })  # fmt: skip
    while house.sync.translate():
        pass
    with house.store.write() as connection:  # no instant that Python has: a defect of ours, or of who restored a backup
        mine = t.message.c.subject == "RC2"
        connection.exec_driver_sql("UPDATE message SET occurred_at = -9000000000000000000 WHERE subject = 'RC2'")
        assert connection.execute(select(t.message.c.id).where(mine)).one()
    receive(house, "RC3", 7, "3")
    [case] = cases(house)
    assert (case.reason_code, case.subject) == ("defect", "RC2")
    assert house.erp.effects["item_receipt", "RC3"] == 1


def test_an_amount_that_no_ledger_could_hold_is_refused_where_it_comes_in(house: House) -> None:
    for amount in ("12345678901234567890123456789", "1E+20000000", "0.0000000000001"):
        data = {
            "sku": SKU, "title": "x", "unit_cost": amount, "unit_price": None, "currency": "USD", "active": True,
        }  # fmt: skip
        house.hook("erp", "product.described", SKU, data, event=amount, version=amount)
    house.run()
    assert [(case.reason_code, case.fault) for case in cases(house, "intake")] == [("schema", "unit_cost")] * 3


@pytest.mark.parametrize(
    "at", [datetime.fromisoformat("2026-03-02T09:00:00"), datetime.fromisoformat("0001-01-01T00:00:00+14:00")]
)
def test_an_instant_that_is_none_waits_and_the_others_go_on(house: House, at: datetime) -> None:
    house.erp = Dated("erp", house.clock)
    described(house, "Shirt", at)
    receive(house, "RC1", 5, "1")
    [case] = cases(house, "intake")
    assert (case.reason_code, case.fault) == ("schema", "occurred_at")
    assert house.erp.effects["item_receipt", "RC1"] == 1


def test_a_subject_that_is_not_what_the_data_speak_of_waits(house: House) -> None:
    data = {
        "sku": OTHER, "location": "WH1", "on_hand": 1, "allocated": 0, "available": 1, "in_transit": 0,
        "source_at": house.clock.now().isoformat(),
    }  # fmt: skip
    house.hook("wms", "stock.level", f"{SKU}@WH1", data)
    house.run()
    [case] = cases(house, "intake")
    assert case.fault == "subject"
    assert f"'{SKU}@WH1', and its data speak of '{OTHER}@WH1'" in case.reason


# --- documents that are told twice ---


def test_a_document_told_again_with_other_content_waits_for_a_person(house: House) -> None:
    receive(house, "RC1", 5, "a")
    receive(house, "RC1", 5, "b")
    assert cases(house) == [], "the same again is the same"
    receive(house, "RC1", 7, "c")
    [case] = cases(house)
    assert (case.reason_code, case.subject, case.record["lines"][0]["quantity"]) == ("contradiction", "RC1", 7)
    assert house.erp.effects["item_receipt", "RC1"] == 1


def test_documents_that_contradict_each_other_in_one_batch_are_told_apart(house: House) -> None:
    for event, quantity in (("a", 5), ("b", 7), ("c", 5)):
        data = {
            "receipt": "RC1", "purchase_order": "PO1", "location": "WH1", "received_at": "2026-03-02T08:00:00+00:00",
            "lines": [{"sku": SKU, "quantity": quantity}],
        }  # fmt: skip
        house.hook("wms", "receipt.received", "RC1", data, event=event, version=event)
    receive(house, "RC2", 1, "d")
    assert [case.record["lines"][0]["quantity"] for case in cases(house)] == [7]
    assert (house.erp.effects["item_receipt", "RC1"], house.erp.effects["item_receipt", "RC2"]) == (1, 1)


def test_two_sources_may_use_the_same_reference(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(pack_folder("sandbox"), folder)
    flows = list(yaml.safe_load_all((folder / "flows.yaml").read_text()))
    [receipts] = [flow for flow in flows if flow["metadata"]["name"] == "receipts"]
    other = {**receipts, "metadata": {"name": "receipts-of-tills"}}
    other["spec"] = {**receipts["spec"], "source": "shop", "method": "event"}
    other["spec"] = {key: value for key, value in other["spec"].items() if key not in ("read", "poll_every")}
    (folder / "flows.yaml").write_text(yaml.safe_dump_all([*flows, other]))
    domains = list(yaml.safe_load_all((folder / "domains.yaml").read_text()))
    for domain in domains:
        if "receipt" in domain["spec"]["entities"]:
            domain["spec"]["entities"]["receipt"] = {"system_of_record": ["wms", "shop"]}
    (folder / "domains.yaml").write_text(yaml.safe_dump_all(domains))
    house = House(store, clock, folder)
    receive(house, "RC1", 5, "a")
    receive(house, "RC1", 9, "b", system="shop")
    assert cases(house) == []
    with house.store.read() as connection:
        keys = connection.execute(select(t.delivery.c.idempotency_key).where(t.delivery.c.subject == "RC1")).scalars()
        assert len(set(keys)) == 2


# --- states that are older, or from the future ---


def test_an_older_level_changes_nothing_and_is_owed_to_nobody(house: House) -> None:
    now = house.clock.now()
    house.shop.levels[SKU, "WH1"] = 0
    house.sync.healing.read_channel("shop")
    house.level(SKU, 3, source_at=(now - timedelta(seconds=30)).isoformat())
    house.run()
    house.level(SKU, 5, source_at=(now - timedelta(seconds=60)).isoformat())
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 1, "two are kept back"
    with house.store.read() as connection:
        assert connection.execute(select(t.stock_position.c.on_hand)).scalar_one() == 3
        states = connection.execute(select(t.message.c.state).where(t.message.c.type == "stock.level")).scalars().all()
    assert list(states) == ["processed", "processed"], "it is kept"
    assert cases(house) == []


def test_an_older_description_does_not_take_the_place_of_a_newer(house: House) -> None:
    house.erp = Dated("erp", house.clock)
    now = house.clock.now()
    described(house, "New", now)
    described(house, "Old", now - timedelta(hours=1))
    with house.store.read() as connection:
        assert connection.execute(select(t.product.c.title)).scalar_one() == "New"
    described(house, "Newest", now)
    with house.store.read() as connection:
        assert connection.execute(select(t.product.c.title)).scalar_one() == "Newest"


def test_a_level_from_the_future_waits_and_does_not_hold_up_what_is_true(house: House) -> None:
    house.shop.levels[SKU, "WH1"] = 0
    house.sync.healing.read_channel("shop")
    house.level(SKU, 50, source_at="2099-01-01T00:00:00+00:00")
    house.run()
    [case] = cases(house)
    assert (case.reason_code, case.fault) == ("clock_ahead", "source_at")
    house.level(SKU, 9)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 7, "two are kept back"


@pytest.mark.parametrize("at", ["2026-03-04T09:00:00+00:00", "0001-01-01T00:00:00+14:00"])
def test_a_document_of_another_day_waits_and_one_of_a_clock_that_is_a_little_ahead_goes_on(
    house: House, at: str
) -> None:
    for number, when in enumerate((at, "2026-03-02T11:00:00+00:00")):
        data = {
            "receipt": f"RC{number}", "purchase_order": "PO1", "location": "WH1", "received_at": when,
            "lines": [{"sku": SKU, "quantity": 1}],
        }  # fmt: skip
        house.hook("wms", "receipt.received", f"RC{number}", data)
    house.run()
    [case] = cases(house)
    assert (case.reason_code, case.fault, case.subject) == ("clock_ahead", "received_at", "RC0")
    assert house.erp.effects == {("item_receipt", "RC1"): 1}
