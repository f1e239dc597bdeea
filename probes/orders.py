"""Orders that customers wait for, and order lines that were accepted beyond the stock known at that moment."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from controlplane.sync.processes.placed import placed
from rules.orders import UNSHIPPED

BANDS = (
    ("0-4h", timedelta(hours=4)),
    ("4-24h", timedelta(hours=24)),
    ("1-2d", timedelta(days=2)),
    ("2-5d", timedelta(days=5)),
    ("over-5d", timedelta.max),
)
OVERSELL_WINDOW = timedelta(hours=1)


def backlog(ctx: ProbeContext) -> list[Observation]:
    """Return count and value of the orders with units not shipped, by age band."""
    now, order, line = ctx.clock.now(), t.order_state.c, t.order_line.c
    query = (
        select(order.ref, order.placed_at, order.currency, line.quantity, line.shipped, line.unit_price)
        .join(t.order_line, line.order_ref == order.ref)
        .where(order.state.in_(UNSHIPPED), line.quantity > line.shipped)
    )
    orders: dict[str, set[str]] = defaultdict(set)
    values: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    with ctx.store.read() as conn:
        for row in conn.execute(query):
            band = age_band(now - row.placed_at)
            orders[band].add(row.ref)
            values[band, row.currency] += (row.quantity - row.shipped) * row.unit_price
    return [
        *(Observation("order_backlog", now, float(len(orders[band])), {"band": band}) for band, _ in BANDS),
        *(
            Observation("order_backlog_value", now, float(value), {"band": band, "currency": currency})
            for (band, currency), value in sorted(values.items())
        ),
    ]


def age_band(age: timedelta) -> str:
    """Return the name of the age band."""
    return next(name for name, limit in BANDS if age < limit)


def oversell(ctx: ProbeContext) -> list[Observation]:
    """Return the lines above what was known sellable when they were accepted / lines accepted in the last hour.

    Sellable is the warehouse's available as it was known then, less the units of earlier orders that it did not have
    yet. A line whose stock was not known then is left out of both, and named in the note.
    """
    now = ctx.clock.now()
    with ctx.store.read() as conn:
        lines = list(placed(conn, now - OVERSELL_WINDOW))
    unknown = sum(line.sellable is None for line in lines)
    known = len(lines) - unknown
    over = sum(line.sellable is not None and line.quantity > line.sellable for line in lines)
    note = f"{unknown} lines left out: their stock was not known when they were accepted" if unknown else None
    if unknown and not known:
        return [Observation("oversell_rate", now, None, note=note)]
    rate = over / known if known else None
    return [Observation("oversell_rate", now, rate, good=known - over, total=known, note=note)]
