"""Entries that documents post. They balance to zero before they leave here; amounts are exact to the minor unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from rules.model.messages import PostingLine
from rules.money import to_minor
from rules.policy.kinds import AccountingRuleSpec, AccountLine
from rules.tax import worth


class UnbalancedError(ValueError):
    """An entry's debits and credits differ; the rule that made it has to be corrected."""


@dataclass(frozen=True, slots=True)
class Taxed:
    """What is known of a document's tax: what a tax engine agreed with, or a till charged, and what a marketplace does not remit itself."""

    net: Decimal
    tax: Decimal
    """What the retailer owes."""


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """What a line of a document is worth."""

    quantity: int
    unit_price: Decimal
    unit_cost: Decimal
    before: int = 0
    """Units of the same line of the order that earlier documents had: together they are worth what the line is, to the cent."""


def totals(lines: Sequence[DocumentLine], currency: str, taxed: Taxed | None = None) -> dict[str, Decimal]:
    """Return the document's worth at price and at cost; each line is rounded on its own, as it is printed.

    `taxed`: of a document whose tax is known; then also net, tax, and gross.
    """
    zero = to_minor(Decimal(0), currency)
    known = {"net": taxed.net, "tax": taxed.tax, "gross": taxed.net + taxed.tax} if taxed else {}
    return {
        **{name: to_minor(amount, currency) for name, amount in known.items()},
        "price": sum(
            (worth(line.unit_price, line.before, line.before + line.quantity, currency) for line in lines), zero
        ),
        "cost": sum((to_minor(line.unit_cost * line.quantity, currency) for line in lines), zero),
    }


def entry(
    rule: AccountingRuleSpec, lines: Sequence[DocumentLine], taxed: Taxed | None = None
) -> tuple[PostingLine, ...]:
    """Return the lines that the rule posts for the document. Raises UnbalancedError, KeyError for an amount that is not known.

    What is below zero, of goods handed back at a till, stands on the other side: no amount of an entry is negative.
    """
    amounts = totals(lines, rule.currency, taxed)
    zero = to_minor(Decimal(0), rule.currency)
    posted = tuple(_line(line, amounts[line.amount], zero) for line in rule.lines)
    balance = sum((line.debit - line.credit for line in posted), zero)
    if balance:
        raise UnbalancedError(f"entry '{rule.entry}' is out of balance by {balance} {rule.currency}; correct its lines")
    return posted


def _line(line: AccountLine, amount: Decimal, zero: Decimal) -> PostingLine:
    debited = (line.side == "debit") == (amount >= 0)
    debit, credit = (abs(amount), zero) if debited else (zero, abs(amount))
    return PostingLine(account=line.account, debit=debit, credit=credit, memo=line.memo)


def business_date(at: datetime, zone: str, day_starts: str) -> str:
    """Return the business date (ISO) of an instant: the day begins at `day_starts` in the zone."""
    hours, minutes = (int(part) for part in day_starts.split(":"))
    local = at.astimezone(ZoneInfo(zone))
    before = (local.hour, local.minute) < (hours, minutes)
    return (local.date().fromordinal(local.date().toordinal() - before)).isoformat()
