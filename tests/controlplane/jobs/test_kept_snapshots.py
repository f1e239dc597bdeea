"""What the sides showed is kept where the policy says so: the newest few of each side, whole ones, and never a partial reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from controlplane.clock import ManualClock
from controlplane.settings import Settings
from controlplane.store import Store
from probes.comparisons.snapshots import SnapshotStore, compare_snapshots
from probes.comparisons.snapshots.store import damage
from tests.controlplane.jobs.test_comparisons import NAME, Retailer
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU


@pytest.fixture
def retailer(sqlite_store: Store, clock: ManualClock, tmp_path: Path) -> Retailer:
    retailer: Any = Retailer(sqlite_store, clock)
    retailer.settings = Settings(home=tmp_path)
    retailer.begin()
    change(retailer, "Comparison", NAME, snapshots=2)
    return retailer  # type: ignore[no-any-return]


def test_the_newest_snapshots_of_each_side_are_kept_and_can_be_compared(retailer: Retailer, tmp_path: Path) -> None:
    for on_hand in (10, 11, 12):
        retailer.warehouse(on_hand)
        retailer.compare()
    store = SnapshotStore(tmp_path / "snapshots" / NAME)
    assert [len(store.snapshots(side)) for side in ("wms", "erp", "shop")] == [2, 2, 2]
    wms = store.newest("wms")
    assert damage(wms) == []
    assert pq.read_table(wms.file).select(["on_hand", "page"]).to_pylist() == [{"on_hand": 12, "page": 0}]
    assert wms.pages[0].read_from <= wms.pages[0].read_to
    found = compare_snapshots([wms, store.newest("erp")], ["on_hand"])
    assert [(d.key, [int(v[0]) for v in d.values if v]) for d in found.differences] == [((SKU, "WH1"), [12, 10])]


def test_a_targeted_reading_and_a_side_that_breaks_off_leave_none(retailer: Retailer, tmp_path: Path) -> None:
    retailer.shop.down = True
    retailer.compare()
    store = SnapshotStore(tmp_path / "snapshots" / NAME)
    assert store.snapshots("shop") == []
    retailer.shop.down = False
    retailer.compare()
    kept = [snapshot.id for snapshot in store.snapshots("shop")]
    retailer.confirm(minutes=3)
    assert [snapshot.id for snapshot in store.snapshots("shop")] == kept != []


def test_a_comparison_goes_on_where_nothing_can_be_kept(retailer: Retailer, tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_text("a file where a folder ought to be", encoding="utf-8")
    assert retailer.compare()["agree"] == 1
