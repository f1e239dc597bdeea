"""What may be put right without asking: the limits of the policy, smallest drift first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rules.comparison.explain import Cause
from rules.policy.kinds import EntityOwnership, HealLimits

HEALABLE = frozenset({Cause.NEVER_RECEIVED, Cause.CHANGED_AT_TARGET})
"""Causes that re-driving the flow can mend; what is late or held needs its delivery, not another one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open finding that might be healed."""

    id: str
    units: int
    money: Decimal | None
    cause: Cause
    approved: bool = False
    """Two people have agreed to it: no limit holds it back."""
    against: str = ""
    """Why policy never lets it be overwritten, in words; not even people do."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What was healed by itself on this business day."""

    keys: int = 0
    units: int = 0
    money: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a candidate: an empty `why` means that it is healed."""

    candidate: Candidate
    why: str = ""


class _Purse:
    """What is left of the limits."""

    def __init__(self, limits: HealLimits, spent: Spent) -> None:
        self.limits, self.day = limits, spent
        self.keys, self.units, self.money = 0, 0, Decimal(0)

    def refuses(self, one: Candidate, money: Decimal) -> str:
        """Return which limit a candidate would pass, in words."""
        limits, day = self.limits, self.day
        checks = (
            (one.units, limits.max_units, "units of one key"),
            (self.keys + 1, limits.max_keys, "keys in one run"),
            (self.money + money, limits.max_money, "worth in one run"),
            (day.keys + self.keys + 1, limits.max_keys_day, "keys on one day"),
            (day.units + self.units + one.units, limits.max_units_day, "units on one day"),
            (day.money + self.money + money, limits.max_money_day, "worth on one day"),
        )
        for would, limit, what in checks:
            if limit is not None and would > limit:
                return (
                    f"it would make {would} {what}, and policy allows {limit}; a person asks for it, and another agrees"
                )
        return ""

    def take(self, one: Candidate, money: Decimal) -> None:
        """Count a candidate in."""
        self.keys += 1
        self.units += one.units
        self.money += money


def plan(
    limits: HealLimits, candidates: Sequence[Candidate], spent: Spent | None = None, frozen: str = ""
) -> list[Decision]:
    """Decide of every candidate, smallest drift first. `frozen`: until when nothing is healed, in words.

    Where the money is unknown a person decides.
    """
    purse = _Purse(limits, spent or Spent())
    return [_decide(purse, one, frozen) for one in sorted(candidates, key=lambda item: (item.units, item.id))]


def _decide(purse: _Purse, one: Candidate, frozen: str) -> Decision:
    if one.cause not in HEALABLE:
        return Decision(one, f"what is {one.cause.replace('_', ' ')} is not mended by driving the flow again")
    if one.against or frozen:
        return Decision(one, one.against or frozen)
    if one.approved:
        return Decision(one)
    if not purse.limits.enabled:
        return Decision(one, "policy lets nothing be healed by itself")
    if one.money is None:
        return Decision(one, "what it is worth is not known")
    why = purse.refuses(one, one.money)
    if not why:
        purse.take(one, one.money)
    return Decision(one, why)


def allowed(limits: HealLimits, candidates: Sequence[Candidate], spent: Spent | None = None) -> frozenset[str]:
    """Return the ids that may be healed in this run."""
    return frozenset(one.candidate.id for one in plan(limits, candidates, spent) if not one.why)


def overwrites_the_record(ownership: EntityOwnership | None, system: str, field: str, location: str) -> str:
    """Return why a field of a system is not overwritten: it is of record for it, by the blueprint; empty where it is not."""
    if ownership is None:
        return ""
    right = {ownership.fields[field]} if field in ownership.fields else set()
    right = right or ({ownership.locations[location]} if location in ownership.locations else set())
    right = right or set(ownership.system_of_record)
    return (
        f"{system} is of record for {field.replace('_', ' ')} at {location}: it is never overwritten"
        if system in right
        else ""
    )
