"""Service levels as OpenSLO v1 (https://github.com/OpenSLO/OpenSLO), over the plane's own metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from rules.policy import kinds as k
from rules.policy.interop.shape import ANNOTATION, Exported, Policies, given, title_of
from rules.policy.kinds import format_duration

VERSION = "openslo/v1"
SOURCE = "trueup"
LONGEST = 63
"""Characters of a name (RFC 1123); a policy's own may have as many, and what is made of it gets an ending."""
UNITS = (("w", timedelta(weeks=1)), ("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))


def service_levels(policies: Policies) -> Iterator[Exported]:
    """Yield a file for each ServiceLevel, and one of what they refer to: the data source and the services, which are its owners."""
    levels = list(policies.of("ServiceLevel"))
    if levels:
        owners = sorted({level.spec.owner for _, level in levels})
        yield Exported("common.yaml", (_source(), *(_service(policies, owner) for owner in owners)))
    for name, level in levels:
        yield Exported(f"{name}.yaml", tuple(_documents(policies, name, level)), tuple(_lost(level.spec)))


def _head(kind: str, name: str, title: str = "", **annotations: str) -> dict[str, Any]:
    told = {f"{ANNOTATION}/{key.replace('_', '-')}": value for key, value in annotations.items() if value}
    return {"apiVersion": VERSION, "kind": kind, "metadata": given(name=name, displayName=title, annotations=told)}


def _source() -> dict[str, Any]:
    described = {
        "description": "Prometheus that scrapes the plane's /metrics",
        "type": "Prometheus",
        "connectionDetails": {},
    }
    return _head("DataSource", SOURCE, "Trueup") | {"spec": described}


def _service(policies: Policies, owner: str) -> dict[str, Any]:
    team = policies.get("Team", owner)
    text = team.metadata.description if team else ""
    head = _head("Service", owner, title_of(team) if team else "", policy=f"Team/{owner}")
    return head | {"spec": given(description=text or f"What {owner} answers for")}


def _documents(policies: Policies, name: str, level: Any) -> Iterator[dict[str, Any]]:
    spec: k.ServiceLevelSpec = level.spec
    tiers = [(fitting(f"{name}-{number}"), tier) for number, tier in enumerate(spec.tiers, 1)]
    head = _head("SLO", name, title_of(level), policy=f"ServiceLevel/{name}", owner=spec.owner,
                 min_coverage=str(spec.min_coverage), min_bad=str(spec.min_bad))  # fmt: skip
    yield head | {
        "spec": given(
            description=level.metadata.description, service=spec.owner,
            indicator={"metadata": {"name": fitting(f"{name}-indicator")}, "spec": _indicator(spec)},
            timeWindow=[{"duration": _shorthand(spec.window), "isRolling": True}],
            budgetingMethod=_method(spec), objectives=[_objective(spec)], alertPolicies=[found for found, _ in tiers],
        )
    }  # fmt: skip
    targets = _notified(policies, spec.escalation)
    for found, tier in tiers:
        yield _policy(name, found, [str(target["metadata"]["name"]) for target in targets])
        yield _condition(found, tier)
    yield from targets


def fitting(name: str) -> str:
    """Return a name that is no longer than OpenSLO takes: a piece of its hash keeps two of them apart."""
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _method(spec: k.ServiceLevelSpec) -> str:
    """Deliveries are counted one by one; stock is looked at slice by slice, each with its share of keys that are fresh."""
    return "Occurrences" if spec.indicator == "delivery_success" else "RatioTimeslices"


def _objective(spec: k.ServiceLevelSpec) -> dict[str, Any]:
    sliced = {"timeSliceWindow": _shorthand(spec.slice)} if _method(spec) != "Occurrences" else {}
    return {"displayName": f"{spec.target:.3%} over {format_duration(spec.window)}", "target": spec.target, **sliced}


def _indicator(spec: k.ServiceLevelSpec) -> dict[str, Any]:
    labels = ",".join(f'{key}="{value}"' for key, value in sorted(spec.labels.items()))
    query = f"trueup_{spec.indicator}_ratio{'{' + labels + '}' if labels else ''}"
    raw = {"metricSource": {"metricSourceRef": SOURCE, "type": "Prometheus", "spec": {"query": query}}}
    return {"ratioMetric": {"counter": False, "rawType": "success", "raw": raw}}


def _policy(name: str, own: str, targets: list[str]) -> dict[str, Any]:
    return _head("AlertPolicy", own, policy=f"ServiceLevel/{name}") | {
        "spec": given(
            alertWhenNoData=False, alertWhenResolved=True, alertWhenBreaching=True,
            conditions=[{"conditionRef": fitting(f"{own}-condition")}],
            notificationTargets=[{"targetRef": target} for target in targets],
        )
    }  # fmt: skip


def _condition(own: str, tier: k.BurnTier) -> dict[str, Any]:
    burn = {"kind": "burnrate", "op": "gte", "threshold": tier.factor, "lookbackWindow": _shorthand(tier.long)}
    head = _head("AlertCondition", fitting(f"{own}-condition"), short_window=format_duration(tier.short))
    return head | {"spec": {"severity": tier.severity, "condition": burn}}


def _notified(policies: Policies, path: str) -> list[dict[str, Any]]:
    """The systems of the path's first steps: those that are told at once."""
    found = policies.get("EscalationPath", path)
    if found is None:
        return []
    told: dict[str, list[str]] = {}
    for step in found.spec.steps:
        if step.after == found.spec.steps[0].after:
            told.setdefault(step.system, []).append(step.team)
    return [
        _head(
            "AlertNotificationTarget",
            fitting(f"{path}-{system}"),
            policy=f"EscalationPath/{path}",
            team=", ".join(teams),
        )
        | {"spec": {"description": f"{' and '.join(teams)}, by {system}", "target": system}}
        for system, teams in told.items()
    ]


def _shorthand(duration: timedelta) -> str:
    """Return OpenSLO's duration shorthand: one whole number and a unit, minutes at the smallest."""
    for unit, size in UNITS:
        if duration >= size and not duration % size:
            return f"{duration // size}{unit}"
    return f"{max(1, round(duration / UNITS[-1][1]))}m"


def _lost(spec: k.ServiceLevelSpec) -> Iterator[str]:
    yield "a tier fires only while its short window burns too; OpenSLO v1 has one window for a condition (annotation short-window)"
    yield f"below a coverage of {spec.min_coverage:g} the verdict freezes, and fewer than {spec.min_bad} bad never fire (annotations)"
    yield f"the owner '{spec.owner}' (annotation), since when the revision is in force, who approved it"
    yield f"the later steps of the escalation path '{spec.escalation}'"
    if spec.threshold is not None:
        yield f"the threshold of {format_duration(spec.threshold)} that tells fresh from stale: it is in the metric already"
    if spec.slice % timedelta(minutes=1):
        yield f"a slice of {format_duration(spec.slice)}: the shorthand knows whole minutes"
