"""Stock: positions that keep on hand, allocated, available and in transit apart, and what each channel may offer.

A channel's `available` is known without asking: it is what we last wrote or read, less the orders taken in since.
That expectation goes with each write, so that a write computed from anything else is refused (compare and set).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, and_, func, insert, or_, select

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.store.upsert import upsert
from controlplane.sync.ledger import Message
from controlplane.sync.processes import ownership, targets
from controlplane.sync.processes.contract import OutdatedError, Process, Work
from rules.availability import available_to_sell
from rules.model.messages import OrderPlaced, StockLevel, StockOffer, stock_key
from rules.outcomes import DeliveryState
from rules.policy.kinds import AllocationRule

WAITING = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN)


def apply(work: Work, message: Message) -> list[Draft]:
    """Update positions and channel levels; return the offers that changed by it."""
    data = message.data
    if isinstance(data, StockLevel):
        _position(work, message, data)
        return offers(work, [(data.sku, data.location)], message.id)
    order: OrderPlaced = data
    keys = sorted({(line.sku, line.location) for line in order.lines})
    for line in order.lines:
        targets.sold(work, message, line.sku, line.location, line.quantity, order.placed_at)
    return offers(work, keys, message.id)


def _position(work: Work, message: Message, level: StockLevel) -> None:
    where = (t.stock_position.c.sku == level.sku, t.stock_position.c.location == level.location)
    known = work.connection.execute(select(t.stock_position).where(*where)).one_or_none()
    if known and known.source == message.source and known.source_at > level.source_at:
        raise OutdatedError
    in_transit = level.in_transit if level.in_transit >= 0 else (known.in_transit if known else 0)
    row = level.model_dump() | {"in_transit": in_transit} | ownership.kept(work, message)
    row["message_id"] = message.id
    now = work.clock.now()
    upsert(work.connection, t.stock_position, row | {"source": message.source, "updated_at": now})
    work.connection.execute(insert(t.stock_change).values(**row, changed_at=now))


def offers(work: Work, keys: Iterable[tuple[str, str]], cause: str) -> list[Draft]:
    """Return a `stock.offer` for each channel whose level ought to change."""
    found = []
    for sku, location in keys:
        for rule in work.snapshot.allocation_rules.values():
            if location in rule.spec.locations:
                found += _offer(work, rule, sku, location, cause)
    return found


def _offer(work: Work, rule: AllocationRule, sku: str, location: str, cause: str) -> list[Draft]:
    quantity = desired(work, rule, sku, location)
    if quantity is None:
        return []
    channel = rule.spec.channel
    shown = targets.level(work, channel, "available", sku, location)
    waiting = _waiting(work, channel, stock_key(sku, location))
    if waiting == quantity or (waiting is None and shown is not None and shown.value == quantity):
        return []
    offer = StockOffer(
        sku=sku, location=location, channel=channel, quantity=quantity,
        expected=shown.value if shown else None, rule_revision=work.snapshot.revision("AllocationRule", rule.name),
    )  # fmt: skip
    subject = stock_key(sku, location)
    dedupe = f"stock.offer:{channel}:{subject}:{cause}"
    return [Draft("stock.offer", subject, dedupe, work.clock.now(), offer.model_dump(mode="json"))]


def offered_anew(work: Work, offer: StockOffer, cause: str) -> tuple[list[Draft], bool]:
    """Return what a channel ought to be told now in place of an offer of old, if anything, and whether one is on its way.

    Its quantity is never told again as it was: customers may have bought since.
    """
    drafts = [
        draft for draft in offers(work, [(offer.sku, offer.location)], cause) if draft.data["channel"] == offer.channel
    ]
    return drafts, _waiting(work, offer.channel, stock_key(offer.sku, offer.location)) is not None


def desired(work: Work, rule: AllocationRule, sku: str, location: str) -> int | None:
    """Return what the channel ought to show by what is known, or None while there is no position."""
    where = (t.stock_position.c.sku == sku, t.stock_position.c.location == location)
    position = work.connection.execute(select(t.stock_position.c.available).where(*where)).one_or_none()
    if position is None:
        return None
    return offered(rule, sku, position.available, unseen(work.connection, [(sku, location)]).get((sku, location), 0))


def offered(rule: AllocationRule, sku: str, available: int, unseen_: int) -> int:
    """Return what the channel ought to show: `available` by the warehouse's figure, which lacks `unseen_` units of orders."""
    safety = rule.spec.per_sku.get(sku, rule.spec.safety_stock)
    return available_to_sell(available, unseen_, safety, rule.spec.buffer_share)


def unseen(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return key -> units of orders that the warehouse's figure does not contain yet; keys without any are left out."""
    line, position = t.order_line.c, t.stock_position.c
    both = (position.sku == line.sku, position.location == line.location)
    query = (
        select(line.sku, line.location, func.sum(line.quantity).label("units"))
        .join_from(t.order_line, t.stock_position, and_(*both))
        .where(
            line.sku.in_({sku for sku, _ in keys}),
            line.location.in_({location for _, location in keys}),
            or_(line.warehouse_at.is_(None), line.warehouse_at > position.source_at),
        )
        .group_by(line.sku, line.location)
    )
    return {(row.sku, row.location): int(row.units) for row in connection.execute(query)}


def _waiting(work: Work, channel: str, subject: str) -> int | None:
    """Return the quantity of the newest offer that is still on its way, if any: not routed yet, or not delivered."""
    m = t.message.c
    made = select(m.data).where(m.subject == subject, m.type == "stock.offer", t.among(m.state, "accepted"))
    for offer in work.connection.execute(made.order_by(m.id.desc())).scalars():
        if offer["channel"] == channel:
            return int(offer["quantity"])
    d = t.delivery.c
    query = (
        select(d.payload)
        .where(d.target == channel, d.order_key == subject, d.entity == "available", t.is_open, d.state.in_(WAITING))
        .order_by(d.id.desc())
        .limit(1)
    )
    payload = work.connection.execute(query).scalar_one_or_none()
    return None if payload is None else int(payload["quantity"])


process = Process(frozenset({"stock.level", "order.placed"}), apply)
