"""A snapshot of 100,000 rows from simulated tills: wall and CPU seconds, and memory, of the connector beside plain httpx and json."""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.harness import ROOT, commit, keep, machine, publish, rotated

OURS, PLAIN = "trueup", "httpx + json"
CONTENDERS = {OURS: "benchmarks.snapshot.ours", PLAIN: "benchmarks.snapshot.plain"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: seconds, and the peak MB (10^6 bytes) after a tenth of the pages and after all."""

    contender: str
    round: int
    rows: int
    wall: float
    cpu: float
    mb_at_tenth: float
    mb: float


def options(parser: argparse._ArgumentGroup) -> None:
    """Take how many rows there are."""
    parser.add_argument("--snapshot-rows", type=int, default=100_000)


def run(asked: argparse.Namespace) -> None:
    """Measure, print, and keep."""
    with _serving(asked.snapshot_rows) as url:
        samples = [
            _read(name, url, number) for number in range(asked.rounds) for name in rotated(list(CONTENDERS), number)
        ]
    if {sample.rows for sample in samples} != {asked.snapshot_rows}:
        raise RuntimeError(f"not every reading found {asked.snapshot_rows} rows: {samples}")
    figures = _figures(samples)
    text = _table(samples, figures, asked.snapshot_rows)
    print(text)
    if asked.keep:
        keep("snapshot", samples, ("httpx",), rows=asked.snapshot_rows, figures=figures)
        publish("snapshot", text)


@contextmanager
def _serving(rows: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.snapshot.server", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _read(name: str, url: str, number: int) -> Sample:
    command = [sys.executable, "-m", CONTENDERS[name], url]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    sample = Sample(name, number, **told)
    print(f"  snapshot round {number + 1} {name:<12} {sample.wall:6.2f} s, cpu {sample.cpu:.2f} s", file=sys.stderr)
    return sample


def _figures(samples: Sequence[Sample]) -> dict[str, float]:
    ours = [sample for sample in samples if sample.contender == OURS]
    plain = {sample.round: sample for sample in samples if sample.contender == PLAIN}
    return {
        "client_share": round(statistics.median(one.cpu / one.wall for one in ours), 3),
        "cpu_ratio": round(statistics.median(one.cpu / plain[one.round].cpu for one in ours), 2),
        "memory_growth": round(statistics.median(one.mb / one.mb_at_tenth for one in ours), 3),
    }


def _table(samples: Sequence[Sample], figures: dict[str, float], rows: int) -> str:
    facts = machine()
    told = (
        f"{rows:,} counts in pages of 1,000 with the names of their variations, {len(samples) // len(CONTENDERS)} rounds in turns; "
        f"{facts['cores']} cores ({facts['cpu']}), Python {facts['python']}, commit {commit()}. Of the wall time of a reading "
        f"the connector's process works {figures['client_share']:.0%}: the rest is the simulator's. "
        f"Memory after all pages ÷ after a tenth of them: {figures['memory_growth']:.2f}."
    )
    lines = [
        told,
        "",
        "| contender | wall s | CPU s | CPU µs a row | CPU × plain | peak MB after a tenth | after all |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in CONTENDERS:
        mine = [sample for sample in samples if sample.contender == name]
        wall, cpu, tenth, mb = (
            statistics.median(getattr(s, f) for s in mine) for f in ("wall", "cpu", "mb_at_tenth", "mb")
        )
        ratio = figures["cpu_ratio"] if name == OURS else 1.0
        lines.append(
            f"| {name} | {wall:.2f} | {cpu:.2f} | {cpu / rows * 1e6:.0f} | {ratio:.2f} | {tenth:.0f} | {mb:.0f} |"
        )
    return "\n".join(lines)
