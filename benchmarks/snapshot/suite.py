"""A snapshot of 100,000 rows from simulated tills: wall and CPU seconds, and memory, of the connector beside plain httpx and json.

The connector reads the same rows in four times as many pages, too: what it holds may depend on the articles, and not on pages.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.harness import ROOT, commit, keep, machine, publish, rotated
from benchmarks.snapshot.server import PAGE

OURS, FOURFOLD, PLAIN = "trueup", "trueup, pages of a quarter", "httpx + json"
CONTENDERS = {
    OURS: ("benchmarks.snapshot.ours", PAGE),
    FOURFOLD: ("benchmarks.snapshot.ours", PAGE // 4),
    PLAIN: ("benchmarks.snapshot.plain", PAGE),
}
"""Name -> (module, rows of a page)."""


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
    with _serving(asked.snapshot_rows, PAGE) as whole, _serving(asked.snapshot_rows, PAGE // 4) as quarters:
        urls = {PAGE: whole, PAGE // 4: quarters}
        samples = [
            _read(name, urls[CONTENDERS[name][1]], number)
            for number in range(asked.rounds)
            for name in rotated(list(CONTENDERS), number)
        ]
    if {sample.rows for sample in samples} != {asked.snapshot_rows}:
        raise RuntimeError(f"not every reading found {asked.snapshot_rows} rows: {samples}")
    figures = figures_of(samples)
    text = _table(samples, figures, asked.snapshot_rows)
    print(text)
    if asked.keep:
        keep("snapshot", samples, ("httpx",), rows=asked.snapshot_rows, figures=figures)
        publish("snapshot", text)


@contextmanager
def _serving(rows: int, page: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.snapshot.server", str(rows), str(page)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _read(name: str, url: str, number: int) -> Sample:
    command = [sys.executable, "-m", CONTENDERS[name][0], url]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    sample = Sample(name, number, **told)
    print(f"  snapshot round {number + 1} {name:<26} {sample.wall:6.2f} s, cpu {sample.cpu:.2f} s", file=sys.stderr)
    return sample


def figures_of(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the medians of what the rounds say: the connector beside plain, its memory beside its own in four times the pages."""
    ours, fourfold, plain = (
        {sample.round: sample for sample in samples if sample.contender == name} for name in (OURS, FOURFOLD, PLAIN)
    )
    rounds = sorted(ours)
    return {
        "client_share": round(statistics.median(ours[at].cpu / ours[at].wall for at in rounds), 3),
        "cpu_ratio": round(statistics.median(ours[at].cpu / plain[at].cpu for at in rounds), 2),
        "memory_of_pages": round(statistics.median(fourfold[at].mb / ours[at].mb for at in rounds), 3),
        "bytes_an_article": round(
            statistics.median((ours[at].mb - ours[at].mb_at_tenth) * 1e6 / (0.9 * ours[at].rows) for at in rounds)
        ),
    }


def _table(samples: Sequence[Sample], figures: dict[str, float], rows: int) -> str:
    facts = machine()
    told = (
        f"{rows:,} counts in pages of 1,000 with the names of their variations, {len(samples) // len(CONTENDERS)} rounds in turns; "
        f"{facts['cores']} cores ({facts['cpu']}), Python {facts['python']}, commit {commit()}. Of the wall time of a reading "
        f"the connector's process works {figures['client_share']:.0%}: the rest is the simulator's. "
        f"Memory of the same rows in four times the pages ÷ in these: {figures['memory_of_pages']:.2f}; each article that was seen takes "
        f"{figures['bytes_an_article']} bytes, for its name is kept, and that it came."
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
        plain = statistics.median(sample.cpu for sample in samples if sample.contender == PLAIN)
        lines.append(
            f"| {name} | {wall:.2f} | {cpu:.2f} | {cpu / rows * 1e6:.0f} | {cpu / plain:.2f} | {tenth:.0f} | {mb:.0f} |"
        )
    return "\n".join(lines)
