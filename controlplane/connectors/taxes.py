"""What a system says of an order's tax, as the canonical model says it. What it does not say stays None, and is never nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from controlplane.connectors.contract import Codes, Context, UnmappedError
from controlplane.errors import BadInputError
from rules.money import to_minor

POSTAL_CODE = ("ship_to", "postal_code")
LONGEST, NAMES = 20, 190
REMITTED = "marketplace_remitted"
"""Our tax code of goods whose tax a marketplace remits itself; a Mapping translates it into a code under which the ERP books none."""


def of_line(
    context: Context, currency: str, amounts: Sequence[Decimal], *, rates: Sequence[Decimal] = (), code: str = "",
    jurisdictions: Sequence[str] = (), included: bool = False, remitted: Sequence[bool | None] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return the `tax` of an order's line, of all the taxes that were charged on it.

    `code`: the system's own. `rates`: one for each amount, as shares; where one is missing, none is told. `remitted`: of each amount,
    whether a marketplace remits it itself; None where that is not said. Raises UnmappedError.
    """
    known = len(rates) == len(amounts) > 0
    named = dict.fromkeys(name for name in jurisdictions if name)
    return {
        "amount": money(sum(amounts, Decimal(0)), currency),
        "code": context.codes.ours("tax_code", code) if code else None,
        "rate": _plain(sum(rates, Decimal(0))) if known else None,
        "jurisdiction": ", ".join(named)[:NAMES] or None,
        "included": included,
        "remitter": _remitter(remitted),
        "withheld": money(
            sum((one for one, gone in zip(amounts, remitted, strict=False) if gone), Decimal(0)), currency
        ),
    }


def _remitter(remitted: Sequence[bool | None]) -> str | None:
    if any(remitted):
        return "marketplace" if all(remitted) else "both"
    return "retailer" if remitted and None not in remitted else None


def remitted(line: Mapping[str, Any], system: str) -> bool:
    """Say whether a marketplace remits the tax of a line of an order or sale, so that an ERP that computes taxes is to book none.

    Raises BadInputError where it remits some and the retailer the rest.
    """
    remitter = (line.get("tax") or {}).get("remitter")
    if remitter == "both":
        raise BadInputError(
            f"of the tax on {line['sku']} a marketplace remits some and the retailer the rest, and {system} computes it as a whole; "
            "nothing was sent; book it by hand and drop the delivery",
            "tax",
        )
    return bool(remitter == "marketplace")


def exempt_code(codes: Codes, system: str, line: Mapping[str, Any]) -> str | None:
    """Return the system's tax code for a line whose tax a marketplace remits; None where the retailer owes it.

    Raises BadInputError like `remitted`, UnmappedError where no Mapping translates REMITTED.
    """
    if not remitted(line, system):
        return None
    code = codes.theirs("tax_code", REMITTED)
    if code == REMITTED:
        raise UnmappedError("tax_code", REMITTED, system)
    return code


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
