"""What waits in quarantine for a person."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from controlplane.store.backlog import quarantined
from probes.flows import counted

WAITING = ("waiting", "corrected")


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return the cases per flow, and the deliveries among them per target; zero where the registry has a flow and none waits."""
    now, q = ctx.clock.now(), t.quarantine.c
    deliveries: Counter[str] = Counter()
    with ctx.store.read() as conn:
        cases = counted(conn, select(q.flow, func.count()).where(q.state.in_(WAITING)).group_by(q.flow))
        for (target, _), count in quarantined(conn).items():
            deliveries[target] += count
    targets = {target.system for flow in ctx.snapshot.flows.values() for target in flow.spec.targets}
    return [
        *(
            Observation("failed_messages", now, float(cases.get(flow, 0)), {"flow": flow})
            for flow in sorted({*cases, *ctx.snapshot.flows})
        ),
        *(
            Observation("deliveries_given_up", now, float(deliveries.get(target, 0)), {"target": target})
            for target in sorted({*deliveries, *targets})
        ),
    ]
