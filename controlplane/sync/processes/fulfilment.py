"""Orders: what was placed, shipped and returned, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.sync.ledger import Message
from controlplane.sync.processes.contract import BusinessRuleError, Process, Work
from rules.model.messages import OrderPlaced, ReturnReceived, ShipmentShipped, StockLine
from rules.orders import LineProgress, order_state

LIMIT = {"shipped": "quantity", "returned": "shipped"}
"""What cannot be exceeded by what."""


def apply(work: Work, message: Message) -> list[Draft]:
    """Keep the order's lines up to date; nothing follows from it."""
    data = message.data
    if isinstance(data, OrderPlaced):
        _place(work, message, data)
    elif isinstance(data, ShipmentShipped):
        _progress(work, data.order_ref, data.lines, "shipped")
    elif isinstance(data, ReturnReceived):
        _progress(work, data.order_ref, data.lines, "returned")
    return []


def _place(work: Work, message: Message, order: OrderPlaced) -> None:
    work.connection.execute(
        insert(t.order_state).values(
            ref=order.ref, source=message.source, native_id=order.native_id, state="pending_validation",
            location=order.lines[0].location, placed_at=order.placed_at, value=order.value,
            currency=order.currency, updated_at=work.clock.now(), message_id=message.id,
        )
    )  # fmt: skip
    rows = [
        {
            "order_ref": order.ref, "line": line.line, "sku": line.sku, "location": line.location,
            "quantity": line.quantity, "unit_price": line.unit_price, "shipped": 0, "returned": 0,
        }
        for line in order.lines
    ]  # fmt: skip
    work.connection.execute(insert(t.order_line), rows)


def _progress(work: Work, ref: str, moved: tuple[StockLine, ...], field: str) -> None:
    lines = _lines(work, ref)
    if not lines:
        raise BusinessRuleError(
            "unknown_order",
            f"order {ref} is not known here, and something of it was {field}",
            "find the order at its source, take it in (poll or replay), then replay this record",
            ref,
        )
    for sku, quantity in _by_sku(moved).items():
        left = _advance(work, [line for line in lines if line.sku == sku], field, quantity)
        if left:
            raise BusinessRuleError(
                f"more_{field}_than_{LIMIT[field]}",
                f"{left} units of {sku} beyond what order {ref} allows were {field}",
                "correct the quantity, or find the missing document",
                sku,
            )
    refresh_state(work, ref)


def _lines(work: Work, ref: str) -> Sequence[Row[Any]]:
    query = select(t.order_line).where(t.order_line.c.order_ref == ref).order_by(t.order_line.c.line)
    return work.connection.execute(query).all()


def _by_sku(moved: tuple[StockLine, ...]) -> Counter[str]:
    found: Counter[str] = Counter()
    for item in moved:
        found[item.sku] += item.quantity
    return found


def _advance(work: Work, lines: Sequence[Row[Any]], field: str, quantity: int) -> int:
    """Spread the units over the order's lines; return how many found no place."""
    for line in lines:
        take = min(quantity, getattr(line, LIMIT[field]) - getattr(line, field))
        if take > 0:
            where = (t.order_line.c.order_ref == line.order_ref, t.order_line.c.line == line.line)
            work.connection.execute(update(t.order_line).where(*where).values({field: getattr(line, field) + take}))
            quantity -= take
    return quantity


def refresh_state(work: Work, ref: str) -> None:
    """Derive the order's state from its lines anew."""
    lines = _lines(work, ref)
    state = order_state(
        [LineProgress(line.quantity, line.shipped, line.returned) for line in lines],
        released=all(line.warehouse_at is not None for line in lines),
    )
    values = {"state": state, "updated_at": work.clock.now()}
    work.connection.execute(update(t.order_state).where(t.order_state.c.ref == ref).values(**values))


process = Process(frozenset({"order.placed", "shipment.shipped", "return.received"}), apply, stage=10)
