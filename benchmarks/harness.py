"""Running contenders in turns as whole processes, and keeping what was measured."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Contender:
    """A whole process: its command, and how to find in its output the count that all must agree on."""

    name: str
    command: Sequence[str]
    found: Callable[[dict[str, Any]], int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: wall and CPU seconds, peak resident memory in MB (10^6 bytes; never less than the harness's own), and the count it found."""

    case: str
    contender: str
    round: int
    wall: float
    cpu: float
    rss_mb: float
    found: int


def measure(case: str, contender: Contender, number: int) -> Sample:
    """Run one contender to its end; raises RuntimeError with its last words when it prints no JSON."""
    started = time.perf_counter()
    process = subprocess.Popen(contender.command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if not output.strip():
        raise RuntimeError(f"{contender.name} on {case} printed nothing, exit code {process.returncode}")
    found = contender.found(json.loads(output))
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(case, contender.name, number, round(wall, 3), round(cpu, 3), usage.ru_maxrss * unit / 1e6, found)


def rotated(contenders: Sequence[T], number: int) -> list[T]:
    """Return the contenders in the order of round `number`: shifted by one each round."""
    shift = number % len(contenders)
    return [*contenders[shift:], *contenders[:shift]]


def in_turns(case: str, contenders: Sequence[Contender], rounds: int) -> list[Sample]:
    """Every contender once a round, the order shifted by one each round; raises where their counts differ."""
    samples = []
    for number in range(rounds):
        for contender in rotated(contenders, number):
            samples.append(measure(case, contender, number))
            print(f"  {case:<8} round {number + 1} {contender.name:<16} {samples[-1].wall:7.2f} s", file=sys.stderr)
    counts = {sample.contender: sample.found for sample in samples if sample.found >= 0}  # a floor counts nothing
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"{case}: the contenders found different numbers of differing keys: {counts}")
    return samples


def table(samples: Sequence[Sample], ours: str) -> str:
    """Medians per case and contender, with the median of the per-round ratios to ours, in Markdown."""
    lines = [
        "| case | contender | wall s, median (min) | CPU s | peak RSS MB | wall × | CPU × |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for case, name in dict.fromkeys((s.case, s.contender) for s in sorted(samples, key=lambda s: s.contender != ours)):
        lines.append(_line([s for s in samples if s.case == case], case, name, ours))
    return "\n".join([*lines[:2], *sorted(lines[2:], key=lambda line: line.split("|")[1])])


def _line(samples: Sequence[Sample], case: str, name: str, ours: str) -> str:
    mine = [s for s in samples if s.contender == name]
    base = {s.round: s for s in samples if s.contender == ours}
    wall, cpu, rss = (statistics.median(getattr(s, f) for s in mine) for f in ("wall", "cpu", "rss_mb"))
    walls = statistics.median(s.wall / base[s.round].wall for s in mine)
    cpus = statistics.median(s.cpu / base[s.round].cpu for s in mine)
    fastest = min(s.wall for s in mine)
    return f"| {case} | {name} | {wall:.2f} ({fastest:.2f}) | {cpu:.2f} | {rss:.0f} | {walls:.1f} | {cpus:.1f} |"


def kept(suite: str) -> dict[str, Any]:
    """Return what results.json holds of a suite; empty when it was never run."""
    every = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return dict(every.get(suite, {}))


def keep(suite: str, samples: Sequence[Any], packages: Sequence[str], **facts: object) -> None:
    """Write one suite's raw samples (dataclasses) and facts into results.json; the other suites' stay as they are."""
    every = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    every[suite] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": {name: version(name) for name in packages},
        **facts,
        "samples": [asdict(sample) for sample in samples],
    }
    RESULTS.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def publish(suite: str, text: str) -> None:
    """Put `text` between the suite's markers in docs/benchmarks.md."""
    begin, end = f"<!-- {suite}:begin -->", f"<!-- {suite}:end -->"
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    if begin not in page:
        page += f"\n{begin}\n{end}\n"
    before, after = page.split(begin)[0], page.split(end, 1)[1]
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def machine() -> dict[str, object]:
    """Facts of the machine that figures depend on; nothing that names it."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(memory, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def sync_ms(folder: Path, times: int = 50) -> float:
    """Return the median milliseconds in which a page reaches the disk of a folder: what every commit costs at least."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(took), 3)


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def commit() -> str:
    """Return the short hash of what is measured, and whether it was changed since (but for what runs write)."""
    others = [f":!{path.relative_to(ROOT)}" for path in (RESULTS, PAGE)]
    changed = " +changes" if _git("status", "--porcelain", "--", ".", *others) else ""
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + changed


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    return done.stdout.strip()
