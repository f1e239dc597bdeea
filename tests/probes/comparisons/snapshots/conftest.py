"""Taking snapshots of small tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from probes.comparisons.snapshots import Snapshot, SnapshotStore

BEGAN = datetime(2026, 11, 27, 6, tzinfo=UTC)
Row = tuple[Any, ...]
Take = Callable[..., Snapshot]


def table(rows: Sequence[Row], values: Sequence[str] = ("on_hand",)) -> pa.Table:
    """Rows of sku, location and values as a page."""
    columns = list(zip(*rows, strict=True)) or [()] * (2 + len(values))
    kinds = [
        pa.decimal128(30, 3) if any(isinstance(v, Decimal) for v in column) else pa.int64() for column in columns[2:]
    ]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, [pa.string(), pa.string(), *kinds], strict=True)]
    return pa.table(arrays, names=["sku", "location", *values])


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    """An empty store."""
    return SnapshotStore(tmp_path / "store")


@pytest.fixture
def take(store: SnapshotStore) -> Take:
    """Take a snapshot of rows, two pages of them."""

    def taken(side: str, rows: Sequence[Row], values: Sequence[str] = ("on_hand",)) -> Snapshot:
        writer = store.begin(side, values, BEGAN)
        half = len(rows) // 2
        for number, page in enumerate((rows[:half], rows[half:])):
            at = BEGAN + timedelta(seconds=number)
            writer.page(table(page, values), at, at + timedelta(seconds=1))
        return writer.finish()

    return taken
