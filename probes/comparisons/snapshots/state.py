"""What the last comparison saw, kept so that the next one looks at changed keys alone: every key with its state and values a side.

Columns are arrays on disk in the order of keys, which nothing changes once they are written. Keys that have changed since, or were
never there before, stand beside them in one small file with their verdicts, which is replaced as a whole: a crash leaves the one before
or the one after. It is read and written at every change, so that a comparison of whole snapshots has to make the state anew now and then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.comparisons.snapshots.buckets import (
    AGREE,
    MISSING,
    PRESENT,
    Columns,
    Found,
    Judge,
    Laid,
    joined,
    numbers,
)
from probes.comparisons.snapshots.compare import AT_ONCE, columns_of
from probes.comparisons.snapshots.model import KEYS, Snapshot, SnapshotError
from probes.comparisons.snapshots.numbers import as_whole
from probes.comparisons.snapshots.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]
ABOUT, CHANGED, DIFFERENCES = "state.json", "changed.npz", "differences.npz"
FORMAT = 2


@dataclass(frozen=True, slots=True)
class Change:
    """What a side shows now: keys in order, each once; values, and whether the key has gone."""

    keys: Array
    values: tuple[Array, ...]
    gone: Array


@dataclass(frozen=True, slots=True)
class Changed:
    """Keys that are no longer as the arrays have them: what every side shows, and the verdict (kind and gap)."""

    laid: Laid
    kinds: Array
    gaps: Array

    def differing(self) -> Found:
        """Return those that differ."""
        chosen = self.kinds != AGREE
        laid = _chosen(self.laid, chosen)
        return Found(0, laid.keys, self.kinds[chosen], self.gaps[chosen], laid.states, laid.values)


class State:
    """The state of a comparison in a folder; one process at a time changes it."""

    def __init__(self, folder: Path) -> None:
        """Open a state. Raises SnapshotError where there is none that this version understands."""
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise SnapshotError(f"{folder}: holds no state of a comparison; compare whole snapshots first") from error
        if about.get("format") != FORMAT:
            raise SnapshotError(f"{folder}: was written by another version of Trueup; compare whole snapshots anew")
        self.folder = folder
        self.sides: tuple[str, ...] = tuple(about["sides"])
        self.columns = Columns(tuple(about["values"]), tuple(about["places"]), ())
        self.tolerance = Decimal(about["tolerance"])
        self._vocabulary = Path(about["vocabulary"])
        self._judge = Judge(self.columns, self.tolerance)
        self._base = _opened(folder, len(self.sides), len(self.columns.values))
        self._changed = _changed(folder, len(self.sides), len(self.columns.values))

    @property
    def keys(self) -> int:
        """How many keys any side has."""
        laid = self._changed.laid
        here = np.logical_or.reduce([one != MISSING for one in laid.states])
        return (
            len(self._base.keys)
            - int(np.count_nonzero(_locate(self._base, laid.keys)[1]))
            + int(np.count_nonzero(here))
        )

    @cached_property
    def differing(self) -> Found:
        """All keys that differ, in their order."""
        before = _differences(self.folder, len(self.sides), len(self.columns.values))
        left = _part(before, ~np.isin(before.at, self._changed.laid.keys, assume_unique=True))
        return _sorted(joined([left, self._changed.differing()], self.columns, len(self.sides)))

    def apply(self, changed: Mapping[str, pa.Table]) -> Found:
        """Take in what sides say has changed, judge those keys anew and write the differences back; return what of them differs.

        Tables have `sku`, `location` (text), the values, and `gone` (bool) where keys can vanish; the last row of a key holds.
        """
        if unknown := sorted(set(changed) - set(self.sides)):
            raise SnapshotError(f"{unknown[0]!r} is no side of this comparison; the sides are {', '.join(self.sides)}")
        changes = {self.sides.index(side): self._change(side, table) for side, table in changed.items()}
        every = np.concatenate([np.empty(0, np.int64), *(one.keys for one in changes.values())])
        laid = self.at(every[_last_of_each(every)])
        for side, change in changes.items():
            places = np.searchsorted(laid.keys, change.keys)
            laid.states[side][places] = np.where(change.gone, MISSING, PRESENT)
            for column, new in zip(laid.values[side], change.values, strict=True):
                column[places] = new
        found = self._judge.judge(laid)
        kinds, gaps = np.full(len(laid.keys), AGREE, np.uint8), np.zeros(len(laid.keys), np.int64)
        places = np.searchsorted(laid.keys, found.at)
        kinds[places], gaps[places] = found.kinds, found.gaps
        self._changed = _over(self._changed, Changed(laid, kinds, gaps))
        _save(self.folder / CHANGED, self._changed)
        self.__dict__.pop("differing", None)
        return found

    def at(self, keys: Array) -> Laid:
        """Return what every side shows of keys, given in their order; what it does not have is missing."""
        states = tuple(np.full(len(keys), MISSING, np.uint8) for _ in self.sides)
        values = tuple(tuple(np.zeros(len(keys), np.int64) for _ in self.columns.values) for _ in self.sides)
        for held in (self._base, self._changed.laid):
            places, found = _locate(held, keys)
            for side, state in enumerate(states):
                state[found] = held.states[side][places]
                for column, from_ in zip(values[side], held.values[side], strict=True):
                    column[found] = from_[places]
        return Laid(keys, states, values)

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
        place = _last_of_each(keys)
        return Change(keys[place], tuple(column[place] for column in values), gone[place])


def _last_of_each(keys: Array) -> Array:
    """Return the place of the last of each key, in the order of keys. `numpy.unique` imports masked arrays."""
    order = np.argsort(keys, kind="stable")
    held = keys[order]
    found: Array = order[np.append(held[1:] != held[:-1], True)[: len(held)]]
    return found


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with 0 where nothing stands (of a key that has gone); pyarrow imports pandas to fill, so only then."""
    if not column.null_count:
        return column
    import pyarrow.compute as pc

    return pc.fill_null(column, 0)


def build(folder: Path, snapshots: Sequence[Snapshot], values: Sequence[str], tolerance: Decimal) -> State:
    """Compare whole snapshots and keep what was seen; what the folder held before is replaced."""
    from concurrent.futures import ThreadPoolExecutor

    columns = columns_of(snapshots, values)
    judge = Judge(columns, tolerance)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)
    (folder / CHANGED).unlink(missing_ok=True)
    every = numbers(snapshots)
    with (
        _Files(folder, len(snapshots), len(columns.values)) as files,
        ThreadPoolExecutor(AT_ONCE, initializer=judge.open, initargs=(tuple(snapshots),)) as pool,
    ):
        found = [files.add(judge, laid) for laid in pool.map(judge.laid, every)]
    judge.close()
    _save_differences(folder, joined(found, columns, len(snapshots)))
    told = {
        "format": FORMAT, "sides": [snapshot.side for snapshot in snapshots], "values": list(values), "places": list(columns.places),
        "tolerance": str(tolerance), "vocabulary": str(snapshots[0].vocabulary), "snapshots": [snapshot.id for snapshot in snapshots],
    }  # fmt: skip
    (folder / ABOUT).write_text(json.dumps(told), encoding="utf-8")
    return State(folder)


def overlooked(state: State, newer: State) -> Array:
    """Return the keys of which a state says otherwise than a newer one of the same sides made from whole snapshots: what no feed told."""
    every = np.unique(
        np.concatenate([one for each in (state, newer) for one in (each._base.keys, each._changed.laid.keys)])
    )
    old, new = state.at(every), newer.at(every)
    differs = np.zeros(len(every), bool)
    for side in range(len(state.sides)):
        differs |= old.states[side] != new.states[side]
        present = old.states[side] == PRESENT
        for before, after in zip(old.values[side], new.values[side], strict=True):
            differs |= present & (before != after)
    return every[differs]


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


def _opened(folder: Path, sides: int, columns: int) -> Laid:
    def mapped(name: str, kind: type) -> Array:
        path = folder / f"{name}.bin"
        return np.memmap(path, kind, "r") if path.stat().st_size else np.empty(0, kind)

    states = tuple(mapped(f"state-{i}", np.uint8) for i in range(sides))
    values = tuple(tuple(mapped(f"value-{i}-{j}", np.int64) for j in range(columns)) for i in range(sides))
    return Laid(mapped("keys", np.int64), states, values)


def _locate(laid: Laid, keys: Array) -> tuple[Array, Array]:
    """Return the places of those keys that are there, and which they are."""
    places = np.searchsorted(laid.keys, keys)
    found = places < len(laid.keys)
    found[found] = laid.keys[places[found]] == keys[found]
    return places[found], found


def _over(below: Changed, above: Changed) -> Changed:
    """Return both together; of a key that both have, what is above."""
    left = ~np.isin(below.laid.keys, above.laid.keys, assume_unique=True)
    order = np.argsort(np.concatenate([below.laid.keys[left], above.laid.keys]), kind="stable")

    def merged(one: Array, other: Array) -> Array:
        found: Array = np.concatenate([one[left], other])[order]
        return found

    states = tuple(map(merged, below.laid.states, above.laid.states))
    values = tuple(tuple(map(merged, *sides)) for sides in zip(below.laid.values, above.laid.values, strict=True))
    laid = Laid(merged(below.laid.keys, above.laid.keys), states, values)
    return Changed(laid, merged(below.kinds, above.kinds), merged(below.gaps, above.gaps))


def _chosen(laid: Laid, chosen: Array) -> Laid:
    columns = tuple(tuple(column[chosen] for column in side) for side in laid.values)
    return Laid(laid.keys[chosen], tuple(state[chosen] for state in laid.states), columns)


def _changed(folder: Path, sides: int, columns: int) -> Changed:
    if not (folder / CHANGED).exists():
        none, byte = np.empty(0, np.int64), np.empty(0, np.uint8)
        return Changed(Laid(none, (byte,) * sides, ((none,) * columns,) * sides), byte, none)
    with np.load(folder / CHANGED) as held:
        states = tuple(held[f"state-{i}"] for i in range(sides))
        values = tuple(tuple(held[f"value-{i}-{j}"] for j in range(columns)) for i in range(sides))
        return Changed(Laid(held["keys"], states, values), held["kinds"], held["gaps"])


def _save(path: Path, changed: Changed) -> None:
    laid = changed.laid
    _replace(path, {"keys": laid.keys, "kinds": changed.kinds, "gaps": changed.gaps} | _named(laid.states, laid.values))


def _named(states: Sequence[Array], values: Sequence[Sequence[Array]]) -> dict[str, Array]:
    named = {f"state-{i}": one for i, one in enumerate(states)}
    return named | {f"value-{i}-{j}": column for i, side in enumerate(values) for j, column in enumerate(side)}


def _replace(path: Path, arrays: Mapping[str, Array]) -> None:
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _save_differences(folder: Path, found: Found) -> None:
    arrays = {"at": found.at, "kinds": found.kinds, "gaps": found.gaps}
    _replace(folder / DIFFERENCES, arrays | _named(found.states, found.values))


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
