"""What the comparisons found: the share of keys in drift, and the findings nobody has closed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from probes.flows import MISSED, counted

UNCLOSED = ("open", "healing")


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return both per comparison. The rate is unknown without a recent complete run; no finding is health only with one."""
    now, f = ctx.clock.now(), t.finding.c
    seen = []
    with ctx.store.read() as conn:
        query = select(f.comparison, func.count()).where(f.state.in_(UNCLOSED)).group_by(f.comparison)
        found = counted(conn, query)
        for name, comparison in sorted(ctx.snapshot.comparisons.items()):
            labels = {"comparison": name}
            run = _last_complete(conn, name)
            fresh = run is not None and now - run.finished_at <= MISSED * comparison.spec.every
            rate = run.drift / run.compared if run is not None and fresh and run.compared else None
            note = None if fresh else "no complete comparison of late"
            count = found.get(name, 0)
            seen.append(Observation("mismatch_rate", now, rate, labels, note=note))
            seen.append(Observation("drift_findings", now, float(count) if count or fresh else None, labels, note=note))
    return seen


def _last_complete(conn: Connection, comparison: str) -> Any:
    run = t.comparison_run.c
    query = select(run["keys"].label("compared"), run.drift, run.finished_at).where(
        run.comparison == comparison, run.state == "complete"
    )
    return conn.execute(query.order_by(run.finished_at.desc()).limit(1)).one_or_none()
