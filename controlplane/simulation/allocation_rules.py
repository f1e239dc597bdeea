"""Safety stock under two revisions: oversold units and money avoided, and sales missed for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from controlplane.registry.simulation import Figure, Ground, Impact, Simulator
from controlplane.store import tables as t
from rules.outcomes import DeliveryState
from rules.policy.kinds import AllocationRule, AllocationRuleSpec, Document
from rules.simulation.safety import Effect, Offer, Safety, Sale, replay

SHOWN = 200
"""SKUs that are listed one by one."""


def simulate(ground: Ground, before: Document | None, after: Document) -> Impact:
    """Let what the channel was offered and sold happen again, with other units kept back."""
    if not isinstance(after, AllocationRule):
        raise TypeError(after.kind)
    old, new = before.spec if isinstance(before, AllocationRule) else None, after.spec
    if old is None:
        return Impact(
            (), (), ["there is no revision in force to hold it against: the channel was never offered anything by it"]
        )
    sales = list(_sales(ground, old))
    effects = replay(list(_offers(ground, old)), sales, _safety(old), _safety(new))
    whole = _whole(effects)
    figures = [
        Figure("oversold units", "units", whole.oversold, whole.oversold - whole.avoided),
        Figure(
            "oversold worth", "money", float(whole.oversold_money), float(whole.oversold_money - whole.avoided_money)
        ),
        Figure("units not sold for it", "units", 0, whole.missed),
        Figure("sales missed for it", "money", 0, float(whole.missed_money)),
    ]
    rows = [_row(sku, one) for sku, one in sorted(effects.items()) if one.avoided or one.missed]
    unknown = sum(sale.sellable is None for sale in sales)
    return Impact(figures, rows[:SHOWN], _untold(old, new, unknown, len(rows)))


def _safety(spec: AllocationRuleSpec) -> Safety:
    return Safety(spec.safety_stock, spec.per_sku, spec.buffer_share)


def _offers(ground: Ground, spec: AllocationRuleSpec) -> Iterator[Offer]:
    """Read what the channel took, when it had taken it."""
    d = t.delivery.c
    flows = [flow.name for flow in ground.snapshot.flows.values() if "stock.offer" in flow.spec.message_types]
    query = select(d.finished_at, d.payload).where(
        d.target == spec.channel, d.flow.in_(flows), d.state == DeliveryState.DELIVERED,
        d.finished_at >= ground.since, d.finished_at < ground.until,
    )  # fmt: skip
    for at, payload in ground.conn.execute(query):
        if payload.get("location") in spec.locations:
            yield Offer(at, str(payload["sku"]), str(payload["location"]), int(payload["quantity"]))


def _sales(ground: Ground, spec: AllocationRuleSpec) -> Iterator[Sale]:
    """Read the channel's order lines, each with what was known to be free when it was placed, as the oversell rate counts it."""
    unseen: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for line in _lines(ground, spec):
        mine = unseen[line.sku, line.location]
        sellable = None
        if line.available is not None:
            mine[:] = [one for one in mine if one.warehouse_at is None or one.warehouse_at > line.source_at]
            sellable = line.available - sum(one.quantity for one in mine)
        mine.append(line)
        if line.source == spec.channel:
            price = Decimal(line.unit_price)
            yield Sale(line.placed_at, line.sku, line.location, line.quantity, price, sellable)


def _lines(ground: Ground, spec: AllocationRuleSpec) -> list[Any]:
    order, line, change = t.order_state.c, t.order_line.c, t.stock_change.c
    known = (
        select(change.id)
        .where(change.sku == line.sku, change.location == line.location, change.changed_at <= order.placed_at)
        .order_by(change.changed_at.desc(), change.id.desc())
        .limit(1)
        .correlate(t.order_line, t.order_state)
        .scalar_subquery()
    )
    query = (
        select(
            order.placed_at, order.source, line.sku, line.location, line.quantity, line.unit_price, line.warehouse_at,
            change.available, change.source_at,
        )
        .select_from(t.order_state.join(t.order_line, line.order_ref == order.ref))
        .outerjoin(t.stock_change, change.id == known)
        .where(order.placed_at >= ground.since, order.placed_at < ground.until, line.location.in_(spec.locations))
        .order_by(order.placed_at, line.order_ref, line.line)
    )  # fmt: skip
    return list(ground.conn.execute(query))


def _whole(effects: dict[str, Effect]) -> Effect:
    found = Effect()
    for one in effects.values():
        for name in Effect.__slots__:
            setattr(found, name, getattr(found, name) + getattr(one, name))
    return found


def _row(sku: str, one: Effect) -> dict[str, Any]:
    return {
        "sku": sku, "oversold": {"before": one.oversold, "after": one.oversold - one.avoided},
        "worth avoided": str(one.avoided_money), "units missed": one.missed, "worth missed": str(one.missed_money),
    }  # fmt: skip


def _untold(old: AllocationRuleSpec, new: AllocationRuleSpec, unknown: int, listed: int) -> list[str]:
    found = [
        "what customers would have bought beyond what was shown is in no history: with less kept back, sales gained are not told"
    ]
    if (old.channel, old.locations) != (new.channel, new.locations):
        found.append(
            "another channel, or other locations, are not replayed: the one that is in force is, with the units proposed"
        )
    if unknown:
        found.append(f"{unknown} order lines count as not oversold: their stock was not known when they were placed")
    if listed > SHOWN:
        found.append(f"{listed - SHOWN} more SKUs differ that are not listed")
    return found


SIMULATOR = Simulator(simulate, reads=("Flow",))
