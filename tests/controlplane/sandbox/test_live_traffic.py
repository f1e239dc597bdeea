"""Stock that never stands still: reservations of other channels, a wrong clock, and what people set up wrong."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.sandbox.app import build
from controlplane.sandbox.clock import SteppedClock
from controlplane.sandbox.scenario import ScenarioError, read_fault, read_scenario
from tests.controlplane.sandbox.client import Client, Listener
from tests.controlplane.sandbox.conftest import QUIET, START, quiet

SKU = "0007-BLK-M"
BALANCE = (
    "SELECT item.itemid AS sku, b.quantityonhand AS on_hand FROM InventoryBalance b JOIN item ON item.id = b.item "
    "WHERE b.location = 1 AND item.id = 1007"
)
STOCK = (
    "query ($sku: String) { warehouse_products(sku: $sku) { request_id complexity data(first: 100) "
    "{ edges { node { sku available updated_at } } } } }"
)


def later(minutes: float) -> str:
    return (START + timedelta(minutes=minutes)).isoformat()


def traffic(**changes: Any) -> dict[str, Any]:
    retailer = QUIET["retailer"] | changes.pop("retailer", {})  # type: ignore[operator]
    return quiet(actors={"traffic": {"events_per_second": 5, "together": 3}}, retailer=retailer, **changes)


def test_reservations_move_what_is_available_and_can_be_sold_but_not_what_is_there(
    start: Callable[..., Client],
) -> None:
    sandbox = start(traffic())
    sandbox.advance(later(1))
    rows = [row for row in sandbox.control("GET", "/truth").json() if row["location"] == "WH1"]
    assert any(row["wms_available"] < 40 for row in rows)
    assert all(row["wms_on_hand"] == 40 for row in rows)
    assert all(row["ats"] == max(0, row["wms_available"] - 2) for row in rows)
    assert {event["cause"] for event in sandbox.journal("value")} == {"opening", "reservation"}


def test_one_webhook_tells_of_as_many_articles_as_were_asked_for(
    start: Callable[..., Client], listener: Listener
) -> None:
    sandbox = start(traffic())
    sandbox.advance(later(0.5))
    told = [len(json.loads(body)["inventory"]) for _, _, body in listener.got]
    assert max(told) == 3
    assert sum(told) > 60


def test_a_wrong_clock_shows_in_what_the_warehouse_stamps_and_in_nothing_else(start: Callable[..., Client]) -> None:
    sandbox = start(traffic(retailer={"clocks": {"wms": "3m"}}))
    sandbox.advance(later(1))
    rows = [edge["node"] for edge in sandbox.wms(STOCK)["data"]["warehouse_products"]["data"]["edges"]]
    newest = max(datetime.fromisoformat(row["updated_at"]) for row in rows)
    assert timedelta(minutes=3) < newest - START <= timedelta(minutes=4)
    assert max(datetime.fromisoformat(event["at"]) for event in sandbox.journal("value")) <= START + timedelta(
        minutes=1
    )


def test_a_quota_multiplies_what_the_warehouse_grants(start: Callable[..., Client]) -> None:
    query = STOCK.replace("first: 100", "first: 6000")
    assert "errors" in start(quiet()).wms(query)


def test_with_a_quota_the_same_request_is_granted(start: Callable[..., Client]) -> None:
    query = STOCK.replace("first: 100", "first: 6000")
    assert "errors" not in start(traffic(retailer={"quota": 2})).wms(query)


def test_an_article_in_a_wrong_unit_is_shown_times_the_factor_and_journalled(sandbox: Client) -> None:
    sandbox.fault(kind="wrong_unit", target="erp", pick=SKU, factor=12)
    sandbox.advance(later(1))
    assert sandbox.suiteql(BALANCE)["items"][0]["on_hand"] == "480"
    assert sandbox.truth(SKU)["erp_on_hand"] == 40
    [event] = sandbox.journal("wrong_unit")
    assert (event["system"], event["sku"], event["factor"]) == ("erp", SKU, 12)


def test_a_renamed_article_is_listed_under_a_code_that_nobody_knows(sandbox: Client) -> None:
    sandbox.fault(kind="renamed", target="erp", pick=SKU)
    sandbox.advance(later(1))
    assert sandbox.suiteql(BALANCE)["items"][0]["sku"] == f"{SKU}-OLD"
    [event] = sandbox.journal("renamed")
    assert (event["sku"], event["code"]) == (SKU, f"{SKU}-OLD")


def test_what_is_done_every_so_often_is_done_until_its_end(sandbox: Client) -> None:
    sandbox.fault(kind="hand_edit", target="shop", pick="random", delta=5, every="20s", until="70s")
    sandbox.advance(later(5))
    assert [event["at"][14:19] for event in sandbox.journal("hand_edit")] == ["00:00", "00:20", "00:40", "01:00"]


def test_how_late_a_webhook_is_can_be_drawn(start: Callable[..., Client]) -> None:
    late = {"kind": "late_webhook", "target": "wms", "up_to": 30}
    sandbox = start(traffic(faults=[late]))
    sandbox.advance(later(2))
    told = [event for event in sandbox.journal("webhook") if event["fate"] == "late"]
    delays = [
        (datetime.fromisoformat(e["delivered_at"]) - datetime.fromisoformat(e["created_at"])).total_seconds()
        for e in told
    ]
    assert len(set(delays)) > 20
    assert 1 <= min(delays) < 10 < 20 < max(delays) <= 31


def test_a_dropped_write_is_answered_and_changes_nothing(sandbox: Client) -> None:
    sandbox.fault(kind="dropped_write", target="shop")
    answer = sandbox.set_stock(SKU, 20, 38, "k1")["data"]["inventorySetQuantities"]
    assert answer["userErrors"] == []
    assert [change["delta"] for change in answer["inventoryAdjustmentGroup"]["changes"]] == [-18, -18]
    assert sandbox.truth(SKU)["shop_available"] == 38
    [event] = sandbox.journal("dropped_write")
    assert (event["sku"], event["from"], event["to"]) == (SKU, 20, 38)


def test_a_write_that_starts_from_another_number_is_refused_and_journalled(sandbox: Client) -> None:
    sandbox.set_stock(SKU, 20, 37, "k1")
    [event] = sandbox.journal("stale_write")
    assert (event["sku"], event["expected"], event["shown"]) == (SKU, 37, 38)


def test_a_lost_file_never_comes_and_leaves_its_number_out(start: Callable[..., Client]) -> None:
    faults = [{"kind": "lost_file", "target": "tills", "from": "4m", "until": "6m"}]
    sandbox = start(quiet(actors={"stores": {"sales_per_minute": 4, "drop_every": "5m"}}, faults=faults))
    sandbox.advance(later(11))
    files = sorted(path.name[-8:-4] for path in (sandbox.home / "tills").glob("sales_ST1_*.csv"))
    lost = {event["store"]: event for event in sandbox.journal("lost_file")}
    assert files == ["0002"]
    assert lost["ST1"]["number"] == 1
    sold = {event["ref"] for event in sandbox.journal("document") if event["at"] < later(5)}
    assert set(lost["ST1"]["refs"]) | set(lost["ST2"]["refs"]) == sold


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "dropped_write", "target": "erp"}, "shop"),
        ({"kind": "latency", "target": "tills"}, "lost_file"),
        ({"kind": "wrong_unit", "target": "erp"}, "factor"),
        ({"kind": "wrong_unit", "target": "shop", "factor": 12}, "target `erp`"),
        ({"kind": "renamed", "target": "wms"}, "target `erp`"),
        ({"kind": "latency", "target": "erp", "every": "5s"}, "`every`"),
        ({"kind": "late_webhook", "target": "wms", "up_to": 5, "seconds": 3}, "`up_to`"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_its_remedy(fault: dict[str, Any], says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        read_fault(fault)


@pytest.mark.parametrize(
    ("system", "column"), [("shop", "shop_updated_at"), ("erp", "erp_updated_at"), ("wms", "wms_updated_at")]
)
@pytest.mark.parametrize("seconds", [300, -300])
def test_any_system_s_clock_may_be_wrong_either_way(tmp_path: Path, system: str, column: str, seconds: int) -> None:
    scenario = read_scenario(quiet(retailer=QUIET["retailer"] | {"clocks": {system: seconds}}))  # type: ignore[operator]
    sandbox = build(tmp_path, SteppedClock(START, 0.001), scenario, seed=7, plane="http://127.0.0.1:9")
    level = sandbox.world.level(SKU)
    with sandbox.world.transaction() as world:
        world.move_shop(level, 1, 0, "refund", "")
        world.move_erp(level, 1, 0, "receipt", "")
        world.move_physical(level, 1, "receipt", "")
    sandbox.engine.stop()
    stamps = {"shop_updated_at", "erp_updated_at", "wms_updated_at"}
    assert getattr(level, column) - START == timedelta(seconds=seconds)
    assert {getattr(level, other) for other in stamps - {column}} == {START}


def counting(**changes: Any) -> dict[str, Any]:
    stores = {"sales_per_minute": 6, "drop_every": "2m", "counts": True}
    retailer = QUIET["retailer"] | {"stores": ["ST1"]}  # type: ignore[operator]
    return quiet(actors={"stores": stores}, retailer=retailer, **changes)


def counted(sandbox: Client) -> dict[str, int]:
    rows = (sandbox.home / "tills" / "stock_ST1.csv").read_text().splitlines()[1:]
    return {plu: int(on_hand) for _, plu, on_hand, _ in (row.split(";") for row in rows)}


def test_a_store_counts_its_shelves_at_the_start_and_with_each_drop(start: Callable[..., Client]) -> None:
    sandbox = start(counting())
    assert set(counted(sandbox).values()) == {20}
    sandbox.advance(later(4))
    shelves = {
        event["sku"]: event["value"] for event in sandbox.journal("value") if event["location"] == "ST1"
        and (event["system"], event["field"]) == ("truth", "on_hand")
    }  # fmt: skip
    assert list(counted(sandbox).values()) == [shelves[sku] for sku in sorted(shelves)]
    assert min(shelves.values()) < 20


def test_a_count_comes_though_the_file_of_sales_is_lost(start: Callable[..., Client]) -> None:
    sandbox = start(counting(faults=[{"kind": "lost_file", "target": "tills"}]))
    sandbox.advance(later(4))
    assert [path.name for path in (sandbox.home / "tills").iterdir()] == ["stock_ST1.csv"]
    assert min(counted(sandbox).values()) < 20
