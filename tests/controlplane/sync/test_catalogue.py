"""One batch flow: items of the ERP into the shop, in bulk, only what changed, and on from where a kill stopped it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from controlplane.errors import UnavailableError
from controlplane.store import Store, open_store
from tests.controlplane.sandbox.client import Client, Listener
from tests.controlplane.sandbox.conftest import listener, start
from tests.controlplane.sync.catalogue import SECRETS, Erp, Planed, pack

__all__ = ["Listener", "listener", "start"]
COUNT = 600
ASK = "query($q: String!) { productVariants(first: 5, query: $q) { nodes { sku price product { title } } } }"


@pytest.fixture
def shop(start: Callable[..., Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    sandbox = start(home=tmp_path / "sandbox")
    for name, value in {**SECRETS, "SHOPIFY_TOKEN": sandbox.secret("shop_access_token")}.items():
        monkeypatch.setenv(name, value)
    return sandbox


@pytest.fixture
def erp() -> Iterator[Erp]:
    with Erp(COUNT).answering() as answering:
        yield answering


def planed(store: Store, tmp_path: Path, erp: Erp, shop: Client, currency: str = "USD") -> Planed:
    policies = pack(tmp_path, currency, tryton=erp.url, shopify=f"{shop.url}/shop")

    def elsewhere(now: datetime) -> None:
        shop.advance(now.isoformat())

    return Planed(store, tmp_path, policies, elsewhere, pace=0.1)


def written(shop: Client) -> list[str]:
    return [event["sku"] for event in shop.journal("product")]


def price(shop: Client, number: int) -> list[str]:
    nodes = shop.shop(ASK, q=f"sku:'ITEM-{number:06d}'")["data"]["productVariants"]["nodes"]
    return [node["price"] for node in nodes]


def carried(shop: Client, erp: Erp) -> None:
    """Everything is there, once."""
    assert sorted(set(written(shop))) == [f"ITEM-{number:06d}" for number in range(1, erp.count + 1)]
    assert [price(shop, number) for number in (1, 500, erp.count)] == [
        [f"{number % 900 + 1}.{number % 100:02d}"] for number in (1, 500, erp.count)
    ]


def test_all_items_are_carried_in_bulk_and_afterwards_only_what_changed(
    sqlite_store: Store, tmp_path: Path, erp: Erp, shop: Client
) -> None:
    plane = planed(sqlite_store, tmp_path, erp, shop)
    assert plane.sync.poll("catalogue") == COUNT
    plane.run()
    carried(shop, erp)
    assert plane.deliveries("shopify") == {"delivered": COUNT}
    assert len(written(shop)) == COUNT

    erp.touch(7, "7.77")
    erp.touch(8, "8.88")
    erp.touch(8, "8.89")
    assert plane.sync.poll("catalogue") == 2
    plane.run()
    assert sorted(written(shop)[COUNT:]) == ["ITEM-000007", "ITEM-000008"]
    assert (price(shop, 7), price(shop, 8)) == (["7.77"], ["8.89"])
    plane.close()


def test_what_the_shop_shows_already_is_not_written_by_a_plane_that_knows_nothing_of_it(
    sqlite_store: Store, sqlite_template: Path, tmp_path: Path, erp: Erp, shop: Client
) -> None:
    first = planed(sqlite_store, tmp_path, erp, shop)
    first.sync.poll("catalogue")
    first.run()
    first.close()
    shutil.copy(sqlite_template, tmp_path / "second.sqlite")
    second = open_store(f"sqlite:///{tmp_path / 'second.sqlite'}")
    again = planed(second, tmp_path, erp, shop)
    again.sync.poll("catalogue")
    again.run()
    assert again.deliveries("shopify") == {"delivered": COUNT}
    assert len(written(shop)) == COUNT
    again.close()
    second.close()


def test_a_price_in_another_currency_is_refused_by_name_and_nothing_is_written(
    sqlite_store: Store, tmp_path: Path, erp: Erp, shop: Client
) -> None:
    plane = planed(sqlite_store, tmp_path, erp, shop, currency="EUR")
    plane.sync.poll("catalogue")
    plane.run()
    assert plane.deliveries("shopify") == {"quarantined": COUNT}
    assert written(shop) == []
    with sqlite_store.read() as connection:
        told = connection.exec_driver_sql("SELECT reason FROM quarantine LIMIT 1").scalar_one()
    assert "priced in EUR" in told
    plane.close()


def test_a_walk_that_the_erp_broke_off_goes_on_behind_what_was_taken_in(
    sqlite_store: Store, tmp_path: Path, erp: Erp, shop: Client
) -> None:
    plane = planed(sqlite_store, tmp_path, erp, shop)
    erp.breaks_after = 1
    with pytest.raises(UnavailableError):
        plane.sync.poll("catalogue")
    plane.run()
    assert len(written(shop)) == 500
    erp.breaks_after = None
    assert plane.sync.poll("catalogue") == COUNT - 500
    plane.run()
    carried(shop, erp)
    assert len(written(shop)) == COUNT
    assert erp.pages == 2
    plane.close()


@pytest.mark.chaos
def test_killed_in_the_middle_it_goes_on_and_nothing_is_left_out(
    sqlite_store: Store, tmp_path: Path, erp: Erp, shop: Client
) -> None:
    policies = pack(tmp_path, "USD", tryton=erp.url, shopify=f"{shop.url}/shop")
    command = [sys.executable, "-m", "tests.controlplane.sync.catalogue", str(tmp_path), str(policies), shop.url]
    root = str(Path(__file__).parents[3])
    sqlite_store.close()

    def begun() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": root})

    for milestone in (1, COUNT // 2):
        killed = begun()
        while len(written(shop)) < milestone and killed.poll() is None:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(30) == -signal.SIGKILL
    assert begun().wait(200) == 0
    carried(shop, erp)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_items_are_carried_then_nothing_then_what_changed(
    sqlite_store: Store, tmp_path: Path, shop: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    with Erp(100_000).answering() as erp:
        plane = planed(sqlite_store, tmp_path, erp, shop)
        told = []
        for step, changes in (("all", 0), ("nothing changed", 0), ("1,000 prices changed", 1000)):
            for number in range(1, changes + 1):
                erp.touch(number * 97, "3.21")
            began, clock, before = time.monotonic(), plane.clock.now(), len(written(shop))
            taken = plane.sync.poll("catalogue")
            plane.run()
            seconds, theirs = time.monotonic() - began, (plane.clock.now() - clock).total_seconds()
            told.append(
                f"{step}: {taken} read, {len(written(shop)) - before} written, {seconds:.0f} s, and {theirs:.0f} s of the shop's limits"
            )
        plane.close()
    with capsys.disabled():
        print("", *told, sep="\n")
    assert len(written(shop)) == 101_000
    assert len(set(written(shop))) == 100_000
    assert (price(shop, 97), price(shop, 98)) == (["3.21"], ["99.98"])
