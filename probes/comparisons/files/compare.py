"""Compare plain files: read every side, align, judge, answer."""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from probes.comparisons.answer.model import Reporter, Result, SourceSummary
from probes.comparisons.answer.problems import CouldNotCompare, FileProblem
from probes.comparisons.files.align import Aligned, Shape, align
from probes.comparisons.files.csv_lines import AT_ONCE
from probes.comparisons.files.loading import Chosen, choose_rows, load_side
from probes.comparisons.files.outputs import write_differences
from probes.comparisons.files.request import Request, Side, build_request
from probes.comparisons.files.slots import FEWEST, Choice, Columns, choose
from probes.comparisons.files.tables import Desk, Loaded, counted, literal, narrow
from probes.comparisons.files.values import DECIMAL, Normalised, are_whole, normalise

if TYPE_CHECKING:
    import duckdb


def compare_files(
    paths: Sequence[str | Path],
    keys: Sequence[str],
    values: Sequence[str],
    tolerance: Decimal | str = Decimal(0),
    *,
    names: Sequence[str] = (),
    maps: Sequence[str] = (),
    decimals: Sequence[str] = (),
    limit: int = 100,
    differences: Path | None = None,
    memory_limit: str | None = None,
    progress: Reporter | None = None,
) -> Result:
    """Compare two or more files of rows (CSV, JSON Lines, Parquet) that share key columns.

    keys, values  canonical column names; keys are text, values exact decimals
    tolerance     absolute and inclusive, in the unit of the values
    names         one per file, else taken from the file names
    maps          `FILE:COLUMN=NAME` where a file spells a column otherwise
    decimals      `FILE=,` or `FILE=.` where a file's decimal mark is not to be detected
    limit         how many differences to fetch, worst first
    differences   a file that every difference is written to, `.parquet` or `.csv`, in the order of keys
    memory_limit  of the engine, e.g. `2GB`; what does not fit goes to a temporary folder
    progress      called with the number of steps done (one per file, one for the join) and what is being done

    Raises CouldNotCompare with one line for each problem.
    """
    request = build_request(
        paths,
        keys,
        values,
        tolerance=tolerance,
        names=names,
        maps=maps,
        decimals=decimals,
        limit=limit,
        target=differences,
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="trueup-compare-") as folder:
        sources, aligned = _run(request, Path(folder), memory_limit, progress or _silent)
    return _result(request, sources, aligned, time.perf_counter() - started)


def _silent(_step: int, _what: str) -> None:
    """Report to nobody."""


def _run(
    request: Request, scratch: Path, memory_limit: str | None, report: Reporter
) -> tuple[list[SourceSummary], Aligned]:
    import duckdb

    con, before = _connect(scratch, memory_limit), _looks(request)
    try:
        report(0, "choosing the rows that may differ")
        chosen = choose_rows(con, request, scratch)
        loaded = _load_all(con, request, scratch, report, chosen)
        report(len(request.sides), "aligning the keys")
        sources, aligned = _judged(con, request, loaded, chosen.choice)
        _refuse_changed(request, before)
        report(len(request.sides) + 1, "done")
    except duckdb.OutOfMemoryException as error:
        raise CouldNotCompare(["memory or temporary disk ran out: raise --memory-limit or free disk space"]) from error
    except Exception:
        _refuse_changed(request, before)  # the better reason
        raise
    finally:
        con.close()
    return sources, aligned


def _looks(request: Request) -> list[tuple[int, ...] | None]:
    """Return what tells each file from another one in its place, and from itself after a change; None where it is not there."""
    found: list[tuple[int, ...] | None] = []
    for side in request.sides:
        try:
            seen = side.path.stat()
            found.append((seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))
        except OSError:
            found.append(None)
    return found


def _refuse_changed(request: Request, before: Sequence[tuple[int, ...] | None]) -> None:
    """Raise CouldNotCompare for files that are others than they were: they are read more than once, and would be mixed."""
    pairs = zip(request.sides, before, _looks(request), strict=True)
    changed = [side.path for side, then, now in pairs if then != now]
    if changed:
        raise CouldNotCompare(
            [f"{path}: changed while it was read: compare again once it is whole" for path in changed]
        )


def _judged(
    con: "duckdb.DuckDBPyConnection", request: Request, sides: Sequence["_Side"], choice: Choice | None
) -> tuple[list[SourceSummary], Aligned]:
    """Choose the rows to look at where the files themselves did not allow it, make numbers of the texts, align and judge."""
    choice = choice or _narrowed(con, sides)
    whole = all(are_whole(side.desk, side.loaded) for side in sides)
    read = [normalise(side.desk, side.loaded, whole) for side in sides]
    rows = choice.rows if choice else tuple(one.rows for one in read)
    if not any(rows):
        raise CouldNotCompare(["no file holds a row: there is nothing to compare, and nothing is not agreement"])
    bad = tuple(one.bad_rows > 0 for one in read)
    shape = Shape(
        len(sides), len(request.keys), len(request.values), bad, request.tolerance, "BIGINT" if whole else DECIMAL
    )
    aligned = align(con, shape, request.limit)
    if (target := request.target) is not None:
        _write(con, shape, request, target)
    if choice:
        aligned = replace(aligned, agree=aligned.agree + choice.clean([one.rows for one in read]))
    every = zip(request.sides, sides, read, rows, strict=True)
    return [_summary(side, one.loaded, numbers, count) for side, one, numbers, count in every], aligned


def _write(con: "duckdb.DuckDBPyConnection", shape: Shape, request: Request, target: Path) -> None:
    import duckdb

    try:
        write_differences(con, shape, [side.name for side in request.sides], request.keys, request.values, target)
    except duckdb.IOException as error:
        raise CouldNotCompare([f"--differences {target}: cannot be written: {str(error).splitlines()[0]}"]) from error


def _narrowed(con: "duckdb.DuckDBPyConnection", sides: Sequence["_Side"]) -> Choice | None:
    """Choose among loaded rows where all of the first side can be read: what is written alike on the others can be read too."""
    rows = sum(counted(con, f"SELECT count(*) FROM raw_{side.desk.index}")[0] for side in sides)  # noqa: S608
    if rows < FEWEST or not are_whole(sides[0].desk, sides[0].loaded):
        return None
    choice = choose(con, [_columns(side.desk, side.loaded) for side in sides])
    for side, where in zip(sides, choice.where if choice else (), strict=False):
        narrow(side.desk, where, kept_lines=side.loaded.find_lines is None)
    return choice


def _columns(desk: Desk, loaded: Loaded) -> Columns:
    """Return a loaded side as the choice of rows takes it."""
    keys = tuple((key, "VARCHAR") for key in desk.key_columns)
    values = tuple((text, "VARCHAR") for text in desk.text_columns)
    return Columns(f"text_{desk.index}", keys, values, tidy=True, hashed=loaded.hashed, number="rowid")


def _connect(scratch: Path, memory_limit: str | None) -> "duckdb.DuckDBPyConnection":
    import duckdb

    con = duckdb.connect()
    con.execute(f"SET temp_directory = {literal(str(scratch / 'spill'))}")
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    con.execute("SET checkpoint_threshold = '1TB'")  # tables of texts are dropped soon: compressing them is for nothing
    con.execute("SET streaming_buffer_size = '32MB'")  # reading goes on while what was read is added up
    try:
        if memory_limit is not None:
            con.execute(f"SET memory_limit = {literal(memory_limit)}")
    except duckdb.Error as error:
        raise CouldNotCompare([f"--memory-limit {memory_limit!r}: write a size such as 512MB or 2GB"]) from error
    return con


@dataclass(frozen=True, slots=True)
class _Side:
    """A side whose raw table is filled."""

    desk: Desk
    loaded: Loaded


def _load_all(
    con: "duckdb.DuckDBPyConnection", request: Request, scratch: Path, report: Reporter, chosen: Chosen
) -> list[_Side]:
    """Load the sides, two at a time; raises CouldNotCompare with what is wrong with each of them."""

    def load(side: Side) -> _Side | str:
        report(side.index, f"reading {side.name}")
        progress = partial(_rows_read, report, side)
        desk = Desk(con.cursor(), scratch, side.index, request.keys, request.values, progress)
        try:
            loaded = load_side(desk, side, request.wanted(side), chosen)
        except FileProblem as problem:
            return f"{side.path}: {problem}"
        return _Side(desk, loaded)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(load, request.sides))
    if problems := [one for one in found if isinstance(one, str)]:
        raise CouldNotCompare(problems)
    return [one for one in found if isinstance(one, _Side)]


def _rows_read(report: Reporter, side: Side, what: str, rows: int) -> None:
    report(side.index, f"{side.name}: {what}, {rows:,} rows")


def _summary(side: Side, loaded: Loaded, read: Normalised, rows: int) -> SourceSummary:
    empty = () if rows else ("it has no rows: every key is missing there",)
    return SourceSummary(
        name=side.name,
        path=str(side.path),
        format=loaded.format,
        encoding=loaded.encoding,
        rows=rows,
        duplicate_keys=0,
        bad_rows=read.bad_rows,
        notes=(*loaded.notes, *read.notes, *empty),
        bad_samples=read.bad_samples,
    )


def _result(request: Request, sources: Sequence[SourceSummary], aligned: Aligned, seconds: float) -> Result:
    counted = [replace(s, duplicate_keys=n) for s, n in zip(sources, aligned.duplicates, strict=True)]
    return Result(
        keys=request.keys,
        values=request.values,
        tolerance=request.tolerance,
        sources=tuple(counted),
        key_count=aligned.agree + aligned.differ,
        agree=aligned.agree,
        differ=aligned.differ,
        missing={source.name: n for source, n in zip(counted, aligned.missing, strict=True)},
        differences=aligned.differences,
        truncated=len(aligned.differences) < aligned.differ,
        kinds=aligned.kinds,
        seconds=seconds,
    )
