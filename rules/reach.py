"""Whose business is whose: how far somebody's reach goes, and what of the registry lies within it.

The rule. A reach confines somebody to brands, regions and domains; what it does not name it leaves open, and one that names
nothing is everything. A system says by its policy which brands and regions it is of. It is **in sight** of a confined person
when it is of at least one of their brands and one of their regions, so one that says nothing is in sight of none of them; it is
**whole** to them when it is of no other. A document is in sight when every system, flow, comparison and domain that it names
is, and what a flow or a blueprint that names others too says is shown without them (its document is not); a row is in sight
when every system, flow and policy that it names is, and so is the message that it came from. To look takes what is in sight. To
act takes what is **in hand**: of a system, that it is whole to them, and of its new document that it names no secret but those
of systems that are; of another document, that all it names is in sight and something of that is whole to them; of a row, that it
is in sight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from rules.policy import kinds as k
from rules.policy.references import references

KEYS = ("brands", "regions", "domains")
EVERYBODYS = frozenset({"RetryPolicy", "Calendar", "AccountingRule"})
"""Kinds that name no system and govern all of them: whoever may look sees them, and only whose reach is everything acts on them."""
NAMING = ("system", "target", "source", "channel", "flow", "comparison", "domain")
"""Labels of an indicator that name what it is about."""
Names = frozenset[str]
Key = tuple[str, str]
"""Kind and name of a document."""
ANY = "*"
VEIL = "…"


@dataclass(frozen=True, slots=True)
class Reach:
    """Names of brands, regions and domains that somebody is confined to; None: not confined in that."""

    brands: Names | None = None
    regions: Names | None = None
    domains: Names | None = None

    @classmethod
    def read(cls, given: Mapping[str, Iterable[str]] | None) -> Reach:
        """Read `{"brands": [...], "regions": [...], "domains": [...]}`; None, or a part that is missing or None, confines nothing."""
        told = given or {}
        return cls(*(None if told.get(key) is None else frozenset(told[key]) for key in KEYS))

    @property
    def everything(self) -> bool:
        """Whether it confines nothing."""
        return self.brands is None and self.regions is None and self.domains is None

    def told(self) -> dict[str, list[str]] | None:
        """Return what `read` takes; None for everything."""
        parts = zip(KEYS, (self.brands, self.regions, self.domains), strict=True)
        return {key: sorted(names) for key, names in parts if names is not None} or None

    def __str__(self) -> str:
        told = self.told()
        return "; ".join(f"{key} {', '.join(names) or 'none'}" for key, names in told.items()) if told else "everything"

    def meet(self, other: Reach) -> Reach:
        """Return what lies within both."""
        return Reach(
            _both(self.brands, other.brands), _both(self.regions, other.regions), _both(self.domains, other.domains)
        )

    def within(self, other: Reach) -> bool:
        """Say whether it reaches no further than another."""
        return self.meet(other) == self


EVERYTHING = Reach()


def _both(one: Names | None, other: Names | None) -> Names | None:
    return other if one is None else one if other is None else one & other


def known_names(documents: Iterable[k.Document]) -> dict[str, set[str]]:
    """Return the brands, regions and domains that a registry knows of, by the key of a reach."""
    found: dict[str, set[str]] = {key: set() for key in KEYS}
    for one in documents:
        if isinstance(one, k.System):
            found["brands"].update(one.spec.brand)
            found["regions"].update(one.spec.region)
        elif isinstance(one, k.Domain):
            found["domains"].add(one.name)
    return found


def unknown(reach: Reach, documents: Iterable[k.Document]) -> str:
    """Say which name of a reach no policy knows, and which there are; empty when all are known."""
    known = known_names(documents)
    for key, names in (reach.told() or {}).items():
        for name in names:
            if name not in known[key]:
                return f"no policy knows the {key[:-1]} '{name}'; there are: {', '.join(sorted(known[key])) or 'none'}"
    return ""


@dataclass(frozen=True)
class Sight:
    """What of a registry is in sight of a reach."""

    reach: Reach
    systems: Names
    whole: Names
    """Systems that are whole to it."""
    secrets: Names = frozenset()
    """References to secrets of systems that are."""
    flows: Names = frozenset()
    comparisons: Names = frozenset()
    domains: Names = frozenset()
    types: Names = frozenset()
    """Types of messages; `*`: all."""
    documents: Mapping[Key, k.Document] = field(default_factory=dict, repr=False)
    """As they are shown: without the names of what is out of sight."""
    owned: frozenset[Key] = frozenset()
    """Documents that are in hand."""
    hidden: Names = frozenset()
    """Names of systems, flows, comparisons, domains, brands and regions that are out of sight."""
    unnamed: Names = frozenset()
    """Names of all documents that are, whatever their kind, but for those that something in sight has too."""

    def lists(self) -> dict[str, list[str]]:
        """Return the names by kind, as the store takes them to confine what is read."""
        free = self.reach.domains is None
        return {
            "system": sorted(self.systems), "flow": sorted(self.flows), "comparison": sorted(self.comparisons),
            "domain": [*sorted(self.domains), *([ANY] if free else [])], "type": sorted(self.types),
            "policy": sorted(f"{kind}/{name}" for kind, name in self.documents), "whole": sorted(self.whole),
            "hidden": sorted(self.hidden), "set": [ANY],
        }  # fmt: skip

    def veil(self, text: str, asked: Iterable[str] = ()) -> str:
        """Return a text without the names of what is out of sight, and of what was asked for unless that is in sight."""
        known = {name for _, name in self.documents} | self.systems | self.domains
        out = self.hidden | self.unnamed | ({name for name in asked if name} - known)
        if not out:
            return text
        names = "|".join(re.escape(name) for name in sorted(out, key=len, reverse=True))
        return re.sub(rf"(?<![\w-])({names})(?![\w-])", VEIL, text)

    def has_in_hand(self, document: k.Document) -> bool:
        """Say whether somebody of this reach may put a document in force in place of one that is in hand, or as a new one."""
        if isinstance(document, k.System):
            key = ("System", document.name)
            return key in self.owned and _is_whole(document.spec, self.reach) and self._may_send(document)
        return self._named(document) and self._touches(document)

    def _may_send(self, document: k.System) -> bool:
        """Whether a system would be sent no other secrets than are its own to send, or just what it is sent now where it is."""
        old, new = self.documents["System", document.name].spec, document.spec  # type: ignore[attr-defined]
        return self.secrets.issuperset(new.secrets.values()) or not k.leads_elsewhere(
            old.model_dump(mode="json"), new.model_dump(mode="json")
        )

    def _named(self, document: k.Document) -> bool:
        """Whether all that a document names is in sight."""
        if isinstance(document, k.ServiceLevel | k.AlertRule):
            return all(self._sees(value) for value in _about(document))
        if isinstance(document, k.Domain) and not _open_to(self.reach.domains, document.name):
            return False
        sees: dict[str, Names] = {"System": self.systems, "Comparison": self.comparisons}
        named = [one for one in references(document.spec) if one.kind in sees]  # type: ignore[attr-defined]
        domain = getattr(document.spec, "domain", None)  # type: ignore[attr-defined]
        return all(one.name in sees[one.kind] for one in named) and (
            domain is None or _open_to(self.reach.domains, domain)
        )

    def _sees(self, name: str) -> bool:
        return name in self.systems or name in self.flows or name in self.comparisons or name in self.domains

    def _touches(self, document: k.Document) -> bool:
        """Whether something that a document names is whole to this reach."""
        if isinstance(document, k.Team | k.EscalationPath) or document.kind in EVERYBODYS:
            return False
        if isinstance(document, k.ServiceLevel | k.AlertRule):
            mine = {name for kind, name in self.owned if kind in {"Flow", "Comparison"}} | self.whole
            return any(value in mine for value in _about(document))
        named = [one.name for one in references(document.spec) if one.kind == "System"]  # type: ignore[attr-defined]
        return any(name in self.whole for name in named)


def sight(reach: Reach, documents: Iterable[k.Document]) -> Sight:
    """Return what of these documents, the whole registry, is in sight of a reach."""
    given = list(documents)
    parties = [one for one in given if isinstance(one, k.System)]
    systems = frozenset(one.name for one in parties if _is_seen(one.spec, reach))
    whole = frozenset(one.name for one in parties if one.name in systems and _is_whole(one.spec, reach))
    domains = frozenset(one.name for one in given if isinstance(one, k.Domain) and _open_to(reach.domains, one.name))
    found = Sight(reach, systems, whole, domains=domains)
    flows = [one for flow in given if isinstance(flow, k.Flow) and (one := _flow(found, flow))]
    types = frozenset({ANY}) if reach.domains is None else _types(flows)
    sides = frozenset(one.name for one in given if isinstance(one, k.Comparison) and found._named(one))
    found = replace(found, flows=frozenset(one.name for one in flows), comparisons=sides, types=types)
    found = replace(found, documents=_shown(found, given), hidden=_hidden(found, given))
    shown = {name for _, name in found.documents}
    unnamed = frozenset(one.name for one in given if (one.kind, one.name) not in found.documents) - shown
    found = replace(found, unnamed=unnamed, secrets=_secrets(parties, whole))
    found = replace(found, owned=_owned(found, given, lambda one: not isinstance(one, k.ServiceLevel | k.AlertRule)))
    return replace(found, owned=_owned(found, given, lambda _: True))  # a label may name a flow that is in hand


def _secrets(parties: Iterable[k.System], whole: Names) -> Names:
    """Return the references that only systems use that are whole: what another uses too is not theirs to send anywhere."""
    used = {
        mine: {ref for one in parties if (one.name in whole) is mine for ref in one.spec.secrets.values()}
        for mine in (True, False)
    }
    return frozenset(used[True] - used[False])


def _owned(found: Sight, given: Iterable[k.Document], which: Callable[[k.Document], bool]) -> frozenset[Key]:
    mine = {("System", name) for name in found.whole if found.reach.domains is None}
    for one in given:
        shown = found.documents.get((one.kind, one.name))
        if shown == one and not isinstance(one, k.System) and which(one) and found.has_in_hand(one):
            mine.add((one.kind, one.name))
    return frozenset(mine)


def _is_seen(spec: k.SystemSpec, reach: Reach) -> bool:
    return _meets(spec.brand, reach.brands) and _meets(spec.region, reach.regions)


def _meets(names: Iterable[str], confined: Names | None) -> bool:
    return confined is None or not confined.isdisjoint(names)


def _is_whole(spec: k.SystemSpec, reach: Reach) -> bool:
    pairs = ((spec.brand, reach.brands), (spec.region, reach.regions))
    return all(confined is None or (bool(names) and confined.issuperset(names)) for names, confined in pairs)


def _open_to(confined: Names | None, name: str) -> bool:
    return confined is None or name in confined


def _types(flows: Iterable[k.Flow]) -> Names:
    return frozenset(kind for flow in flows for kind in flow.spec.message_types)


def _about(document: k.ServiceLevel | k.AlertRule) -> list[str]:
    return [value for label, value in document.spec.labels.items() if label in NAMING]


# --- documents as they are shown ---


def _shown(found: Sight, given: list[k.Document]) -> dict[Key, k.Document]:
    seen = {(one.kind, one.name): shown for one in given if (shown := _as_shown(found, one)) is not None}
    owners = {owner for one in seen.values() if (owner := getattr(one.spec, "owner", None))}  # type: ignore[attr-defined]
    told = {step.team for one in seen.values() if isinstance(one, k.EscalationPath) for step in one.spec.steps}
    teams = {("Team", one.name): one for one in given if isinstance(one, k.Team) and one.name in owners | told}
    return {**seen, **teams}


def _as_shown(found: Sight, document: k.Document) -> k.Document | None:
    match document:
        case k.System():
            return _system(found, document)
        case k.Flow():
            return _flow(found, document)
        case k.Domain():
            return _domain(found, document)
        case k.ServiceLevel() | k.AlertRule():
            return document if _about(document) and found._named(document) else None
        case k.Team():
            return None
        case _:
            return document if document.kind in EVERYBODYS or found._named(document) else None


def _system(found: Sight, document: k.System) -> k.System | None:
    if document.name not in found.systems:
        return None
    spec, reach = document.spec, found.reach
    kept = {"brand": _kept(spec.brand, reach.brands), "region": _kept(spec.region, reach.regions)}
    return document.model_copy(update={"spec": spec.model_copy(update=kept)})


def _kept(names: tuple[str, ...], confined: Names | None) -> tuple[str, ...]:
    return tuple(name for name in names if _open_to(confined, name))


def _flow(found: Sight, document: k.Flow) -> k.Flow | None:
    """Return a flow with the targets that are in sight; none where its source is not, or it has targets and none is."""
    spec = document.spec
    targets = tuple(target for target in spec.targets if target.system in found.systems)
    source = spec.source in found.systems or (spec.source == "plane" and bool(targets))
    if not source or (spec.targets and not targets) or not _open_to(found.reach.domains, spec.domain):
        return None
    return document.model_copy(update={"spec": spec.model_copy(update={"targets": targets})})


def _domain(found: Sight, document: k.Domain) -> k.Domain | None:
    """Return a blueprint with the owners that are in sight."""
    if document.name not in found.domains:
        return None
    entities = {name: mine for name, one in document.spec.entities.items() if (mine := _ownership(found, one))}
    watch = document.spec.reconciliation
    kept = {"entities": entities, "reconciliation": watch if watch in found.comparisons else None}
    return document.model_copy(update={"spec": document.spec.model_copy(update=kept)})


def _ownership(found: Sight, one: k.EntityOwnership) -> k.EntityOwnership | None:
    mine = tuple(name for name in one.system_of_record if name in found.systems)
    parts = {
        part: {key: name for key, name in getattr(one, part).items() if name in found.systems}
        for part in ("locations", "fields")
    }
    return one.model_copy(update={"system_of_record": mine, **parts}) if mine else None


def _hidden(found: Sight, given: list[k.Document]) -> Names:
    seen = {"System": found.systems, "Flow": found.flows, "Comparison": found.comparisons, "Domain": found.domains}
    out = {one.name for one in given if one.kind in seen and one.name not in seen[one.kind]}
    known = known_names(given)
    for key, confined in (("brands", found.reach.brands), ("regions", found.reach.regions)):
        out |= known[key] - confined if confined is not None else set()
    visible = found.systems | found.flows | found.comparisons | found.domains
    return frozenset(out - visible)
