"""Entries that documents post. They balance to zero before they leave here; amounts are exact to the minor unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

from rules.model.messages import PostingLine
from rules.policy.kinds import AccountingRuleSpec

NO_DIGITS = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
THREE_DIGITS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
MINOR_UNITS = dict.fromkeys(NO_DIGITS, 0) | dict.fromkeys(THREE_DIGITS, 3) | {"CLF": 4, "UYW": 4}
"""Digits after the point, where they are not two (ISO 4217)."""


class UnbalancedError(ValueError):
    """An entry's debits and credits differ; the rule that made it has to be corrected."""


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """What a line of a document is worth."""

    quantity: int
    unit_price: Decimal
    unit_cost: Decimal


def to_minor(amount: Decimal, currency: str) -> Decimal:
    """Round to the currency's minor unit, half to even."""
    return amount.quantize(Decimal(1).scaleb(-MINOR_UNITS.get(currency, 2)), rounding=ROUND_HALF_EVEN)


def totals(lines: Sequence[DocumentLine], currency: str) -> dict[str, Decimal]:
    """Return the document's worth at price and at cost; each line is rounded on its own, as it is printed."""
    zero = to_minor(Decimal(0), currency)
    return {
        "price": sum((to_minor(line.unit_price * line.quantity, currency) for line in lines), zero),
        "cost": sum((to_minor(line.unit_cost * line.quantity, currency) for line in lines), zero),
    }


def entry(rule: AccountingRuleSpec, lines: Sequence[DocumentLine]) -> tuple[PostingLine, ...]:
    """Return the lines that the rule posts for the document. Raises UnbalancedError."""
    amounts = totals(lines, rule.currency)
    zero = to_minor(Decimal(0), rule.currency)
    posted = tuple(
        PostingLine(
            account=line.account,
            debit=amounts[line.amount] if line.side == "debit" else zero,
            credit=amounts[line.amount] if line.side == "credit" else zero,
            memo=line.memo,
        )
        for line in rule.lines
    )
    balance = sum((line.debit - line.credit for line in posted), zero)
    if balance:
        raise UnbalancedError(f"entry '{rule.entry}' is out of balance by {balance} {rule.currency}; correct its lines")
    return posted


def business_date(at: datetime, zone: str, day_starts: str) -> str:
    """Return the business date (ISO) of an instant: the day begins at `day_starts` in the zone."""
    hours, minutes = (int(part) for part in day_starts.split(":"))
    local = at.astimezone(ZoneInfo(zone))
    before = (local.hour, local.minute) < (hours, minutes)
    return (local.date().fromordinal(local.date().toordinal() - before)).isoformat()
