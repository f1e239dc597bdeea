"""Three sides' stock, made deterministically: `python -m benchmarks.stock_data FOLDER ROWS TOLERANCE`.

A process of its own: a child starts with its parent's memory peak, which would be measured as the contenders' own.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

SIDES = ("erp", "wms", "shop")
LOCATIONS = 20


def generate(folder: Path, rows: int, tolerance: int, seed: int = 7) -> None:
    """Three files each in CSV and Parquet: 0.1 % of the keys missing a side, 1 % beyond the tolerance, 2 % within."""
    rng = np.random.default_rng(seed)
    index = np.arange(rows)
    sku = np.char.add("SKU-", np.char.zfill((index // LOCATIONS).astype(str), 8))
    location = np.char.add("L", np.char.zfill((index % LOCATIONS).astype(str), 3))
    on_hand = rng.integers(0, 1000, rows)
    for side in SIDES:
        kept = np.flatnonzero(rng.random(rows) >= 0.001)
        order = kept if side == "erp" else rng.permutation(kept)
        quantity = on_hand + (_shifts(rng, rows, tolerance) if side == "shop" else 0)
        columns = {"sku": sku[order], "location": location[order], "on_hand": quantity[order]}
        _write(folder / side, pa.table(columns))


def _shifts(rng: np.random.Generator, rows: int, tolerance: int) -> np.ndarray:
    draw = rng.random(rows)
    beyond = rng.integers(tolerance + 1, 50, rows)
    return np.where(draw < 0.01, beyond, np.where(draw < 0.03, tolerance, 0))


def _write(stem: Path, data: pa.Table) -> None:
    pyarrow.csv.write_csv(data, stem.with_suffix(".csv"), pyarrow.csv.WriteOptions(quoting_style="needed"))
    pyarrow.parquet.write_table(data, stem.with_suffix(".parquet"))


if __name__ == "__main__":
    generate(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
