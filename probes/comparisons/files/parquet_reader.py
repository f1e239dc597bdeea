"""Parquet: typed columns made text without losing a digit, so that every format goes through the same number reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probes.comparisons.answer.problems import FileProblem
from probes.comparisons.files import slots
from probes.comparisons.files.columns import locate
from probes.comparisons.files.request import Side
from probes.comparisons.files.tables import Desk, Loaded, identifier, literal, publish, trimmed
from rules.comparison.numbers import Mark

_FLOATS = ("FLOAT", "DOUBLE")
_INTEGERS = tuple(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)
_SMALL = ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")
_NESTED = ("STRUCT", "MAP", "UNION", "LIST", "[", "VARIANT", "GEOMETRY")


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str

    @property
    def is_text(self) -> bool:
        return self.type == "VARCHAR" or self.type.startswith("ENUM")

    @property
    def is_number(self) -> bool:
        return self.type in (*_FLOATS, *_INTEGERS) or self.type.startswith("DECIMAL")


def plain_columns(desk: Desk, side: Side, wanted: Sequence[str]) -> slots.Columns | None:
    """Return the side as the choice of rows takes it; None for a file that cannot be read: loading it says why."""
    import duckdb

    try:
        path = literal(str(_linked(desk, side)))
        header = _columns(desk, path)
        columns = [header[p] for p in locate(wanted, [column.name for column in header]).positions]
    except (duckdb.Error, FileProblem):
        return None
    named = tuple((identifier(column.name), column.type) for column in columns)
    relation = f"read_parquet({path}, file_row_number=true)"
    return slots.Columns(relation, named[: len(desk.keys)], named[len(desk.keys) :])


def load_parquet(desk: Desk, side: Side, wanted: Sequence[str], only: str = "true") -> Loaded:
    """Fill the side's raw table with the rows that `only` (SQL) holds of.

    Raises FileProblem for a damaged file or a column of a type that does not fit.
    """
    import duckdb

    link = _linked(desk, side)
    try:
        header = _columns(desk, literal(str(link)))
        found = locate(wanted, [column.name for column in header])
        columns = [header[p] for p in found.positions]
        keys, values = columns[: len(desk.keys)], columns[len(desk.keys) :]
        _create(desk, literal(str(link)), keys, values, only)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].replace(str(link), side.path.name)
        raise FileProblem(f"is a damaged or truncated Parquet file ({reason}): export it again") from error
    publish(desk, kept_lines=True)
    marks = tuple(side.mark if column.is_text else Mark.DOT for column in values)
    small = all(column.type in _SMALL for column in values)
    return Loaded("Parquet", "typed", (*found.notes, *_notes(keys)), marks, small=small)


def _linked(desk: Desk, side: Side) -> Path:
    """Return a name for the file that nothing in SQL takes for a pattern."""
    link = desk.scratch / f"{desk.index}.link.parquet"
    if not link.is_symlink():
        link.symlink_to(side.path.absolute())
    return link


def _columns(desk: Desk, path: str) -> list[_Column]:
    rows = desk.con.execute(f"DESCRIBE SELECT * FROM read_parquet({path})").fetchall()  # noqa: S608
    return [_Column(row[0], row[1]) for row in rows]


def _create(desk: Desk, path: str, keys: Sequence[_Column], values: Sequence[_Column], only: str) -> None:
    parts = [f"{_key(column)} AS k{i}" for i, column in enumerate(keys)]
    parts += [f"{_value(column)} AS t{i}" for i, column in enumerate(values)]
    blank = " ".join(
        f"WHEN k{i} IS NULL THEN {literal(f'key column {name!r} is blank')}" for i, name in enumerate(desk.keys)
    )
    desk.con.execute(
        f"CREATE TABLE text_{desk.index} AS SELECT *, CASE {blank} END AS trouble FROM "  # noqa: S608
        f"(SELECT {', '.join(parts)}, file_row_number + 1 AS line FROM read_parquet({path}, file_row_number=true) WHERE {only})"
    )


def _key(column: _Column) -> str:
    """SQL: the key as text. A whole number held as a float (pandas makes them so) is written without `.0`."""
    name = identifier(column.name)
    if any(part in column.type for part in _NESTED):
        raise FileProblem(f"column {column.name!r} is {column.type}: a key must be text, a number or a date")
    if column.type in _FLOATS:
        whole = f"isfinite({name}) AND {name} = trunc({name}) AND abs({name}) < 9e15"
        return f"CASE WHEN {whole} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) ELSE CAST({name} AS VARCHAR) END"
    if column.type == "BLOB":
        return trimmed(f"decode({name})")
    text = name if column.type == "VARCHAR" else f"CAST({name} AS VARCHAR)"
    return trimmed(text) if column.is_text else text


def _value(column: _Column) -> str:
    if not (column.is_text or column.is_number):
        raise FileProblem(f"column {column.name!r} is {column.type}: --value needs numbers, or text that holds them")
    return f"CAST({identifier(column.name)} AS VARCHAR)"


def _notes(keys: Sequence[_Column]) -> list[str]:
    return [
        f"key {column.name!r} is {column.type} in the file, read as text; leading zeros are not in it"
        for column in keys
        if column.is_number
    ]
