"""Exact numbers as whole ones of 64 bits, with the digits behind the mark counted once for a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from probes.comparisons.snapshots.model import SnapshotError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LARGEST = 2**61
"""Values beyond are refused: the distance between two of them would not fit 64 bits."""


def as_whole(column: pa.ChunkedArray, name: str) -> tuple[np.ndarray[Any, Any], int]:
    """Return the column as int64 and its decimal places: integers have none, decimals as many as their type says.

    Raises SnapshotError for other types (binary floats are no exact numbers) and for values beyond 2^61.
    """
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal128(kind):
        words = np.concatenate([_words(chunk) for chunk in column.chunks] or [np.empty((0, 2), np.int64)])
        found, places = words[:, 0], kind.scale
        inexact = words[:, 1] != (found >> np.int64(63))
    elif pa.types.is_integer(kind):
        found, places = np.from_dlpack(column.combine_chunks()), 0
        inexact = np.zeros(len(found), bool)
    else:
        raise SnapshotError(f"{name} is {kind}: a snapshot keeps whole numbers and decimals; convert it exactly before")
    if (inexact | (found > LARGEST) | (found < -LARGEST)).any():
        raise SnapshotError(
            f"{name} has a value beyond {LARGEST:,} in its smallest unit; correct it at its source, or lessen its places"
        )
    return found.astype(np.int64, copy=False), places


def as_arrow(values: np.ndarray[Any, Any], absent: np.ndarray[Any, Any] | None = None) -> pa.Array:
    """Return whole numbers as Arrow has them, null where absent. `pyarrow.array` would import pandas."""
    import numpy as np
    import pyarrow as pa

    held = np.ascontiguousarray(values)
    valid = None if absent is None else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    kind = pa.from_numpy_dtype(held.dtype)
    return pa.Array.from_buffers(kind, len(held), [valid, pa.py_buffer(held)])


def as_texts(texts: Sequence[str]) -> pa.Array:
    """Return a few texts as Arrow has them, without importing pandas."""
    import numpy as np
    import pyarrow as pa

    held = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, held)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(held), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(held))])


def _words(chunk: pa.Array) -> np.ndarray[Any, Any]:
    """Return the two 64-bit words of each decimal, the lower first."""
    import numpy as np

    return np.frombuffer(chunk.buffers()[1], np.int64).reshape(-1, 2)[chunk.offset : chunk.offset + len(chunk)]
