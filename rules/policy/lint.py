"""Lint across documents: names that lead nowhere, two that claim the same, promises that a target cannot keep.

Pure: what connectors can do is handed in. Every problem is reported, not only the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from rules.model.messages import STATE_LIKE
from rules.outcomes import Guarantee
from rules.policy import kinds as k
from rules.policy.problems import Path, Problem, problem
from rules.policy.reading import Entry, nearest
from rules.policy.references import references
from rules.policy.sense import flaws

Manifests = Mapping[str, Set[tuple[str, Guarantee]]]
"""Connector name -> what it writes: (entity, guarantee)."""

Names = Mapping[str, Mapping[str, Entry]]
"""Kind -> name -> document."""


def lint(entries: Sequence[Entry], manifests: Manifests | None = None) -> list[Problem]:
    """Return everything that is wrong with these documents as a whole, in the order of their places."""
    names, problems = _by_name(entries)
    for entry in entries:
        problems += [_problem(entry, *flaw) for flaw in flaws(_spec(entry))]
        problems += _dangling(entry, names)
    problems += _claimed_twice(entries)
    if manifests is not None:
        problems += _beyond_the_connectors(entries, names, manifests)
    return sorted(problems)


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


def _dangling(entry: Entry, names: Names) -> Iterator[Problem]:
    for reference in references(_spec(entry)):
        known = names.get(reference.kind, {})
        found = known.get(reference.name)
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
    elif isinstance(document, k.AllocationRule):
        for position, location in enumerate(document.spec.locations):
            rule = f"another AllocationRule decides about '{document.spec.channel}' at '{location}' already"
            key = ("allocation", document.spec.channel, location)
            yield key, ("spec", "locations", position), rule, "keep one of the two"


def _beyond_the_connectors(entries: Sequence[Entry], names: Names, manifests: Manifests) -> Iterator[Problem]:
    for entry in entries:
        document = entry.document
        if isinstance(document, k.System) and document.spec.connector not in manifests:
            rule = f"there is no connector plugin '{document.spec.connector}'"
            yield _problem(
                entry, ("spec", "connector"), rule, nearest(document.spec.connector, manifests, "connectors")
            )
        elif isinstance(document, k.Flow):
            for position, target in enumerate(document.spec.targets):
                yield from _target(entry, document.spec, position, target, names, manifests)


def _target(
    entry: Entry, spec: k.FlowSpec, position: int, target: k.FlowTarget, names: Names, manifests: Manifests
) -> Iterator[Problem]:
    system = names.get("System", {}).get(target.system)
    if system is None or not isinstance(system.document, k.System):
        return
    connector = system.document.spec.connector
    if connector not in manifests:
        return
    guarantees = {guarantee for entity, guarantee in manifests[connector] if entity == target.entity}
    path = ("spec", "targets", position, "entity")
    if not guarantees:
        rule = f"the connector '{connector}' does not write '{target.entity}'"
        written = sorted({entity for entity, _ in manifests[connector]})
        yield _problem(entry, path, rule, nearest(target.entity, written, "entities"))
    documents = [name for name in spec.message_types if name not in STATE_LIKE]
    if Guarantee.NONE in guarantees and documents and not target.accept_risk:
        rule = f"{target.system}/{target.entity} does not protect {documents[0]} from taking effect twice"
        yield _problem(entry, path, rule, "name the risk in 'accept_risk', or choose a target with a guarantee")
