"""Filling a raw table row by row, for files that only an exact, slower reader can take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from probes.comparisons.files.tables import BLANKS, Desk, publish

_BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line, key cells and value cells as written (None where there is none), and its trouble or empty."""

    line: int
    key: Sequence[str | None]
    values: Sequence[str | None]
    trouble: str = ""


def fill(desk: Desk, rows: Iterable[Row]) -> None:
    """Insert all rows into `text_I`; a row with a blank key column gets no key and that as its trouble."""
    import pyarrow as pa

    schema = pa.schema(
        [
            *((name, pa.string()) for name in [*desk.key_columns, *desk.text_columns]),
            ("line", pa.int64()),
            ("trouble", pa.string()),
        ]
    )
    empty = pa.table([[] for _ in schema], schema=schema)
    desk.con.register("batch", empty)
    desk.con.execute(f"CREATE TABLE text_{desk.index} AS SELECT * FROM batch")  # noqa: S608
    stream = iter(rows)
    while batch := [_cells(desk, row) for row in islice(stream, _BATCH)]:
        desk.con.register("batch", pa.table([list(column) for column in zip(*batch, strict=True)], schema=schema))
        desk.con.execute(f"INSERT INTO text_{desk.index} SELECT * FROM batch")  # noqa: S608
    desk.con.unregister("batch")
    publish(desk, kept_lines=True)


def _cells(desk: Desk, row: Row) -> tuple[str | int | None, ...]:
    key = [(cell or "").strip(BLANKS) or None for cell in row.key]
    trouble = row.trouble or _blank_key(desk, key)
    if None in key:
        key = [None] * len(key)
    return (*key, *row.values, row.line, trouble or None)


def _blank_key(desk: Desk, key: Sequence[str | None]) -> str:
    blank = [name for name, cell in zip(desk.keys, key, strict=True) if cell is None]
    return f"key column {blank[0]!r} is blank" if blank else ""
