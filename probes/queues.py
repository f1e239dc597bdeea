"""How much is owed and not finished, by target and flow, and for how long the oldest of it has been."""

from __future__ import annotations

from sqlalchemy import func, select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from probes.flows import OWED, pairs


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return depth and age for every pair that the registry knows, and for any other that is still owed something.

    The age runs from when the delivery came to be, not from its next try: backing off makes nothing younger.
    """
    now, d = ctx.clock.now(), t.delivery.c
    with ctx.store.read() as conn:
        owed = (
            select(d.target, d.flow, func.count(), func.min(d.created_at))
            .where(t.is_open, d.state.in_(OWED))
            .group_by(d.target, d.flow)
        )
        found = {(target, flow): (count, oldest) for target, flow, count, oldest in conn.execute(owed)}
    seen = []
    for target, flow in sorted({*found, *pairs(ctx.snapshot)}):
        labels = {"target": target, "flow": flow}
        count, oldest = found.get((target, flow), (0, now))
        seen.append(Observation("queue_depth", now, float(count), labels))
        seen.append(Observation("queue_age", now, max(0.0, (now - oldest).total_seconds()), labels))
    return seen
