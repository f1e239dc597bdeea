"""Taking a snapshot, page by page: a page is kept when it has been read, so that who is interrupted goes on after the last one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.comparisons.snapshots import checksums
from probes.comparisons.snapshots.model import BAD, KEYS, ROWS, SPREAD, Bucket, PageRead, Snapshot, SnapshotError
from probes.comparisons.snapshots.numbers import as_arrow, as_whole
from probes.comparisons.snapshots.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

JOURNAL = "pages.jsonl"


class Writer:
    """A snapshot that is being taken. `cursor` is what the last page said about where to go on, None before the first."""

    def __init__(self, folder: Path, side: str, values: Sequence[str], sku: Vocabulary, location: Vocabulary) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.side = side
        self.values = tuple(values)
        self.cursor: Any = None
        self._vocabularies = (sku, location)
        self._pages: list[PageRead] = []
        self._go_on()

    @property
    def rows(self) -> int:
        """How many rows have been kept."""
        return sum(page.rows for page in self._pages)

    def page(self, rows: pa.Table, read_from: datetime, read_to: datetime, cursor: Any = None) -> None:
        """Keep a page: columns `sku` and `location` (text), the values (whole or decimal), and `source_at` (UTC) where there is one.

        A row without a key or a value is kept as a bad one. `cursor`: JSON that says where the next page begins. On disk when it returns.
        """
        import pyarrow.parquet as pq

        if missing := [name for name in (*KEYS, *self.values) if name not in rows.column_names]:
            raise SnapshotError(
                f"a page of {self.side} has no column {missing[0]!r}; it has {', '.join(rows.column_names)}"
            )
        read = PageRead(read_from.isoformat(), read_to.isoformat(), rows.num_rows)
        temporary = self._page(len(self._pages)).with_suffix(".part")
        pq.write_table(rows, temporary, compression="lz4")
        temporary.replace(self._page(len(self._pages)))
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(read) | {"cursor": cursor}) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._pages.append(read)
        self.cursor = cursor

    def finish(self) -> Snapshot:
        """Sort what was read by key, number the keys, and make the snapshot whole. Memory: about 60 bytes a row and value."""
        import pyarrow as pa

        if not self._pages:
            raise SnapshotError(f"{self.side}: no page was read; an unread side is no empty one")
        table = pa.concat_tables(self._numbered(), promote_options="permissive").combine_chunks()
        good, bad = self._parted(table)
        whole = {name: as_whole(good[name], f"{self.side}.{name}") for name in self.values}
        snapshot = self._write(
            good, {name: column for name, (column, _) in whole.items()}, bad, [p for _, p in whole.values()]
        )
        for path in self._files():
            path.unlink()
        (self.folder / JOURNAL).unlink()
        return snapshot

    def _numbered(self) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for number, page in enumerate(self._pages):
            table = pq.read_table(self._page(number))
            if table.num_rows != page.rows:
                raise SnapshotError(
                    f"{self._page(number)}: has {table.num_rows} rows, and {page.rows} were read; take the snapshot again"
                )
            yield table.append_column("page", pa.array([number] * table.num_rows, pa.int32()))

    def _parted(self, table: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the rows that have everything, and those that lack a key or a value."""
        import pyarrow.compute as pc

        lacking = None
        for name in (*KEYS, *self.values):
            one = pc.is_null(table[name])
            lacking = one if lacking is None else pc.or_(lacking, one)
        return table.filter(pc.invert(lacking)), table.filter(lacking)

    def _write(
        self,
        good: pa.Table,
        whole: dict[str, np.ndarray[Any, Any]],
        bad: pa.Table,
        places: list[int],
    ) -> Snapshot:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        keys = self._keys(good)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        columns = {
            "sku": (keys >> np.int64(32)).astype(np.int32),
            "location": (keys & np.int64(2**32 - 1)).astype(np.int32),
            **{name: _narrow(column[order]) for name, column in whole.items()},
        }
        told = pa.schema(
            [pa.field(name, pa.from_numpy_dtype(one.dtype), nullable=False) for name, one in columns.items()]
        )
        table = pa.table([as_arrow(one) for one in columns.values()], schema=told).append_column(
            "page", good["page"].combine_chunks().take(pa.array(order))
        )
        if "source_at" in good.column_names:
            table = table.append_column("source_at", good["source_at"].combine_chunks().take(pa.array(order)))
        buckets = []
        with pq.ParquetWriter(self.folder / ROWS, table.schema, compression="lz4", use_dictionary=False) as file:
            for number, begin, end in _bounds(columns["sku"]):
                part = table.slice(begin, end - begin)
                file.write_table(part, row_group_size=end - begin)
                buckets.append(Bucket(number, end - begin, checksums.of(part)))
        pq.write_table(bad, self.folder / BAD, compression="lz4")
        twice = _twice(np.concatenate([keys, self._keys(bad.select(KEYS).drop_null())]))
        snapshot = Snapshot(
            self.folder, self.folder.name, self.side, self.values, tuple(places), table.num_rows, bad.num_rows, twice,
            tuple(self._pages), tuple(buckets),
        )  # fmt: skip
        snapshot.save()
        return snapshot

    def _keys(self, rows: pa.Table) -> np.ndarray[Any, Any]:
        import numpy as np
        import pyarrow as pa

        texts = [rows[key].combine_chunks().cast(pa.string()) for key in KEYS]
        sku, location = (one.numbers(text) for text, one in zip(texts, self._vocabularies, strict=True))
        found: np.ndarray[Any, Any] = (sku.astype(np.int64) << 32) | location
        return found

    def _page(self, number: int) -> Path:
        return self.folder / f"page-{number:06d}.parquet"

    def _files(self) -> list[Path]:
        return [self._page(number) for number in range(len(self._pages))]

    def _go_on(self) -> None:
        """Take up what was kept before; what was written after the last line of the journal was not kept."""
        path = self.folder / JOURNAL
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        kept = [line for line in lines if line.endswith(b"\n")]
        if len(kept) != len(lines):
            path.write_bytes(b"".join(kept))
        for line in kept:
            told = json.loads(line)
            self.cursor = told.pop("cursor")
            self._pages.append(PageRead(**told))


def _bounds(skus: np.ndarray[Any, Any]) -> Iterator[tuple[int, int, int]]:
    """Yield (bucket, begin, end) of sorted SKU numbers."""
    import numpy as np

    if not len(skus):
        return
    buckets = skus >> SPREAD
    begins = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]])
    for begin, end in zip(begins, [*begins[1:], len(buckets)], strict=True):
        yield int(buckets[begin]), int(begin), int(end)


def _twice(keys: np.ndarray[Any, Any]) -> int:
    """Return how many keys are there more than once."""
    import numpy as np

    _, counts = np.unique(keys, return_counts=True)
    return int(np.count_nonzero(counts > 1))


def _narrow(column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the column in 32 bits where its values fit."""
    import numpy as np

    fits = not len(column) or (column.min() >= -(2**31) and column.max() < 2**31)
    return column.astype(np.int32) if fits else column
