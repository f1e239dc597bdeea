"""A comparison from what changed beside a whole one: `python -m benchmarks.compare.incremental whole|changed|prepare FOLDER`.

`whole` compares the stored snapshots and keeps the state; `changed` opens the state, takes in 0.1 % of the keys changed at one side, judges
them and writes the differences back. Each a process of its own, imports included.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path

from benchmarks.compare.data import QUANTITIES, SIDES, TOLERANCE
from probes.comparisons.snapshots import SnapshotStore
from probes.comparisons.snapshots.state import State, build

SHARE = 1000
"""One key in so many changes."""


def prepare(folder: Path) -> int:
    """Write what changed at the first side: every thousandth row, its quantities higher by 7."""
    import duckdb

    first = next(iter(SIDES))
    moved = ", ".join(f"{quantity} + 7 AS {quantity}" for quantity in QUANTITIES)
    asked = f"SELECT sku, location, {moved} FROM read_parquet('{folder}/{first}.parquet') WHERE hash(sku, location, 77) % {SHARE} = 0"  # noqa: S608
    with duckdb.connect() as con:
        con.execute(f"COPY ({asked}) TO '{folder}/changed.parquet' (FORMAT parquet)")
    return -1


def whole(folder: Path) -> int:
    """Compare everything and keep the state; return how many keys differ."""
    store = SnapshotStore(folder / "store")
    return len(
        build(folder / "state", [store.newest(side) for side in SIDES], QUANTITIES, Decimal(TOLERANCE)).differing.at
    )


def changed(folder: Path) -> int:
    """Take in what changed; return how many of those keys differ now."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / "changed.parquet") as file:
        rows = file.read()
    return len(State(folder / "state").apply({next(iter(SIDES)): rows}).at)


if __name__ == "__main__":
    done = {"prepare": prepare, "whole": whole, "changed": changed}[sys.argv[1]]
    print(json.dumps({"differ": done(Path(sys.argv[2]))}))
