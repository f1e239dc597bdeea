"""A real ERP beside a real shop: what our connectors wrote agrees, and what somebody changed by hand is found."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.contract import Level, Write
from rules.outcomes import Result
from tests.integration.real.systems import Server, Shop
from tests.integration.real.test_tryton import make
from tests.integration.real.vendure import connector_of

pytestmark = pytest.mark.timeout(900)
SKUS = [f"SKU-{number:04d}" for number in range(1, 41)]
BY_HAND = """
mutation($id: ID!, $at: ID!, $count: Int!) {
  updateProductVariants(input: [{id: $id, stockLevels: [{stockLocationId: $at, stockOnHand: $count}]}]) { id } }"""
VARIANT = "query($sku: String!) { productVariants(options: {filter: {sku: {eq: $sku}}}) { items { id } } }"


def told(pages: Iterable[list[Level]], location: str, path: Path) -> dict[str, int]:
    """Write down what may be sold at a location, under the name that both systems have for it."""
    found = {
        one.sku: int(one.available or 0)
        for page in pages
        for one in page
        if one.location == location and one.sku in SKUS
    }
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("sku", "location", "available"), *((sku, "WH", count) for sku, count in found.items())]
        )
    return found


def compared(*files: Path) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-c", "from controlplane.cli import main; main()", "compare", *map(str, files)]
    done = subprocess.run(
        [*command, "--key", "sku,location", "--value", "available", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_stock_that_we_carried_agrees_and_the_one_that_somebody_changed_by_hand_is_found(
    shop: Shop, server: Server, tmp_path: Path
) -> None:
    erp, store = make(server), connector_of(shop)
    ours, theirs = tmp_path / "erp.csv", tmp_path / "shop.csv"
    held = told(erp.snapshot("stock"), "WH", ours)
    shown = told(store.snapshot("levels"), "1", theirs)
    assert set(held) == set(shown) == set(SKUS)
    for sku, count in held.items():
        payload = {"sku": sku, "location": "1", "channel": "vendure", "quantity": max(count, 0), "expected": shown[sku]}
        outcome = store.write(Write("available", f"{sku}@1", f"carried-{sku}-{count}", payload, sku))
        assert outcome.result in (Result.DELIVERED, Result.ALREADY_DELIVERED), outcome
    told(store.snapshot("levels"), "1", theirs)
    assert (compared(ours, theirs)[0], compared(ours, theirs)[1]["differ"]) == (0, 0)

    found, _ = store._api.ask(VARIANT, sku="SKU-0007")
    store._api.tell(BY_HAND, id=found["items"][0]["id"], at="1", count=9999)
    told(store.snapshot("levels"), "1", theirs)
    code, answer = compared(ours, theirs)
    assert (code, answer["agree"], answer["differ"]) == (1, len(SKUS) - 1, 1)
    assert [item["key"] for item in answer["differences"]] == [{"sku": "SKU-0007", "location": "WH"}]
    store.close()
    erp.close()
