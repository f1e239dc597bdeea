"""Amounts exact to the minor unit of their currency."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

NO_DIGITS = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
THREE_DIGITS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
MINOR_UNITS = dict.fromkeys(NO_DIGITS, 0) | dict.fromkeys(THREE_DIGITS, 3) | {"CLF": 4, "UYW": 4}
"""Digits after the point, where they are not two (ISO 4217)."""


def to_minor(amount: Decimal, currency: str) -> Decimal:
    """Round to the currency's minor unit, half to even."""
    return amount.quantize(Decimal(1).scaleb(-MINOR_UNITS.get(currency, 2)), rounding=ROUND_HALF_EVEN)
