"""Delimited text: DuckDB's reader where the file gives no trouble, else Python's exact one, with line numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.comparisons.files.columns import Found, locate
from probes.comparisons.files.dialect import NAMES, Dialect, Record, records, sniff
from probes.comparisons.files.encoding import Plain
from probes.comparisons.files.request import Side
from probes.comparisons.files.rows import Row, fill
from probes.comparisons.files.tables import (
    Desk,
    LineFinder,
    Loaded,
    blank_edged,
    counted,
    literal,
    publish,
    row_hashes,
    trimmed,
)

if TYPE_CHECKING:
    import numpy as np

NULL = "\u0001"
"""The cell that is none: no file of texts holds it."""


@dataclass(frozen=True, slots=True)
class Picked:
    """The rows of a side that are to be looked at, in a file of their own, and their numbers (from 0) in the side's."""

    plain: Plain
    dialect: Dialect
    numbers: "np.ndarray[Any, Any]"

    def line(self, line: int) -> int:
        """Return the line of the side's file that is this one of the picked ones; both count from 1, with the header."""
        return int(self.numbers[line - 2]) + 2

    def find_lines(self, ordinals: Sequence[int]) -> dict[int, int]:
        """Return the lines of the side's file that some of the picked rows (from 0) are."""
        return {ordinal: self.line(ordinal + 2) for ordinal in ordinals}


def load_csv(desk: Desk, side: Side, plain: Plain, wanted: Sequence[str], picked: Picked | None = None) -> Loaded:
    """Fill the side's raw table from delimited text; raises FileProblem when it cannot be read at all.

    `picked`: the lines of it that are to be looked at, where not all of them are.
    """
    dialect = picked.dialect if picked else sniff(plain.path, wanted)
    text = picked.plain if picked else plain
    found = locate(wanted, dialect.header)
    fast = dialect.header_line == 1 and _load_fast(desk, text, dialect, found)
    if not fast:
        _load_exact(desk, text.path, dialect, found, *([picked.line] if picked else []))
    finder = picked.find_lines if picked else _line_finder(plain.path, dialect.delimiter)
    return Loaded(
        format=f"CSV, {NAMES[dialect.delimiter]}",
        encoding=plain.encoding,
        notes=(*filter(None, [plain.note]), *found.notes),
        marks=(side.mark,) * len(desk.values),
        semicolon_separated=dialect.delimiter == ";",
        find_lines=finder if fast else None,
        hashed=fast and not text.blanks,
    )


def _load_fast(desk: Desk, plain: Plain, dialect: Dialect, found: Found) -> bool:
    """Try DuckDB's reader; False, with nothing left behind, unless it took every row without doubt."""
    import duckdb

    try:
        _read(desk, linked(desk, plain.path), dialect, found, blanks=plain.blanks)
        if not _is_one_line_per_row(desk, plain) or not _is_clean(desk):
            _drop(desk)
            return False
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        _drop(desk)
        return False
    publish(desk, kept_lines=False)
    return True


def linked(desk: Desk, path: Path) -> Path:
    """Return a name for a text file in which DuckDB takes nothing for a pattern, as it does `*` and `[`."""
    link = desk.scratch / f"{desk.index}.link.csv"
    link.unlink(missing_ok=True)
    link.symlink_to(path.absolute())
    return link


def _read(desk: Desk, link: Path, dialect: Dialect, found: Found, *, blanks: bool) -> None:
    """Fill `text_I`; with the hashes of every row where no key can have a blank to be trimmed, while its cells are at hand."""
    count = len(desk.keys)
    cells = [f"c{p}" for p in found.positions]
    asked = [f"{cell} AS {name}" for cell, name in zip(cells, [*desk.key_columns, *desk.text_columns], strict=True)]
    if not blanks:
        asked += row_hashes(cells[:count], cells[count:])
    kept = f"store_rejects=true, rejects_table='rejects_{desk.index}', rejects_scan='scans_{desk.index}'"
    desk.con.execute(
        f"CREATE TABLE text_{desk.index} AS SELECT {', '.join(asked)} FROM {relation(link, dialect, more=kept)}"  # noqa: S608
    )
    for key in desk.key_columns if blanks else ():
        desk.con.execute(f"UPDATE text_{desk.index} SET {key} = {trimmed(key)} WHERE {blank_edged(key)}")  # noqa: S608


def relation(link: Path, dialect: Dialect, null: str = NULL, more: str = "store_rejects=false") -> str:
    """SQL: the rows of a file as the columns `c0`, `c1` …, all of them text; a cell that is `null` is NULL.

    `link` is a name without anything in it that SQL takes for a pattern.
    """
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(dialect.header)))
    return (
        f"read_csv({literal(str(link))}, auto_detect=false, header=false, skip=1, delim={literal(dialect.delimiter)}, quote='\"', "
        f"escape='\"', comment='', nullstr={literal(null)}, columns={{{columns}}}, strict_mode=true, {more})"
    )


def _drop(desk: Desk) -> None:
    for table in ("text", "rejects", "scans"):
        desk.con.execute(f"DROP TABLE IF EXISTS {table}_{desk.index}")


def _count(desk: Desk, query: str) -> int:
    return counted(desk.con, query)[0]


def _is_one_line_per_row(desk: Desk, plain: Plain) -> bool:
    """Whether every line but the header became one row: DuckDB drops some rows of open quotes without a word."""
    return _count(desk, f"SELECT count(*) FROM text_{desk.index}") == plain.lines - 1  # noqa: S608


def _is_clean(desk: Desk) -> bool:
    blank = " OR ".join(f"{key} IS NULL OR {key} = ''" for key in desk.key_columns)
    rejected = _count(desk, f"SELECT count(*) FROM rejects_{desk.index}")  # noqa: S608
    return not rejected and not _count(desk, f"SELECT count(*) FROM text_{desk.index} WHERE {blank}")  # noqa: S608


def _line_finder(path: Path, delimiter: str) -> LineFinder:
    def find(ordinals: Sequence[int]) -> dict[int, int]:
        asked, last = set(ordinals), max(ordinals)
        data = islice(records(path, delimiter), 1, last + 2)
        return {i: record.line for i, record in enumerate(data) if i in asked}

    return find


def _same(line: int) -> int:
    return line


def _load_exact(desk: Desk, path: Path, dialect: Dialect, found: Found, line: Callable[[int], int] = _same) -> None:
    data = (record for record in records(path, dialect.delimiter) if record.line > dialect.header_line)
    fill(desk, _rows(desk, data, len(dialect.header), found.positions, line))


def _rows(
    desk: Desk, data: Iterator[Record], width: int, positions: Sequence[int], line: Callable[[int], int]
) -> Iterator[Row]:
    count = len(desk.keys)
    for number, record in enumerate(data):
        if number % 20_000 == 0:
            desk.progress("reading row by row", number)
        cells = [record.cells[p] if p < len(record.cells) else None for p in positions]
        yield Row(line(record.line), cells[:count], cells[count:], _trouble(record, width))


def _trouble(record: Record, width: int) -> str:
    if record.broken:
        return record.broken
    extra = any(cell.strip() for cell in record.cells[width:])
    if len(record.cells) < width or extra:
        return f"{len(record.cells)} fields where the header has {width}"
    return ""
