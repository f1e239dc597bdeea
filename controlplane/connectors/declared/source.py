"""What a declared connector reads and writes by, whatever the system speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from controlplane.connectors.contract import Context, UnsupportedError, Write
from controlplane.connectors.declared.manifest import DeclaredWrite, Read
from controlplane.connectors.declared.reading import asked_since, changed_at
from controlplane.connectors.http import Answer
from rules.outcomes import Outcome

Rows = list[dict[str, Any]]
Cursor = dict[str, Any]


class Source(ABC):
    """One system by its manifest."""

    def __init__(self, context: Context, options: Mapping[str, Any]) -> None:
        self.context, self.options = context, options

    @abstractmethod
    def ping(self) -> None:
        """Ask whether the system answers. Raises ConnectorError."""

    @abstractmethod
    def pages(self, read: Read, since: str | None) -> Iterator[tuple[Rows, Answer]]:
        """Yield the records of each page, with when they were read. Raises ConnectorError."""

    def polled(self, read: Read, cursor: Cursor | None) -> Iterator[tuple[Rows, Answer, Cursor]]:
        """Yield what changed since the cursor, with the cursor after each page."""
        held = cursor or {}
        seen = datetime.fromisoformat(held["since"]) if held and read.since else None
        for rows, answer in self.pages(read, asked_since(read.since, seen) if read.since and seen else None):
            seen = later(read, rows, answer, seen)
            yield rows, answer, since_cursor(seen) if read.since and read.since.grows else held
        now = self.context.clock.now()
        yield [], Answer(200, {}, b"", now, now, wrote=False), since_cursor(seen) if read.since and seen else held

    def write(self, spec: DeclaredWrite, request: Write) -> Outcome:
        """Write once. Raises ConnectorError, BadInputError."""
        raise UnsupportedError(f"what the manifest of {self.context.system} speaks of is read only")

    def read_back(self, spec: DeclaredWrite, request: Write) -> Outcome:
        """Find out whether it took effect."""
        raise UnsupportedError(f"what the manifest of {self.context.system} speaks of is read only")

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


def later(read: Read, rows: Sequence[dict[str, Any]], answer: Answer, seen: datetime | None) -> datetime | None:
    """Return the last change of all, never one that is still to come: it would hide all until then."""
    if read.since is None or not rows:
        return seen
    changes = [at for row in rows if (at := changed_at(read.since, row))]
    if not changes:
        answer.fail(f"gives no time of change where '{read.since.field}' of the manifest looks for it")
    latest = min(max(changes), answer.ended)
    return latest if seen is None else max(seen, latest)


def since_cursor(seen: datetime | None) -> Cursor:
    """Return the cursor that says up to when was read."""
    return {"since": seen.isoformat()} if seen else {}
