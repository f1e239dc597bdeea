"""Which lines of delimited text may differ, and a file of these lines alone: the rest is hashed as it streams by, and kept nowhere.

The rows of the first side are hashed as what they say, those of the others as they are written: its values as whole numbers made
text again, its blank cells as nothing. So a row that is written as plainly as can be is equal to the same row elsewhere, and any
other (a number written otherwise, a blank key or value) is equal to none and is looked at, whatever the others say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.comparisons.answer.problems import FileProblem
from probes.comparisons.files import slots
from probes.comparisons.files.columns import locate
from probes.comparisons.files.csv_reader import NULL, Picked, linked, relation
from probes.comparisons.files.dialect import Dialect, records, sniff
from probes.comparisons.files.encoding import Plain
from probes.comparisons.files.tables import Desk, blank_edged, counted, row_hashes
from probes.comparisons.files.values import PLAINEST

if TYPE_CHECKING:
    import duckdb
    import numpy as np

AT_ONCE = 2
"""Files that are read or written at the same time."""
_SAMPLE = 100
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Hashed:
    """A side of which `hashes_I` has the hashes of every row in the order of its lines."""

    desk: Desk
    plain: Plain
    dialect: Dialect

    @property
    def table(self) -> str:
        """The name of its table."""
        return f"hashes_{self.desk.index}"


def hash_lines(desk: Desk, plain: Plain, wanted: Sequence[str], fewest: int) -> Hashed | None:
    """Hash the rows of a side; None where it has less than `fewest` lines, or not every line is a row beyond doubt."""
    import duckdb

    if plain.lone_returns or plain.lines < fewest:
        return None
    try:
        dialect = sniff(plain.path, wanted)
        positions = locate(wanted, dialect.header).positions
        if dialect.header_line != 1 or not _begins_plainly(plain.path, dialect, positions[len(desk.keys) :]):
            return None
        side = Hashed(desk, plain, dialect)
        _hash(side, positions)
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, FileProblem):  # loading says what is wrong
        return None
    [rows] = counted(desk.con, f"SELECT count(*) FROM {side.table}")  # noqa: S608
    return side if rows == plain.lines - 1 else None


def _begins_plainly(path: Path, dialect: Dialect, values: Sequence[int]) -> bool:
    """Whether the first rows have plain whole numbers only: where others are the rule all would have to be looked at."""
    rows = [record.cells for record in islice(records(path, dialect.delimiter), 1, 1 + _SAMPLE)]
    return all(len(row) > max(values) and all(re.fullmatch(PLAINEST, row[p]) for p in values) for row in rows)


def _hash(side: Hashed, positions: Sequence[int]) -> None:
    """Fill the side's table; rows with blanks around a key are left out, so that they are not as many as the lines."""
    count = len(side.desk.keys)
    keys, values = [f"c{p}" for p in positions[:count]], [f"c{p}" for p in positions[count:]]
    link = linked(side.desk, side.plain.path)
    read = relation(link, side.dialect, null="" if side.desk.index == 0 else NULL)
    if side.desk.index == 0:
        values = [f"TRY_CAST({value} AS BIGINT)::VARCHAR" for value in values]
    tidy = " AND ".join(f"NOT ({blank_edged(key)})" for key in keys) if side.plain.blanks else "true"
    hashes = ", ".join(row_hashes(keys, values))
    side.desk.con.execute(f"CREATE TABLE {side.table} AS SELECT {hashes} FROM {read} WHERE {tidy}")  # noqa: S608


def pick_lines(con: duckdb.DuckDBPyConnection, sides: Sequence[Hashed]) -> tuple[slots.Choice, list[Picked]] | None:
    """Choose the lines that may differ, each side's into a file of its own; None where all are to be looked at."""
    columns = [slots.Columns(side.table, (), (), tidy=True, hashed=True, number="rowid") for side in sides]
    choice = slots.choose(con, columns, fewest=0)
    if choice is None:
        return None
    for side in sides:
        con.execute(f"DROP TABLE {side.table}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return choice, list(pool.map(_picked, sides, choice.numbers))


def _picked(side: Hashed, numbers: np.ndarray[Any, Any]) -> Picked:
    target = side.desk.scratch / f"{side.desk.index}.picked.csv"
    with target.open("wb") as file:
        file.writelines(_lines(side.plain.path, numbers + 1))
    return Picked(replace(side.plain, path=target, lines=len(numbers) + 1), side.dialect, numbers)


def _lines(path: Path, wanted: np.ndarray[Any, Any]) -> Iterator[bytes]:
    """The first line of a file and those of the numbers `wanted` (from 0, ascending), those that follow each other in one piece."""
    import numpy as np

    wanted = np.concatenate([np.zeros(1, np.int64), wanted])
    at, rest = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK) or (rest and b"\n"):
            data = rest + chunk
            ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
            places = np.concatenate([np.zeros(1, np.int64), ends])
            first, last = np.searchsorted(wanted, [at, at + len(ends)])
            here = wanted[first:last] - at
            apart = np.diff(here) != 1  # where one does not follow the one before
            begins = places[here[np.append(True, apart)]] if len(here) else here
            stops = places[here[np.append(apart, True)] + 1] if len(here) else here
            yield from (data[begin:stop] for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True))
            at, rest = at + len(ends), data[places[-1] :]
