"""The catalogue of what is in force, under headings: by domain, by owner or by kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from controlplane.registry import Snapshot
from rules.policy import kinds as k
from rules.policy.relaxing import data_owners, domains_of

By = Literal["domain", "owner", "kind"]
NOBODY, OWNERS, SHARED, NONE = "no owner", "several owners", "several domains", "no domain of its own"
FIRST = {"Domain": 0, "Flow": 1, "Comparison": 2}
"""Kinds that stand at the head of their group; the others follow by name."""


def about(entry: Mapping[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    """Return a policy of the catalogue with the domains that it speaks of, and the teams that own it or its data."""
    document = snapshot.documents.get((entry["kind"], entry["name"]))
    if document is None:
        return {**entry, "domains": (), "owners": ()}  # came into force a moment ago
    return {**entry, "domains": tuple(sorted(set(_domains(document, snapshot)))), "owners": _owners(document, snapshot)}


def _domains(document: k.Document, snapshot: Snapshot) -> Iterator[str]:
    if isinstance(document, k.Domain):
        yield document.name
    elif isinstance(document, k.System):
        names = {document.name}
        yield from (flow.spec.domain for flow in snapshot.flows.values() if names & _touched(flow))
    elif isinstance(document, k.ServiceLevel) and document.spec.labels.get("flow") in snapshot.flows:
        yield snapshot.flows[document.spec.labels["flow"]].spec.domain
    else:
        yield from domains_of(document, snapshot.documents)


def _touched(flow: k.Flow) -> set[str]:
    return {flow.spec.source, *(target.system for target in flow.spec.targets)}


def _owners(document: k.Document, snapshot: Snapshot) -> tuple[str, ...]:
    own = getattr(getattr(document, "spec", None), "owner", None)
    return (own,) if own else tuple(sorted(data_owners(document, snapshot.documents)))


def grouped(
    entries: Sequence[Mapping[str, Any]], by: By, wanted: str = ""
) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return (heading, policies) of those that hold every word that is wanted, headings and policies in order."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        if _holds(entry, wanted):
            groups.setdefault(_heading(entry, by), []).append(entry)
    rest = (SHARED, NONE, OWNERS, NOBODY)
    headings = sorted(groups, key=lambda one: (one in rest, one))
    return [(heading, sorted(groups[heading], key=_place)) for heading in headings]


def _place(entry: Mapping[str, Any]) -> tuple[int, str, str]:
    return FIRST.get(entry["kind"], len(FIRST)), entry["kind"], entry["name"]


def _holds(entry: Mapping[str, Any], wanted: str) -> bool:
    text = " ".join([entry["kind"], entry["name"], entry["title"], *entry["domains"], *entry["owners"]]).lower()
    return all(word in text for word in wanted.lower().split())


def _heading(entry: Mapping[str, Any], by: By) -> str:
    if by == "kind":
        return str(entry["kind"])
    if by == "owner":
        return _one(entry["owners"], OWNERS, NOBODY)
    return _one(entry["domains"], SHARED, NONE)


def _one(names: Sequence[str], several: str, none: str) -> str:
    return several if len(names) > 1 else names[0] if names else none
