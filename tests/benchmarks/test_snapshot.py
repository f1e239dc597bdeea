"""What the reading of a snapshot is measured by."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.harness import ROOT
from benchmarks.snapshot.suite import FOURFOLD, OURS, PLAIN, Sample, figures_of
from benchmarks.snapshot.watch import peak

HELD = 200


def sample(contender: str, number: int, *, cpu: float = 1.0, tenth: float = 50.0, mb: float = 50.0) -> Sample:
    return Sample(contender, number, 1000, 10.0, cpu, tenth, mb)


def test_figures_are_the_medians_of_what_each_round_says() -> None:
    samples = []
    for number, cpu in enumerate((2.0, 3.0, 40.0)):
        samples += [sample(OURS, number, cpu=cpu), sample(PLAIN, number), sample(FOURFOLD, number, mb=60.0)]
    found = figures_of(samples)
    assert (found["cpu_ratio"], found["client_share"], found["memory_of_pages"]) == (3.0, 0.3, 1.2)
    assert found["bytes_an_article"] == 0


def test_what_the_articles_take_is_told_for_each() -> None:
    samples = [sample(OURS, 0, tenth=50.0, mb=50.9), sample(PLAIN, 0), sample(FOURFOLD, 0)]
    assert figures_of(samples)["bytes_an_article"] == 1000


def test_memory_is_that_of_the_process_and_not_of_who_started_it() -> None:
    held = bytearray(HELD * 1_000_000)
    command = [sys.executable, "-c", "from benchmarks.snapshot.watch import peak; print(peak())"]
    told = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert len(held) < peak() * 1e6
    assert told < HELD
