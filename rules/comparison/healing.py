"""What may be put right without asking: the limits of the policy, smallest drift first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rules.comparison.explain import Cause
from rules.policy.kinds import HealLimits

HEALABLE = frozenset({Cause.NEVER_RECEIVED, Cause.CHANGED_AT_TARGET})
"""Causes that re-driving the flow can mend; what is late or held needs its delivery, not another one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open finding that might be healed."""

    id: str
    units: int
    money: Decimal | None
    cause: Cause


def allowed(limits: HealLimits, candidates: Sequence[Candidate]) -> frozenset[str]:
    """Return the ids that may be healed in this run. Where the money is unknown, a person decides."""
    if not limits.enabled:
        return frozenset()
    chosen: list[str] = []
    spent = Decimal(0)
    for candidate in sorted(candidates, key=lambda item: (item.units, item.id)):
        money = candidate.money
        if money is None:
            continue
        fits = len(chosen) < limits.max_keys and candidate.units <= limits.max_units
        if candidate.cause in HEALABLE and fits and spent + money <= limits.max_money:
            chosen.append(candidate.id)
            spent += money
    return frozenset(chosen)
