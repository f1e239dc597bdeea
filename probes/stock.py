"""Whether each channel shows the stock it was last offered."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, TextClause, exists, func, select, text
from sqlalchemy.sql.selectable import NamedFromClause

from controlplane.health.observations import Observation, ProbeContext
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from probes.flows import carrying, is_fresh, watermark
from rules.outcomes import DeliveryState

_UNSETTLED = t.UNSETTLED.replace("coalesce AND state", "delivery.coalesce AND delivery.state")
"""In the words of its index."""
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


def _threshold(snapshot: Snapshot) -> timedelta:
    """The strictest threshold a service level names, or else the strictest promise of the flows that carry offers."""
    named = [
        level.spec.threshold
        for level in snapshot.service_levels.values()
        if level.spec.indicator == "stock_freshness" and level.spec.threshold
    ]
    promised = [flow.spec.promise for flow in carrying(snapshot, "stock.offer")]
    return min(named or promised, default=timedelta(minutes=2))


def _channels(snapshot: Snapshot) -> dict[str, set[str]]:
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


def _same_key(other: NamedFromClause) -> tuple[ColumnElement[bool] | TextClause, ...]:
    d = t.delivery.c
    return (other.c.target == d.target, other.c.order_key == d.order_key, text(f"{other.name}.coalesce"))


def _late_keys(conn: Connection, snapshot: Snapshot, channel: str, before: datetime) -> int:
    """Count the keys whose newest offer is unsettled, and which were first offered something unsettled before the instant.

    Each step is a seek in the index of state-like deliveries over target, order key and id: ids are in the order of their making.
    """
    d, later, prior, since = t.delivery.c, *(t.delivery.alias(name) for name in ("later", "prior", "since"))
    flows = [flow.name for flow in carrying(snapshot, "stock.offer")]
    last_taken = select(prior.c.id).where(*_same_key(prior), prior.c.state.in_(SETTLED)).correlate(t.delivery)
    taken = func.coalesce(last_taken.order_by(prior.c.id.desc()).limit(1).scalar_subquery(), "")
    first_since = select(since.c.created_at).where(*_same_key(since), since.c.id > taken).correlate(t.delivery)
    query = select(func.count(d.order_key.distinct())).where(
        d.target == channel,
        d.flow.in_(flows),
        text(_UNSETTLED),
        ~exists().where(*_same_key(later), later.c.id > d.id),
        first_since.order_by(since.c.id).limit(1).scalar_subquery() <= before,
    )
    return conn.scalar(query) or 0
