"""Say in plain words what is failing, from committed rows: the sentence that somebody who was woken up reads first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select

from controlplane.health.evaluation import Verdict
from controlplane.health.observations import newest
from controlplane.store import backlog
from controlplane.store import tables as t
from rules.outcomes import Result

FAILURES = (Result.UNAVAILABLE, Result.UNKNOWN, Result.REJECTED)
RECENT = timedelta(hours=1)
ABOUT_DRIFT = frozenset({"drift_findings", "drift_recent", "drift_age", "mismatch_rate"})
ABOUT_SETTINGS = "registry_drift"
ABOUT_QUARANTINE = frozenset({"failed_messages", "deliveries_given_up"})
JUST_NOW = timedelta(minutes=10)
SHOWN = 3


def explain(conn: Connection, verdict: Verdict, now: datetime) -> str:
    """Return the cause of a verdict; ends with the condition that was met and the values it saw."""
    if verdict.indicator in ABOUT_DRIFT:
        parts = _drift(conn, verdict.labels.get("comparison"), now)
    elif verdict.indicator == ABOUT_SETTINGS:
        parts = _settings(conn, verdict.labels.get("system"), now)
    elif verdict.indicator in ABOUT_QUARANTINE:
        parts = _quarantined(conn, verdict.labels.get("flow"), verdict.labels.get("owner"))
    else:
        parts = _systems(conn, verdict.labels.get("target") or verdict.labels.get("system"), now)
    return ". ".join([*parts, verdict.reason])


def _settings(conn: Connection, system: str | None, now: datetime) -> list[str]:
    """Name what differs, as the probe noted it."""
    seen = newest(conn, now - RECENT, ABOUT_SETTINGS)
    return [f"at {system}, {one.note}" for one in seen if one.note and one.value and one.labels.get("system") == system]


def failing_systems(conn: Connection) -> list[str]:
    """Return the systems whose last request failed."""
    s = t.system_state.c
    return list(conn.scalars(select(s.system).where(s.consecutive_failures > 0).order_by(s.system)))


def span(length: timedelta) -> str:
    """Write a length of time the way people say it."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _systems(conn: Connection, only: str | None, now: datetime) -> list[str]:
    query = select(t.system_state).order_by(t.system_state.c.system)
    rows = conn.execute(query if only is None else query.where(t.system_state.c.system == only)).all()
    waiting = _waiting(conn)
    sentences = [_stands(conn, row, waiting.get(row.system), now) for row in rows]
    told = [sentence for sentence in sentences if sentence]
    return told or _recent_failures(conn, only, now) or _longest_queue(waiting, only, now)


def _waiting(conn: Connection) -> dict[str, tuple[int, datetime]]:
    found: dict[str, tuple[int, datetime]] = {}
    for (target, _), owed in backlog.waiting(conn).items():
        count, oldest = found.get(target, (0, owed.oldest))
        found[target] = count + owed.number, min(oldest, owed.oldest)
    return found


def _stands(conn: Connection, row: Any, waiting: tuple[int, datetime] | None, now: datetime) -> str | None:
    owed = _owed(waiting, now)
    if row.paused_at:
        return f"deliveries to {row.system} are paused by an operator since {row.paused_at:%H:%M} UTC{owed}"
    if row.consecutive_failures:
        outcome, since = _failing_since(conn, row, now)
        return f"{row.system} answers {outcome} since {since:%H:%M} UTC ({row.last_error}){owed}"
    if row.blocked_until and row.blocked_until > now:
        return f"{row.system} asks us to wait until {row.blocked_until:%H:%M:%S} UTC ({row.blocked_reason}){owed}"
    return None


def _owed(waiting: tuple[int, datetime] | None, now: datetime) -> str:
    if waiting is None:
        return "; nothing waits for it"
    count, oldest = waiting
    noun = "delivery waits" if count == 1 else "deliveries wait"
    return f"; {count} {noun}, oldest {span(now - oldest)}"


def _failing_since(conn: Connection, row: Any, now: datetime) -> tuple[str, datetime]:
    """The first failed attempt after the last answer; without attempts the last error is all we know."""
    a = t.attempt.c
    after = row.last_ok_at or now - timedelta(days=1)
    failed = (
        select(a.outcome, a.started_at)
        .where(a.finished_at > after, a.system == row.system, a.outcome.in_(FAILURES))
        .order_by(a.finished_at)
        .limit(1)
    )
    first = conn.execute(failed).one_or_none()
    return (first.outcome, first.started_at) if first else ("unavailable", row.last_error_at or now)


def _recent_failures(conn: Connection, only: str | None, now: datetime) -> list[str]:
    a = t.attempt.c
    query = (
        select(a.system, a.outcome, func.count())
        .where(a.finished_at > now - RECENT, a.outcome.in_(FAILURES))
        .group_by(a.system, a.outcome)
        .order_by(func.count().desc())
    )
    if only is not None:
        query = query.where(a.system == only)
    return [
        f"{system} answered {outcome} {count} times in the last hour" for system, outcome, count in conn.execute(query)
    ]


def _longest_queue(waiting: dict[str, tuple[int, datetime]], only: str | None, now: datetime) -> list[str]:
    mine = {target: owed for target, owed in waiting.items() if only in (None, target)}
    if not mine:
        return []
    target = min(mine, key=lambda name: mine[name][1])
    return [f"{target} is owed{_owed(mine[target], now).removeprefix(';')}"]


def _drift(conn: Connection, comparison: str | None, now: datetime) -> list[str]:
    f = t.finding.c
    told = or_(f.state.in_(("open", "healing")), f.confirmed_at > now - JUST_NOW)
    query = select(f.subject, f.side, f.cause, f.explanation).where(told)
    if comparison is not None:
        query = query.where(f.comparison == comparison)
    rows = conn.execute(query.order_by(f.first_seen_at)).all()
    if not rows:
        return []
    kinds = Counter((row.cause, row.side) for row in rows)
    summary = ", ".join(f"{count} {cause.replace('_', ' ')} at {side}" for (cause, side), count in kinds.most_common())
    return [f"{_keys(rows)}: {summary}", *(row.explanation.rstrip(".") for row in rows[:1])]


def _keys(rows: Sequence[Any]) -> str:
    names = ", ".join(row.subject for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"drift on {names}{more}"


def _quarantined(conn: Connection, flow: str | None, owner: str | None) -> list[str]:
    q = t.quarantine.c
    query = select(q.flow, q.reason_code, func.count(), func.min(q.reason)).where(q.state.in_(("waiting", "corrected")))
    if flow is not None:
        query = query.where(q.flow == flow)
    if owner is not None:
        query = query.where(q.owner == owner)
    rows = conn.execute(query.group_by(q.flow, q.reason_code).order_by(func.count().desc())).all()
    return [f"{name}: {count} × {code} ({reason})" for name, code, count, reason in rows[:SHOWN]]
