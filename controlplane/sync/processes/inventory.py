"""Stock: positions that keep on hand, allocated, available and in transit apart, and what each channel may offer.

A channel's `available` is known without asking: it is what we last wrote or read, less the orders taken in since.
That expectation goes with each write, so that a write computed from anything else is refused (compare and set).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.store.direct import Change, Prepared
from controlplane.store.keyed import Keyed
from controlplane.store.upsert import upsert
from controlplane.sync.ledger import Message
from controlplane.sync.processes import ownership, targets
from controlplane.sync.processes.contract import OutdatedError, Process, Work, is_newer
from rules.availability import available_to_sell
from rules.model.messages import OrderPlaced, StockLevel, StockOffer, stock_key
from rules.outcomes import DeliveryState
from rules.policy.kinds import AllocationRule

WAITING = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN)
_P, _LINE, _M, _D = t.stock_position.c, t.order_line.c, t.message.c, t.delivery.c
_MINE = (_P.sku == bindparam("sku"), _P.location == bindparam("location"))
_LACKS = and_(
    _P.sku == _LINE.sku, _P.location == _LINE.location, or_(_LINE.warehouse_at.is_(None), _LINE.warehouse_at > _P.source_at)
)  # fmt: skip
"""Holds for a line of an order and the position whose figures do not contain it yet."""
_POSITION = Prepared(select(t.stock_position).where(*_MINE))
_FREE = Prepared(
    select(_P.available, func.coalesce(func.sum(_LINE.quantity), 0).label("unseen"))
    .select_from(t.stock_position.outerjoin(t.order_line, _LACKS))
    .where(*_MINE)
    .group_by(_P.available)
)
_LACKED = Keyed(
    "order_line", ("location", "quantity"), ("sku",),
    "EXISTS (SELECT 1 FROM stock_position p WHERE p.sku = r.sku AND p.location = r.location"
    " AND (r.warehouse_at IS NULL OR r.warehouse_at > p.source_at))",
)  # fmt: skip
"""The same lines, by SKU."""
_CHANGE = Change(
    insert(t.stock_change).inline(),
    ("sku", "location", "on_hand", "allocated", "available", "in_transit", "source_at", "changed_at", "message_id"),
)
_MADE = Prepared(
    select(_M.data)
    .where(_M.subject == bindparam("subject"), _M.type == "stock.offer", t.among(_M.state, "accepted"))
    .order_by(_M.id.desc())
)
_OWED = Prepared(
    select(_D.payload)
    .where(_D.target == bindparam("target"), _D.order_key == bindparam("subject"), _D.entity == "available")
    .where(t.is_open, t.among(_D.state, *WAITING))
    .order_by(_D.id.desc())
    .limit(1)
)


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
    known = next(iter(_POSITION.rows(work.connection, sku=level.sku, location=level.location)), None)
    if known and known.source == message.source and is_newer(known.source_at, level.source_at, work.clock.now()):
        raise OutdatedError
    in_transit = level.in_transit if level.in_transit >= 0 else (known.in_transit if known else 0)
    row = level.model_dump() | {"in_transit": in_transit} | ownership.kept(work, message)
    row["message_id"] = message.id
    now = work.clock.now()
    upsert(work.connection, t.stock_position, row | {"source": message.source, "updated_at": now})
    _CHANGE.run(work.connection, row | {"changed_at": now})


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
    for row in _FREE.rows(work.connection, sku=sku, location=location):
        return offered(rule, sku, row.available, int(row.unseen))
    return None


def offered(rule: AllocationRule, sku: str, available: int, unseen_: int) -> int:
    """Return what the channel ought to show: `available` by the warehouse's figure, which lacks `unseen_` units of orders."""
    safety = rule.spec.per_sku.get(sku, rule.spec.safety_stock)
    return available_to_sell(available, unseen_, safety, rule.spec.buffer_share)


def unseen(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return key -> units of orders that the warehouse's figure does not contain yet; keys without any are left out."""
    skus = [(sku,) for sku in dict.fromkeys(sku for sku, _ in keys)]
    found: Counter[tuple[str, str]] = Counter()
    for at, location, units in _LACKED.rows(connection, skus):
        found[skus[at][0], location] += units
    return found


def _waiting(work: Work, channel: str, subject: str) -> int | None:
    """Return the quantity of the newest offer that is still on its way, if any: not routed yet, or not delivered."""
    for made in _MADE.rows(work.connection, subject=subject):
        if made.data["channel"] == channel:
            return int(made.data["quantity"])
    for owed in _OWED.rows(work.connection, target=channel, subject=subject):
        return int(owed.payload["quantity"])
    return None


process = Process(frozenset({"stock.level", "order.placed"}), apply)
