"""How long it takes until the shop shows what the warehouse shipped; what it does not show yet counts at its present age."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select, union_all

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from probes.flows import carrying

WINDOW = timedelta(hours=1)


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return p50 and p95 per shop over the last hour; unknown when nothing was shipped in it."""
    now = ctx.clock.now()
    d, m = t.delivery.c, t.message.c
    flows = [flow.name for flow in carrying(ctx.snapshot, "shipment.shipped")]
    shops = sorted(
        target.system
        for flow in carrying(ctx.snapshot, "shipment.shipped")
        for target in flow.spec.targets
        if ctx.snapshot.systems[target.system].spec.role in ("shop", "marketplace")
    )
    query = (
        select(d.target, m.occurred_at, d.finished_at)
        .join(t.message, m.id == d.message_id)
        .where(d.flow.in_(flows), d.target.in_(shops))
    )
    waiting_now = query.where(t.is_open)
    shown = query.where(d.state == "delivered", d.finished_at > now - WINDOW)
    with ctx.store.read() as conn:
        rows = conn.execute(union_all(waiting_now, shown)).all()
    seen = []
    for shop in shops:
        mine = [row for row in rows if row.target == shop]
        ages = sorted(((row.finished_at or now) - row.occurred_at).total_seconds() for row in mine)
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            labels = {"target": shop, "quantile": name}
            seen.append(Observation("shipment_update_delay", now, quantile(ages, share), labels))
        waiting = sum(row.finished_at is None for row in mine)
        seen.append(Observation("shipments_not_shown", now, float(waiting), {"target": shop}))
    return seen


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank quantile of sorted values; None without any."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
