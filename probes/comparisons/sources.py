"""What is compared may be files, tables of databases, or snapshots: the engine that fits is chosen here, and the answer is one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from probes.comparisons.answer import CouldNotCompare, Result
from probes.comparisons.answer.model import Reporter
from probes.comparisons.engines.tables import DIALECTS, Table, address, bring, compare_tables
from probes.comparisons.files.compare import compare_files
from probes.comparisons.files.request import Request, build_request, label_of

ENGINE = "TRUEUP_COMPARE_ENGINE"
"""Environment variable: `local` or `spark://HOST:PORT` for Spark; empty for the engine that is built in."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared, as it was given; see compare_files."""

    keys: Sequence[str]
    values: Sequence[str]
    tolerance: str = "0"
    names: Sequence[str] = ()
    maps: Sequence[str] = ()
    decimals: Sequence[str] = ()
    limit: int = 100
    differences: Path | None = None
    memory_limit: str | None = None


def compare_sources(sources: Sequence[str], asked: Asked, progress: Reporter | None = None) -> Result:
    """Compare files, tables (`URL#TABLE`, `env:VARIABLE#TABLE`) or folders of snapshots. Raises CouldNotCompare.

    Tables of one database are compared there; those of several are brought here first. Snapshots are compared with snapshots.
    """
    tables = [address(source) for source in sources]
    engine = os.environ.get(ENGINE, "")
    if any(_is_snapshot(Path(source)) for source, table in zip(sources, tables, strict=True) if table is None):
        return _snapshots(sources, asked, progress)
    if engine:
        return _on_spark(sources, asked, engine)
    if _are_of_one_database(tables) and not (asked.differences or asked.maps or asked.decimals):
        request = _request([str(table.name) for table in tables if table], asked)
        found = [table for table in tables if table is not None]
        return compare_tables(
            found, [s.name for s in request.sides], asked.keys, asked.values, request.tolerance, asked.limit
        )
    with tempfile.TemporaryDirectory(prefix="trueup-compare-") as folder:
        names = asked.names or [label_of(s) if t is None else t.name for s, t in zip(sources, tables, strict=True)]
        paths = _here(sources, tables, asked, Path(folder))
        return _files(paths, asked, names if any(tables) else asked.names, progress)


def _is_snapshot(source: Path) -> bool:
    """Whether it is a snapshot's folder; what reads snapshots is imported for folders only."""
    if not source.is_dir():
        return False
    from probes.comparisons.snapshots.model import MANIFEST

    return (source / MANIFEST).is_file()


def _are_of_one_database(tables: Sequence[Table | None]) -> bool:
    urls = {table.url if table else "" for table in tables}
    return len(urls) == 1 and len(tables) > 1 and urls.pop().partition(":")[0].partition("+")[0] in DIALECTS


def _here(sources: Sequence[str], tables: Sequence[Table | None], asked: Asked, folder: Path) -> list[Path]:
    """Return a file for each source, those of tables brought at the same time."""
    columns = [*asked.keys, *asked.values]

    def file(number: int) -> Path:
        table = tables[number]
        return Path(sources[number]) if table is None else bring(table, columns, folder, number)

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(file, range(len(sources))))


def _files(paths: Sequence[Path], asked: Asked, names: Sequence[str], progress: Reporter | None) -> Result:
    return compare_files(
        paths, asked.keys, asked.values, asked.tolerance, names=names, maps=asked.maps, decimals=asked.decimals, limit=asked.limit,
        differences=asked.differences, memory_limit=asked.memory_limit, progress=progress,
    )  # fmt: skip


def _request(paths: Sequence[str], asked: Asked) -> Request:
    return build_request(
        paths, asked.keys, asked.values, tolerance=asked.tolerance, names=asked.names, limit=asked.limit
    )


def _on_spark(sources: Sequence[str], asked: Asked, master: str) -> Result:
    from probes.comparisons.engines.spark import compare_on_spark

    if master != "local" and not master.startswith("spark://"):
        raise CouldNotCompare([f"{ENGINE}={master!r}: must be empty, `local` or spark://HOST:PORT"])
    if asked.maps or asked.decimals or asked.differences:
        raise CouldNotCompare(
            [f"--map, --decimal and --differences are not for Spark; rename the columns, or leave {ENGINE} empty"]
        )
    request = _request(sources, asked)
    paths = [side.path for side in request.sides]
    return compare_on_spark(
        paths, [s.name for s in request.sides], asked.keys, asked.values, request.tolerance, master, asked.limit
    )


def _snapshots(sources: Sequence[str], asked: Asked, progress: Reporter | None) -> Result:
    from probes.comparisons.snapshots import SnapshotError, compare_snapshots
    from probes.comparisons.snapshots.model import KEYS, load

    try:
        if asked.maps or asked.decimals:
            raise SnapshotError(
                "--map and --decimal are for files and tables: a snapshot's columns and numbers are settled"
            )
        if tuple(asked.keys) != KEYS:
            raise SnapshotError(f"--key {','.join(asked.keys)}: snapshots have the keys {','.join(KEYS)}")
        found = [load(Path(source)) for source in sources]
        tolerance = _request(sources, asked).tolerance
        return compare_snapshots(
            found, asked.values, Decimal(tolerance), limit=asked.limit, differences=asked.differences, progress=progress
        )
    except SnapshotError as error:
        raise CouldNotCompare([str(error)]) from error
