"""How much is owed and not finished, by target and flow, and for how long the oldest of it has been."""

from __future__ import annotations

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store.backlog import Waiting, waiting
from probes.flows import pairs


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return depth and age for every pair that the registry knows, and for any other that is still owed something.

    The age runs from when the delivery came to be, not from its next try: backing off makes nothing younger.
    """
    now = ctx.clock.now()
    with ctx.store.read() as conn:
        found = waiting(conn)
    seen = []
    for target, flow in sorted({*found, *pairs(ctx.snapshot)}):
        labels = {"target": target, "flow": flow}
        count, oldest = found.get((target, flow), Waiting(0, now))
        seen.append(Observation("queue_depth", now, float(count), labels))
        seen.append(Observation("queue_age", now, max(0.0, (now - oldest).total_seconds()), labels))
    return seen
