"""What the plane says of itself at the end, read from its committed rows into the judge's plain values."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from controlplane.registry import Snapshot
from controlplane.scenarios.judge.facts import Case, FindingFact, IncidentFact, PlaneFacts, Promises, RunFact
from controlplane.store import tables as t
from controlplane.wiring import Plane
from rules.policy.kinds import Comparison

KIND = "inventory"
OUTAGE = "api_down"
"""Indicator of the incident that explains what targets the system."""


def gather(plane: Plane, pages: Sequence[Mapping[str, Any]]) -> PlaneFacts:
    """Read everything the judge wants to know. `pages`: what the incident tool was told."""
    snapshot = plane.registry.snapshot()
    with plane.store.read() as connection:
        return PlaneFacts(
            accepted=_accepted(connection),
            cases=_cases(connection),
            findings=_findings(connection),
            incidents=_incidents(connection, pages),
            indeterminate=_indeterminate(connection),
            promises=promises(snapshot),
            runs=_runs(connection),
        )


def comparison(snapshot: Snapshot) -> Comparison:
    """Return the comparison that watches over stock."""
    return next(policy for policy in snapshot.comparisons.values() if policy.spec.kind == KIND)


def promises(snapshot: Snapshot) -> Promises:
    """Return what the policies in force promise."""
    spec = comparison(snapshot).spec
    flows = {kind: flow.spec.promise for flow in snapshot.flows.values() for kind in flow.spec.message_types}
    rules = snapshot.accounting_rules.values()
    entries = tuple(rule.spec.entry for rule in rules if rule.spec.on == "shipment.shipped")
    return Promises(spec.every, spec.promise, flows, entries, tuple(spec.locations))


def _accepted(connection: Connection) -> int:
    query = select(func.count()).select_from(t.message).where(t.message.c.source != "plane")
    return int(connection.execute(query).scalar_one())


def _cases(connection: Connection) -> list[Case]:
    rows = connection.execute(select(t.quarantine).order_by(t.quarantine.c.id))
    return [Case(row.subject, json.dumps(row.record, default=str), row.reason, row.state) for row in rows]


def _findings(connection: Connection) -> list[FindingFact]:
    f = t.finding.c
    rows = connection.execute(select(t.finding).where(f.confirmed_at.is_not(None)).order_by(f.confirmed_at, f.id))
    return [
        FindingFact(
            row.id, row.subject, row.side, row.cause, row.state, row.confirmed_at, row.closed_at,
            row.explanation,
        )
        for row in rows
    ]  # fmt: skip


def _indeterminate(connection: Connection) -> int:
    c = t.comparison_run.c
    complete = select(c.indeterminate).where(c.state == "complete").order_by(c.finished_at.desc()).limit(1)
    return int(connection.execute(complete).scalar() or 0)


def _runs(connection: Connection) -> list[RunFact]:
    c = t.comparison_run.c
    rows = connection.execute(select(t.comparison_run).where(c.state == "complete").order_by(c.started_at))
    return [RunFact(row.started_at, row.finished_at, row.keys, row.indeterminate) for row in rows]


def _incidents(connection: Connection, pages: Sequence[Mapping[str, Any]]) -> list[IncidentFact]:
    told: dict[str, set[str]] = defaultdict(set)
    for page in pages:
        told[page["body"]["payload"]["custom_details"]["incident"]].add(page["event_action"])
    rows = connection.execute(select(t.incident).order_by(t.incident.c.id)).all()
    return [
        IncidentFact(
            row.id, row.rule, row.labels, row.state, row.title, row.opened_at, row.resolved_at,
            frozenset(told[row.id]), inhibited=_inhibited(row, rows),
        )
        for row in rows
    ]  # fmt: skip


def _inhibited(row: Row[Any], rows: Sequence[Row[Any]]) -> bool:
    """Whether an outage of the very system was open while this incident was."""
    system = _system(row)
    return bool(system) and any(
        other.id != row.id
        and other.labels.get("indicator") == OUTAGE
        and _system(other) == system
        and (other.resolved_at is None or other.resolved_at >= row.opened_at)
        for other in rows
    )


def _system(row: Row[Any]) -> str:
    return str(row.labels.get("target") or row.labels.get("system") or "")
