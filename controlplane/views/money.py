"""What was posted: balances by account from the postings, which are immutable."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, select

from controlplane.store import tables as t


@dataclass(frozen=True, slots=True)
class Balance:
    """Sums of one account in one currency; over all accounts of a currency debits equal credits."""

    account: str
    currency: str
    debit: Decimal
    credit: Decimal


def balances(conn: Connection, business_date: str | None = None) -> list[Balance]:
    """Return debits and credits by account, of one business date (YYYY-MM-DD) or of all. One query."""
    p = t.posting.c
    query = select(p.currency, p.lines)
    if business_date is not None:
        query = query.where(p.business_date == business_date)
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for currency, lines in conn.execute(query):
        for line in lines:
            both = sums[line["account"], currency]
            both[0] += Decimal(line["debit"])
            both[1] += Decimal(line["credit"])
    return [Balance(account, currency, *both) for (account, currency), both in sorted(sums.items())]
