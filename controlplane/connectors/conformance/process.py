"""A process that a bench starts: it says where it listens, and ends with the bench."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from controlplane.connectors.conformance.report import NotApplicable

STARTUP = 60.0
"""Wall seconds that it may take until it says something."""


class Process:
    """One process. Its output goes to a file, but for the line on standard output that says that it is ready."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603  # the bench's own command
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, text=True
            )

    def ready(self, word: str) -> str:
        """Return the first line that holds the word. Raises NotApplicable with the end of the log when it does not come."""
        watch = threading.Timer(STARTUP, self._process.kill)
        watch.start()
        try:
            for line in self._process.stdout or ():
                if word in line:
                    threading.Thread(target=self._drain, daemon=True, name="drain").start()
                    return line.strip()
        finally:
            watch.cancel()
        told = self._log.read_text(errors="replace")[-500:]
        raise NotApplicable(f"the system of the bench did not start: {told or 'it said nothing'}")

    def _drain(self) -> None:
        for _ in self._process.stdout or ():
            pass

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
