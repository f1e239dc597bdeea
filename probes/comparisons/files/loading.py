"""Reading a side, whatever its format; where it can be known beforehand which rows may differ, no others are read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from probes.comparisons.answer.problems import FileProblem
from probes.comparisons.files.csv_lines import AT_ONCE, Hashed, hash_lines, pick_lines
from probes.comparisons.files.csv_reader import Picked, load_csv
from probes.comparisons.files.encoding import Plain, as_utf8, magic
from probes.comparisons.files.jsonl_reader import load_jsonl
from probes.comparisons.files.parquet_reader import load_parquet, plain_columns
from probes.comparisons.files.request import Request, Side
from probes.comparisons.files.slots import FEWEST, Choice, choose, import_arrays
from probes.comparisons.files.tables import Desk, Loaded

if TYPE_CHECKING:
    import duckdb

_JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
_TYPED_SUFFIXES = {".parquet", ".pq"}


@dataclass(slots=True)
class Chosen:
    """Which rows were chosen to be looked at, if any were: by a condition (Parquet), or in files of their own (`picked`).

    `plain`: the text files that were made UTF-8 for it, by the number of their side.
    """

    choice: Choice | None = None
    picked: Sequence[Picked] = ()
    plain: dict[int, Plain] = field(default_factory=dict)


def choose_rows(con: duckdb.DuckDBPyConnection, request: Request, scratch: Path) -> Chosen:
    """Choose the rows of typed files, or the lines of delimited text, that may differ."""
    desks = [Desk(con, scratch, side.index, request.keys, request.values, _counting_nothing) for side in request.sides]
    chosen = Chosen()
    try:
        if all(magic(side.path) == "parquet" for side in request.sides):
            _choose_typed(con, request, desks, chosen)
        elif all(_is_delimited(side.path) for side in request.sides):
            _choose_lines(con, request, desks, chosen)
    except FileProblem:  # loading says it, and what is wrong with the others
        return Chosen()
    return chosen


def load_side(desk: Desk, side: Side, wanted: Sequence[str], chosen: Chosen) -> Loaded:
    """Fill the side's raw table with what was chosen of it; raises FileProblem when it cannot be read."""
    kind = magic(side.path)
    if kind == "parquet":
        return load_parquet(desk, side, wanted, chosen.choice.where[side.index] if chosen.choice else "true")
    if kind == "zip":
        raise FileProblem("is a zip or Excel file: save the sheet as CSV, or unpack it")
    last = _suffix(side.path)
    if last in _TYPED_SUFFIXES:
        raise FileProblem("does not begin like a Parquet file: empty, truncated or another format; export it again")
    plain = chosen.plain.get(side.index) or _plain(desk, side)
    if last in _JSON_SUFFIXES:
        return load_jsonl(desk, side, plain, wanted)
    return load_csv(desk, side, plain, wanted, chosen.picked[side.index] if chosen.picked else None)


def _choose_typed(con: duckdb.DuckDBPyConnection, request: Request, desks: Sequence[Desk], chosen: Chosen) -> None:
    found = [plain_columns(desk, side, request.wanted(side)) for desk, side in zip(desks, request.sides, strict=True)]
    sides = [one for one in found if one is not None]
    chosen.choice = choose(con, sides) if len(sides) == len(found) else None


def _choose_lines(con: duckdb.DuckDBPyConnection, request: Request, desks: Sequence[Desk], chosen: Chosen) -> None:
    unfit = Event()

    def hashed(desk: Desk, side: Side) -> Hashed | None:
        if unfit.is_set():
            return None
        plain = chosen.plain[side.index] = _plain(desk, side)
        found = hash_lines(replace(desk, con=con.cursor()), plain, request.wanted(side), FEWEST // len(desks))
        if found is None:
            unfit.set()
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(hashed, desks, request.sides)
        import_arrays()  # meanwhile
        sides = [side for side in found if side is not None]
    if len(sides) == len(desks) and (picked := pick_lines(con, sides)):
        chosen.choice, chosen.picked = picked


def _plain(desk: Desk, side: Side) -> Plain:
    return as_utf8(side.path, magic(side.path), desk.scratch / f"{side.index}.txt")


def _is_delimited(path: Path) -> bool:
    return magic(path) in ("text", "gzip") and _suffix(path) not in _JSON_SUFFIXES | _TYPED_SUFFIXES


def _suffix(path: Path) -> str:
    """Return the last suffix but that of compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def _counting_nothing(_what: str, _rows: int) -> None:
    """Tell nobody."""
