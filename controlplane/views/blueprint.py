"""The blueprint of a domain, put together from the policies that make it: who is right, how fast, what happens otherwise, who is called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from controlplane.errors import NotFoundError
from controlplane.registry import Snapshot
from rules.policy import kinds as k


@dataclass(frozen=True, slots=True)
class Right:
    """Which system is right about an entity, or a field of it, and where."""

    entity: str
    field: str
    """Empty: the entity, but for the fields that are told of."""
    system: str
    locations: tuple[str, ...]
    """Those that the blueprint gives it; else of ours, that its codes translate to; empty where it has no codes for locations."""


@dataclass(frozen=True, slots=True)
class Way:
    """A flow of the domain with its promise."""

    name: str
    source: str
    targets: tuple[str, ...]
    """As system (entity)."""
    method: str
    promise: timedelta
    retry: str
    owner: str


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A domain as people who govern it read it."""

    domain: k.Domain
    rights: tuple[Right, ...]
    ways: tuple[Way, ...]
    owner: k.Team | None
    comparison: k.Comparison | None
    escalation: k.EscalationPath | None


def blueprint(snapshot: Snapshot, name: str) -> Blueprint:
    """Put the blueprint of a domain together. Raises NotFoundError."""
    domain = snapshot.domains.get(name)
    if domain is None:
        raise NotFoundError(f"there is no Domain '{name}'; there are: {', '.join(sorted(snapshot.domains))}")
    spec = domain.spec
    return Blueprint(
        domain, _rights(snapshot, domain), _ways(snapshot, name), snapshot.teams.get(spec.owner),
        snapshot.comparisons.get(spec.reconciliation or ""), snapshot.escalation_paths.get(spec.escalation),
    )  # fmt: skip


def _rights(snapshot: Snapshot, domain: k.Domain) -> tuple[Right, ...]:
    found = []
    for entity, owned in domain.spec.entities.items():
        for system in owned.system_of_record:
            apart = tuple(place for place in locations_of(snapshot, system) if place not in owned.locations)
            found.append(Right(entity, "", system, apart))
        for system in dict.fromkeys(owned.locations.values()):
            here = tuple(sorted(place for place, of in owned.locations.items() if of == system))
            found.append(Right(entity, "", system, here))
        found += [
            Right(entity, field, system, locations_of(snapshot, system)) for field, system in owned.fields.items()
        ]
    return tuple(found)


def locations_of(snapshot: Snapshot, system: str) -> tuple[str, ...]:
    """Return our names of the locations that a system speaks of."""
    spec = snapshot.mapping_codes(system).get("location")
    return tuple(sorted(set(spec.codes.values()))) if spec else ()


def _ways(snapshot: Snapshot, domain: str) -> tuple[Way, ...]:
    return tuple(
        Way(
            flow.name, flow.spec.source, tuple(f"{one.system} ({one.entity})" for one in flow.spec.targets),
            flow.spec.method, flow.spec.promise, flow.spec.retry, flow.spec.owner,
        )
        for flow in snapshot.flows.values()
        if flow.spec.domain == domain
    )  # fmt: skip
