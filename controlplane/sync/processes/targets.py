"""What the ledger says each target shows, and every effect that made it so, with the interval in which it happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, insert, select

from controlplane.store import tables as t
from controlplane.store.direct import Change, Prepared
from controlplane.store.types import micros
from controlplane.store.upsert import upsert
from controlplane.sync.ledger import Message
from controlplane.sync.processes.contract import Work

STOCK_SIGN = {"item_fulfillment": -1, "item_receipt": 1, "inventory_adjustment": 1, "cash_sale": -1}
"""How the books of an ERP move with a document: units times this."""
_V = t.target_level.c
_LEVEL = Prepared(
    select(t.target_level).where(
        _V.system == bindparam("system"), _V.field == bindparam("field"), _V.sku == bindparam("sku"),
        _V.location == bindparam("location"),
    )
)  # fmt: skip
_LINE, _ORDER = t.order_line.c, t.order_state.c
_SOLD_AFTER = Prepared(
    select(func.coalesce(func.sum(_LINE.quantity), 0).label("units"))
    .join(t.order_state, _ORDER.ref == _LINE.order_ref)
    .where(
        _ORDER.source == bindparam("system"), _LINE.sku == bindparam("sku"), _LINE.location == bindparam("location"),
        _ORDER.placed_at > bindparam("as_of", type_=BigInteger),
    )
)  # fmt: skip
_EFFECT = Change(
    insert(t.target_effect).inline(),
    ("system", "field", "sku", "location", "value", "delta", "earliest", "latest", "cause", "cause_id"),
)


def level(work: Work, system: str, field: str, sku: str, location: str) -> Any:
    """Return the row of `target_level`, or None while nothing is known of it."""
    return next(iter(_LEVEL.rows(work.connection, system=system, field=field, sku=sku, location=location)), None)


def sold(work: Work, message: Message, sku: str, location: str, quantity: int, placed_at: datetime) -> None:
    """A channel's own order took units from what it shows, unless the level was read after the order."""
    known = level(work, message.source, "available", sku, location)
    if known is None or placed_at <= known.as_of:
        return
    move(
        work, (message.source, "available", sku, location), -quantity,
        earliest=min(placed_at, message.accepted_at), latest=message.accepted_at, cause="event", cause_id=message.id,
    )  # fmt: skip


def move(
    work: Work,
    key: tuple[str, str, str, str],
    delta: int,
    *,
    earliest: datetime,
    latest: datetime,
    cause: str,
    cause_id: str,
) -> None:
    """Change what a target shows (system, field, sku, location) by `delta`; does nothing while its level is unknown."""
    known = level(work, *key)
    if known is None or delta == 0:
        return
    place(work, key, known.value + delta, known.as_of, delta, earliest, latest, cause, cause_id)


def anchor(
    work: Work, key: tuple[str, str, str, str], shown: int, as_of: datetime, read_at: datetime, cause_id: str
) -> None:
    """Set what a target shows to what was read from it.

    `as_of` is the target's own change time of what it showed: orders placed later are not in it, and those that we
    know of already are taken off here.
    """
    known = level(work, *key)
    value = shown - _sold_after(work, key, as_of)
    delta = value - known.value if known else 0
    place(work, key, value, as_of, delta, read_at, read_at, "read", cause_id)


def _sold_after(work: Work, key: tuple[str, str, str, str], as_of: datetime) -> int:
    system, field, sku, location = key
    if field != "available":
        return 0
    [sold] = _SOLD_AFTER.rows(work.connection, system=system, sku=sku, location=location, as_of=micros(as_of))
    return int(sold.units)


def place(
    work: Work,
    key: tuple[str, str, str, str],
    value: int,
    as_of: datetime,
    delta: int,
    earliest: datetime,
    latest: datetime,
    cause: str,
    cause_id: str,
) -> None:
    """Write level and effect together."""
    system, field, sku, location = key
    row = {"system": system, "field": field, "sku": sku, "location": location, "value": value}
    upsert(work.connection, t.target_level, row | {"as_of": as_of, "updated_at": work.clock.now()})
    effect = row | {"delta": delta, "earliest": earliest, "latest": latest, "cause": cause, "cause_id": cause_id}
    _EFFECT.run(work.connection, effect)
