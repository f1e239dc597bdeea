"""Values as cells of a table that somebody opens in a spreadsheet, where a text that begins like a formula would be carried out. Pure."""

from __future__ import annotations

import re
from typing import Any

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "\x00")
"""Beginnings of a text that spreadsheets take for more than text; the wide ones of East Asian keyboards are made narrow by some."""
NUMBER = re.compile(r"-?\d+([.,]\d+)?")


def cell(value: Any) -> Any:
    """Return a value safe to open: a number stays one, also a negative one; a text that begins like a formula gets an apostrophe.

    A lone sign is none.
    """
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    plain = value.lstrip(" \u00a0\ufeff")
    return f"'{value}" if plain.startswith(FORMULA) and len(plain) > 1 else value


def line(values: list[str]) -> str:
    """Return a row of a table in a pipe, its columns parted by tabs; what would break the row becomes a blank."""
    return "\t".join(str(cell(" ".join(value.split()))) for value in values)
