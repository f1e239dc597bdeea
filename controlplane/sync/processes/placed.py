"""Order lines as they were placed, each with the units that were known to be free at that moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from controlplane.store import tables as t

IN_TRANSFER = timedelta(hours=1)
"""Earlier orders are looked at so far back for units that the warehouse did not know of yet."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One line. `sellable`: the warehouse's available as it was known then, less the units of earlier orders that it did not
    have yet; below zero where more was sold already, None where its stock was not known then."""

    at: datetime
    source: str
    sku: str
    location: str
    quantity: int
    unit_price: Decimal
    currency: str
    sellable: int | None


def placed(conn: Connection, since: datetime) -> Iterator[Placed]:
    """Yield the lines that were placed after the instant, in their order. One query.

    A level that the warehouse told after it had taken an order has that order in it, and so has every later level.
    """
    unseen: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for line in conn.execute(_lines(since - IN_TRANSFER)):
        mine, sellable = unseen[line.sku, line.location], None
        if line.available is not None:
            mine[:] = [one for one in mine if one.warehouse_at is None or one.warehouse_at > line.source_at]
            sellable = line.available - sum(one.quantity for one in mine)
        mine.append(line)
        if line.placed_at > since:
            yield Placed(
                line.placed_at, line.source, line.sku, line.location, line.quantity, line.unit_price, line.currency,
                sellable,
            )  # fmt: skip


def _lines(since: datetime) -> Any:
    order, line, change = t.order_state.c, t.order_line.c, t.stock_change.c
    known = (
        select(change.id)
        .where(change.sku == line.sku, change.location == line.location, change.changed_at <= order.placed_at)
        .order_by(change.changed_at.desc(), change.id.desc())
        .limit(1)
        .correlate(t.order_line, t.order_state)
        .scalar_subquery()
    )
    return (
        select(
            order.placed_at, order.source, order.currency, line.sku, line.location, line.quantity, line.unit_price,
            line.warehouse_at, change.available, change.source_at,
        )
        .select_from(t.order_state.join(t.order_line, line.order_ref == order.ref))
        .outerjoin(t.stock_change, change.id == known)
        .where(order.placed_at > since)
        .order_by(order.placed_at, line.order_ref, line.line)
    )  # fmt: skip
