"""The cases of comparisons: peers find the same keys, and what differs is explained on a ledger that knows of every key."""

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from benchmarks.compare import data, explained, peers, stored
from benchmarks.compare.suite import OURS, figures
from benchmarks.harness import Sample
from controlplane.store import open_store
from controlplane.store import tables as t
from probes.comparisons.snapshots.compare import compare_snapshots

ROWS = 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sides of 3,000 keys, as files and as snapshots."""
    folder = tmp_path_factory.mktemp("sides")
    data.generate(folder, ROWS, csv=True)
    stored.take(folder)
    return folder


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pandas_finds_as_many_keys_as_a_plain_join(folder: Path, suffix: str) -> None:
    joined, merged = (
        peer(str(folder), suffix, str(folder / "out"), "") for peer in (peers.duckdb_join, peers.pandas_merge)
    )
    assert joined == merged > 0


def test_every_key_that_differs_is_judged_on_a_ledger_with_a_message_about_each_key(folder: Path) -> None:
    keys, snapshots = explained.prepare(folder), explained.newest(folder)
    found = compare_snapshots(snapshots, data.QUANTITIES, Decimal(data.TOLERANCE), differences=folder / "ours.parquet")
    assert explained.explain(folder) == found.differ > 0
    store = open_store(f"sqlite:///{folder}/ledger.sqlite")
    began, ended = explained.read_between(snapshots)
    within = t.message.c.accepted_at.between(began, ended)
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(t.message).where(within)).scalar_one() == keys
        owed = connection.execute(select(func.count()).select_from(t.delivery).where(t.is_open)).scalar_one()
    store.close()
    assert owed == keys // explained.OWED


def test_the_figure_of_explaining_is_the_one_process_over_the_other() -> None:
    took = [Sample("explain", name, 0, wall, wall, 100.0, 7) for name, wall in ((OURS, 2.0), ("explain", 3.0))]
    assert figures(took) == {"explain_ratio": 1.5}
