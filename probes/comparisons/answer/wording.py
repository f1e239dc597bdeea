"""Words shared by the terminal and the report."""

import unicodedata
from decimal import Decimal

from probes.comparisons.answer.model import Result
from rules.comparison.numbers import canonical
from rules.comparison.verdict import Kind

KIND_TEXT = {
    Kind.BAD: "a row of the key could not be read",
    Kind.DUPLICATE: "the key occurs more than once on a side",
    Kind.MISSING: "the key is missing on a side",
    Kind.VALUE: "values are further apart than the tolerance",
}


def visible(text: str) -> str:
    """The text with control characters and line ends written out, so that a key can neither hide nor act."""
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    odd = unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")
    return char.encode("unicode_escape").decode() if odd else char


def number(value: Decimal | None) -> str:
    """A value as people read it, or a dash where a side has none."""
    return "–" if value is None else canonical(value)


def cells(side: tuple[Decimal, ...] | None, width: int) -> list[str]:
    """One text per value column of one side."""
    return [number(value) for value in (side or (None,) * width)]


def headline(result: Result) -> str:
    """The answer in one sentence."""
    bad = sum(source.bad_rows for source in result.sources)
    if result.agrees:
        return f"All {result.key_count:,} keys agree."
    parts = [f"{result.differ:,} of {result.key_count:,} keys differ"] if result.differ else []
    parts += [f"{bad:,} rows could not be read"] if bad else []
    return "; ".join(parts) + "."


def value_headings(result: Result) -> list[str]:
    """One heading per side and value column, sides outermost."""
    if len(result.values) == 1:
        return [source.name for source in result.sources]
    return [f"{source.name} {value}" for source in result.sources for value in result.values]
