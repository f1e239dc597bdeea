"""The retailer's own life: seeded, repeatable, and untouched by what the plane does."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.controlplane.sandbox.client import Client
from tests.controlplane.sandbox.conftest import quiet

BUSY: dict[str, Any] = {
    "minutes": 60,
    "retailer": {"skus": 20},
    "actors": {
        "customers": {"orders_per_minute": 3, "bursts": [{"from": "30m", "until": "40m", "factor": 5}]},
        "stores": {"sales_per_minute": 2, "unmapped": [{"at": "20m", "plu": "999999"}]},
        "receipts": {"per_hour": 10},
    },
}
DONE = "2026-11-27T07:30:00Z"


def documents(sandbox: Client, *kinds: str) -> list[dict[str, Any]]:
    return [e for e in sandbox.journal("document") if not kinds or e["doc"] in kinds]


def test_the_same_seed_gives_the_same_journal_and_another_seed_another(
    start: Callable[..., Client], tmp_path: Path
) -> None:
    journals = []
    for number, seed in enumerate((3, 3, 4)):
        sandbox = start(BUSY, seed=seed, home=tmp_path / str(number))
        sandbox.advance(DONE)
        journals.append(documents(sandbox))
    assert journals[0] == journals[1]
    assert journals[0] != journals[2]


def test_what_the_plane_does_never_changes_what_customers_want(start: Callable[..., Client], tmp_path: Path) -> None:
    wanted = []
    for number in range(2):
        sandbox = start(BUSY, home=tmp_path / str(number))
        if number:
            sandbox.set_stock("0001-WHT-L", 0, None, "k")
        sandbox.advance(DONE)
        carts = [e for e in sandbox.journal("document", "lost_sale") if e.get("doc", "order") == "order"]
        wanted.append([[(line["sku"], line["quantity"]) for line in e["lines"]] for e in carts])
    assert wanted[0] == wanted[1]


def test_a_burst_brings_more_orders(start: Callable[..., Client]) -> None:
    sandbox = start(BUSY)
    sandbox.advance(DONE)
    carts = [e["at"] for e in sandbox.journal("document", "lost_sale") if e.get("doc", "order") == "order"]
    burst = [at for at in carts if "T06:3" in at]
    assert len(burst) > 2 * len([at for at in carts if "T06:1" in at])


def test_trading_stops_at_the_end_and_the_agenda_runs_dry(start: Callable[..., Client]) -> None:
    sandbox = start(BUSY)
    standing = sandbox.advance(DONE)
    assert (standing["next_at"], standing["webhooks_pending"]) == (None, 0)
    assert max(event["at"] for event in documents(sandbox)) < "2026-11-27T07:00:00.000Z"


def test_tills_drop_every_sale_as_a_row_of_csv(start: Callable[..., Client]) -> None:
    sandbox = start(BUSY)
    sandbox.advance(DONE)
    files = sorted((sandbox.home / "tills").iterdir())
    assert files[0].name == "sales_ST1_20261127T060500_0001.csv"
    text = files[0].read_text().splitlines()
    assert text[0] == "store;receipt;line;plu;qty;unit_price;sold_at"
    assert "," in text[1].split(";")[5]
    rows = [row for file in files for row in csv.DictReader(file.open(), delimiter=";")]
    told = {f"{row['store']}/{row['receipt']}/{row['line']}" for row in rows}
    sales = documents(sandbox, "till_sale")
    assert told == {event["ref"] for event in sales}
    assert [row["plu"] for row in rows if row["plu"] == "999999"] == ["999999"]
    assert [event["plu"] for event in sales if event["expect_quarantine"]] == ["999999"]


def test_a_sale_lowers_the_store_and_not_the_warehouse(start: Callable[..., Client]) -> None:
    sandbox = start(quiet(actors={"stores": {"sales_per_minute": 3}}))
    sandbox.advance("2026-11-27T06:30:00Z")
    line = documents(sandbox, "till_sale")[0]["lines"][0]
    assert sandbox.truth(line["sku"], line["location"])["wms_on_hand"] < 20
    assert sandbox.truth(line["sku"])["wms_on_hand"] == 40


def test_the_journal_tells_every_number_from_the_opening_to_the_end(start: Callable[..., Client]) -> None:
    sandbox = start(BUSY)
    sandbox.advance(DONE)
    last = {(e["system"], e["field"], e["sku"], e["location"]): e["value"] for e in sandbox.journal("value")}
    for row in sandbox.control("GET", "/truth").json():
        if row["location"] == "WH1":
            key = (row["sku"], "WH1")
            assert last["wms", "on_hand", *key] == row["wms_on_hand"]
            assert last["wms", "available", *key] == row["wms_available"]
            assert last["shop", "available", *key] == row["shop_available"]
            assert last["erp", "on_hand", *key] == row["erp_on_hand"]
            assert last["truth", "ats", *key] == row["ats"]


def test_the_rate_and_the_switch_are_obeyed(start: Callable[..., Client]) -> None:
    sandbox = start(BUSY)
    sandbox.control("POST", "/actors", {"running": False})
    sandbox.advance("2026-11-27T06:10:00Z")
    assert documents(sandbox) == []
    sandbox.control("POST", "/actors", {"running": True, "rate": 4})
    sandbox.advance("2026-11-27T06:20:00Z")
    assert len(documents(sandbox, "order")) > 60
