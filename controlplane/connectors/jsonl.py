"""JSON Lines, read as they come: one object a line, and never more than one line held.

A file that is not whole never looks like a whole one: whoever gives the parts raises when they break off, and a line that is no object
raises LineError naming it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from controlplane.connectors.records import loads
from controlplane.errors import UnreadableError

LONGEST = 2**20
"""Bytes of the longest line that is taken."""
SHOWN = 80


class LineError(UnreadableError):
    """A line that is no JSON object, or is too long; `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line} {what}")
        self.line = line


def rows(parts: Iterable[bytes], *, longest: int = LONGEST) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, object) of a body that comes in parts, cut anywhere. Empty lines are left out, and counted.

    Raises LineError, and whatever `parts` raises.
    """
    for number, line in enumerate(lines(parts, longest=longest), 1):
        if line.strip():
            yield number, _object(number, line)


def lines(parts: Iterable[bytes], *, longest: int = LONGEST) -> Iterator[bytes]:
    """Yield the lines of a body that comes in parts, without their ends; a last one without an end is one, too."""
    number, held = 1, b""
    for part in parts:
        *whole, held = (held + part).split(b"\n")
        for line in whole:
            yield _fitting(number, line, longest)
            number += 1
        _fitting(number, held, longest)
    if held:
        yield held


def _fitting(number: int, line: bytes, longest: int) -> bytes:
    if len(line) > longest:
        raise LineError(number, f"is longer than {longest} bytes, and no line of such a file is")
    return line


def _object(number: int, line: bytes) -> dict[str, Any]:
    try:
        found = loads(line)
    except ValueError as error:
        raise LineError(number, f"is not JSON ({error}): {line[:SHOWN]!r}") from error
    if not isinstance(found, dict):
        raise LineError(number, f"is {type(found).__name__}, not an object: {line[:SHOWN]!r}")
    return found
