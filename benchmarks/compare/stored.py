"""Our own snapshots of the three files: `python -m benchmarks.compare.stored FOLDER`, into FOLDER/store."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.compare.data import QUANTITIES, SIDES
from probes.comparisons.snapshots import SnapshotStore

PAGE = 250_000


def take(folder: Path) -> None:
    """Take a snapshot of every side, page by page."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    store = SnapshotStore(folder / "store")
    for side in SIDES:
        writer = store.begin(side, QUANTITIES, datetime.now(UTC))
        with pq.ParquetFile(folder / f"{side}.parquet") as file:
            for batch in file.iter_batches(PAGE):
                now = datetime.now(UTC)
                writer.page(pa.Table.from_batches([batch]), now, now)
        writer.finish()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
