"""Text and JSON that both databases keep: PostgreSQL has no character U+0000, and neither has halves of surrogate pairs.

What systems answer is kept for people to read. A character that cannot be kept is shown as U+FFFD, rather than that a whole batch
of results could not be recorded because of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

UNKEPT = re.compile("[\x00\ud800-\udfff]")
NULL_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""U+0000 as JSON writes it, and not a backslash that is followed by these letters."""


def is_kept(text: str) -> bool:
    """Say whether both databases keep the text as it is."""
    return UNKEPT.search(text) is None


def kept(text: str) -> str:
    """Return the text with what cannot be kept replaced."""
    return UNKEPT.sub("\ufffd", text) if text else text


def dumps(value: Any) -> str:
    """Return a value as JSON that both databases keep."""
    return kept(NULL_ESCAPED.sub(r"\1\\ufffd", json.dumps(value, ensure_ascii=False)))


def plain(value: Any, deep: int = 50) -> Any:
    """Return a value of somebody else's code as JSON has it: what it has no word for, or is nested too deep, stands there as text."""
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    if deep and isinstance(value, Mapping):
        return {str(name): plain(one, deep - 1) for name, one in value.items()}
    if deep and isinstance(value, list | tuple | set | frozenset):
        return [plain(one, deep - 1) for one in value]
    return str(value) if deep else f"<{type(value).__name__}>"
