"""Where a value stands in a JSON document: `lines[0].sku`; `*` stands for every item or key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

SEGMENT = re.compile(r'"([^"]+)"|\[(\d+|\*)\]|([^.\[\]"]+)')


def segments(path: str) -> list[str]:
    """Return the parts of a path: names, positions as digits, `*`. Raises ValueError."""
    found = ["".join(match.groups(default="")) for match in SEGMENT.finditer(path)]
    if not found or SEGMENT.sub("", path).strip("."):
        raise ValueError(f"'{path}' is no path; write one like body.lines[0].sku, or body.lines[*].sku")
    return found


def joined(parts: Sequence[str | int]) -> str:
    """Return the path of these parts: integers are positions."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[^.\[\]\"*]+", part) else f'"{part}"'
            text += f".{name}" if text else name
    return text


def named(path: str, patterns: Sequence[str]) -> bool:
    """Say whether a path is meant: by its last name, or, where the pattern has several parts, as a whole."""
    parts = [part.lower() for part in segments(path)]
    return any(meant(parts, [part.lower() for part in segments(pattern)]) for pattern in patterns)


def meant(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Say the same of a path and a pattern that are taken apart already, both in lower case."""
    if len(pattern) == 1:
        last = next((part for part in reversed(parts) if not part.isdigit()), parts[-1])
        return fnmatchcase(last, pattern[0])
    return len(pattern) == len(parts) and all(map(fnmatchcase, parts, pattern))
