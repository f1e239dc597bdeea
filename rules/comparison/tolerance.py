"""How far two values may lie apart and still agree. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from rules.comparison.value import Value, gap


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is allowed: the widest of the three. A state, or a name, has to be the same."""

    absolute: Decimal | int = 0
    """In the unit of the value, inclusive."""
    relative: Decimal | int = 0
    """Share of the admissible value, inclusive: 0.02 of a price of 50.00 are 1.00."""
    business: Decimal | int = 0
    """What the business made room for: the safety stock of the channel, say. Inclusive."""

    def near(self, value: Value, allowed: Iterable[Value]) -> bool:
        """Say whether the value is one of the allowed ones, or lies near enough to one."""
        for other in allowed:  # noqa: SIM110 - a generator would cost as much again, for millions of values
            if value == other or self._near(value, other):
                return True
        return False

    def _near(self, value: Value, other: Value) -> bool:
        if isinstance(value, str) or isinstance(other, str):
            return False
        widest = max(self.absolute, self.business)
        if self.relative:
            widest = max(widest, self.relative * abs(Decimal(other)))
        return gap(value, other) <= widest


EXACT = Tolerance()


def tolerance_of(given: Tolerance | int) -> Tolerance:
    """Return a tolerance that may be given as a number of units."""
    return given if isinstance(given, Tolerance) else Tolerance(given)
