"""A bucket's checksum: the sum of its rows' hashes, so that it does not depend on their order and can be made of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def of(rows: pa.Table) -> str:
    """Return the checksum of all numeric columns of the rows, in 16 hexadecimal digits."""
    import pyarrow as pa

    total = np.zeros(rows.num_rows, np.uint64)
    for place, name in enumerate(rows.column_names):
        column = rows[name].combine_chunks()
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64()).fill_null(-1)
        value = column.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
        total = _mixed(total ^ _mixed(value + np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64)))
    return f"{int(total.sum(dtype=np.uint64)):016x}"


def _mixed(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray[Any, Any] = value ^ (value >> np.uint64(31))
    return mixed
