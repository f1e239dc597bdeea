"""Ends what a test run started, should the run itself be killed. A process of its own that waits for its input to end.

Each line names a process: `PID STARTED`, the second being the start time in /proc, so that a number that the kernel
gave to somebody else meanwhile is left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path


def started_at(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks; None when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19]


def children_of(pid: int) -> list[int]:
    """Return the processes that descend from one, nearest first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(parents.get(pid, ()))
    for child in found:
        found += parents.get(child, ())
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and all that descend from it at once: the parent first, so that it cannot replace its children."""
    family = [pid, *children_of(pid)]
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def main() -> None:
    """Read names until the input ends, then kill those that still run."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)  # Ctrl-C is for the test run; its end is the sign for us
    named = [line.split() for line in sys.stdin]
    for pid, started in named:
        if started_at(int(pid)) == started:
            kill_tree(int(pid))


if __name__ == "__main__":
    main()
