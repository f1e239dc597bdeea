"""Which rows may differ, found in one pass over large typed files: sums of row fingerprints, in slots of about one key each.

Every row has a fingerprint of key and values; it is added to the slot that the hash of its key names, for each side. Where the sums of
two neighbouring sides are the same, all that lies in the slot is the same on both, whatever the order of the rows: none of it has
to be looked at again. All else is compared row by row as ever, so that this only chooses, and chooses too much: what is equal within
the tolerance, what shares a slot with something that is not, what is spelled otherwise. A difference is overlooked where 64 bits of
different sums happen to be equal, which of n keys has a chance of about n in 2^64.

A row that could be bad (no value, a key that is blank or has blanks around it) gets a fingerprint that no other row has. A key that is
there twice is found by its hash on the first side; where it is there twice on the others only, the sums differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import numpy as np

FEWEST = 200_000
"""Rows of all sides together from which on a pass more is worth it."""
FEWEST_BITS, MOST_BITS = 12, 28
BATCH = 1_000_000
BLANKS = r"[ \t\r\n\x{00A0}]"
WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
KEYS = WHOLE | {"VARCHAR", "DATE"}


@dataclass(frozen=True, slots=True)
class Columns:
    """One side's relation (SQL that `FROM` takes, with `file_row_number`), and its columns as (name in SQL, type), keys first."""

    relation: str
    keys: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]

    @property
    def are_plain(self) -> bool:
        """Whether equal columns have equal fingerprints: texts, dates and whole numbers."""
        return all(kind in KEYS for _, kind in self.keys) and all(kind in WHOLE for _, kind in self.values)

    def key_hash(self) -> str:
        """SQL: the hash of the key as text, so that 7 and '7' are one."""
        return f"hash({', '.join(_text(name, kind) for name, kind in self.keys)})"

    def fingerprint(self, side: int) -> str:
        """SQL: the fingerprint of key and values; of a row that could be bad one of its own."""
        parts = [*(_text(name, kind) for name, kind in self.keys), *(f"{name}::BIGINT" for name, _ in self.values)]
        odd = [f"{name} IS NULL" for name, _ in (*self.keys, *self.values)]
        odd += [_blank_edged(name) for name, kind in self.keys if kind == "VARCHAR"]
        return (
            f"CASE WHEN {' OR '.join(odd)} THEN hash({side}, file_row_number, 'odd') ELSE hash({', '.join(parts)}) END"
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: `where` is the condition, per side, that a row is to be looked at; `clean` of them were not, on every side."""

    where: tuple[str, ...]
    clean: int


def choose(con: duckdb.DuckDBPyConnection, sides: Sequence[Columns], fewest: int = FEWEST) -> Choice | None:
    """Choose the rows to look at, into the table `dirty`; None where everything has to be. Memory: 8 bytes a slot and side."""
    if not all(side.are_plain for side in sides):
        return None
    rows = [_count(con, f"SELECT count(*) FROM {side.relation}") for side in sides]  # noqa: S608
    if sum(rows) < fewest:
        return None
    bits = min(MOST_BITS, max(FEWEST_BITS, max(rows).bit_length() - 1))
    slots = _dirty(con, sides, bits, rows[0])
    _keep(con, slots)
    where = tuple(f"({side.key_hash()} >> {64 - bits}) IN (SELECT slot FROM dirty)" for side in sides)  # noqa: S608
    left = {
        all_of_it - _count(con, f"SELECT count(*) FROM {side.relation} WHERE {condition}")  # noqa: S608
        for all_of_it, side, condition in zip(rows, sides, where, strict=True)
    }
    if len(left) != 1:
        raise AssertionError(f"the sides leave out different numbers of equal rows: {sorted(left)}")
    return Choice(where, left.pop())


def _dirty(con: duckdb.DuckDBPyConnection, sides: Sequence[Columns], bits: int, first: int) -> np.ndarray[Any, Any]:
    import numpy as np

    shift = np.uint64(64 - bits)
    sums = [np.zeros(1 << bits, np.uint64) for _ in sides[1:]]  # of each side less the next, modulo 2^64
    hashes, at = np.empty(first, np.uint64), 0
    for number, side in enumerate(sides):
        asked = f"SELECT {side.key_hash()}, {side.fingerprint(number)} FROM {side.relation}"  # noqa: S608
        for batch in con.cursor().sql(asked).to_arrow_reader(BATCH):
            keys, prints = batch.column(0).to_numpy(), batch.column(1).to_numpy()
            slots = (keys >> shift).astype(np.int64)
            if number < len(sums):
                np.add.at(sums[number], slots, prints)
            if number:
                np.subtract.at(sums[number - 1], slots, prints)
            else:
                hashes[at : at + len(keys)] = keys
                at += len(keys)
    found = sums[0] != 0
    for one in sums[1:]:
        found |= one != 0
    hashes = hashes[:at]
    hashes.sort()
    found[(hashes[1:][hashes[1:] == hashes[:-1]] >> shift).astype(np.int64)] = True
    return np.flatnonzero(found).astype(np.uint64)


def _keep(con: duckdb.DuckDBPyConnection, slots: np.ndarray[Any, Any]) -> None:
    import pyarrow as pa

    con.register("dirty_slots", pa.table({"slot": slots}))
    con.execute("CREATE TABLE dirty AS SELECT slot FROM dirty_slots")
    con.unregister("dirty_slots")


def _count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    [(found,)] = con.execute(query).fetchall()
    return int(found)


def _text(name: str, kind: str) -> str:
    return name if kind == "VARCHAR" else f"CAST({name} AS VARCHAR)"


def _blank_edged(name: str) -> str:
    return f"{name} = '' OR regexp_matches({name}, '^{BLANKS}|{BLANKS}$')"
