"""What came of the attempts since the last observation: retries, and the share of writes that took effect.

Only attempts that finished `SETTLE` ago are counted, because a row may be committed after one with a later time; what
is counted once is never counted again. Attempts that prove nothing about the target's health count neither way:
`throttled` (it asked us to wait), `stale` (it refused what was out of date, as it should), what is queued at the target, and
read-backs (they look into a write that was counted).
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, select

from controlplane.connectors.outcomes import AWAITED
from controlplane.health.observations import Observation, ProbeContext, last_at
from controlplane.store import tables as t
from probes.flows import counted
from rules.outcomes import DONE, Result

SETTLE = timedelta(seconds=5)
FIRST_LOOK = timedelta(minutes=1)
LOOK_BACK = timedelta(minutes=5)
"""After a longer pause the attempts before it are left out: the gap is unknown, it is not put into one minute."""
OVERDUE = timedelta(seconds=60)
"""Due for so long and not tried, with nothing that holds it back: nobody is at work."""
BAD = frozenset({Result.UNAVAILABLE, Result.REJECTED, Result.UNKNOWN})


def retries(ctx: ProbeContext) -> list[Observation]:
    """Return the attempts beyond the first, by target."""
    until = ctx.clock.now() - SETTLE
    a = t.attempt.c
    with ctx.store.read() as conn:
        since = _since(conn, "retries", until)
        query = (
            select(a.system, func.count())
            .where(a.finished_at > since, a.finished_at <= until, a.number > 1)
            .group_by(a.system)
        )
        found = counted(conn, query)
    return [
        Observation("retries", until, float(found.get(target, 0)), {"target": target})
        for target in sorted({*found, *_targets(ctx)})
    ]


def delivery_success(ctx: ProbeContext) -> list[Observation]:
    """Return good / total writes by target.

    Without a write: 0 of 0 where nothing is due or an operator paused the target; 0 of 1 where the target failed last
    and what is due waits out its pause, for a failing target is not well between two tries; unknown where something
    is overdue and nothing holds it back.
    """
    now = ctx.clock.now()
    until = now - SETTLE
    with ctx.store.read() as conn:
        counts = _outcomes(conn, _since(conn, "delivery_success", until), until)
        idle = [target for target in sorted({*counts, *_targets(ctx)}) if not _judged(counts.get(target))]
        quiet = {target: _without_writes(conn, target, until, now) for target in idle}
    judged = sorted({*counts, *_targets(ctx)} - _told(ctx))
    return [quiet.get(target) or _share(target, until, counts[target]) for target in judged]


def _since(conn: Connection, indicator: str, until: datetime) -> datetime:
    last = last_at(conn, indicator)
    return until - FIRST_LOOK if last is None else max(last, until - LOOK_BACK)


def _targets(ctx: ProbeContext) -> set[str]:
    return {target.system for flow in ctx.snapshot.flows.values() for target in flow.spec.targets}


def _told(ctx: ProbeContext) -> set[str]:
    """Incident tools: what they do not take must not raise the incidents that they are told of."""
    return {name for name, system in ctx.snapshot.systems.items() if system.spec.role == "incident"}


def _outcomes(conn: Connection, since: datetime, until: datetime) -> dict[str, Counter[str]]:
    a = t.attempt.c
    query = (
        select(a.system, a.outcome, func.count())
        .where(a.finished_at > since, a.finished_at <= until, a.kind == "write", ~_queued())
        .group_by(a.system, a.outcome)
    )
    found: dict[str, Counter[str]] = {}
    for system, outcome, count in conn.execute(query):
        found.setdefault(system, Counter())[outcome] += count
    return found


def _queued() -> ColumnElement[bool]:
    """What the target took and has yet to carry out: its answer is still to come."""
    a = t.attempt.c
    told = func.coalesce(cast(a.evidence, Text), "").contains(f'"{AWAITED}"', autoescape=True)
    return and_(a.outcome == Result.UNKNOWN, told)


def _judged(counts: Counter[str] | None) -> int:
    return sum(count for outcome, count in (counts or {}).items() if outcome in DONE or outcome in BAD)


def _share(target: str, at: datetime, counts: Counter[str]) -> Observation:
    total = _judged(counts)
    good = sum(count for outcome, count in counts.items() if outcome in DONE)
    return Observation("delivery_success", at, good / total, {"target": target}, good, total)


def _without_writes(conn: Connection, target: str, at: datetime, now: datetime) -> Observation:
    labels = {"target": target}
    state = conn.execute(select(t.system_state).where(t.system_state.c.system == target)).one_or_none()
    if state and state.paused_at:
        return Observation("delivery_success", at, None, labels, 0, 0, "paused by an operator")
    oldest = _oldest_due(conn, target)
    if oldest is not None and state and state.consecutive_failures:
        return Observation("delivery_success", at, 0.0, labels, 0, 1, f"waits out failures: {state.last_error}")
    if oldest is None or oldest > now - OVERDUE or (state and state.blocked_until and state.blocked_until > now):
        return Observation("delivery_success", at, None, labels, 0, 0, "nothing is due")
    return Observation("delivery_success", at, None, labels, note=f"overdue since {oldest:%H:%M:%S} UTC, and not tried")


def _oldest_due(conn: Connection, target: str) -> datetime | None:
    """When the first of what can be sent fell due, or was when it was claimed; each part by the index of its own."""
    d = t.delivery.c
    parts = (t.is_ready, t.among(d.state, "sending"))
    found = [conn.scalar(select(func.min(d.due_at)).where(d.target == target, part)) for part in parts]
    return min((due for due in found if due is not None), default=None)
