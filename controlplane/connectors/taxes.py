"""What a system says of an order's tax, as the canonical model says it. What it does not say stays None, and is never nothing."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from controlplane.connectors.contract import Context
from rules.money import to_minor

POSTAL_CODE = ("ship_to", "postal_code")
LONGEST, NAMES = 20, 190


def of_line(
    context: Context, currency: str, amounts: Sequence[Decimal], *, rates: Sequence[Decimal] = (), code: str = "",
    jurisdictions: Sequence[str] = (), included: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return the `tax` of an order's line, of all the taxes that were charged on it.

    `code`: the system's own. `rates`: one for each amount, as shares; where one is missing, none is told. Raises UnmappedError.
    """
    known = len(rates) == len(amounts) > 0
    named = dict.fromkeys(name for name in jurisdictions if name)
    return {
        "amount": money(sum(amounts, Decimal(0)), currency),
        "code": context.codes.ours("tax_code", code) if code else None,
        "rate": _plain(sum(rates, Decimal(0))) if known else None,
        "jurisdiction": ", ".join(named)[:NAMES] or None,
        "included": included,
    }


def money(amount: Decimal | None, currency: str) -> str | None:
    """Return an amount in one form however it was written: with the minor units of its currency, unless it is finer."""
    if amount is None:
        return None
    whole = to_minor(amount, currency)
    return format(whole if whole == amount else amount, "f")


def place(context: Context, country: Any, region: Any = "", postal_code: Any = "") -> dict[str, str] | None:
    """Return `ship_to`; None where the country is not told. The postal code only where the System's policy shows it."""
    if not country:
        return None
    shown = context.personal.of(POSTAL_CODE) in (None, "show")
    return {
        "country": str(country).upper(),
        "region": str(region or "")[:LONGEST],
        "postal_code": str(postal_code or "")[:LONGEST] if shown else "",
    }


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")
