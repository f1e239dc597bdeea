"""Safety stock under two revisions: oversold units and money avoided, and sales missed for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
NOT_KNOWN = "sold while what was shown is not known"


def simulate(ground: Ground, before: Document | None, after: Document) -> Impact:
    """Let what the channel was offered and sold happen again, with other units kept back."""
    if not isinstance(after, AllocationRule):
        raise TypeError(after.kind)
    old, new = before.spec if isinstance(before, AllocationRule) else None, after.spec
    if old is None:
        return Impact(
            (), (), ["there is no revision in force to hold it against: the channel was never offered anything by it"]
        )
    sales, offers, strange = list(_sales(ground, old)), *_offers(ground, old)
    then, now = replay(offers, sales, _safety(old)), replay(offers, sales, _safety(new))
    rows = [_row(*key, then[key], one) for key, one in sorted(now.items()) if _differs(then[key], one)]
    return Impact(_figures(then, now), rows[:SHOWN], _untold(old, new, then, sales, strange, len(rows)))


def _safety(spec: AllocationRuleSpec) -> Safety:
    return Safety(spec.safety_stock, spec.per_sku, spec.buffer_share)


def _offers(ground: Ground, spec: AllocationRuleSpec) -> tuple[list[Offer], int]:
    """Read what the channel took, when it had taken it; and how many name no revision that there is."""
    d = t.delivery.c
    flows = [flow.name for flow in ground.snapshot.flows.values() if "stock.offer" in flow.spec.message_types]
    query = select(d.finished_at, d.payload).where(
        d.target == spec.channel, d.flow.in_(flows), d.state == DeliveryState.DELIVERED,
        d.finished_at >= ground.since, d.finished_at < ground.until,
    )  # fmt: skip
    rules, found, strange = _rules(ground), [], 0
    for at, payload in ground.conn.execute(query):
        if payload.get("location") in spec.locations:
            under = rules.get(str(payload.get("rule_revision")))
            strange += under is None
            found.append(
                Offer(
                    at, str(payload["sku"]), str(payload["location"]), int(payload["quantity"]), under or _safety(spec)
                )
            )
    return found, strange


def _rules(ground: Ground) -> dict[str, Safety]:
    """What each revision of each rule kept back: an offer was made under one of them."""
    c = t.policy_revision.c
    rows = ground.conn.execute(select(c.id, c.document).where(c.kind == "AllocationRule"))
    return {row.id: _safety(AllocationRule.model_validate(row.document).spec) for row in rows}


def _sales(ground: Ground, spec: AllocationRuleSpec) -> Iterator[Sale]:
    """Read the channel's order lines, each with what was known to be free when it was placed."""
    for line in placed(ground.conn, ground.since):
        if line.source == spec.channel and line.location in spec.locations and line.at < ground.until:
            yield Sale(line.at, line.sku, line.location, line.quantity, line.unit_price, line.currency, line.sellable)


def _figures(then: Effects, now: Effects) -> list[Figure]:
    """Units of all, and money in each currency by itself."""
    old, new = _sums(then), _sums(now)

    def units(sums: dict[str, Effect], *signed: tuple[str, int]) -> int:
        return sum(sign * int(getattr(one, name)) for one in sums.values() for name, sign in signed)

    left, missed, unknown = (("oversold", 1), ("avoided", -1)), ("missed", 1), ("unknown", 1)
    figures = [
        Figure("oversold units", "units", units(old, *left), units(new, *left)),
        Figure("units not sold for it", "units", units(old, missed), units(new, missed)),
        Figure(NOT_KNOWN, "order lines", units(old, unknown), units(new, unknown)),
    ]
    for currency, one in new.items():
        was = old[currency]
        figures.append(Figure("oversold worth", currency, *(float(each.left_money) for each in (was, one))))
        figures.append(Figure("sales missed for it", currency, *(float(each.missed_money) for each in (was, one))))
    return figures


def _sums(effects: Effects) -> dict[str, Effect]:
    """By currency, in its order."""
    sums: dict[str, Effect] = {}
    for (_, currency), one in sorted(effects.items(), key=lambda item: item[0][1]):
        sums.setdefault(currency, Effect()).join(one)
    return sums


def _differs(then: Effect, now: Effect) -> bool:
    return (then.avoided, then.missed) != (now.avoided, now.missed)


def _row(sku: str, currency: str, then: Effect, now: Effect) -> dict[str, Any]:
    return {
        "sku": sku, "currency": currency, "oversold": {"before": then.left, "after": now.left},
        "worth avoided": str(now.avoided_money - then.avoided_money), "units missed": now.missed - then.missed,
        "worth missed": str(now.missed_money - then.missed_money),
    }  # fmt: skip


def _untold(
    old: AllocationRuleSpec, new: AllocationRuleSpec, then: Effects, sales: Sequence[Sale], strange: int, listed: int
) -> list[str]:
    found = [
        "what customers would have bought beyond what was shown is in no history: with less kept back, sales gained are not told"
    ]
    if (old.channel, old.locations) != (new.channel, new.locations):
        found.append(
            "another channel, or other locations, are not replayed: the one that is in force is, with the units proposed"
        )
    skus = {sku for (sku, _), one in then.items() if one.unknown}
    if skus:
        lines = sum(one.unknown for one in then.values())
        found.append(
            f"{lines} of {len(sales)} order lines, of {len(skus)} SKUs, count as unaffected: nothing was offered before them in this "
            "stretch, so what the channel showed is not known"
        )
    if strange:
        found.append(f"{strange} offers name no revision that is known, and count as made under the one in force")
    unsure = sum(sale.sellable is None for sale in sales)
    if unsure:
        found.append(f"{unsure} order lines count as not oversold: their stock was not known when they were placed")
    if listed > SHOWN:
        found.append(f"{listed - SHOWN} more SKUs differ that are not listed")
    return found


SIMULATOR = Simulator(simulate, reads=("Flow",))
