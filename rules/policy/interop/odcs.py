"""A domain as a data contract: Open Data Contract Standard v3.1 (https://github.com/bitol-io/open-data-contract-standard)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from rules.policy import kinds as k
from rules.policy.interop.shape import Exported, Policies, given, seconds, title_of
from rules.policy.kinds import KEPT, format_duration

VERSION = "v3.1.0"


def contracts(policies: Policies) -> Iterator[Exported]:
    """Yield a contract for each Domain: its entities, what is promised of them, the team and its channel."""
    for name, domain in policies.of("Domain"):
        flows = [(own, flow) for own, flow in policies.of("Flow") if flow.spec.domain == name]
        yield Exported(
            f"{name}.odcs.yaml", (_contract(policies, name, domain, flows),), tuple(_lost(policies, domain, flows))
        )


def _contract(policies: Policies, name: str, domain: Any, flows: list[tuple[str, Any]]) -> dict[str, Any]:
    spec: k.DomainSpec = domain.spec
    return given(
        apiVersion=VERSION, kind="DataContract", id=f"trueup-domain-{name}", name=title_of(domain), version=f"{spec.model_version}.0.0",
        status="active", domain=name, description=given(purpose=domain.metadata.description),
        schema=[_entity(entity, owned) for entity, owned in sorted(spec.entities.items())],
        team=_team(policies, spec.owner), support=_support(policies, spec.owner),
        slaProperties=[*_domain_promises(spec), *_flow_promises(flows), *_comparison_promises(policies, spec)],
        customProperties=_custom(policy=f"Domain/{name}", failureHandling=spec.failure_handling, escalation=spec.escalation),
    )  # fmt: skip


def _custom(**values: Any) -> list[dict[str, Any]]:
    return [{"property": key, "value": value} for key, value in values.items() if value not in (None, "", [])]


def _entity(entity: str, owned: k.EntityOwnership) -> dict[str, Any]:
    fields = [
        {"name": field, "customProperties": _custom(systemOfRecord=system)}
        for field, system in sorted(owned.fields.items())
    ]
    return given(
        name=entity, logicalType="object", physicalType="message", properties=fields,
        customProperties=_custom(
            systemOfRecord=", ".join(owned.system_of_record),
            systemOfRecordByLocation=", ".join(f"{place}: {system}" for place, system in sorted(owned.locations.items())),
        ),
    )  # fmt: skip


def _team(policies: Policies, owner: str) -> dict[str, Any]:
    team = policies.get("Team", owner)
    members = [given(username=one.username, name=one.name) for one in team.spec.members] if team else []
    return given(
        name=owner,
        description=team.metadata.description or title_of(team) if team else "",
        members=members,
    )


def _support(policies: Policies, owner: str) -> list[dict[str, Any]]:
    team = policies.get("Team", owner)
    return [{"channel": team.spec.channel, "scope": "issues"}] if team and team.spec.channel else []


def _domain_promises(spec: k.DomainSpec) -> Iterator[dict[str, Any]]:
    yield _promise("latency", spec.latency, "every change of the domain is everywhere within this time")
    for what in ("raw", "attempts", "messages"):
        kept: timedelta = getattr(spec.retention, what)
        if kept < KEPT:
            days = {"property": "retention", "value": kept.days, "unit": "d", "driver": "regulatory"}
            yield days | {"description": f"{what} are kept for this long"}


def _flow_promises(flows: list[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    for name, flow in flows:
        yield _promise("latency", flow.spec.promise, f"flow {name}: accepted to delivered at most", name)
        if flow.spec.poll_every is not None:
            yield _promise("frequency", flow.spec.poll_every, f"flow {name}: the source is polled this often", name)


def _comparison_promises(policies: Policies, spec: k.DomainSpec) -> Iterator[dict[str, Any]]:
    found = policies.get("Comparison", spec.reconciliation) if spec.reconciliation else None
    if found is not None:
        text = f"comparison {spec.reconciliation}: the sides are held against each other this often"
        yield _promise("frequency", found.spec.every, text, spec.reconciliation or "")


def _promise(what: str, value: timedelta, text: str, element: str = "") -> dict[str, Any]:
    return given(property=what, value=seconds(value), unit="s", element=element, driver="operational", description=text)


def _lost(policies: Policies, domain: Any, flows: list[tuple[str, Any]]) -> Iterator[str]:
    yield "service levels with their burn-rate tiers: export them as OpenSLO"
    yield "who approved the revision and since when it is in force"
    if policies.get("Team", domain.spec.owner) is None:
        yield f"the members of the team '{domain.spec.owner}', which is no policy"
    for name, flow in flows:
        targets = ", ".join(f"{one.system} ({one.entity})" for one in flow.spec.targets)
        yield f"flow {name}: {flow.spec.source} to {targets or 'nobody'}, retried by '{flow.spec.retry}'"
    yield "what may be corrected of a record that waits, and what takes a second person (correction)"
    if domain.spec.retention.archive:
        yield "where what is over its time is archived (retention.archive)"
    if domain.metadata.labels:
        yield f"the labels {', '.join(sorted(domain.metadata.labels))}"
    if domain.spec.retention.messages >= KEPT:
        yield f"messages are kept for good ({format_duration(domain.spec.retention.messages)})"
