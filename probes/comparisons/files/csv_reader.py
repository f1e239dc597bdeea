"""Delimited text: DuckDB's reader where the file gives no trouble, else Python's exact one, with line numbers."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

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


def load_csv(desk: Desk, side: Side, plain: Plain, wanted: Sequence[str]) -> Loaded:
    """Fill the side's raw table from delimited text; raises FileProblem when it cannot be read at all."""
    dialect = sniff(plain.path, wanted)
    found = locate(wanted, dialect.header)
    fast = dialect.header_line == 1 and _load_fast(desk, plain, dialect, found)
    if not fast:
        _load_exact(desk, plain.path, dialect, found)
    return Loaded(
        format=f"CSV, {NAMES[dialect.delimiter]}",
        encoding=plain.encoding,
        notes=(*filter(None, [plain.note]), *found.notes),
        marks=(side.mark,) * len(desk.values),
        semicolon_separated=dialect.delimiter == ";",
        find_lines=_line_finder(plain.path, dialect.delimiter) if fast else None,
        hashed=fast and not plain.blanks,
    )


def _load_fast(desk: Desk, plain: Plain, dialect: Dialect, found: Found) -> bool:
    """Try DuckDB's reader; False, with nothing left behind, unless it took every row without doubt."""
    import duckdb

    link = desk.scratch / f"{desk.index}.link.csv"  # DuckDB would take `*` and `[` in a path for a pattern
    link.symlink_to(plain.path.absolute())
    try:
        _read(desk, link, dialect, found, blanks=plain.blanks)
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


def _read(desk: Desk, link: Path, dialect: Dialect, found: Found, *, blanks: bool) -> None:
    """Fill `text_I`; with the hashes of every row where no key can have a blank to be trimmed, while its cells are at hand."""
    count = len(desk.keys)
    cells = [f"c{p}" for p in found.positions]
    asked = [f"{cell} AS {name}" for cell, name in zip(cells, [*desk.key_columns, *desk.text_columns], strict=True)]
    if not blanks:
        asked += row_hashes(cells[:count], cells[count:])
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(dialect.header)))
    desk.con.execute(
        f"CREATE TABLE text_{desk.index} AS SELECT {', '.join(asked)} FROM read_csv({literal(str(link))}, "  # noqa: S608
        f"auto_detect=false, header=false, skip=1, delim={literal(dialect.delimiter)}, quote='\"', escape='\"', "
        f"comment='', nullstr='\u0001', columns={{{columns}}}, strict_mode=true, "
        f"store_rejects=true, rejects_table='rejects_{desk.index}', rejects_scan='scans_{desk.index}')"
    )
    for key in desk.key_columns if blanks else ():
        desk.con.execute(f"UPDATE text_{desk.index} SET {key} = {trimmed(key)} WHERE {blank_edged(key)}")  # noqa: S608


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


def _load_exact(desk: Desk, path: Path, dialect: Dialect, found: Found) -> None:
    data = (record for record in records(path, dialect.delimiter) if record.line > dialect.header_line)
    fill(desk, _rows(desk, data, len(dialect.header), found.positions))


def _rows(desk: Desk, data: Iterator[Record], width: int, positions: Sequence[int]) -> Iterator[Row]:
    count = len(desk.keys)
    for number, record in enumerate(data):
        if number % 20_000 == 0:
            desk.progress("reading row by row", number)
        cells = [record.cells[p] if p < len(record.cells) else None for p in positions]
        yield Row(record.line, cells[:count], cells[count:], _trouble(record, width))


def _trouble(record: Record, width: int) -> str:
    if record.broken:
        return record.broken
    extra = any(cell.strip() for cell in record.cells[width:])
    if len(record.cells) < width or extra:
        return f"{len(record.cells)} fields where the header has {width}"
    return ""
