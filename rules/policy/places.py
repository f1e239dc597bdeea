"""Which locations the policies know: what a message may speak of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rules.policy import kinds as k


@dataclass(frozen=True, slots=True)
class Places:
    """Our names of locations, and the systems whose codes stand for themselves."""

    names: frozenset[str]
    open_systems: frozenset[str]
    """Those with a Mapping of locations that is not strict."""

    def knows(self, location: str, source: str) -> bool:
        """Say whether a message of `source` may speak of the location. Policies that name none leave all open."""
        return not self.names or location in self.names or source in self.open_systems


def places(documents: Iterable[k.Document]) -> Places:
    """Return what is named by Mappings, AllocationRules, Comparisons, and the option `locations` of Systems."""
    names: set[str] = set()
    open_systems: set[str] = set()
    for document in documents:
        match document:
            case k.Mapping(spec=spec) if spec.entity == "location":
                names.update(spec.codes.values())
                if not spec.strict:
                    open_systems.add(spec.system)
            case k.AllocationRule(spec=spec):
                names.update(spec.locations)
            case k.Comparison(spec=spec):
                names.update(spec.locations)
            case k.System(spec=spec) if isinstance(spec.options.get("locations"), list):
                names.update(str(name) for name in spec.options["locations"])
    return Places(frozenset(names), frozenset(open_systems))
