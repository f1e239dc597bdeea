"""Whether each channel shows the stock it was last offered."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, FromClause, exists, func, select

from controlplane.health.observations import Observation, ProbeContext, Promises
from controlplane.store import tables as t
from probes.flows import carrying, is_fresh, watermark
from rules.outcomes import DeliveryState

UNSETTLED = (
    DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN,
    DeliveryState.QUARANTINED, DeliveryState.STALE,
)  # fmt: skip
SETTLED = (DeliveryState.DELIVERED, DeliveryState.DROPPED)


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return good / total stock keys per channel, unknown while the warehouse is.

    A key is good when the channel has taken its last offer, or when everything offered since the last one that it took
    is younger than the threshold: an offer that was superseded unsent ages the key all the same.
    """
    now = ctx.clock.now()
    threshold = _threshold(ctx.snapshot)
    with ctx.store.read() as conn:
        silent = _silent_sources(ctx, conn, now)
        seen = []
        for channel, locations in _channels(ctx.snapshot).items():
            total = conn.scalar(
                select(func.count()).select_from(t.stock_position).where(t.stock_position.c.location.in_(locations))
            )
            late = _late_keys(conn, ctx.snapshot, channel, now - threshold) if total else 0
            seen.append(_observe(channel, now, total or 0, late, silent))
    return seen


def _observe(channel: str, now: datetime, total: int, late: int, silent: list[str]) -> Observation:
    labels = {"channel": channel}
    if silent:
        return Observation("stock_freshness", now, None, labels, note=f"nothing fresh is known of {', '.join(silent)}")
    if not total:
        return Observation("stock_freshness", now, None, labels, note="no stock position is known yet")
    good = max(0, total - late)
    return Observation("stock_freshness", now, good / total, labels, good, total)


def _threshold(snapshot: Promises) -> timedelta:
    """The strictest threshold a service level names, or else the strictest promise of the flows that carry offers."""
    named = [
        level.spec.threshold
        for level in snapshot.service_levels.values()
        if level.spec.indicator == "stock_freshness" and level.spec.threshold
    ]
    promised = [flow.spec.promise for flow in carrying(snapshot, "stock.offer")]
    return min(named or promised, default=timedelta(minutes=2))


def _channels(snapshot: Promises) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in snapshot.allocation_rules.values():
        found.setdefault(rule.spec.channel, set()).update(rule.spec.locations)
    return dict(sorted(found.items()))


def _silent_sources(ctx: ProbeContext, conn: Connection, now: datetime) -> list[str]:
    return sorted(
        {
            flow.spec.source
            for flow in carrying(ctx.snapshot, "stock.level")
            if not is_fresh(ctx.snapshot, flow, watermark(conn, ctx.snapshot, flow, now), now)
        }
    )


def _same_key(other: FromClause) -> tuple[ColumnElement[bool], ...]:
    d = t.delivery.c
    return (other.c.target == d.target, other.c.order_key == d.order_key, other.c.flow == d.flow)


def _late_keys(conn: Connection, snapshot: Promises, channel: str, before: datetime) -> int:
    """Count the keys whose newest offer is unsettled, and which were first offered something unsettled before the instant."""
    d, later, prior = t.delivery.c, t.delivery.alias("later"), t.delivery.alias("prior")
    flows = [flow.name for flow in carrying(snapshot, "stock.offer")]
    last_taken = (
        select(func.max(prior.c.id)).where(*_same_key(prior), prior.c.id < d.id, prior.c.state.in_(SETTLED))
    ).scalar_subquery()
    since = t.delivery.alias("since")
    offered_at = (
        select(func.min(since.c.created_at)).where(*_same_key(since), since.c.id > func.coalesce(last_taken, ""))
    ).scalar_subquery()
    query = select(func.count(d.order_key.distinct())).where(
        d.target == channel,
        d.flow.in_(flows),
        d.state.in_(UNSETTLED),
        ~exists().where(*_same_key(later), later.c.id > d.id),
        offered_at <= before,
    )
    return conn.scalar(query) or 0
