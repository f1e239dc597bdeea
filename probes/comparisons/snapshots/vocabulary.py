"""Surrogate keys: a number for every text there ever was, the same for every side and for ever. Append-only files."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.comparisons.snapshots.model import SnapshotError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST = 2**31 - 1


class Vocabulary:
    """The texts of one kind of key in a folder; a text's number is its place."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._parts = 0
        self._known: pa.Array | None = None

    def __len__(self) -> int:
        """Return how many texts are known here."""
        return 0 if self._known is None else len(self._known)

    def texts(self) -> pa.Array:
        """Return all texts in the order of their numbers."""
        import pyarrow as pa

        self._catch_up()
        return pa.nulls(0, pa.string()) if self._known is None else self._known

    def numbers(self, texts: pa.Array) -> np.ndarray[Any, Any]:
        """Return the numbers (int32) of texts without nulls; what is new gets the next ones, on disk before they are returned."""
        import numpy as np

        found = self._look_up(texts)
        if found.null_count:
            with self._alone():
                self._catch_up()
                found = self._look_up(texts)
                if found.null_count:
                    self._append(texts.filter(found.is_null()).unique())
                    found = self._look_up(texts)
        return np.from_dlpack(found)  # `to_numpy` imports pandas

    def known(self, texts: pa.Array) -> pa.Array:
        """Return the numbers of texts, null for those that have none."""
        self._catch_up()
        return self._look_up(texts)

    def _look_up(self, texts: pa.Array) -> pa.Array:
        import pyarrow as pa
        from pyarrow import (
            _compute,  # `pyarrow.compute` writes a Python function for each of hundreds as it is imported
        )

        known = pa.nulls(0, pa.string()) if self._known is None else self._known
        return _compute.call_function("index_in", [texts], _compute.SetLookupOptions(known, skip_nulls=False))

    def _append(self, texts: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if len(self) + len(texts) > MOST:
            raise SnapshotError(
                f"{self._folder}: there can be {MOST:,} different texts of the kind {self._kind!r}, and more are given"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._path(self._parts)
        temporary = target.with_suffix(".part")
        pq.write_table(pa.table({self._kind: texts}), temporary, compression="zstd")
        temporary.replace(target)
        self._catch_up()

    def _catch_up(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = [] if self._known is None else [self._known]
        while (path := self._path(self._parts)).exists():
            with pq.ParquetFile(path) as file:  # `read_table` imports pandas
                parts.append(file.read().column(0).combine_chunks())
            self._parts += 1
        if len(parts) > 1 or (parts and self._known is None):
            self._known = pa.concat_arrays(parts)

    def _path(self, part: int) -> Path:
        return self._folder / f"{self._kind}-{part:06d}.parquet"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off every other process and thread that numbers texts of this kind."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{self._kind}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
