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
    last = next((part for part in reversed(parts) if not part.isdigit()), parts[-1])
    for pattern in patterns:
        wanted = [part.lower() for part in segments(pattern)]
        if len(wanted) == 1 and fnmatchcase(last, wanted[0]):
            return True
        if len(wanted) == len(parts) > 1 and all(map(fnmatchcase, parts, wanted)):
            return True
    return False
