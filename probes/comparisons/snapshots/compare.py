"""Compare snapshots: bucket by bucket, each a few hundred thousand keys, side by side in arrays.

The keys of all sides are numbers of one vocabulary, so that a bucket's rows fall into places without a join; what is left after the arrays
have been held against each other is judged by the one verdict in `rules/`, each distinct evidence once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.comparisons.snapshots import buckets
from probes.comparisons.snapshots.buckets import CODES, Columns, Judge
from probes.comparisons.snapshots.model import BAD, KEYS, Snapshot, SnapshotError
from probes.comparisons.snapshots.numbers import as_arrow, as_texts
from probes.comparisons.snapshots.vocabulary import Vocabulary
from rules.comparison.verdict import Kind

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from probes.comparisons.answer.model import Difference, Result, SourceSummary

AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Compared:
    """What differs, as arrays: keys (SKU number times 2^32 plus location number), kinds and states (places in buckets.KINDS and CODES)."""

    snapshots: tuple[Snapshot, ...]
    columns: Columns
    keys: int
    differing: buckets.Found


def compare_snapshots(
    snapshots: Sequence[Snapshot],
    values: Sequence[str],
    tolerance: Decimal | str = Decimal(0),
    *,
    limit: int = 100,
    differences: Path | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Result:
    """Compare two snapshots or more on the given values; the answer is that of `compare_files`, and so are the kinds.

    tolerance    absolute and inclusive, in the unit of the values
    limit        how many differences to give, the worst first
    differences  a Parquet file that every difference is written to, in the order of key numbers
    progress     called with the number of buckets done and what is being done

    Raises SnapshotError where a side does not have the values or the sides do not share their key numbers.
    """
    started = time.perf_counter()
    compared = compare(snapshots, values, Decimal(tolerance), progress)
    names = _texts(snapshots[0])
    if differences is not None:
        _write(compared, names, differences)
    return _result(compared, names, Decimal(tolerance), limit, time.perf_counter() - started)


def compare(
    snapshots: Sequence[Snapshot],
    values: Sequence[str],
    tolerance: Decimal,
    progress: Callable[[int, str], None] | None = None,
) -> Compared:
    """Hold the snapshots against each other; see compare_snapshots."""
    from concurrent.futures import ThreadPoolExecutor

    columns = columns_of(snapshots, values)
    judge = Judge(columns, tolerance)
    every = buckets.numbers(snapshots)
    with ThreadPoolExecutor(AT_ONCE, initializer=judge.open, initargs=(tuple(snapshots),)) as pool:
        found = []
        for done, part in enumerate(pool.map(judge.bucket, every)):
            found.append(part)
            if progress is not None:
                progress(done + 1, f"bucket {done + 1} of {len(every)}")
    judge.close()
    return Compared(
        tuple(snapshots), columns, sum(part.keys for part in found), buckets.joined(found, columns, len(snapshots))
    )


def columns_of(snapshots: Sequence[Snapshot], values: Sequence[str]) -> Columns:
    """Return what is compared. Raises SnapshotError where a side does not have it, or the sides have other key numbers."""
    if len(snapshots) < 2:
        raise SnapshotError(f"two snapshots or more are needed to compare, got {len(snapshots)}")
    if not values:
        raise SnapshotError("no value is named; give one or more of: " + ", ".join(snapshots[0].values))
    for snapshot in snapshots:
        if lacking := [value for value in values if value not in snapshot.values]:
            raise SnapshotError(
                f"the snapshot of {snapshot.side} has no value {lacking[0]!r}; it has {', '.join(snapshot.values)}"
            )
        if snapshot.vocabulary.resolve() != snapshots[0].vocabulary.resolve():
            raise SnapshotError(
                f"the snapshots of {snapshots[0].side} and {snapshot.side} lie in different stores, whose keys have other numbers"
            )
    places = [[snapshot.places[snapshot.values.index(value)] for snapshot in snapshots] for value in values]
    return Columns(
        tuple(values), tuple(max(column) for column in places), tuple(tuple(max(c) - p for p in c) for c in places)
    )


def _texts(snapshot: Snapshot) -> list[pa.Array]:
    return [Vocabulary(snapshot.vocabulary, kind).texts() for kind in KEYS]


def _named(keys: np.ndarray[Any, Any], names: Sequence[pa.Array]) -> list[pa.Array]:
    import numpy as np

    return [names[0].take(as_arrow(keys >> np.int64(32))), names[1].take(as_arrow(keys & np.int64(2**32 - 1)))]


def _write(compared: Compared, names: Sequence[pa.Array], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = compared.differing
    table = dict(zip(KEYS, _named(found.at, names), strict=True))
    table["kind"] = pa.DictionaryArray.from_arrays(
        as_arrow(found.kinds), as_texts([kind.value for kind in buckets.KINDS])
    )
    for i, snapshot in enumerate(compared.snapshots):
        states = as_arrow(found.states[i])
        table[snapshot.side] = pa.DictionaryArray.from_arrays(states, as_texts([state.value for state in CODES]))
        absent = found.states[i] != buckets.PRESENT
        for j, (value, places) in enumerate(zip(compared.columns.values, compared.columns.places, strict=True)):
            column = as_arrow(found.values[i][j], absent)
            table[f"{snapshot.side}.{value}"] = (
                column.cast(pa.decimal128(19, 0)).cast(pa.decimal128(38, places)) if places else column
            )
    try:
        pq.write_table(pa.table(table), target, compression="zstd")
    except OSError as error:
        raise SnapshotError(f"{target}: cannot be written ({error})") from error


def _result(compared: Compared, names: Sequence[pa.Array], tolerance: Decimal, limit: int, seconds: float) -> Result:
    import numpy as np

    from probes.comparisons.answer.model import Result

    found = compared.differing
    counts = np.bincount(found.kinds, minlength=len(buckets.KINDS))
    differ = len(found.at)
    missing = {
        s.side: int(np.count_nonzero(found.states[i] == buckets.MISSING)) for i, s in enumerate(compared.snapshots)
    }
    worst = _worst(compared, names, limit)
    return Result(
        keys=KEYS,
        values=compared.columns.values,
        tolerance=tolerance,
        sources=tuple(_source(snapshot) for snapshot in compared.snapshots),
        key_count=compared.keys,
        agree=compared.keys - differ,
        differ=differ,
        missing=missing,
        differences=worst,
        truncated=len(worst) < differ,
        kinds={kind: int(counts[place]) for place, kind in enumerate(buckets.KINDS) if kind is not Kind.AGREE},
        seconds=seconds,
    )


def _worst(compared: Compared, names: Sequence[pa.Array], limit: int) -> tuple[Difference, ...]:
    import numpy as np

    from probes.comparisons.answer.model import Difference

    found = compared.differing
    order = np.lexsort((found.at, -found.gaps))[:limit]
    texts = [part.to_pylist() for part in _named(found.at[order], names)]
    return tuple(
        Difference(
            tuple(part[row] for part in texts),
            tuple(_shown(compared, side, int(place)) for side in range(len(compared.snapshots))),
            buckets.KINDS[int(found.kinds[place])],
            Decimal(int(found.gaps[place])).scaleb(-max(compared.columns.places)),
        )
        for row, place in enumerate(order)
    )


def _shown(compared: Compared, side: int, place: int) -> tuple[Decimal, ...] | None:
    found = compared.differing
    if found.states[side][place] != buckets.PRESENT:
        return None
    return tuple(
        Decimal(int(found.values[side][j][place])).scaleb(-places) for j, places in enumerate(compared.columns.places)
    )


def _source(snapshot: Snapshot) -> SourceSummary:
    from probes.comparisons.answer.model import SourceSummary

    read = f"read {snapshot.pages[0].read_from} to {snapshot.pages[-1].read_to}" if snapshot.pages else ""
    return SourceSummary(
        snapshot.side, str(snapshot.folder), "snapshot", "columns", snapshot.rows + snapshot.bad_rows, snapshot.duplicate_keys,
        snapshot.bad_rows, (read, *([f"bad rows are in {BAD}"] if snapshot.bad_rows else [])),
    )  # fmt: skip
