"""A drill's own record: what it has taken off a system's levels, so that the next drill puts back what a kill left.

A line is what is known of one level, written before each write and after it; the last line of a level
counts. The file is there only while something may be off.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controlplane.connectors.contract import Write
from controlplane.errors import ConflictError


@dataclass(slots=True)
class Held:
    """A level in our hands."""

    entity: str
    message_type: str
    key: tuple[str, str]
    """(sku, location), ours."""
    shown: int
    lowered: bool = False
    """We took one unit off it."""
    doubtful: Write | None = None
    """A write of which it is not known whether it took effect."""
    undecided: bool = False
    """A write in doubt was repeated, and others had changed the level meanwhile: nobody can tell any more."""

    @property
    def well(self) -> bool:
        """Whether nothing of ours is off, or may be."""
        return not self.lowered and self.doubtful is None

    def line(self) -> str:
        """Return it as the record keeps it."""
        found = asdict(self)
        del found["undecided"]
        if self.doubtful is not None:
            del found["doubtful"]["owed_since"]
        return json.dumps(found)

    @classmethod
    def read(cls, line: str) -> Held | None:
        """Return what a line tells; None for one that the end of the process cut off."""
        try:
            told: dict[str, Any] = json.loads(line)
            write = Write(**told["doubtful"]) if told["doubtful"] else None
            sku, location = told["key"]
            return cls(**told | {"key": (sku, location), "doubtful": write})
        except (ValueError, LookupError, TypeError):
            return None


class Record:
    """The record of one system's drill. Safe to use from several threads."""

    def __init__(self, path: Path, file: int) -> None:
        self.path, self._file = path, file
        self._lock = threading.Lock()

    def left(self) -> list[Held]:
        """Return the levels of which something is off, or may be."""
        found = (Held.read(line) for line in self.path.read_text(encoding="utf-8").splitlines())
        last = {held.key: held for held in found if held is not None}
        return [held for held in last.values() if not held.well]

    def note(self, held: Held) -> None:
        """Write down what is known of a level; a kill of this process takes nothing back of it."""
        line = f"{held.line()}\n".encode()
        with self._lock:
            os.write(self._file, line)

    def settle(self) -> None:
        """Keep what is off still, and forget all else."""
        left = self.left()
        with self._lock:
            os.ftruncate(self._file, 0)
            for held in left:
                os.write(self._file, f"{held.line()}\n".encode())


@contextmanager
def record_of(home: Path, system: str) -> Iterator[Record]:
    """Give the record of a system's drill, which no other drill of it may have meanwhile. Raises ConflictError."""
    import fcntl

    folder = home / "drills"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{system}.jsonl"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"'{system}' is being drilled by another process just now ({path}); wait until it ends"
            ) from None
        record = Record(path, file)
        try:
            yield record
        finally:
            record.settle()
            if path.stat().st_size == 0:
                path.unlink()
    finally:
        os.close(file)
