"""Which part of which kind names another document, and what that document must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rules.indicators import INDICATORS
from rules.policy import kinds as k
from rules.policy.problems import Path

CHANNEL_ROLES = frozenset({"shop", "marketplace", "till"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a document that names another document."""

    path: Path
    kind: str
    name: str
    roles: frozenset[str] = frozenset()
    """For a System: the roles it may have here; empty means any."""


def _system(spec: k.SystemSpec) -> Iterator[Reference]:
    yield Reference(("spec", "owner"), "Team", spec.owner)


def _domain(spec: k.DomainSpec) -> Iterator[Reference]:
    yield Reference(("spec", "owner"), "Team", spec.owner)
    yield Reference(("spec", "escalation"), "EscalationPath", spec.escalation)
    if spec.reconciliation is not None:
        yield Reference(("spec", "reconciliation"), "Comparison", spec.reconciliation)
    for entity, ownership in spec.entities.items():
        for system in ownership.system_of_record:
            yield Reference(("spec", "entities", entity, "system_of_record"), "System", system)
        for part in ("locations", "fields"):
            for key, system in getattr(ownership, part).items():
                yield Reference(("spec", "entities", entity, part, key), "System", system)


def _flow(spec: k.FlowSpec) -> Iterator[Reference]:
    yield Reference(("spec", "domain"), "Domain", spec.domain)
    yield Reference(("spec", "owner"), "Team", spec.owner)
    yield Reference(("spec", "retry"), "RetryPolicy", spec.retry)
    if spec.source != "plane":
        yield Reference(("spec", "source"), "System", spec.source)
    for position, target in enumerate(spec.targets):
        yield Reference(("spec", "targets", position, "system"), "System", target.system)
        if target.retry is not None:
            yield Reference(("spec", "targets", position, "retry"), "RetryPolicy", target.retry)


def _mapping(spec: k.MappingSpec) -> Iterator[Reference]:
    yield Reference(("spec", "system"), "System", spec.system)


def _labels(spec: k.ServiceLevelSpec | k.AlertRuleSpec) -> Iterator[Reference]:
    known = INDICATORS[spec.indicator].labels if spec.indicator in INDICATORS else {}
    for label, value in spec.labels.items():
        if known.get(label):
            yield Reference(("spec", "labels", label), known[label], value)


def _service_level(spec: k.ServiceLevelSpec) -> Iterator[Reference]:
    yield from _labels(spec)
    yield Reference(("spec", "owner"), "Team", spec.owner)
    yield Reference(("spec", "escalation"), "EscalationPath", spec.escalation)


def _escalation(spec: k.EscalationPathSpec) -> Iterator[Reference]:
    for position, step in enumerate(spec.steps):
        yield Reference(("spec", "steps", position, "team"), "Team", step.team)
        yield Reference(("spec", "steps", position, "system"), "System", step.system, frozenset({"incident"}))


def _comparison(spec: k.ComparisonSpec) -> Iterator[Reference]:
    yield Reference(("spec", "domain"), "Domain", spec.domain)
    yield Reference(("spec", "owner"), "Team", spec.owner)
    for position, side in enumerate(spec.sides):
        yield Reference(("spec", "sides", position, "system"), "System", side.system)
    if spec.heal.calendar is not None:
        yield Reference(("spec", "heal", "calendar"), "Calendar", spec.heal.calendar)


def _allocation(spec: k.AllocationRuleSpec) -> Iterator[Reference]:
    yield Reference(("spec", "channel"), "System", spec.channel, CHANNEL_ROLES)


def _accounting(spec: k.AccountingRuleSpec) -> Iterator[Reference]:
    yield Reference(("spec", "owner"), "Team", spec.owner)
    yield Reference(("spec", "calendar"), "Calendar", spec.calendar)
    if spec.tax is not None:
        yield Reference(("spec", "tax", "system"), "System", spec.tax.system)


def _alert(spec: k.AlertRuleSpec) -> Iterator[Reference]:
    yield from _labels(spec)
    yield Reference(("spec", "owner"), "Team", spec.owner)
    yield Reference(("spec", "escalation"), "EscalationPath", spec.escalation)


FINDERS: Mapping[type[k.Part], Callable[..., Iterator[Reference]]] = {
    k.SystemSpec: _system,
    k.DomainSpec: _domain,
    k.FlowSpec: _flow,
    k.MappingSpec: _mapping,
    k.ServiceLevelSpec: _service_level,
    k.EscalationPathSpec: _escalation,
    k.ComparisonSpec: _comparison,
    k.AllocationRuleSpec: _allocation,
    k.AccountingRuleSpec: _accounting,
    k.AlertRuleSpec: _alert,
}


def references(spec: k.Part) -> list[Reference]:
    """Return every name in the spec that means another document."""
    finder = FINDERS.get(type(spec))
    return list(finder(spec)) if finder else []
