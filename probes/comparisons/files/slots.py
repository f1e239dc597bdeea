"""Which rows may differ, found in one pass over large typed files: sums of row fingerprints, in slots of about one key each.

Every row has a fingerprint of key and values; times a factor of its side it is added to the slot that the hash of its key names. The
factors of all sides sum to zero, so that a slot is zero where all that lies in it is the same on every side, whatever the order of the
rows: none of it has to be looked at again. All else is compared row by row as ever, so that this only chooses, and chooses too
much: what is equal within the tolerance, what shares a slot with something that is not, what is spelled otherwise. A difference is
overlooked where 64 bits of different sums happen to cancel out, which of n keys has a chance of about n in 2^64.

Of a row that could be bad (no value, a key that is blank or has blanks around it) the slot is looked at, and that of its key without the
blanks. A key that is there twice is found by its hash on the first side; where it is there twice on the others only, the sums do not
cancel out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probes.comparisons.files.tables import blank_edged, row_hashes, trimmed

if TYPE_CHECKING:
    import duckdb
    import numpy as np

FEWEST = 200_000
"""Rows of all sides together from which on a pass more is worth it."""
FEWEST_BITS, MOST_BITS = 12, 28
BATCH = 1_000_000
AT_ONCE = 2
"""Sides whose rows are looked through at the same time."""
MODULUS = 1 << 64
WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
KEYS = WHOLE | {"VARCHAR", "DATE"}


@dataclass(frozen=True, slots=True)
class Columns:
    """One side's relation (SQL that `FROM` takes), and its columns as (name in SQL, type), keys first.

    `tidy`: no key has blanks around it, and what is written alike on the first side and here is known to be there and a number.
    `hashed`: the relation has the columns of `row_hashes`. `number`: SQL of a row's number, from 0 in the order in which they are read.
    """

    relation: str
    keys: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]
    tidy: bool = False
    hashed: bool = False
    number: str = "file_row_number"

    @property
    def are_plain(self) -> bool:
        """Whether equal columns have equal fingerprints: texts, dates and whole numbers."""
        return self.tidy or (
            all(kind in KEYS for _, kind in self.keys) and all(kind in WHOLE for _, kind in self.values)
        )

    def key_hash(self) -> str:
        """SQL: the hash of the key as text, so that 7 and '7' are one."""
        return "key_hash" if self.hashed else f"hash({', '.join(_text(name, kind) for name, kind in self.keys)})"

    def trimmed_hash(self) -> str:
        """SQL: the same of the key without the blanks around it."""
        return (
            f"hash({', '.join(trimmed(name) if kind == 'VARCHAR' else _text(name, kind) for name, kind in self.keys)})"
        )

    def both(self) -> str:
        """SQL: the hash of the key, and that of key and values."""
        if self.hashed:
            return "key_hash, fingerprint"
        numbers = [name if self.tidy else f"{name}::BIGINT" for name, _ in self.values]
        return ", ".join(row_hashes([_text(name, kind) for name, kind in self.keys], numbers))

    def could_be_bad(self) -> Iterator[str]:
        """SQL: something is not there, or a key has blanks around it. A condition a column, for that is what files are filtered by."""
        for name, kind in self.keys:
            yield f"{name} IS NULL OR {blank_edged(name)}" if kind == "VARCHAR" else f"{name} IS NULL"
        yield from (f"{name} IS NULL" for name, _ in self.values)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: `where` is the condition, per side, that a row is to be looked at; `rows` how many a side has in all.

    `numbers`: those of the rows to look at, per side, ascending.
    """

    where: tuple[str, ...]
    rows: tuple[int, ...]
    numbers: tuple[np.ndarray[Any, Any], ...]

    def clean(self, looked_at: Sequence[int]) -> int:
        """Return how many rows of each side were left out, given how many were not: the same on every side."""
        left = {every - seen for every, seen in zip(self.rows, looked_at, strict=True)}
        if len(left) != 1:
            raise AssertionError(f"the sides leave out different numbers of equal rows: {sorted(left)}")
        return left.pop()


def choose(con: duckdb.DuckDBPyConnection, sides: Sequence[Columns], fewest: int = FEWEST) -> Choice | None:
    """Choose the rows to look at, into tables `chosen_0` …; None where everything has to be looked at.

    Memory: 8 bytes a slot, 8 a row of the first side while it is read, 4 a row of every side.
    """
    if not all(side.are_plain for side in sides):
        return None
    rows = tuple(_count(con, f"SELECT count(*) FROM {side.relation}") for side in sides)  # noqa: S608
    if sum(rows) < fewest:
        return None
    chosen = _numbers(con, sides, rows)
    for place, numbers in enumerate(chosen):
        _keep(con, place, numbers)
    where = (f"{side.number} IN (SELECT number FROM chosen_{place})" for place, side in enumerate(sides))  # noqa: S608
    return Choice(tuple(where), rows, tuple(chosen))


def import_arrays() -> None:
    """Import what is needed here already, where there is nothing else to do."""
    import numpy as np  # noqa: F401
    import pyarrow as pa  # noqa: F401


def _bits(rows: Sequence[int]) -> int:
    return min(MOST_BITS, max(FEWEST_BITS, max(rows).bit_length()))


def factors(sides: int) -> list[int]:
    """Return a number of 64 bits a side that has nothing to do with the others', but that all of them sum to zero (modulo 2^64)."""
    found = [_scattered(side) for side in range(1, sides)]
    return [*found, -sum(found) % MODULUS]


def _scattered(number: int) -> int:
    """Return the number's bits in disorder, as SplitMix64 does, and odd."""
    value = number * 0x9E3779B97F4A7C15 % MODULUS
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % MODULUS
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % MODULUS
    return (value ^ (value >> 31)) | 1


def _numbers(
    con: duckdb.DuckDBPyConnection, sides: Sequence[Columns], rows: Sequence[int]
) -> list[np.ndarray[Any, Any]]:
    """Return of each side the numbers of the rows in slots that are to be looked into."""
    import numpy as np

    shift = np.uint64(64 - _bits(rows))
    slots = [np.empty(count, np.uint32) for count in rows]
    found = _summed(con, sides, shift, slots) != 0
    for asked in [query for side in sides for query in _odd(side)]:
        for spelled, trimmed_too in _batches(con, asked):
            found[(spelled >> shift).view(np.int64)] = True
            found[(trimmed_too >> shift).view(np.int64)] = True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda of_side: np.flatnonzero(np.take(found, of_side)), slots))


def _summed(
    con: duckdb.DuckDBPyConnection, sides: Sequence[Columns], shift: np.uint64, slots: Sequence[np.ndarray[Any, Any]]
) -> np.ndarray[Any, Any]:
    """Return the sums of all slots, not zero in those of keys that the first side has twice; fills `slots` with that of every row."""
    import numpy as np

    sums = np.zeros(1 << (64 - int(shift)), np.uint64)
    with ThreadPoolExecutor(1) as beside:
        for number, (side, factor) in enumerate(zip(sides, factors(len(sides)), strict=True)):
            at, hashes = 0, np.empty(len(slots[0]) if number == 0 else 0, np.uint64)
            for keys, prints in _batches(con, f"SELECT {side.both()} FROM {side.relation}"):  # noqa: S608
                places = keys >> shift
                np.add.at(sums, places.view(np.int64), prints * np.uint64(factor))
                slots[number][at : at + len(keys)] = places
                if number == 0:
                    hashes[at : at + len(keys)] = keys
                at += len(keys)
            if number == 0:
                twice = beside.submit(_twice, hashes)  # while the other sides are read
        sums[(twice.result() >> shift).view(np.int64)] = 1
    return sums


def _odd(side: Columns) -> list[str]:
    if side.tidy:
        return []
    hashes = f"SELECT {side.key_hash()}, {side.trimmed_hash()} FROM {side.relation}"  # noqa: S608
    return [f"{hashes} WHERE {condition}" for condition in side.could_be_bad()]


def _twice(hashes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return those that are there more than once; sorts what it is given."""
    hashes.sort()
    found: np.ndarray[Any, Any] = hashes[1:][hashes[1:] == hashes[:-1]]
    return found


def _batches(con: duckdb.DuckDBPyConnection, asked: str) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    import numpy as np

    for batch in con.cursor().sql(asked).to_arrow_reader(BATCH):
        # not `to_numpy`, which imports pandas
        yield np.from_dlpack(batch.column(0)), np.from_dlpack(batch.column(1))


def _keep(con: duckdb.DuckDBPyConnection, place: int, numbers: np.ndarray[Any, Any]) -> None:  # noqa: ARG001 - DuckDB finds `numbers` by its name
    con.execute(f"CREATE TABLE chosen_{place} AS SELECT column0 AS number FROM numbers")  # noqa: S608


def _count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    [(found,)] = con.execute(query).fetchall()
    return int(found)


def _text(name: str, kind: str) -> str:
    return name if kind == "VARCHAR" else f"CAST({name} AS VARCHAR)"
