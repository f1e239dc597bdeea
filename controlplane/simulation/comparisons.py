"""A comparison under two revisions: findings that its tolerance would have hidden, and those that it brings back."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import select

from controlplane.registry.simulation import Figure, Ground, Impact, Simulator
from controlplane.store import tables as t
from rules.comparison.value import number
from rules.policy.kinds import Comparison, ComparisonSpec, Document
from rules.simulation.tolerances import Difference, told

SHOWN = 200
"""Findings that are listed one by one."""


def simulate(ground: Ground, before: Document | None, after: Document) -> Impact:
    """Hold the findings that were confirmed in the stretch against both tolerances."""
    if not isinstance(after, Comparison):
        raise TypeError(after.kind)
    old, new = before.spec if isinstance(before, Comparison) else None, after.spec
    found = read(ground, after.name)
    then, now = told(found, old.tolerance if old else new.tolerance), told(found, new.tolerance)
    figures = [Figure("findings", "findings", then.findings, now.findings)]
    for currency in sorted({*then.money, *now.money}):
        worth = (float(told.money.get(currency, 0)) for told in (then, now))
        figures.append(Figure("their worth", currency, *worth))
    hidden = [one for one in found if old and one.tells(old.tolerance) and not one.tells(new.tolerance)]
    rows = [
        {
            "change": "hidden",
            "key": one.key,
            "units": one.size,
            "money": f"{one.money or 0} {one.currency or ''}".strip(),
        }
        for one in sorted(hidden, key=lambda one: (-(one.money or 0), one.key))[:SHOWN]
    ]
    return Impact(figures, rows, _untold(old, new, len(hidden)))


def read(ground: Ground, comparison: str) -> list[Difference]:
    """Read what was confirmed in the stretch."""
    f = t.finding.c
    query = select(f.subject, f.field, f.side, f.expected, f.actual, f.money, f.currency).where(
        f.comparison == comparison, f.confirmed_at >= ground.since, f.confirmed_at < ground.until
    )
    return [
        Difference(f"{row.subject} at {row.side}", _numbers(row.expected), number(row.actual), row.money, row.currency)
        for row in ground.conn.execute(query)
    ]


def _numbers(expected: object) -> list[int | Decimal]:
    found = (number(one) for one in expected) if isinstance(expected, list) else ()
    return [one for one in found if one is not None]


def _untold(old: ComparisonSpec | None, new: ComparisonSpec, hidden: int) -> list[str]:
    found = []
    if old is None:
        found.append("there is no revision in force to hold it against: nothing was ever compared by it")
    elif new.tolerance < old.tolerance:
        found.append(
            "a smaller tolerance finds more: what lay within the old one was never kept, so how much is not known"
        )
    if old is not None and old.model_copy(update={"tolerance": new.tolerance}) != new:
        found.append("the change does more than to the tolerance; the rest of it is not replayed")
    if hidden > SHOWN:
        found.append(f"{hidden - SHOWN} more findings would be hidden that are not listed")
    return found


SIMULATOR = Simulator(simulate)
