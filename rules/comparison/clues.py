"""What a difference that nothing in the ledger explains looks like in itself: another unit, another definition. Pure.

A single difference that happens to be as large as what is allocated proves nothing. A definition is a property of a side: it
shows in all its keys, or in none. So it is proven over a whole reading, and only then told of each key.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

from rules.comparison.explain import Cause, Finding

UNEXPLAINED = frozenset({Cause.CHANGED_AT_TARGET, Cause.NEVER_RECEIVED, Cause.INDETERMINATE})
MOST_VALUES = 4
"""Of more values that a side may show, one may be a twelfth of what it shows by chance."""
FEWEST = 3
"""Keys that have to show another definition before it is one."""
DEFINITIONS = {
    ("available", "allocated"): "on hand, without what is allocated taken off",
    ("available", "in_transit"): "what is in transit as if it were there",
    ("on_hand", "allocated"): "what is available, and not what is on hand",
    ("on_hand", "in_transit"): "what is in transit as if it were there",
}
"""(Field compared, term that it is off by) -> what the side shows instead."""
SIGN = {
    ("available", "allocated"): 1,
    ("available", "in_transit"): 1,
    ("on_hand", "allocated"): -1,
    ("on_hand", "in_transit"): 1,
}


def in_another_unit(finding: Finding, factors: Mapping[int, str], settled: bool = True) -> Finding:
    """Return the verdict *unit* where one value is the other times a factor that the mapping of units knows.

    `factors`: pieces in a unit of the side -> what the side calls it. `settled`: nothing is on its way to it. Only an
    unexplained difference of whole numbers that are not 0, and only where the side ought to show one of a few values.
    """
    undecided = finding.cause is Cause.INDETERMINATE and not settled
    if undecided or finding.cause not in UNEXPLAINED or len(finding.expected) > MOST_VALUES:
        return finding
    actual = finding.actual
    if not isinstance(actual, int) or actual == 0:
        return finding
    whole = [value for value in finding.expected if isinstance(value, int) and value != 0]
    for (factor, code), wanted in product(sorted(factors.items()), whole):
        if factor > 1 and (actual == wanted * factor or actual * factor == wanted):
            text = f"{finding.side} shows {actual} where {wanted} pieces are meant: it counts in {code} of {factor}, or is taken to"
            return replace(finding, cause=Cause.UNIT, explanation=text)
    return finding


@dataclass(frozen=True, slots=True)
class Seen:
    """One side of one key, as far as a definition may show in it."""

    finding: Finding
    field: str
    terms: Mapping[str, int]
    """Name of a term -> its units: allocated, in_transit."""

    def off_by(self) -> frozenset[str]:
        """Return the terms, 0 ones aside, that the difference is exactly."""
        actual, expected = self.finding.actual, self.finding.expected
        if self.finding.cause not in UNEXPLAINED or not isinstance(actual, int):
            return frozenset()
        gaps = {actual - value for value in expected if isinstance(value, int)}
        return frozenset(
            term for term, units in self.terms.items()
            if units and (sign := SIGN.get((self.field, term))) and sign * units in gaps
        )  # fmt: skip


def definitions(seen: Iterable[Seen]) -> dict[str, str]:
    """Return side -> the term that all of it is off by.

    Proven by at least `FEWEST` keys with differing amounts of it, if no key of the side that has some of it agrees.
    """
    fits: dict[tuple[str, str], list[int]] = defaultdict(list)
    agree: Counter[tuple[str, str]] = Counter()
    for one in seen:
        for term in one.off_by():
            fits[one.finding.side, term].append(one.terms[term])
        if one.finding.cause is Cause.NONE:
            agree.update((one.finding.side, term) for term, units in one.terms.items() if units)
    proven = {
        place: len(units) for place, units in fits.items()
        if len(units) >= FEWEST and len(set(units)) > 1 and not agree[place]
    }  # fmt: skip
    return {side: term for (side, term), _ in sorted(proven.items(), key=lambda item: (item[1], item[0]))}


def by_definition(one: Seen, proven: Mapping[str, str]) -> Finding:
    """Return the verdict *definition* on a key that is off by exactly what its side was proven to be off by."""
    finding, term = one.finding, proven.get(one.finding.side)
    if term is None or term not in one.off_by():
        return finding
    instead = DEFINITIONS[one.field, term]
    text = f"{finding.side} shows {finding.actual}, off by exactly the {one.terms[term]} {term.replace('_', ' ')}: it shows {instead}"
    return replace(finding, cause=Cause.DEFINITION, explanation=text)
