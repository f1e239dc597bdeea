"""What a side shows of a field: a number of units, an exact decimal, or the name of a state."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

Value = int | Decimal | str


def kept(value: Value | None) -> int | str | None:
    """Return a value as it is kept in JSON: a decimal as its text, without losing a digit."""
    return format(value, "f") if isinstance(value, Decimal) else value


def number(value: object) -> int | Decimal | None:
    """Return the number that a value is, or was kept as; None where it is none, or not finite."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return value
    try:
        found = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def distance(value: object, others: Iterable[object]) -> int | Decimal | None:
    """Return how far a number lies from the nearest of others; None where there is nothing to measure."""
    mine = number(value)
    found = [gap(mine, other) for each in others if mine is not None and (other := number(each)) is not None]
    return min(found, key=Decimal, default=None)


def gap(one: int | Decimal, other: int | Decimal) -> int | Decimal:
    """Return how far two numbers lie apart; whole, where both are."""
    if isinstance(one, int) and isinstance(other, int):
        return abs(one - other)
    return abs(Decimal(one) - Decimal(other))


def ordered(values: Iterable[Value]) -> tuple[Value, ...]:
    """Return values without repetition, numbers by size, then names by the alphabet."""

    def place(value: Value) -> tuple[bool, int | Decimal, str]:
        return (True, 0, value) if isinstance(value, str) else (False, value, "")

    found = set(values)
    return tuple(sorted(found, key=place) if len(found) > 1 else found)
