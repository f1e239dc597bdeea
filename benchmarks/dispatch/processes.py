"""Contenders as whole processes: started in groups of their own, asked one question, stopped with what they used."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT

GRACE = 15.0
PROC = Path("/proc")
GATE = "BENCH_GATE"
"""Environment variable: the folder in which workers meet before they start."""


@dataclass(slots=True)
class Worker:
    """A process group that works until it is stopped."""

    process: subprocess.Popen[bytes]

    def stop(self) -> dict[str, float]:
        """End the group; return its CPU seconds (of the process and the children it waited for) and peak resident MB."""
        used = {"rss_mb": peak(self.process.pid)}
        _signal(self.process.pid, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while not (ended := os.wait4(self.process.pid, os.WNOHANG))[0]:
            if time.monotonic() > until:
                _signal(self.process.pid, signal.SIGKILL)
                ended = os.wait4(self.process.pid, 0)
                break
            time.sleep(0.02)
        self.process.returncode = os.waitstatus_to_exitcode(ended[1])
        _signal(self.process.pid, signal.SIGKILL)  # whoever of the group did not listen
        if self.process.stdout:
            self.process.stdout.close()
        return {"cpu": ended[2].ru_utime + ended[2].ru_stime, **used}


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def peak(group: int) -> float:
    """Return the peak resident memory of the processes of a group, in 10^6 bytes; NaN where the system does not tell.

    Not by rusage: a child starts there with its parent's peak.
    """
    if not PROC.exists():
        return float("nan")
    return sum(_high_water(folder) for folder in PROC.glob("[0-9]*") if _group(folder) == group) / 1e6


def _group(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[2])
    except (OSError, IndexError):
        return 0


def _high_water(folder: Path) -> int:
    try:
        lines = (folder / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def ready() -> None:
    """In a worker: say that it is ready, and wait until all that are measured together are."""
    gate = Path(os.environ[GATE])
    (gate / str(os.getpid())).touch()
    while not (gate / "open").exists():
        time.sleep(0.001)


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of the benchmark."""
    return [sys.executable, "-m", f"benchmarks.dispatch.{name}", *map(str, arguments)]


def start(command: Sequence[str], environment: Mapping[str, str], log: Path, pipe: bool = False) -> Worker:
    """Start a worker; what it says goes to the log, or its standard output to us."""
    with log.open("ab") as file:
        out = subprocess.PIPE if pipe else file
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=out, stderr=file, cwd=ROOT, start_new_session=True
        )
    return Worker(process)


def ask(command: Sequence[str], environment: Mapping[str, str], log: Path) -> dict[str, Any]:
    """Run a process to its end; return the JSON of its last line. Raises RuntimeError with its last words."""
    with log.open("ab") as file:
        done = subprocess.run(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=file, cwd=ROOT, check=False,
            start_new_session=True,
        )  # fmt: skip
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(command[1:])} failed with {done.returncode}:\n{last_words(log)}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def last_words(log: Path) -> str:
    """Return the end of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
