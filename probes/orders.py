"""Orders that customers wait for, and order lines that were accepted beyond the stock known at that moment."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import tables as t
from rules.orders import UNSHIPPED

BANDS = (
    ("0-4h", timedelta(hours=4)),
    ("4-24h", timedelta(hours=24)),
    ("1-2d", timedelta(days=2)),
    ("2-5d", timedelta(days=5)),
    ("over-5d", timedelta.max),
)
OVERSELL_WINDOW = timedelta(hours=1)
IN_TRANSFER = timedelta(hours=1)
"""Earlier orders are looked at so far back for units that the warehouse did not know of yet."""


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
        lines = _lines(conn, now - OVERSELL_WINDOW - IN_TRANSFER)
    recent = [line for line in lines if line.placed_at > now - OVERSELL_WINDOW]
    unknown = sum(line.available is None for line in recent)
    known = len(recent) - unknown
    over = _count_oversold(lines, now - OVERSELL_WINDOW)
    note = f"{unknown} lines left out: their stock was not known when they were accepted" if unknown else None
    if unknown and not known:
        return [Observation("oversell_rate", now, None, note=note)]
    rate = over / known if known else None
    return [Observation("oversell_rate", now, rate, good=known - over, total=known, note=note)]


def _lines(conn: Connection, since: datetime) -> list[Any]:
    """Read order lines in the order they were accepted, each with the stock known at that moment."""
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
            order.placed_at, line.sku, line.location, line.quantity, line.warehouse_at,
            change.available, change.source_at,
        )
        .select_from(t.order_state.join(t.order_line, line.order_ref == order.ref))
        .outerjoin(t.stock_change, change.id == known)
        .where(order.placed_at > since)
        .order_by(order.placed_at, line.order_ref, line.line)
    )  # fmt: skip
    return list(conn.execute(query))


def _count_oversold(lines: list[Any], since: datetime) -> int:
    """A level that the warehouse told after it had taken an order has that order in it, and so has every later level."""
    unseen: dict[tuple[str, str], list[Any]] = defaultdict(list)
    over = 0
    for line in lines:
        mine = unseen[line.sku, line.location]
        if line.available is not None:
            mine[:] = [one for one in mine if one.warehouse_at is None or one.warehouse_at > line.source_at]
            if line.placed_at > since:
                over += line.quantity > line.available - sum(one.quantity for one in mine)
        mine.append(line)
    return over
