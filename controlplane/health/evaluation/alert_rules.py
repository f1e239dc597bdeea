"""Hold the newest observations against the alert rules, with hold and hysteresis.

One verdict per rule and system: a rule that holds for six flows of a system is one incident that names six flows. A rule
`per_owner` makes one for each owner of the flows instead, because each has to be told of what is theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, select

from controlplane.health.evaluation.verdict import Verdict
from controlplane.health.observations import NEWEST_WITHIN, Newest, newest
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from rules.policy.kinds import AlertRule

MARGIN = timedelta(minutes=2)
SHOWN = 5
"""So many series are named in a reason; the others are counted."""

Reading = Literal["firing", "pending", "clear", "unknown"]


@dataclass(frozen=True, slots=True)
class _Read:
    """One series as the rule sees it."""

    seen: Newest
    reading: Reading


def readings(conn: Connection, snapshot: Snapshot, now: datetime) -> dict[str, list[Newest]]:
    """Return the newest observations of every indicator that a rule reads."""
    indicators = {rule.spec.indicator for rule in snapshot.alert_rules.values()}
    return {name: newest(conn, now - NEWEST_WITHIN, name) for name in indicators}


def judge_alert_rule(
    conn: Connection, snapshot: Snapshot, rule: AlertRule, seen: Sequence[Newest], already_open: Collection[str]
) -> list[Verdict]:
    """Return a verdict per system; `already_open` are the fingerprints of which people have been told."""
    matching, verdicts = [one for one in seen if _matches(rule, one)], []
    for system, owner in sorted({(_system(one), _owner(snapshot, rule, one)) for one in matching}):
        mine = (system, owner)
        members = [one for one in matching if (_system(one), _owner(snapshot, rule, one)) == mine]
        fingerprint = "/".join(
            part for part in ("alert_rule", rule.name, system, owner if owner != rule.spec.owner else "") if part
        )
        read = [_Read(one, _read(conn, rule, one, fingerprint in already_open)) for one in members]
        verdict = _verdict(rule, fingerprint, system, read, snapshot.revision("AlertRule", rule.name))
        if rule.spec.per_owner:
            verdict = replace(verdict, owner=owner, labels={**verdict.labels, "owner": owner})
        verdicts.append(verdict)
    return verdicts


def not_read(snapshot: Snapshot, rule: AlertRule, reason: str) -> list[Verdict]:
    """Return the verdict of a rule that could not be judged: unknown, and what was told before stays told."""
    spec, name = rule.spec, f"alert_rule/{rule.name}"
    return [
        Verdict(
            name, name, spec.indicator, "unknown", None, spec.severity, spec.title, spec.owner, spec.escalation,
            snapshot.revision("AlertRule", rule.name), reason, broken=True,
        )
    ]  # fmt: skip


def _owner(snapshot: Snapshot, rule: AlertRule, seen: Newest) -> str:
    flow = snapshot.flows.get(seen.labels.get("flow", "")) if rule.spec.per_owner else None
    return flow.spec.owner if flow else rule.spec.owner


def _matches(rule: AlertRule, seen: Newest) -> bool:
    return all(seen.labels.get(key) == value for key, value in rule.spec.labels.items())


def _system(seen: Newest) -> str:
    return seen.labels.get("target") or seen.labels.get("system") or ""


def _read(conn: Connection, rule: AlertRule, seen: Newest, told: bool) -> Reading:
    if seen.value is None:
        return "clear" if seen.total == 0 else "unknown"
    if seen.value > rule.spec.above:
        return "firing" if told or _held(conn, rule, seen) else "pending"
    return "firing" if told and seen.value > rule.spec.clear_at else "clear"


def _held(conn: Connection, rule: AlertRule, seen: Newest) -> bool:
    """Say whether the series has been above without a break for as long as the rule holds."""
    if not rule.spec.hold:
        return True
    s = t.sample.c
    query = (
        select(s.at, s.value)
        .where(s.indicator == seen.indicator, s.series == seen.series)
        .where(s.at >= seen.at - rule.spec.hold - MARGIN, s.at <= seen.at)
        .order_by(s.at.desc())
    )
    since = seen.at
    for at, value in conn.execute(query):
        if value is None or value <= rule.spec.above:
            break
        since = at
    return seen.at - since >= rule.spec.hold


def _verdict(rule: AlertRule, fingerprint: str, system: str, read: Sequence[_Read], revision: str) -> Verdict:
    spec = rule.spec
    readings = {one.reading for one in read}
    state = next(state for state in ("firing", "pending", "unknown", "clear") if state in readings)
    return Verdict(
        rule=f"alert_rule/{rule.name}",
        fingerprint=fingerprint,
        indicator=spec.indicator,
        state=state,
        firing=True if state == "firing" else None if "unknown" in readings else False,
        severity=spec.severity,
        title=f"{spec.title} ({system})" if system else spec.title,
        owner=spec.owner,
        escalation=spec.escalation,
        policy_revision=revision,
        reason=_reason(rule, [one for one in read if one.reading == state]),
        labels=_common_labels([one.seen for one in read if one.reading == state]),
    )


def _reason(rule: AlertRule, shown: Sequence[_Read]) -> str:
    spec = rule.spec
    sign = {"firing": ">", "pending": ">", "clear": "<=", "unknown": "?"}[shown[0].reading]
    limit = spec.above if sign != ">" or (shown[0].seen.value or 0) > spec.above else spec.clear_at
    parts = [
        f"[{spec.indicator} {one.seen.series}".rstrip() + f"] ({_figure(one.seen)}) {sign} {limit:g}"
        for one in shown[:SHOWN]
    ]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return "; ".join(parts) + more


def _figure(seen: Newest) -> str:
    if seen.value is None:
        return seen.note or ("nothing to judge" if seen.total == 0 else "unknown")
    return f"{seen.value:g}"


def _common_labels(members: Sequence[Newest]) -> dict[str, str]:
    """The labels on which all of the series agree."""
    first, *others = members
    return {k: v for k, v in first.labels.items() if all(other.labels.get(k) == v for other in others)}
