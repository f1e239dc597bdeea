"""`trueup compare` on three files of stock beside pandas and datacompy, from CSV and from Parquet."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Contender, Sample, in_turns, keep, machine, publish, table

NAME = "compare_files"
OURS = "trueup compare"
SIDES = ("erp", "wms", "shop")
TOLERANCE = 2


def contenders(folder: Path, suffix: str) -> list[Contender]:
    files = [str(folder / f"{side}.{suffix}") for side in SIDES]
    options = ["--key", "sku,location", "--value", "on_hand", "--tolerance", str(TOLERANCE), "--json"]
    scripts = ROOT / "benchmarks" / "contenders"
    return [
        Contender(OURS, [sys.executable, "-m", "probes.comparisons", *files, *options], _differ),
        Contender("pandas merge", [sys.executable, str(scripts / "pandas_merge.py"), str(TOLERANCE), *files], _differ),
        Contender("datacompy", [sys.executable, str(scripts / "datacompy_pairs.py"), str(TOLERANCE), *files], _differ),
    ]


def _differ(answer: dict[str, Any]) -> int:
    return int(answer["differ"])


def options(parser: argparse._ArgumentGroup) -> None:
    """Add what can be asked of this suite."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each file")


def run(asked: argparse.Namespace) -> None:
    """Measure, print the table, and keep it in results.json and docs/benchmarks.md."""
    rows, rounds = asked.rows, asked.rounds
    with tempfile.TemporaryDirectory(prefix="trueup-bench-") as name:
        folder = Path(name)
        generator = [sys.executable, "-m", "benchmarks.stock_data", name, str(rows), str(TOLERANCE)]
        subprocess.run(generator, check=True, cwd=ROOT)
        samples = [s for suffix in ("csv", "parquet") for s in in_turns(suffix, contenders(folder, suffix), rounds)]
    text = _text(samples, rows, rounds)
    print(text)
    if not asked.keep:
        return
    keep(NAME, samples, ["duckdb", "pandas", "pyarrow", "datacompy"], rows=rows, rounds=rounds)
    publish(NAME, text)


def _text(samples: list[Sample], rows: int, rounds: int) -> str:
    facts = machine()
    return (
        f"{rows:,} rows × {len(SIDES)}, key (sku, location), one quantity, tolerance {TOLERANCE}; {rounds} rounds in "
        f"turns, whole processes, on {facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, "
        f"Python {facts['python']}. All contenders found {samples[0].found:,} differing keys. `×` is the median of the "
        f"per-round ratios to {OURS}.\n\n{table(samples, OURS)}"
    )
