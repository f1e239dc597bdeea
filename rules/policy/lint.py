"""Lint across documents: names that lead nowhere, two that claim the same, promises that a target cannot keep.

Pure: what connectors can do is handed in. Every problem is reported, not only the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from rules.policy import kinds as k
from rules.policy.abilities import Manifests, beyond
from rules.policy.blueprint import contradictions
from rules.policy.distinct import indistinct
from rules.policy.keepable import unkeepable
from rules.policy.problems import Path, Problem, problem
from rules.policy.reading import Entry, nearest
from rules.policy.references import references
from rules.policy.sense import flaws
from rules.policy.taxed import unasked

Names = Mapping[str, Mapping[str, Entry]]
"""Kind -> name -> document."""

Lost = Set[tuple[str, str]]
"""Kind and name of documents that could not be read; empty where not even that could be."""


def lint(
    entries: Sequence[Entry],
    manifests: Manifests | None = None,
    unread: Iterable[Problem] = (),
    gone: Set[str] = frozenset(),
) -> list[Problem]:
    """Return everything that is wrong with these documents as a whole, in the order of their places.

    `unread` is what kept other documents from being read: what only follows from that is not told. `gone` are the
    usernames whose accounts are disabled.
    """
    lost = {(problem.kind if problem.kind in k.KINDS else "", problem.name) for problem in unread}
    names, problems = _by_name(entries)
    problems += [_problem(entry, *flaw) for entry in entries for flaw in flaws(_spec(entry))]
    for entry in entries:
        problems += _dangling(entry, names, lost)
    problems += _claimed_twice(entries)
    problems += [
        _problem(*flaw)
        for flaw in (
            *contradictions(entries),
            *unkeepable(entries, gone),
            *indistinct(entries),
            *unasked(entries),
        )
    ]
    if not any(kind in ("", "Mapping") for kind, _ in lost):
        problems += _nowhere(entries)
    if manifests is not None:
        documents = [entry.document for entry in entries]
        problems += [
            _problem(entry, *flaw) for entry in entries for flaw in beyond(entry.document, documents, manifests)
        ]
    return sorted(problems)


def _may_be_lost(kind: str, name: str, lost: Lost) -> bool:
    return not lost.isdisjoint({(kind, name), (kind, ""), ("", name), ("", "")})


def _spec(entry: Entry) -> k.Part:
    spec: k.Part = getattr(entry.document, "spec")  # noqa: B009 - each kind declares its own; the base has none
    return spec


def _problem(entry: Entry, path: Path, rule: str, remedy: str) -> Problem:
    return problem(entry.origin, entry.document.kind, entry.document.name, path, rule, remedy)


def _place(entry: Entry) -> str:
    line = entry.origin.place(("metadata", "name"))[0]
    return f"{entry.origin.file}:{line}" if entry.origin.file else "in the registry"


def _by_name(entries: Sequence[Entry]) -> tuple[Names, list[Problem]]:
    names: dict[str, dict[str, Entry]] = {}
    problems = []
    for entry in entries:
        known = names.setdefault(entry.document.kind, {})
        first = known.setdefault(entry.document.name, entry)
        if first is not entry:
            rule = f"there is a {entry.document.kind} of this name already ({_place(first)})"
            problems.append(_problem(entry, ("metadata", "name"), rule, "rename one of the two, or delete it"))
    return names, problems


def _dangling(entry: Entry, names: Names, lost: Lost) -> Iterator[Problem]:
    for reference in references(_spec(entry)):
        known = names.get(reference.kind, {})
        found = known.get(reference.name)
        if found is None and _may_be_lost(reference.kind, reference.name, lost):
            continue
        if found is None:
            rule = f"there is no {reference.kind} '{reference.name}'"
            yield _problem(entry, reference.path, rule, nearest(reference.name, known, f"{reference.kind} documents"))
        elif reference.roles and isinstance(found.document, k.System):
            role = found.document.spec.role
            wanted = " or ".join(sorted(reference.roles))
            if role not in reference.roles:
                rule = f"the System '{reference.name}' has the role {role}, and {wanted} is wanted here"
                yield _problem(entry, reference.path, rule, f"name a System whose role is {wanted}")


def _claimed_twice(entries: Sequence[Entry]) -> Iterator[Problem]:
    """One system of record per entity, one Mapping per system and entity, one AllocationRule per channel and location."""
    claims: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        for key, path, rule, remedy in _claims(entry.document):
            first = claims.setdefault(key, entry)
            if first.document is not entry.document and first.document.name != entry.document.name:
                other = f"{first.document.kind} '{first.document.name}', {_place(first)}"
                yield _problem(entry, path, f"{rule} ({other})", remedy)


def _claims(document: k.Document) -> Iterator[tuple[tuple[str, ...], Path, str, str]]:
    if isinstance(document, k.Domain):
        for entity in document.spec.entities:
            rule = f"'{entity}' has a system of record in another domain already"
            yield ("entity", entity), ("spec", "entities", entity), rule, "let one domain own it"
    elif isinstance(document, k.Mapping):
        rule = f"another Mapping translates '{document.spec.entity}' of '{document.spec.system}' already"
        key: tuple[str, ...] = ("mapping", document.spec.system, document.spec.entity)
        yield key, ("spec", "entity"), rule, "put the codes into one document"
    elif isinstance(document, k.AccountingRule):
        rule = f"another AccountingRule makes the entry '{document.spec.entry}' of {document.spec.on} already, and one would never post"
        key = ("accounting", document.spec.on, document.spec.entry)
        yield key, ("spec", "entry"), rule, "give it an entry of its own, or keep one of the two"
    elif isinstance(document, k.AllocationRule):
        for position, location in enumerate(document.spec.locations):
            rule = f"another AllocationRule decides about '{document.spec.channel}' at '{location}' already"
            key = ("allocation", document.spec.channel, location)
            yield key, ("spec", "locations", position), rule, "keep one of the two"


def _nowhere(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Locations that no Mapping translates to; a Mapping that is not strict lets every code pass, so nothing is told then."""
    mappings = [entry.document.spec for entry in entries if isinstance(entry.document, k.Mapping)]
    places = [spec for spec in mappings if spec.entity == "location"]
    if not places or not all(spec.strict for spec in places):
        return
    known = {ours for spec in places for ours in spec.codes.values()}
    for entry in entries:
        if isinstance(entry.document, (k.Comparison, k.AllocationRule)):
            for position, location in enumerate(entry.document.spec.locations):
                if location not in known:
                    rule = f"no Mapping of a location translates to '{location}'"
                    yield _problem(entry, ("spec", "locations", position), rule, nearest(location, known, "locations"))
