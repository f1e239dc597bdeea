"""Findings of the past under another tolerance: which would not have been told, and which come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rules.comparison.value import distance


@dataclass(frozen=True, slots=True)
class Difference:
    """A confirmed finding. `expected`: what would have been admissible; `actual` None: the key was not there."""

    key: str
    expected: Sequence[int | Decimal]
    actual: int | Decimal | None
    money: Decimal | None
    currency: str | None

    @property
    def size(self) -> int | Decimal | None:
        """Distance of what was there from the nearest that was admissible; None where one side had nothing, or no number."""
        return distance(self.actual, self.expected)

    def tells(self, tolerance: int) -> bool:
        """Whether it is a finding under a tolerance; what one side does not have is one under any."""
        return self.size is None or self.size > tolerance


@dataclass(frozen=True, slots=True)
class Told:
    """What would have been told."""

    findings: int
    money: dict[str, Decimal]
    """By currency."""


def told(differences: Iterable[Difference], tolerance: int) -> Told:
    """Return how many of the findings are findings under a tolerance, and what they are worth."""
    found = [one for one in differences if one.tells(tolerance)]
    money: dict[str, Decimal] = {}
    for one in found:
        if one.money is not None and one.currency is not None:
            money[one.currency] = money.get(one.currency, Decimal(0)) + one.money
    return Told(len(found), money)
