"""Judge every service level, keep the verdict with the revision it was made under, and speak up when nothing is known."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select

from controlplane.health.evaluation.verdict import Verdict
from controlplane.health.evaluation.windows import counter
from controlplane.health.observations import last_at
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from rules.ids import new_id
from rules.policy.kinds import ServiceLevel, ServiceLevelSpec
from rules.slo import EPOCH, Judgement, Objective, State, Tier, judge, no_data_after, undecided


def judge_service_level(conn: Connection, snapshot: Snapshot, level: ServiceLevel, now: datetime) -> list[Verdict]:
    """Return two verdicts: that of the promise, and whether it has been unknown for too long."""
    spec, fired = level.spec, _fired(conn, level.name)
    count = counter(conn, spec.indicator, spec.labels, spec.slice)
    judgement = judge(
        objective(spec, _promised_since(conn, level.name)), count, now, last_at(conn, spec.indicator), fired
    )
    revision = snapshot.revision("ServiceLevel", level.name)
    return [_promise(level, judgement, revision), _no_data(conn, level, judgement, revision, now)]


def not_judged(conn: Connection, snapshot: Snapshot, level: ServiceLevel, now: datetime, reason: str) -> list[Verdict]:
    """Return the same two verdicts of a promise that could not be judged: unknown, and what was told before stays told."""
    judgement = undecided(objective(level.spec, EPOCH), now, reason, _fired(conn, level.name))
    revision = snapshot.revision("ServiceLevel", level.name)
    found = [_promise(level, judgement, revision), _no_data(conn, level, judgement, revision, now)]
    return [replace(verdict, broken=True) for verdict in found]


def _fired(conn: Connection, name: str) -> dict[int, bool]:
    before = _last_verdict(conn, name)
    return {position: bool(tier["firing"]) for position, tier in enumerate(before.tiers if before else ())}


def keep(conn: Connection, verdicts: list[Verdict], now: datetime) -> None:
    """Write a row for every service level that was judged."""
    rows = [_row(verdict, verdict.judgement, now) for verdict in verdicts if verdict.judgement]
    if rows:
        conn.execute(insert(t.verdict), rows)


def _promised_since(conn: Connection, name: str) -> datetime:
    revision = t.policy_revision.c
    mine = (revision.kind == "ServiceLevel", revision.name == name)
    found: datetime | None = conn.scalar(select(func.min(revision.valid_from)).where(*mine))
    return found or EPOCH


def objective(spec: ServiceLevelSpec, begins: datetime) -> Objective:
    """Return what a policy promises, in the terms of the arithmetic; `begins` is when it was first in force."""
    return Objective(
        target=spec.target,
        window=spec.window,
        slice=spec.slice,
        min_coverage=spec.min_coverage,
        min_bad=spec.min_bad,
        tiers=tuple(Tier(tier.severity, tier.long, tier.short, tier.factor) for tier in spec.tiers),
        begins=begins,
    )


def _last_verdict(conn: Connection, name: str) -> Any:
    v = t.verdict.c
    query = select(v.tiers, v.state).where(v.service_level == name).order_by(v.at.desc(), v.id.desc()).limit(1)
    return conn.execute(query).one_or_none()


def _promise(level: ServiceLevel, judgement: Judgement, revision: str) -> Verdict:
    spec = level.spec
    firing = judgement.firing
    urgent = any(tier.severity == "page" for tier in (firing or judgement.tiers))
    return Verdict(
        rule=f"service_level/{level.name}",
        fingerprint=f"service_level/{level.name}",
        indicator=spec.indicator,
        state=judgement.state,
        firing=None if judgement.frozen else bool(firing),
        severity="page" if urgent else "ticket",
        title=f"{level.metadata.title or level.name}: the error budget burns too fast",
        owner=spec.owner,
        escalation=spec.escalation,
        policy_revision=revision,
        reason=_burning(level, judgement) or judgement.reason,
        labels=dict(spec.labels),
        judgement=judgement,
    )


def _burning(level: ServiceLevel, judgement: Judgement) -> str:
    return "; ".join(
        f"[burn rate of {level.name} over {_hours(policy.long)} and {_hours(policy.short)}] "
        f"({tier.long_burn or 0:.1f} and {tier.short_burn or 0:.1f}) >= {tier.factor:g}"
        for policy, tier in zip(level.spec.tiers, judgement.tiers, strict=True)
        if tier.firing
    )


def _hours(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def _no_data(conn: Connection, level: ServiceLevel, judgement: Judgement, revision: str, now: datetime) -> Verdict:
    spec = level.spec
    unknown = judgement.state is State.UNKNOWN
    since = _unknown_since(conn, level.name) or now
    patience = no_data_after(spec.target)
    return Verdict(
        rule=f"service_level/{level.name}",
        fingerprint=f"service_level/{level.name}/no-data",
        indicator=spec.indicator,
        state=judgement.state,
        firing=unknown and now - since > patience,
        severity="page",
        title=f"{level.metadata.title or level.name}: no data",
        owner=spec.owner,
        escalation=spec.escalation,
        policy_revision=revision,
        reason=f"[unknown since {since:%H:%M} UTC] ({(now - since).total_seconds() / 60:.0f} min) > "
        f"{patience.total_seconds() / 60:.0f} min: {judgement.reason}",
        labels={**spec.labels, "about": "no-data"},
    )


def _unknown_since(conn: Connection, name: str) -> datetime | None:
    v = t.verdict.c
    known = select(v.at).where(v.service_level == name, v.state != State.UNKNOWN).order_by(v.at.desc()).limit(1)
    unknown = select(func.min(v.at)).where(v.service_level == name, v.state == State.UNKNOWN)
    last_known = conn.scalar(known)
    found: datetime | None = conn.scalar(unknown if last_known is None else unknown.where(v.at > last_known))
    return found


def _row(verdict: Verdict, judgement: Judgement, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(now),
        "service_level": verdict.rule.removeprefix("service_level/"),
        "at": now,
        "state": judgement.state,
        "attainment": judgement.attainment,
        "budget_left": judgement.budget_left,
        "coverage": judgement.coverage,
        "tiers": [asdict(tier) for tier in judgement.tiers],
        "policy_revision": verdict.policy_revision,
    }
