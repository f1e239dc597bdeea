"""What the last comparison saw, kept so that the next one looks at changed keys alone: every key with its state and values a side.

Columns are arrays on disk in the order of keys; a change is written to a log, set in its place and judged anew, and the differences are
written back. Keys that were never there before stand in a small segment of their own until the next full comparison. A log that is
there when the state is opened is applied again: setting a value twice is setting it once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.comparisons.snapshots.buckets import MISSING, PRESENT, Columns, Found, Judge, Laid, joined, numbers
from probes.comparisons.snapshots.compare import AT_ONCE, columns_of
from probes.comparisons.snapshots.model import KEYS, Snapshot, SnapshotError
from probes.comparisons.snapshots.numbers import as_whole
from probes.comparisons.snapshots.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]
ABOUT, LOG, DIFFERENCES = "state.json", "log.npz", "differences.npz"


@dataclass
class Segment:
    """Keys in order with a state a side and a value a side and column; what `locate` does not find is not in it."""

    keys: Array
    states: list[Array]
    values: list[list[Array]]

    def locate(self, keys: Array) -> tuple[Array, Array]:
        """Return the places of keys, and whether they are there."""
        places = np.searchsorted(self.keys, keys)
        inside = places < len(self.keys)
        found = np.zeros(len(keys), bool)
        found[inside] = self.keys[places[inside]] == keys[inside]
        return places, found

    def at(self, places: Array) -> Laid:
        """Return what stands at places."""
        return Laid(
            np.asarray(self.keys[places]), tuple(np.asarray(one[places]) for one in self.states),
            tuple(tuple(np.asarray(column[places]) for column in side) for side in self.values),
        )  # fmt: skip

    def put(self, side: int, places: Array, changed: Change) -> None:
        """Set what a side shows at places."""
        self.states[side][places] = np.where(changed.gone, MISSING, PRESENT)
        for column, new in zip(self.values[side], changed.values, strict=True):
            column[places] = new


@dataclass(frozen=True, slots=True)
class Change:
    """What a side shows now: keys in order, each once; values, and whether the key has gone."""

    keys: Array
    values: tuple[Array, ...]
    gone: Array


class State:
    """The state of a comparison in a folder; one process at a time changes it."""

    def __init__(self, folder: Path) -> None:
        """Open a state. Raises SnapshotError where there is none."""
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise SnapshotError(f"{folder}: holds no state of a comparison; compare whole snapshots first") from error
        self.folder = folder
        self.sides: tuple[str, ...] = tuple(about["sides"])
        self.columns = Columns(tuple(about["values"]), tuple(about["places"]), ())
        self.tolerance = Decimal(about["tolerance"])
        self._vocabulary = Path(about["vocabulary"])
        self._judge = Judge(self.columns, self.tolerance)
        self._base = Segment(*_opened(folder, len(self.sides), len(self.columns.values)))
        self._new = _loaded(folder / "new.npz", len(self.sides), len(self.columns.values))
        self.differing = _differences(folder, len(self.sides), len(self.columns.values))
        if (folder / LOG).exists():
            self._carry_out(_read_log(folder / LOG, len(self.columns.values)))

    @property
    def keys(self) -> int:
        """How many keys any side has."""
        base = np.logical_or.reduce([np.asarray(one) != MISSING for one in self._base.states])
        new = np.logical_or.reduce([one != MISSING for one in self._new.states])
        return int(np.count_nonzero(base) + np.count_nonzero(new))

    def apply(self, changed: Mapping[str, pa.Table]) -> Found:
        """Take in what sides say has changed, judge those keys anew and write the differences back; return what of them differs.

        Tables have `sku`, `location` (text), the values, and `gone` (bool) where keys can vanish; the last row of a key holds.
        """
        if unknown := sorted(set(changed) - set(self.sides)):
            raise SnapshotError(f"{unknown[0]!r} is no side of this comparison; the sides are {', '.join(self.sides)}")
        changes = {self.sides.index(side): self._change(side, table) for side, table in changed.items()}
        _write_log(self.folder / LOG, changes)
        return self._carry_out(changes)

    def _carry_out(self, changes: Mapping[int, Change]) -> Found:
        touched = np.unique(np.concatenate([np.empty(0, np.int64), *(change.keys for change in changes.values())]))
        self._add(touched[~self._base.locate(touched)[1]])
        for side, change in changes.items():
            for segment in (self._base, self._new):
                places, found = segment.locate(change.keys)
                here = Change(change.keys[found], tuple(column[found] for column in change.values), change.gone[found])
                segment.put(side, places[found], here)
        judged = self._judged(touched)
        self._keep(touched, judged, changes)
        return judged

    def _judged(self, keys: Array) -> Found:
        parts = []
        for segment in (self._base, self._new):
            places, found = segment.locate(keys)
            parts.append(self._judge.judge(segment.at(places[found])))
        return joined(parts, self.columns, len(self.sides))

    def _keep(self, touched: Array, found: Found, sides: Iterable[int]) -> None:
        """Write back what changed at some sides; the log goes last."""
        left = ~np.isin(self.differing.at, touched, assume_unique=True)
        self.differing = _sorted(joined([_part(self.differing, left), found], self.columns, len(self.sides)))
        for side in sides:
            for array in (self._base.states[side], *self._base.values[side]):
                if isinstance(array, np.memmap):
                    array.flush()
        if len(self._new.keys):
            _save(self.folder / "new.npz", self._new)
        _save_differences(self.folder, self.differing)
        (self.folder / LOG).unlink(missing_ok=True)

    def _add(self, keys: Array) -> None:
        """Make room for keys that were never there, missing on every side."""
        keys = keys[~self._new.locate(keys)[1]]
        if not len(keys):
            return
        order = np.argsort(np.concatenate([self._new.keys, keys]), kind="stable")

        def grown(column: Array) -> Array:
            filled: Array = np.concatenate([column, np.zeros(len(keys), column.dtype)])[order]
            return filled

        self._new = Segment(
            np.concatenate([self._new.keys, keys])[order],
            [grown(one) for one in self._new.states],
            [[grown(column) for column in side] for side in self._new.values],
        )

    def _change(self, side: str, table: pa.Table) -> Change:
        numbers = [Vocabulary(self._vocabulary, kind).numbers(table[kind].combine_chunks()) for kind in KEYS]
        keys = (numbers[0].astype(np.int64) << 32) | numbers[1]
        gone = table["gone"].to_numpy() if "gone" in table.column_names else np.zeros(len(keys), bool)
        values = []
        for name, places in zip(self.columns.values, self.columns.places, strict=True):
            column, own = as_whole(_filled(table[name]), f"{side}.{name}")
            if own > places:
                raise SnapshotError(
                    f"{side}.{name} comes with {own} decimal places, and {places} were compared; compare whole snapshots anew"
                )
            values.append(column * 10 ** (places - own))
        _, last = np.unique(keys[::-1], return_index=True)
        place = len(keys) - 1 - last
        return Change(keys[place], tuple(column[place] for column in values), gone[place])


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with 0 where nothing stands (of a key that has gone); pyarrow imports pandas to fill, so only then."""
    if not column.null_count:
        return column
    import pyarrow.compute as pc

    return pc.fill_null(column, 0)


def build(folder: Path, snapshots: Sequence[Snapshot], values: Sequence[str], tolerance: Decimal) -> State:
    """Compare whole snapshots and keep what was seen; what the folder held before is replaced."""
    columns = columns_of(snapshots, values)
    judge = Judge(columns, tolerance)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)
    for name in (LOG, "new.npz"):
        (folder / name).unlink(missing_ok=True)
    every = numbers(snapshots)
    with (
        _Files(folder, len(snapshots), len(columns.values)) as files,
        ThreadPoolExecutor(AT_ONCE, initializer=judge.open, initargs=(tuple(snapshots),)) as pool,
    ):
        found = [files.add(judge, laid) for laid in pool.map(judge.laid, every)]
    judge.close()
    _save_differences(folder, joined(found, columns, len(snapshots)))
    told = {
        "sides": [snapshot.side for snapshot in snapshots], "values": list(values), "places": list(columns.places),
        "tolerance": str(tolerance), "vocabulary": str(snapshots[0].vocabulary), "snapshots": [snapshot.id for snapshot in snapshots],
    }  # fmt: skip
    (folder / ABOUT).write_text(json.dumps(told), encoding="utf-8")
    return State(folder)


def overlooked(state: State, newer: State) -> Array:
    """Return the keys of which a state says otherwise than a newer one of the same sides made from whole snapshots: what no feed told."""
    every = np.unique(np.concatenate([s for one in (state, newer) for s in (one._base.keys, one._new.keys)]))
    shown = []
    for one in (state, newer):
        parts = []
        for segment in (one._base, one._new):
            places, found = segment.locate(every)
            parts.append((found, segment.at(np.where(found, places, 0)) if len(segment.keys) else None))
        shown.append(_overlaid(parts, len(every), len(state.sides), len(state.columns.values)))
    differs = np.zeros(len(every), bool)
    for old, new in zip(*shown, strict=True):
        differs |= old != new
    return every[differs]


def _overlaid(parts: Sequence[tuple[Array, Laid | None]], count: int, sides: int, columns: int) -> list[Array]:
    """Return states and values (0 unless present) of all sides, of whichever segment has a key."""
    found = []
    for side in range(sides):
        state = np.zeros(count, np.int64)
        for here, laid in parts:
            if laid is not None:
                state = np.where(here, laid.states[side], state)
        found.append(state)
        for column in range(columns):
            value = np.zeros(count, np.int64)
            for here, laid in parts:
                if laid is not None:
                    value = np.where(here, laid.values[side][column], value)
            found.append(np.where(state == PRESENT, value, 0))
    return found


class _Files:
    """The arrays of a state while they are written, bucket after bucket."""

    def __init__(self, folder: Path, sides: int, columns: int) -> None:
        self._files = {name: (folder / f"{name}.bin").open("wb") for name in _names(sides, columns)}

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def add(self, judge: Judge, laid: Laid) -> Found:
        """Append a bucket; return what of it differs."""
        columns = [laid.keys, *laid.states, *(column.astype(np.int64) for side in laid.values for column in side)]
        for file, column in zip(self._files.values(), columns, strict=True):
            column.tofile(file)
        return judge.judge(laid)


def _names(sides: int, columns: int) -> list[str]:
    return [
        "keys",
        *(f"state-{i}" for i in range(sides)),
        *(f"value-{i}-{j}" for i in range(sides) for j in range(columns)),
    ]


def _opened(folder: Path, sides: int, columns: int) -> tuple[Array, list[Array], list[list[Array]]]:
    def mapped(name: str, kind: type) -> Array:
        path = folder / f"{name}.bin"
        return np.memmap(path, kind, "r+") if path.stat().st_size else np.empty(0, kind)

    states = [mapped(f"state-{i}", np.uint8) for i in range(sides)]
    values = [[mapped(f"value-{i}-{j}", np.int64) for j in range(columns)] for i in range(sides)]
    return mapped("keys", np.int64), states, values


def _loaded(path: Path, sides: int, columns: int) -> Segment:
    if not path.exists():
        none = np.empty(0, np.int64)
        return Segment(
            none,
            [none.astype(np.uint8) for _ in range(sides)],
            [[none.copy() for _ in range(columns)] for _ in range(sides)],
        )
    with np.load(path) as held:
        arrays = [held[name] for name in _names(sides, columns)]
    states, values = arrays[1 : 1 + sides], arrays[1 + sides :]
    return Segment(arrays[0], states, [values[i * columns : (i + 1) * columns] for i in range(sides)])


def _save(path: Path, segment: Segment) -> None:
    columns = [segment.keys, *segment.states, *(column for side in segment.values for column in side)]
    names = _names(len(segment.states), len(segment.values[0]))
    _replace(path, dict(zip(names, columns, strict=True)))


def _replace(path: Path, arrays: Mapping[str, Array]) -> None:
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def _write_log(path: Path, changes: Mapping[int, Change]) -> None:
    arrays: dict[str, Array] = {}
    for side, change in changes.items():
        arrays |= {f"{side}-keys": change.keys, f"{side}-gone": change.gone}
        arrays |= {f"{side}-value-{j}": column for j, column in enumerate(change.values)}
    _replace(path, arrays)


def _read_log(path: Path, columns: int) -> dict[int, Change]:
    with np.load(path) as held:
        sides = sorted(int(name.split("-")[0]) for name in held.files if name.endswith("-keys"))
        return {
            side: Change(
                held[f"{side}-keys"], tuple(held[f"{side}-value-{j}"] for j in range(columns)), held[f"{side}-gone"]
            )
            for side in sides
        }


def _save_differences(folder: Path, found: Found) -> None:
    arrays = {"at": found.at, "kinds": found.kinds, "gaps": found.gaps}
    arrays |= {f"state-{i}": one for i, one in enumerate(found.states)}
    arrays |= {f"value-{i}-{j}": column for i, side in enumerate(found.values) for j, column in enumerate(side)}
    _replace(folder / DIFFERENCES, arrays)


def _differences(folder: Path, sides: int, columns: int) -> Found:
    with np.load(folder / DIFFERENCES) as held:
        states = tuple(held[f"state-{i}"] for i in range(sides))
        values = tuple(tuple(held[f"value-{i}-{j}"] for j in range(columns)) for i in range(sides))
        return Found(0, held["at"], held["kinds"], held["gaps"], states, values)


def _part(found: Found, chosen: Array) -> Found:
    return Found(
        0, found.at[chosen], found.kinds[chosen], found.gaps[chosen], tuple(one[chosen] for one in found.states),
        tuple(tuple(column[chosen] for column in side) for side in found.values),
    )  # fmt: skip


def _sorted(found: Found) -> Found:
    return _part(found, np.argsort(found.at, kind="stable"))
