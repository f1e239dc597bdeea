"""Documents and states that arrive one by one: what a side may rightly show follows from what has reached it. Pure.

A fact is something that a message says of a subject: it was placed, it was shipped, it costs so much. Each side has it for
certain, may have it, lacks it while it is owed, or was never owed it. What the side shows is a function of the facts it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import combinations

from rules.comparison.explain import MOST_OVERLAPS, Cause, Finding, Owed, waiting
from rules.comparison.tolerance import EXACT, Tolerance
from rules.comparison.value import Value, number, ordered

ABSENT = "absent"
"""What a side shows of a subject that it does not have."""


class Reached(StrEnum):
    """Whether a side has a fact."""

    DONE = "done"
    MAYBE = "maybe"
    """It came to it, or left it, while it was read."""
    OWED = "owed"
    UNSENT = "unsent"
    """It lacks it, and no delivery is owed: nothing has failed, and nothing will come."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What one message says of a subject, as one side stands to it."""

    message_id: str
    reached: Reached
    owed: Owed | None = None


Show = Callable[[frozenset[str]], Value]
"""From the message ids that a side has to what it shows."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the ledger says of one side of one subject during a reading."""

    facts: tuple[Fact, ...]
    show: Show

    @property
    def owed(self) -> tuple[Owed, ...]:
        """What it still lacks."""
        return tuple(fact.owed for fact in self.facts if fact.owed is not None)

    def _ids(self, *reached: Reached) -> frozenset[str]:
        return frozenset(fact.message_id for fact in self.facts if fact.reached in reached)

    def admissible(self) -> frozenset[Value] | None:
        """Return every value it may rightly show, or None when the evidence cannot tell."""
        there = self._ids(Reached.DONE)
        maybe = sorted(
            self._ids(Reached.MAYBE) | {fact.message_id for fact in self.facts if fact.owed and fact.owed.sent}
        )
        if len(maybe) > MOST_OVERLAPS:
            return None
        chosen = (some for size in range(len(maybe) + 1) for some in combinations(maybe, size))
        return frozenset(self.show(there.union(some)) for some in chosen)

    def complete(self) -> Value:
        """Return what it will show when all that is owed is delivered."""
        return self.show(self._ids(Reached.DONE, Reached.MAYBE, Reached.OWED))

    def wanted(self) -> Value:
        """Return what it ought to show, by all that the ledger knows."""
        return self.show(frozenset(fact.message_id for fact in self.facts))


def explain_facts(
    side: str, actual: Value | None, facts: Facts, news: Callable[[Value], bool], tolerance: Tolerance = EXACT
) -> Finding:
    """Hold what a side shows against what has reached it.

    `news`: says of a value that nothing the ledger knows allows, whether the side itself may have made it so, and not told.
    """
    shows: Value = ABSENT if actual is None else actual
    find = partial(Finding, side, actual=actual, whole=number(actual) is None)
    admissible, wanted = facts.admissible(), facts.wanted()
    if admissible is None:
        text = f"{side} shows {shows}; more is under way to it than can be told apart"
        return find(cause=Cause.INDETERMINATE, expected=_real([wanted]), explanation=text)
    if not tolerance.near(shows, admissible):
        return _inadmissible(find, side, shows, admissible, news(shows))
    complete = facts.complete()
    if not tolerance.near(complete, [wanted]):
        return _unsent(find, side, shows, complete, wanted)
    return replace(waiting(side, actual, facts.owed, _real([wanted])), whole=number(actual) is None)


def _inadmissible(
    find: Callable[..., Finding], side: str, shows: Value, admissible: Iterable[Value], news: bool
) -> Finding:
    allowed = " or ".join(map(str, ordered(admissible)))
    if news:
        text = f"{side} shows {shows}; the ledger never heard of it, and last knew {allowed}"
        return find(cause=Cause.NEVER_RECEIVED, expected=_real(admissible), explanation=text)
    if shows == ABSENT:
        text = f"{side} does not have it, though by all that it was told it shows {allowed}"
        return find(cause=Cause.MISSING, expected=_real(admissible), explanation=text)
    text = f"{side} shows {shows}; by all that was delivered it shows {allowed}: it was changed there"
    return find(cause=Cause.CHANGED_AT_TARGET, expected=_real(admissible), explanation=text)


def _unsent(find: Callable[..., Finding], side: str, shows: Value, complete: Value, wanted: Value) -> Finding:
    if complete == ABSENT:
        text = f"{side} does not have it and ought to show {wanted}: nothing has failed, and nothing is owed to it"
        return find(cause=Cause.MISSING, expected=_real([wanted]), explanation=text)
    text = f"{side} shows {shows} and ought to show {wanted}: no delivery is on its way, and none was refused"
    return find(cause=Cause.LATE, expected=_real([wanted]), explanation=text)


def _real(values: Iterable[Value]) -> tuple[Value, ...]:
    return ordered(value for value in values if value != ABSENT)


# --- what sides show of orders ---


@dataclass(frozen=True, slots=True)
class Progress:
    """What the ledger knows of an order: who placed it, how many units of what, and what was shipped by which message."""

    placed: str
    """Id of the message that placed it."""
    ordered: dict[str, int]
    """SKU -> units."""
    shipped: dict[str, dict[str, int]]
    """Id of a message of a shipment -> SKU -> units."""

    def listed(self, has: frozenset[str]) -> Value:
        """Return whether a side that has these messages lists the order."""
        return "listed" if self.placed in has else ABSENT

    def units(self, has: frozenset[str]) -> Value:
        """Return how many units it shows as shipped."""
        if self.placed not in has:
            return ABSENT
        return sum(units for message, lines in self.shipped.items() if message in has for units in lines.values())

    def stage(self, has: frozenset[str]) -> Value:
        """Return the stage that it shows: each SKU has to be whole by itself."""
        if self.placed not in has:
            return ABSENT
        gone: dict[str, int] = {}
        for message in self.shipped.keys() & has:
            for sku, units in self.shipped[message].items():
                gone[sku] = gone.get(sku, 0) + units
        if self.ordered and all(gone.get(sku, 0) >= units for sku, units in self.ordered.items()):
            return "shipped"
        return "partially_shipped" if any(gone.values()) else "open"


RANK: Sequence[Value] = (ABSENT, "open", "listed", "partially_shipped", "shipped", "cancelled")


def further(value: Value, than: Iterable[Value]) -> bool:
    """Say whether a side has come further than any of the values: with a document that nobody was told of, it may have."""
    reached = number(value)
    if reached is not None:
        return all(known is None or reached > known for known in map(number, than))
    return all(_rank(value) > _rank(other) for other in than)


def _rank(value: Value) -> int:
    return RANK.index(value) if value in RANK else len(RANK)
