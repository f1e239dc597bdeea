"""Safety stock under two revisions: oversold units and money avoided, and sales missed for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from controlplane.registry.simulation import Figure, Ground, Impact, Simulator
from controlplane.store import tables as t
from controlplane.sync.processes.placed import placed
from rules.outcomes import DeliveryState
from rules.policy.kinds import AllocationRule, AllocationRuleSpec, Document
from rules.simulation.safety import Effect, Effects, Offer, Safety, Sale, replay

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
    rows = [_row(*key, one) for key, one in sorted(effects.items()) if one.avoided or one.missed]
    unknown = sum(sale.sellable is None for sale in sales)
    return Impact(_figures(effects), rows[:SHOWN], _untold(old, new, unknown, len(rows)))


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
    """Read the channel's order lines, each with what was known to be free when it was placed."""
    for line in placed(ground.conn, ground.since):
        if line.source == spec.channel and line.location in spec.locations and line.at < ground.until:
            yield Sale(line.at, line.sku, line.location, line.quantity, line.unit_price, line.currency, line.sellable)


def _figures(effects: Effects) -> list[Figure]:
    """Units of all, and money in each currency by itself."""
    sums: dict[str, Effect] = {}
    for (_, currency), one in sorted(effects.items(), key=lambda item: item[0][1]):
        sums.setdefault(currency, Effect()).join(one)
    oversold, avoided, missed = (
        sum(getattr(one, name) for one in sums.values()) for name in ("oversold", "avoided", "missed")
    )
    figures = [
        Figure("oversold units", "units", oversold, oversold - avoided),
        Figure("units not sold for it", "units", 0, missed),
    ]
    for currency, one in sums.items():
        left = one.oversold_money - one.avoided_money
        figures.append(Figure("oversold worth", currency, float(one.oversold_money), float(left)))
        figures.append(Figure("sales missed for it", currency, 0, float(one.missed_money)))
    return figures


def _row(sku: str, currency: str, one: Effect) -> dict[str, Any]:
    return {
        "sku": sku, "currency": currency, "oversold": {"before": one.oversold, "after": one.oversold - one.avoided},
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
