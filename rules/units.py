"""Units of measure: ours is the single piece, and every other one is so many pieces.

A Mapping of units says of each code of a system what it is in ours: `EA` for a piece, `12 EA` for a carton of twelve.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from rules.money import to_minor

PIECE = "EA"
FINEST = Decimal("0.00000001")
"""A price of a piece is kept this exactly."""


DIGITS = 40
"""Before and behind the point; a number of more is none that anything is counted or paid in."""


def exact(text: object) -> Decimal:
    """Read a number exactly. Raises ValueError for what is none, and for one that has no end or takes for ever to write out."""
    try:
        number = Decimal(str(text).strip())
    except InvalidOperation:
        raise ValueError(f"'{str(text)[:40]}' is no number") from None
    if not number.is_finite() or abs(number.adjusted()) > DIGITS:
        raise ValueError(f"'{str(text)[:40]}' is larger or finer than anything that is counted")
    return number


def pieces_in(unit: str) -> int:
    """Return how many pieces a unit is, as a Mapping gives it. Raises ValueError saying what is taken."""
    match = re.fullmatch(rf"(?:([1-9]\d{{0,5}}) )?{PIECE}", unit)
    if match is None:
        raise ValueError(f"'{unit}' is no unit of ours; write '{PIECE}' for a piece, or for instance '12 {PIECE}'")
    return int(match[1] or 1)


def price_of_piece(price: Decimal, pieces: int, quantity: int, currency: str) -> Decimal:
    """Return the price of a piece where a unit of so many costs `price`.

    Pieces times it is, to the currency's minor unit, what `quantity` units cost. Raises ValueError where no price is.
    """
    if pieces == 1:
        return price
    single = (price / pieces).quantize(FINEST)
    if to_minor(single * pieces * quantity, currency) != to_minor(price * quantity, currency):
        raise ValueError(f"{price} for {pieces} pieces cannot be written as the price of one")
    return single
