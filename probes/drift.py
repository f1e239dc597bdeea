"""What the comparisons found: the share of keys in drift, and the findings nobody has closed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from probes.flows import MISSED

UNCLOSED = ("open", "healing")
RECENT = timedelta(minutes=10)
"""A finding that was confirmed within this time is news, whether or not it has been healed since; and one that moved."""


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return all per comparison. Without a recent complete run the rate is unknown, and no finding is not health."""
    now = ctx.clock.now()
    seen = []
    with ctx.store.read() as conn:
        for name, comparison in sorted(ctx.snapshot.comparisons.items()):
            run = _last_complete(conn, name)
            fresh = run is not None and now - run.finished_at <= MISSED * comparison.spec.every
            rate = run.drift / run.compared if run is not None and fresh and run.compared else None
            readings = {"mismatch_rate": rate} | _findings(conn, name, now, fresh)
            note = None if fresh else "no complete comparison of late"
            seen += [Observation(what, now, value, {"comparison": name}, note=note) for what, value in readings.items()]
    return seen


def _findings(conn: Connection, comparison: str, now: datetime, fresh: bool) -> dict[str, float | None]:
    f = t.finding.c
    mine = select(func.count(), func.min(f.confirmed_at)).where(f.comparison == comparison)
    unclosed, since = conn.execute(mine.where(f.state.in_(UNCLOSED))).one()
    recent, _ = conn.execute(
        mine.where(or_(f.confirmed_at > now - RECENT, and_(f.state == "open", f.changed_at > now - RECENT)))
    ).one()
    age = (now - since).total_seconds() if since else 0.0
    return {
        "drift_findings": float(unclosed) if unclosed or fresh else None,
        "drift_recent": float(recent) if recent or fresh else None,
        "drift_age": age if unclosed or fresh else None,
    }


def _last_complete(conn: Connection, comparison: str) -> Any:
    run = t.comparison_run.c
    query = select(run["keys"].label("compared"), run.drift, run.finished_at).where(
        run.comparison == comparison, run.state == "complete"
    )
    return conn.execute(query.order_by(run.finished_at.desc()).limit(1)).one_or_none()
