"""`trueup compare` on three sides beside a DuckDB join, Polars, pandas, datacompy and reladiff: files, snapshots, changes,
the explanation of differences, databases."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.compare.data import QUANTITIES, SIDES, TOLERANCE
from benchmarks.compare.databases import filled
from benchmarks.harness import ROOT, Contender, Sample, in_turns, keep, kept, machine, publish, table

NAME = "compare"
OURS = "trueup compare"
CASES = ("parquet", "csv", "snapshots", "incremental", "explain", "limit", "databases")
PACKAGES = ("duckdb", "polars", "pyarrow", "datacompy", "reladiff", "pandas", "numpy")


def options(parser: argparse._ArgumentGroup) -> None:
    """Add what can be asked of this suite."""
    parser.add_argument("--compare-cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--compare-rows", type=int, default=10_000_000, help="of each side, from Parquet and snapshots")
    parser.add_argument(
        "--compare-few", type=int, default=1_000_000, help="of each side, from CSV, databases and to explain"
    )
    parser.add_argument("--compare-many", type=int, default=50_000_000, help="of each side, under a limit of memory")


def run(asked: argparse.Namespace) -> None:
    """Measure, print the tables, and keep them in results.json and docs/benchmarks.md."""
    cases = asked.compare_cases.split(",")
    samples: list[Sample] = []
    with _data(asked.compare_rows, {"parquet", "snapshots", "incremental"} & set(cases)) as folder:
        if "parquet" in cases:
            peers = [
                _ours(folder, "parquet"),
                *(_peer(name, folder, "parquet") for name in ("duckdb_join", "polars_streaming", "datacompy_pairs")),
            ]
            samples += in_turns("parquet", peers, asked.rounds)
        if {"snapshots", "incremental"} & set(cases):
            _script("benchmarks.compare.stored", str(folder))
        if "snapshots" in cases:
            samples += in_turns(
                "snapshots",
                [_from_store(folder), _peer("duckdb_join", folder, "parquet"), _peer("scan", folder, "parquet")],
                asked.rounds,
            )
        if "incremental" in cases:
            _script("benchmarks.compare.incremental", "prepare", str(folder))
            both = [_script_of("incremental", name, folder, _uncounted) for name in ("whole", "changed")]
            samples += _in_order("incremental", both, asked.rounds)
    with _data(asked.compare_few, {"csv", "databases", "explain"} & set(cases), "csv") as folder:
        if "csv" in cases:
            peers = [_ours(folder, "csv"), *(_peer(name, folder, "csv") for name in ("duckdb_join", "pandas_merge"))]
            samples += in_turns("csv", peers, asked.rounds)
        if "explain" in cases:
            _script("benchmarks.compare.stored", str(folder))
            _script("benchmarks.compare.explained", "prepare", str(folder))
            both = [_from_store(folder), _script_of("explained", "explain", folder, _differ)]
            samples += _in_order("explain", both, asked.rounds)
        if "databases" in cases:
            with filled(folder) as addresses:
                samples += in_turns("databases", _on_databases(folder, addresses), asked.rounds)
    with _data(asked.compare_many, {"limit"} & set(cases)) as folder:
        if "limit" in cases:
            limited = [
                _ours(folder, "parquet", "--memory-limit", "2500MB"),
                _peer("duckdb_join", folder, "parquet", "4GiB"),
            ]
            samples += in_turns("limit", limited, asked.rounds)
    _tell(asked, samples)


def figures(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the figures of the cases that were measured: medians of the ratios of each round."""
    asked: dict[str, tuple[str, str, str, Callable[[Sample], float]]] = {
        "wall_ratio_duckdb_10m": ("parquet", OURS, "duckdb_join", _wall),
        "memory_ratio_duckdb_10m": ("parquet", OURS, "duckdb_join", _memory),
        "datacompy_cpu_gain": ("parquet", "datacompy_pairs", OURS, _cpu),
        "polars_wall_gain": ("parquet", "polars_streaming", OURS, _wall),
        "csv_ratio_duckdb_1m": ("csv", OURS, "duckdb_join", _wall),
        "snapshot_gain_duckdb_10m": ("snapshots", "duckdb_join", OURS, _wall),
        "snapshot_ratio_scan_10m": ("snapshots", OURS, "scan", _wall),
        "incremental_share": ("incremental", "changed", "whole", _wall),
        "explain_ratio": ("explain", "explain", OURS, _wall),
        "limit_4gib_50m_ratio": ("limit", OURS, "duckdb_join", _wall),
        "limit_4gib_50m_peak_mb": ("limit", OURS, "", _memory),
        "reladiff_gain": ("databases", "reladiff", OURS, _wall),
    }  # fmt: skip
    found = {}
    for name, (case, above, below, of) in asked.items():
        over = {s.round: of(s) for s in samples if (s.case, s.contender) == (case, above)}
        under = (
            {s.round: of(s) for s in samples if (s.case, s.contender) == (case, below)}
            if below
            else dict.fromkeys(over, 1.0)
        )
        if over and under:
            found[name] = round(statistics.median(over[number] / under[number] for number in over), 3)
    return found


def _wall(sample: Sample) -> float:
    return sample.wall


def _cpu(sample: Sample) -> float:
    return sample.cpu


def _memory(sample: Sample) -> float:
    return sample.rss_mb


@contextmanager
def _data(rows: int, needed: set[str], *more: str) -> Iterator[Path]:
    """Yield a folder with the three sides' files, where any case needs them."""
    with tempfile.TemporaryDirectory(prefix="trueup-bench-") as folder:
        if needed:
            _script("benchmarks.compare.data", folder, str(rows), *more)
        yield Path(folder)


def _script(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def _command(sources: Sequence[str], folder: Path, *more: str) -> list[str]:
    asked = [
        "--key",
        "sku,location",
        "--value",
        ",".join(QUANTITIES),
        "--tolerance",
        str(TOLERANCE),
        "--json",
        "--limit",
        "100",
    ]
    return [
        sys.executable,
        "-m",
        "probes.comparisons",
        *sources,
        *asked,
        "--differences",
        str(folder / "ours.parquet"),
        *more,
    ]


def _ours(folder: Path, suffix: str, *more: str) -> Contender:
    return Contender(OURS, _command([str(folder / f"{side}.{suffix}") for side in SIDES], folder, *more), _differ)


def _from_store(folder: Path) -> Contender:
    from probes.comparisons.snapshots import SnapshotStore

    store = SnapshotStore(folder / "store")
    return Contender(OURS, _command([str(store.newest(side).folder) for side in SIDES], folder), _differ)


def _peer(name: str, folder: Path, suffix: str, limit: str = "") -> Contender:
    out = str(folder / f"{name}.parquet")
    return Contender(
        name, [sys.executable, "-m", "benchmarks.compare.peers", name, str(folder), suffix, out, limit], _differ
    )


def _script_of(module: str, name: str, folder: Path, found: Callable[[dict[str, Any]], int]) -> Contender:
    return Contender(name, [sys.executable, "-m", f"benchmarks.compare.{module}", name, str(folder)], found)


def _in_order(case: str, contenders: Sequence[Contender], rounds: int) -> list[Sample]:
    """Each goes on from what the one before it left behind: turns are not shifted."""
    return [sample for number in range(rounds) for sample in _renumbered(in_turns(case, contenders, 1), number)]


def _renumbered(samples: list[Sample], number: int) -> list[Sample]:
    for sample in samples:
        object.__setattr__(sample, "round", number)
    return samples


def _on_databases(folder: Path, addresses: dict[str, str]) -> list[Contender]:
    command = [sys.executable, "-m", "benchmarks.compare.databases", "reladiff", json.dumps(addresses)]
    return [
        Contender(OURS, _command(list(addresses.values()), folder), _differ),
        Contender("reladiff", command, _uncounted),
    ]


def _differ(answer: dict[str, Any]) -> int:
    return int(answer["differ"])


def _uncounted(_: dict[str, Any]) -> int:
    return -1


def _tell(asked: argparse.Namespace, samples: list[Sample]) -> None:
    held = kept(NAME) if asked.keep else {}
    measured = {sample.case for sample in samples}
    old = [Sample(**one) for one in held.get("samples", []) if one["case"] not in measured]
    every = [*old, *samples]
    found = figures(every)
    facts = machine()
    text = (
        f"Three sides, key (sku, location) as text, three quantities, tolerance {TOLERANCE}, 1 % beyond it, 2 % within, 0.1 % missing on "
        f"each side; {asked.compare_rows:,} rows a side (csv, explain, databases: {asked.compare_few:,}; limit: {asked.compare_many:,}), "
        f"whole processes in turns, on {facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, Python {facts['python']}. "
        "`×` is the median of the per-round ratios to the first of a case. Every contender writes its differences; all that count found "
        "the same number. reladiff knows no tolerance and pairs only; `scan` compares nothing; `explain` judges the differences of the "
        "snapshots on a ledger with a message about every key in the window.\n\n"
        + "\n\n".join(_table(case, every) for case in CASES if any(s.case == case for s in every))
        + "\n\n| figure | |\n|---|---:|\n" + "\n".join(f"| `{name}` | {value} |" for name, value in found.items())
    )  # fmt: skip
    print(text)
    if asked.keep:
        sizes = {"rows": asked.compare_rows, "rows_few": asked.compare_few, "rows_many": asked.compare_many}
        keep(NAME, every, PACKAGES, rounds=asked.rounds, **sizes, **found)
        publish(NAME, text)


def _table(case: str, samples: Sequence[Sample]) -> str:
    return table([sample for sample in samples if sample.case == case], "whole" if case == "incremental" else OURS)
