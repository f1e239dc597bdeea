"""One bucket of all sides: rows into places, places against each other, what is left to the verdict."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.comparisons.snapshots.model import BAD, KEYS, SPREAD, Snapshot, SnapshotError
from probes.comparisons.snapshots.numbers import LARGEST
from rules.comparison.verdict import Kind, Side, State, kind_of

if TYPE_CHECKING:
    import pyarrow.parquet as pq

Array = np.ndarray[Any, Any]
Key = tuple[Array, Array]
"""Numbers of SKUs and of locations."""
NONE = np.empty(0, np.int64)
LOW = np.int64(2**32 - 1)
CODES = (State.MISSING, State.PRESENT, State.DUPLICATE, State.BAD)
MISSING, PRESENT, DUPLICATE, UNREADABLE = range(4)
KINDS = tuple(Kind)
AGREE = KINDS.index(Kind.AGREE)
DENSE = 8
"""Places a row from which on a bucket's keys are looked up instead of laid out."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is compared: the values, how many decimal places each is compared in, and what each side's are to be shifted by to have them."""

    values: tuple[str, ...]
    places: tuple[int, ...]
    shifts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What differs: keys, a kind a key, the widest gap a key, a state a side and key, a value a side, column and key."""

    keys: int
    at: Array
    kinds: Array
    gaps: Array
    states: tuple[Array, ...]
    values: tuple[tuple[Array, ...], ...]


@dataclass(frozen=True, slots=True)
class Laid:
    """All keys of a bucket, sorted, with a state a side and key and a value a side, column and key."""

    keys: Array
    states: tuple[Array, ...]
    values: tuple[tuple[Array, ...], ...]


@dataclass
class Judge:
    """Judges buckets, in several threads at once; each opens the files for itself."""

    columns: Columns
    tolerance: Decimal
    _files: threading.local = field(default_factory=threading.local)
    _opened: list[pq.ParquetFile] = field(default_factory=list)
    _bad: list[Array] = field(default_factory=list)

    def open(self, snapshots: Sequence[Snapshot]) -> None:
        """Open the files of all sides for this thread."""
        import pyarrow.parquet as pq

        self._files.files = [pq.ParquetFile(snapshot.file) for snapshot in snapshots]
        self._files.groups = [{b.number: place for place, b in enumerate(s.buckets)} for s in snapshots]
        self._files.bad = [_bad_keys(snapshot) for snapshot in snapshots]
        self._files.rooms = {}
        self._files.twice = [snapshot.duplicate_keys > 0 for snapshot in snapshots]
        self._opened += self._files.files

    def close(self) -> None:
        """Close what all threads opened."""
        for file in self._opened:
            file.close()

    def bucket(self, number: int) -> Found:
        """Judge all keys of a bucket."""
        return self._judged(*self._laid(number))

    def laid(self, number: int) -> Laid:
        """Return all keys of a bucket with what every side shows."""
        every, states, cells = self._laid(number)
        known = np.flatnonzero(np.logical_or.reduce([state != MISSING for state in states]))
        columns = tuple(tuple(column[known] for column in side) for side in cells)
        return Laid(every[known], tuple(state[known] for state in states), columns)

    def judge(self, laid: Laid) -> Found:
        """Judge keys with what every side shows."""
        return self._judged(laid.keys, list(laid.states), [list(side) for side in laid.values])

    def _laid(self, number: int) -> tuple[Places | Array, list[Array], list[list[Array]]]:
        """Return the places of a bucket: keys, states, values; a place that no side has is missing on all of them."""
        read = [self._side(place, number) for place in range(len(self._files.files))]
        keys, values = [one for one, _ in read], [one for _, one in read]
        bad = [one[(one >> np.int64(32 + SPREAD)) == number] for one in self._files.bad]
        every, places = _laid_out([*keys, *((one >> 32, one & LOW) for one in bad)])
        count, sides = len(every), range(len(keys))
        states = [self._room((side, -1), count, np.dtype(np.uint8)) for side in sides]
        cells = [
            [self._room((side, j), count, column.dtype) for j, column in enumerate(values[side])] for side in sides
        ]
        for side in sides:
            at = places[side]
            states[side][at] = PRESENT
            for cell, column in zip(cells[side], values[side], strict=True):
                cell[at] = column
            if self._files.twice[side]:
                states[side][at[1:][at[1:] == at[:-1]]] = DUPLICATE
            states[side][places[len(keys) + side]] = UNREADABLE
        return every, states, cells

    def _room(self, name: tuple[int, int], count: int, kind: np.dtype[Any]) -> Array:
        """Return zeros in the memory that this thread had under the name before: to get it anew costs more than to fill it."""
        room = self._files.rooms.get(name)
        if room is None or len(room) < count or room.dtype != kind:
            room = self._files.rooms[name] = np.empty(count, kind)
        found: Array = room[:count]
        found.fill(0)
        return found

    def _judged(self, every: Places | Array, states: list[Array], cells: list[list[Array]]) -> Found:
        known = states[0] != MISSING
        comparable = states[0] == PRESENT
        for state in states[1:]:
            known |= state != MISSING
            comparable &= state == PRESENT
        beyond = ~comparable
        for j, places in enumerate(self.columns.places):
            beyond |= _beyond([side[j] for side in cells], _whole(self.tolerance, places))
        chosen = np.flatnonzero(known & beyond)
        taken = [state[chosen] for state in states]
        values = [[column[chosen].astype(np.int64) for column in side] for side in cells]
        kinds = self._kinds(taken, values)
        differs = kinds != AGREE
        at = every[chosen]
        return Found(
            int(np.count_nonzero(known)), at[differs], kinds[differs], self._apart(values)[differs],
            tuple(state[differs] for state in taken), tuple(tuple(column[differs] for column in side) for side in values),
        )  # fmt: skip

    def _apart(self, values: list[list[Array]]) -> Array:
        """Return how far each key's values are apart at most, in the smallest unit of all columns; it ranks, and decides nothing."""
        apart = np.zeros(len(values[0][0]), np.int64)
        for j, places in enumerate(self.columns.places):
            unit = 10 ** (max(self.columns.places) - places)
            column = [side[j] for side in values]
            gap = np.maximum.reduce(column) - np.minimum.reduce(column)
            np.maximum(apart, np.minimum(gap, 2**62 // unit) * unit, out=apart)
        return apart

    def _side(self, side: int, number: int) -> tuple[Key, list[Array]]:
        """Return the numbers of SKUs and locations, in the order of keys, and the values."""
        group = self._files.groups[side].get(number)
        if group is None:
            return (NONE, NONE), [NONE for _ in self.columns.values]
        rows = self._files.files[side].read_row_group(group, [*KEYS, *self.columns.values], use_threads=False)
        columns: list[Array] = [np.from_dlpack(rows[name].chunk(0)) for name in (*KEYS, *self.columns.values)]
        sku, location, *values = columns
        shifts = [column[side] for column in self.columns.shifts]
        return (sku, location), [_shifted(v, shift) for v, shift in zip(values, shifts, strict=True)]

    def _kinds(self, states: list[Array], values: list[list[Array]]) -> Array:
        """Ask the verdict once for each distinct evidence: the states, and where all are present how far values lie above the least."""
        comparable = np.logical_and.reduce([state == PRESENT for state in states])
        evidence = [state.astype(np.int64) for state in states]
        for j in range(len(self.columns.values)):
            column = [side[j] for side in values]
            least = np.minimum.reduce(column)
            evidence += [np.where(comparable, one - least, 0) for one in column]
        first, group = _grouped(evidence)
        kinds = np.array([self._kind([int(one[place]) for one in evidence], len(states)) for place in first], np.uint8)
        return kinds[group] if len(group) else np.empty(0, np.uint8)

    def _kind(self, evidence: list[int], sides: int) -> int:
        states = [CODES[code] for code in evidence[:sides]]
        above = [evidence[sides + j * sides : sides + (j + 1) * sides] for j in range(len(self.columns.values))]
        shown = [
            tuple(Decimal(above[j][i]).scaleb(-places) for j, places in enumerate(self.columns.places))
            for i in range(sides)
        ]
        pairs = zip(states, shown, strict=True)
        return KINDS.index(kind_of([Side(s, v) if s is State.PRESENT else Side(s) for s, v in pairs], self.tolerance))


def numbers(snapshots: Sequence[Snapshot]) -> list[int]:
    """Return the buckets that any side has a row in, one that could not be read included."""
    found = {bucket.number for snapshot in snapshots for bucket in snapshot.buckets}
    for snapshot in snapshots:
        found |= {int(number) for number in np.unique(_bad_keys(snapshot) >> np.int64(32 + SPREAD))}
    return sorted(found)


def joined(parts: Sequence[Found], columns: Columns, number: int) -> Found:
    """Put what was found of so many sides together."""
    sides = range(number)
    none = np.empty(0, np.int64)
    return Found(
        sum(part.keys for part in parts),
        np.concatenate([none, *(part.at for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.kinds for part in parts)]),
        np.concatenate([none, *(part.gaps for part in parts)]),
        tuple(np.concatenate([np.empty(0, np.uint8), *(part.states[i] for part in parts)]) for i in sides),
        tuple(
            tuple(np.concatenate([none, *(part.values[i][j] for part in parts)]) for j in range(len(columns.values)))
            for i in sides
        ),
    )


def _bad_keys(snapshot: Snapshot) -> Array:
    """Return the keys of rows that could not be read and whose key could, sorted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from probes.comparisons.snapshots.vocabulary import Vocabulary

    if not snapshot.bad_rows:
        return np.empty(0, np.int64)
    rows = pq.read_table(snapshot.folder / BAD, columns=list(KEYS)).drop_null().combine_chunks()
    numbers = [
        Vocabulary(snapshot.vocabulary, kind).numbers(rows[kind].combine_chunks().cast(pa.string())) for kind in KEYS
    ]
    return np.unique((numbers[0].astype(np.int64) << 32) | numbers[1])


@dataclass(frozen=True, slots=True)
class Places:
    """The keys of places: one of each SKU and location from the first SKU on, made when they are asked for."""

    first: int
    locations: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: Array) -> Array:
        skus, locations = np.divmod(places, self.locations)
        keys: Array = ((skus + self.first) << 32) | locations
        return keys


def _laid_out(keys: Sequence[Key]) -> tuple[Places | Array, list[Array]]:
    """Return the keys of the places, sorted, and for each side's keys their places."""
    there = [(skus, locations) for skus, locations in keys if len(skus)]
    if not there:
        return NONE, [NONE for _ in keys]
    first = min(int(skus[0]) for skus, _ in there)
    count = max(int(skus[-1]) for skus, _ in there) - first + 1
    wide = 1 + max(int(locations.max()) for _, locations in there)
    if count * wide > DENSE * max(len(skus) for skus, _ in there):
        whole = [(skus.astype(np.int64) << 32) | locations for skus, locations in keys]
        every = np.unique(np.concatenate(whole))
        return every, [np.searchsorted(every, one) for one in whole]
    places = [skus.astype(np.int64) for skus, _ in keys]
    for place, (_, locations) in zip(places, keys, strict=True):
        place -= first
        place *= wide
        place += locations
    return Places(first, wide, count * wide), places


def _beyond(columns: Sequence[Array], allowed: int) -> Array:
    """Return where values are further apart than allowed. The distance of two numbers of 32 bits fits 32 bits without a sign."""
    kind = np.result_type(*columns)
    high, low = (of(columns[0], columns[1], dtype=kind) for of in (np.maximum, np.minimum))
    for column in columns[2:]:
        np.maximum(high, column, out=high)
        np.minimum(low, column, out=low)
    if kind == np.int32:
        high, low, allowed = high.view(np.uint32), low.view(np.uint32), min(allowed, 2**32 - 1)
    beyond: Array = np.subtract(high, low, out=high) > high.dtype.type(allowed)
    return beyond


def _shifted(values: Array, places: int) -> Array:
    """Return the values in a smaller unit. Raises SnapshotError where they do not fit it."""
    if not places:
        return values
    if len(values) and max(abs(int(values.min())), abs(int(values.max()))) > LARGEST // 10**places:
        raise SnapshotError(
            f"a value with {places} more decimal places goes beyond 2^61; lessen the places of the other sides"
        )
    shifted: Array = values.astype(np.int64) * 10**places
    return shifted


def _whole(tolerance: Decimal, places: int) -> int:
    """Return the tolerance in the smallest unit of so many places, rounded down: a distance is a whole number of them."""
    return min(int(tolerance.scaleb(places)), 2**63 - 1)


def _grouped(evidence: Sequence[Array]) -> tuple[Array, Array]:
    """Return for each distinct row of evidence one place where it stands, and for each row which of them it is."""
    mixed = np.zeros(len(evidence[0]), np.uint64)
    for number, one in enumerate(evidence):
        mixed = (mixed ^ one.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15 + 2 * number)
        mixed ^= mixed >> np.uint64(29)
    _, first, group = np.unique(mixed, return_index=True, return_inverse=True)
    if any((one != one[first][group]).any() for one in evidence):  # two kinds of evidence that were mixed to the same
        rows = np.stack(evidence, axis=1)
        _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, group.reshape(-1)
