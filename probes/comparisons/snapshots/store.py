"""Where snapshots are kept: `keys/` (the vocabulary) and a folder a side with a folder a snapshot, named by its time-ordered id."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from probes.comparisons.snapshots import checksums
from probes.comparisons.snapshots.model import MANIFEST, Snapshot, SnapshotError, load
from probes.comparisons.snapshots.vocabulary import Vocabulary
from probes.comparisons.snapshots.writer import Writer
from rules.ids import new_id

_SIDE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class SnapshotStore:
    """A folder of snapshots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sku = Vocabulary(folder / "keys", "sku")
        self.location = Vocabulary(folder / "keys", "location")

    def begin(self, side: str, values: Sequence[str], at: datetime) -> Writer:
        """Begin a snapshot of a side; `at` orders it among the others."""
        self._check(side)
        return Writer(self.folder / side / new_id(at), side, values, self.sku, self.location)

    def unfinished(self, side: str, values: Sequence[str]) -> Writer | None:
        """Return the newest snapshot of a side that was begun and not finished, to go on with; None where there is none."""
        whole = {snapshot.id for snapshot in self.snapshots(side)}
        begun = sorted(path for path in self._folder(side).glob("*/pages.jsonl") if path.parent.name not in whole)
        return Writer(begun[-1].parent, side, values, self.sku, self.location) if begun else None

    def snapshots(self, side: str) -> list[Snapshot]:
        """Return the whole snapshots of a side, the oldest first."""
        return [load(path.parent) for path in sorted(self._folder(side).glob(f"*/{MANIFEST}"))]

    def newest(self, side: str) -> Snapshot:
        """Return the newest whole snapshot of a side. Raises SnapshotError where there is none."""
        found = self.snapshots(side)
        if not found:
            raise SnapshotError(f"there is no snapshot of {side!r} in {self.folder}; take one first")
        return found[-1]

    def keep(self, side: str, newest: int) -> list[str]:
        """Delete all but the newest snapshots of a side, and what was begun before the newest and never finished.

        Returns the ids of the snapshots that were deleted.
        """
        if newest < 1:
            raise SnapshotError(f"{newest} snapshots are to be kept of {side!r}; keep at least one")
        whole = self.snapshots(side)
        gone = whole[:-newest]
        for begun in self._folder(side).glob("*/pages.jsonl"):
            if whole and begun.parent.name < whole[-1].id:
                shutil.rmtree(begun.parent)
        for snapshot in gone:
            (snapshot.folder / MANIFEST).unlink()  # from here on it is no snapshot, whatever happens to the rest
            shutil.rmtree(snapshot.folder)
        return [snapshot.id for snapshot in gone]

    def _folder(self, side: str) -> Path:
        self._check(side)
        return self.folder / side

    def _check(self, side: str) -> None:
        if not _SIDE.fullmatch(side) or side == "keys":
            raise SnapshotError(
                f"{side!r} cannot name a side: letters, digits, `_`, `.` and `-`, 64 at most, and not `keys`"
            )


def damage(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with the columns of a snapshot, bucket by bucket; nothing where they are as they were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(snapshot.file) as file:
            found = [file.read_row_group(group) for group in range(file.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        return [f"{snapshot.file}: cannot be read ({error}); take the snapshot again"]
    if len(found) != len(snapshot.buckets):
        return [
            f"{snapshot.file}: has {len(found)} buckets, and {len(snapshot.buckets)} were written; take the snapshot again"
        ]
    pairs = zip(snapshot.buckets, found, strict=True)
    return [
        f"{snapshot.file}: bucket {bucket.number} is not as it was written; take the snapshot again"
        for bucket, rows in pairs
        if rows.num_rows != bucket.rows or checksums.of(rows) != bucket.checksum
    ]
