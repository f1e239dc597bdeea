"""The loop of the inventory, order and money domains, from webhook to target."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.sync.kit import House

SKU = "0007-BLK-M"


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer whose shop shows 8 of one SKU, read before anything happens."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    return house


def rows(house: House, table: object) -> list[dict[str, object]]:
    """All rows of a table."""
    with house.store.read() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]  # type: ignore[call-overload]


def states(house: House, entity: str) -> list[str]:
    """States of the deliveries of an entity, oldest first."""
    d = t.delivery.c
    with house.store.read() as connection:
        return list(connection.execute(select(d.state).where(d.entity == entity).order_by(d.id)).scalars())


def test_shop_is_sent_what_the_warehouse_has_less_safety_stock(house: House) -> None:
    house.level(SKU, on_hand=20, allocated=4)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 14


def test_positions_keep_the_four_states_of_stock_apart(house: House) -> None:
    house.level(SKU, on_hand=20, allocated=4)
    house.run()
    [position] = rows(house, t.stock_position)
    assert {k: position[k] for k in ("on_hand", "allocated", "available", "in_transit")} == {
        "on_hand": 20,
        "allocated": 4,
        "available": 16,
        "in_transit": 0,
    }


def test_an_older_level_that_arrives_late_changes_nothing(house: House) -> None:
    early = house.clock.now().isoformat()
    house.clock.advance(60)
    house.level(SKU, on_hand=20)
    house.run()
    house.level(SKU, on_hand=99, source_at=early)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 18
    assert rows(house, t.stock_position)[0]["on_hand"] == 20


def test_an_order_goes_once_to_erp_and_warehouse_however_often_it_is_told(house: House) -> None:
    house.level(SKU, 10)
    house.run()
    assert house.order("#1001", SKU, 2)
    assert not house.order("#1001", SKU, 2, event="#1001"), "the vendor repeats its event"
    house.order("#1001", SKU, 2, event="the sweep")
    house.run()
    assert house.erp.effects["sales_order", "#1001"] == 1
    assert house.wms.effects["order", "#1001"] == 1


def test_an_order_needs_no_stock_write_because_the_shop_has_taken_it_off_itself(house: House) -> None:
    house.level(SKU, 10)
    house.run()
    before = house.shop.writes
    house.order("#1001", SKU, 2)
    house.run()
    assert house.shop.writes == before
    assert house.shop.levels[SKU, "WH1"] == 6


def test_an_order_that_the_warehouse_has_not_counted_yet_is_not_sold_twice(house: House) -> None:
    house.level(SKU, 10)
    house.run()
    house.wms.down = True
    house.order("#1001", SKU, 3)
    house.clock.advance(1)
    house.level(SKU, 15)  # a receipt; the warehouse does not know the order
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 15 - 3 - 2


def test_a_write_is_refused_while_the_shop_has_sold_more_than_we_heard_of_and_made_when_we_hear(house: House) -> None:
    house.shop.levels[SKU, "WH1"] -= 3  # an order whose webhook is still on its way
    house.level(SKU, 30)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 5, "nothing was overwritten"
    assert states(house, "available") == ["stale"]
    house.shop.levels[SKU, "WH1"] += 3
    house.order("#1001", SKU, 3)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 30 - 3 - 2


def test_a_refused_level_that_shows_what_it_was_to_be_set_to_is_known_from_then_on(house: House) -> None:
    house.shop.levels[SKU, "WH1"] = 28  # somebody set it there
    house.level(SKU, 30)
    house.run()
    assert states(house, "available") == ["stale"]
    house.clock.advance(1)
    house.level(SKU, 31)
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 29, "the next write was computed from what it shows"


def test_a_burst_on_one_key_sends_one_running_and_the_last(house: House) -> None:
    for on_hand in (12, 15, 9, 30):
        house.clock.advance(1)
        house.level(SKU, on_hand)
    while house.sync.translate() or house.sync.process():
        pass
    house.run()
    assert house.shop.history[SKU, "WH1"] == [28]
    assert states(house, "available") == ["superseded", "superseded", "superseded", "delivered"]


def test_a_level_that_goes_up_and_back_within_one_batch_leaves_the_shop_where_it_was(house: House) -> None:
    house.level(SKU, 10)
    house.run()
    for on_hand in (15, 10):
        house.clock.advance(1)
        house.level(SKU, on_hand)
    while house.sync.translate():
        pass
    house.run()
    assert house.shop.levels[SKU, "WH1"] == 10 - 2


def test_five_then_three_then_five_again_are_three_writes(house: House) -> None:
    for on_hand in (7, 5, 7):
        house.clock.advance(1)
        house.level(SKU, on_hand)
        house.run()
    assert house.shop.history[SKU, "WH1"] == [5, 3, 5]


def test_a_shipment_reaches_shop_and_erp_and_posts_balanced_entries_once(house: House) -> None:
    house.product(SKU, "4.00")
    house.level(SKU, 10)
    house.order("#1001", SKU, 2)
    house.run()
    house.shipment("SH1", "#1001", SKU, 2)
    house.shipment("SH1", "#1001", SKU, 2)
    house.run()
    assert house.shop.effects["fulfillment", "SH1"] == 1
    assert house.erp.effects["item_fulfillment", "SH1"] == 1
    postings = rows(house, t.posting)
    assert len(postings) == 2
    for posting in postings:
        lines = posting["lines"]
        assert sum(Decimal(x["debit"]) - Decimal(x["credit"]) for x in lines) == 0  # type: ignore[attr-defined]
    assert sorted(sum(Decimal(x["debit"]) for x in p["lines"]) for p in postings) == [Decimal("8.00"), Decimal("20.00")]  # type: ignore[attr-defined]
    assert sum(count for (entity, _), count in house.erp.effects.items() if entity == "journal_entry") == 2
    assert rows(house, t.order_state)[0]["state"] == "shipped"


def test_shipments_wait_for_their_order_at_each_target(house: House) -> None:
    house.product(SKU, "4.00")
    house.erp.faults.append("throttled")
    house.order("#1001", SKU, 2)
    house.shipment("SH1", "#1001", SKU, 2)
    house.run()
    assert house.erp.effects["item_fulfillment", "SH1"] == 0
    house.run(minutes=1)
    assert (
        list(house.erp.effects)[:2] == [("sales_order", "#1001"), ("item_fulfillment", "SH1")]
        or house.erp.effects["item_fulfillment", "SH1"] == 1
    )


def test_every_delivery_names_the_policy_revision_that_it_was_made_under(house: House) -> None:
    house.level(SKU, 20)
    house.run()
    [delivery] = rows(house, t.delivery)
    assert delivery["retry_revision"] == house.registry.snapshot().revision("RetryPolicy", "stock")
    with house.store.read() as connection:
        assert connection.execute(select(func.count()).select_from(t.attempt)).scalar_one() == 1
