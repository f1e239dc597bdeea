"""The suite `dispatch`: which cases are run, and where what was measured goes."""

import argparse
import importlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.dispatch import tables
from benchmarks.dispatch.bench import Sizes, opened
from benchmarks.dispatch.figures import figures
from benchmarks.dispatch.readings import Reading

NAME = "dispatch"
CASES = ("accept", "single", "deliver", "latency", "backlog", "ledger", "metrics")
COUNTS = ("messages", "requests", "paced", "backlog", "ledger")
PACKAGES = ("celery", "dbos", "dramatiq", "procrastinate", "psycopg", "sqlalchemy", "waitress")


def options(parser: argparse._ArgumentGroup) -> None:
    """Add what can be asked of this suite."""
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}; the others' samples are kept")
    parser.add_argument(
        "--contenders", default="", help="only those whose names begin so, e.g. floor,celery; nothing is kept then"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="all sizes times this, for trying it out")
    for name in COUNTS:
        parser.add_argument(f"--{name}", type=int, default=None, help=f"instead of {getattr(Sizes(), name):,}")
    parser.add_argument("--folder", type=Path, default=None, help="where databases are made (default: a temporary one)")


def run(asked: argparse.Namespace) -> None:
    """Measure case by case, keep each in results.json and docs/benchmarks.md, and print the tables."""
    cases = asked.cases.split(",")
    if unknown := sorted(set(cases) - set(CASES)):
        raise SystemExit(f"no case of {NAME} is called {unknown[0]!r}; there are: {', '.join(CASES)}")
    sizes = _sizes(asked)
    keep = asked.keep and not sizes.only  # a case with some contenders missing would lose its ratios
    held: dict[str, Any] = harness.kept(NAME) if keep else {}
    with _folder(asked.folder) as folder, opened(folder, sizes) as bench:
        for case in cases:
            facts = _facts(sizes, folder)
            readings = importlib.import_module(f"benchmarks.dispatch.cases.{case}").run(bench)
            held = _with(held, case, facts, readings)
            if keep:
                _keep(held)
    print(_text(held))


def _sizes(asked: argparse.Namespace) -> Sizes:
    given = {name: getattr(asked, name) for name in COUNTS if getattr(asked, name) is not None}
    only = tuple(name for name in asked.contenders.split(",") if name)
    return replace(Sizes().scaled(asked.scale), rounds=asked.rounds, only=only, **given)


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    """Give a folder that is gone afterwards, also when the run is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="trueup-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _facts(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """What a case was measured with: each has its own, for a run may measure only some."""
    return {
        "commit": harness.commit(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**harness.machine(), "sync_ms": harness.sync_ms(folder)},
        "sizes": asdict(sizes),
    }


def _with(held: dict[str, Any], case: str, facts: dict[str, Any], readings: Sequence[Reading]) -> dict[str, Any]:
    """Return what is held with a case in place of what was held of it, and all figures computed anew."""
    samples = [old for old in held.get("samples", []) if old["case"] != case] + [asdict(one) for one in readings]
    found = figures([Reading(**sample) for sample in samples])
    return {"cases": {**held.get("cases", {}), case: facts}, "samples": samples, "figures": found}


def _keep(held: dict[str, Any]) -> None:
    readings = [Reading(**sample) for sample in held["samples"]]
    harness.keep(NAME, readings, PACKAGES, cases=held["cases"], **held["figures"])
    harness.publish(NAME, _text(held))


def _text(held: dict[str, Any]) -> str:
    readings = [Reading(**sample) for sample in held["samples"]]
    return f"{tables.told(held['cases'])}\n\n{tables.promised(held['figures'])}\n\n{tables.contenders(readings)}"
