"""What a comparison of files answers: frozen values, and the stable JSON document made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rules.comparison.numbers import canonical
from rules.comparison.verdict import Kind

Reporter = Callable[[int, str], None]
"""Told the number of steps done and what is being done."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read. `line` is the file's line (for Parquet the row), None where it is not known."""

    line: int | None
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One side as it was read. `rows` counts data rows, bad ones included and blank lines not."""

    name: str
    path: str
    format: str
    encoding: str
    rows: int
    duplicate_keys: int
    bad_rows: int
    notes: tuple[str, ...] = ()
    bad_samples: tuple[BadRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One key on which the sides do not agree; a side's values are None unless it holds exactly one usable row."""

    key: tuple[str, ...]
    values: tuple[tuple[Decimal, ...] | None, ...]
    kind: Kind
    gap: Decimal


@dataclass(frozen=True, slots=True)
class Result:
    """The whole answer: `agree + differ == key_count`; `differences` holds the worst, cut when `truncated`."""

    keys: tuple[str, ...]
    values: tuple[str, ...]
    tolerance: Decimal
    sources: tuple[SourceSummary, ...]
    key_count: int
    agree: int
    differ: int
    missing: Mapping[str, int]
    differences: tuple[Difference, ...]
    truncated: bool
    kinds: Mapping[Kind, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        """True only when every key agrees and every row could be read."""
        return self.differ == 0 and not any(source.bad_rows for source in self.sources)

    def as_json(self) -> dict[str, Any]:
        """The documented JSON answer (docs/compare.md); stable."""
        return {
            "sources": [
                {"name": s.name, "rows": s.rows, "duplicate_keys": s.duplicate_keys, "bad_rows": s.bad_rows}
                for s in self.sources
            ],
            "keys": self.key_count,
            "agree": self.agree,
            "differ": self.differ,
            "missing": dict(self.missing),
            "differences": [self._difference(d) for d in self.differences],
            "truncated": self.truncated,
        }

    def _difference(self, difference: Difference) -> dict[str, Any]:
        names = [source.name for source in self.sources]
        cells = [self._cell(side) for side in difference.values]
        return {
            "key": dict(zip(self.keys, difference.key, strict=True)),
            "values": dict(zip(names, cells, strict=True)),
            "kind": difference.kind.value,
        }

    def _cell(self, side: tuple[Decimal, ...] | None) -> Any:
        if side is None:
            return None
        numbers = [json_number(value) for value in side]
        return numbers[0] if len(numbers) == 1 else dict(zip(self.values, numbers, strict=True))


def json_number(value: Decimal) -> int | float | str:
    """The value as a JSON number where every reader gets it back exactly, otherwise as a string of its digits."""
    text = canonical(value)
    if "." not in text:
        return int(text) if len(text.lstrip("-")) <= 15 else text
    return float(text) if Decimal(repr(float(text))) == value else text
