"""Money at risk: what an incident may cost, as bounds, each order line counted once.

The lower bound is what is already late or refused; the upper bound is everything that is affected. Amounts of
different currencies are never added, and neither are the figures of different indicators: one order that is late at
two targets is one order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Exposure:
    """One line of one document that a failure touches. `key` names the line whichever way it was found."""

    key: tuple[str, int]
    """Document reference and line."""
    value: Decimal
    currency: str
    late: bool
    """Past its promise, or refused: it counts towards the lower bound."""


@dataclass(frozen=True, slots=True)
class Risk:
    """Bounds of the money at risk in one currency."""

    low: Decimal
    high: Decimal
    currency: str
    lines: int

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.high:,.2f} {self.currency}"
        return f"{self.low:,.2f} to {self.high:,.2f} {self.currency}"


def at_risk(exposures: Iterable[Exposure]) -> list[Risk]:
    """Return the bounds per currency, the one with most lines first. Raises ValueError on a negative value."""
    lines: dict[tuple[str, str, int], Exposure] = {}
    for exposure in exposures:
        if exposure.value < 0:
            raise ValueError(f"{exposure.key} is worth {exposure.value}; what is at risk is never negative")
        key = (exposure.currency, *exposure.key)
        lines[key] = _worse(lines[key], exposure) if key in lines else exposure
    found = [_bounds(currency, lines.values()) for currency in {currency for currency, *_ in lines}]
    return sorted(found, key=lambda risk: (-risk.lines, risk.currency))


def _worse(one: Exposure, other: Exposure) -> Exposure:
    return Exposure(one.key, max(one.value, other.value), one.currency, one.late or other.late)


def _bounds(currency: str, lines: Iterable[Exposure]) -> Risk:
    mine = [line for line in lines if line.currency == currency]
    return Risk(
        low=sum((line.value for line in mine if line.late), Decimal(0)),
        high=sum((line.value for line in mine), Decimal(0)),
        currency=currency,
        lines=len(mine),
    )
