"""Which targets a message is owed to, and as what: one delivery per message and target, with the revision that governs it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Row, select

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.store.types import MICROSECOND, micros
from controlplane.sync.ledger import Message
from controlplane.sync.processes.contract import Work
from controlplane.sync.routing.owed import Owed
from rules.ids import bounded, new_id
from rules.model.messages import STATE_LIKE, IncidentNotified, ShipmentShipped, StockOffer, TaxAsked, said, worth_of
from rules.policy.kinds import PLACES_ORDERS, Flow, FlowTarget

BOOKS_ORDERS = frozenset({"erp"})
"""Roles of systems that an order has to be booked in before anything that is about it."""


@dataclass(frozen=True, slots=True)
class Way:
    """What the registry says of one flow to one target; durations in microseconds."""

    flow: str
    target: str
    entity: str
    budget: int
    promise: int
    retry_revision: str
    shop: bool
    """Whether the target places orders, and knows of nobody else's."""
    books: bool
    """Whether the target is an ERP, which knows of no order that another one has booked."""


_ways: WeakKeyDictionary[Snapshot, dict[tuple[str, str], tuple[Way, ...]]] = WeakKeyDictionary()
"""Worked out once for each version of the registry."""


def ways(snapshot: Snapshot, source: str, message_type: str) -> tuple[Way, ...]:
    """Return the ways that a type of message of a source takes."""
    known = _ways.setdefault(snapshot, {})
    found = known.get((source, message_type))
    if found is None:
        flows = snapshot.flows_from.get((source, message_type), ())
        found = tuple(_way(snapshot, flow, target) for flow in flows for target in flow.spec.targets)
        known[source, message_type] = found
    return found


def _way(snapshot: Snapshot, flow: Flow, target: FlowTarget) -> Way:
    name = snapshot.retry_for(flow, target)
    budget = snapshot.retry_policies[name].spec.budget
    return Way(
        flow.name, target.system, target.entity, budget // MICROSECOND, flow.spec.promise // MICROSECOND,
        snapshot.revision("RetryPolicy", name), _has_role(snapshot, target.system, PLACES_ORDERS),
        _has_role(snapshot, target.system, BOOKS_ORDERS),
    )  # fmt: skip


def _has_role(snapshot: Snapshot, system: str, roles: Collection[str]) -> bool:
    return system in snapshot.systems and snapshot.systems[system].spec.role in roles


def route(
    work: Work, message: Message, paused: dict[str, int], *, due: datetime | None = None, again: str = ""
) -> list[Owed]:
    """Return what is owed for a message. `paused` is what `routing.pauses.all_paused_for` says.

    `due`: when it may be sent, if not now. `again`: what tells this delivery of a state from an earlier one of the same
    message, where it is sent again from the ledger.
    """
    found = ways(work.snapshot, message.source, message.type)
    if isinstance(message.data, StockOffer):
        found = tuple(way for way in found if way.target == message.data.channel)
    elif isinstance(message.data, TaxAsked):
        found = tuple(way for way in found if way.target == message.data.engine)
    if not found:
        return []
    order = _order(work, message, found)
    now = work.clock.now()
    payload, (money, currency) = message.data.model_dump_json(), _worth(message, order)
    return [
        _owe(work, message, way, paused, now, due or now, again, payload, money, currency)
        for way in _of_its_books(work, _of_its_shop(found, order), order)
    ]


def _order(work: Work, message: Message, found: tuple[Way, ...] = ()) -> Any:
    """Return the order that a message is about, where that decides what it is worth or which of several shops is told; else None."""
    ref, o = said(message.data, "order_ref"), t.order_state.c
    several = sum(way.shop for way in found) > 1 or sum(way.books for way in found) > 1
    if not ref or not (isinstance(message.data, ShipmentShipped) or several):
        return None
    query = select(o.source, o.value, o.currency, o.message_id).where(o.ref == ref)
    return work.connection.execute(query).one_or_none()


def _of_its_shop(found: tuple[Way, ...], order: Row[Any] | None) -> tuple[Way, ...]:
    """What is about the order of one shop among several is owed to no other of them, which would not know the order."""
    if order is None or not any(way.shop and way.target == order.source for way in found):
        return found
    return tuple(way for way in found if not way.shop or way.target == order.source)


def _of_its_books(work: Work, found: tuple[Way, ...], order: Row[Any] | None) -> tuple[Way, ...]:
    """Of several ERPs that is told what is about an order which the order itself was owed to: while one takes another's place."""
    books = [way.target for way in found if way.books]
    if order is None or len(books) < 2:
        return found
    d = t.delivery.c
    query = select(d.target).where(d.message_id == order.message_id, d.target.in_(books))
    told = set(work.connection.execute(query).scalars())  # none of an order that is routed in this very transaction
    told = told or {way.target for way in ways(work.snapshot, order.source, "order.placed")}
    return tuple(way for way in found if not way.books or way.target in told)


def _owe(
    work: Work, message: Message, way: Way, paused: dict[str, int], now: datetime, due: datetime, again: str,
    payload: str, money: Any, currency: str | None,
) -> Owed:  # fmt: skip
    start = micros(due)
    row = {
        "id": new_id(now), "message_id": message.id, "flow": way.flow, "target": way.target, "entity": way.entity,
        "subject": message.subject, "order_key": ordering(message),
        "idempotency_key": bounded(
            f"{message.type}:{message.subject}:{way.target}:{way.entity}:{_once(message)}{again}"
        ),
        "coalesce": message.type in STATE_LIKE, "payload": payload, "state": "pending", "head": False,
        "due_at": start, "deadline_at": start + way.budget,
        "pause_base": paused.get(f"system/{way.target}", 0) + paused.get(f"flow/{way.flow}", 0) if paused else 0,
        "promise_at": start + way.promise, "attempts": 0, "fence": 0, "created_at": micros(now), "finished_at": None,
        "retry_revision": way.retry_revision, "registry_version": work.snapshot.version,
        "money": None if money is None else format(money, "f"), "currency": currency, "trace_id": message.trace_id,
    }  # fmt: skip
    return Owed(row)


def _once(message: Message) -> str:
    """What makes two deliveries of one subject different: a state each time; a document of one source never; a notification by number."""
    if message.type in STATE_LIKE:
        return message.id
    told = message.data
    return f"{told.action}-{told.sequence}" if isinstance(told, IncidentNotified) else f"{message.source}:document"


def ordering(message: Message) -> str:
    """Return the key whose deliveries keep their order at a target: all that is about one order, or one stock key."""
    return str(said(message.data, "order_ref") or message.subject)  # a payment need not name an order


def worth(work: Work, message: Message) -> tuple[Any, str | None]:
    """Return what is at stake, and its currency: the document's value, or the order's that a shipment is for."""
    return _worth(message, _order(work, message))


def _worth(message: Message, order: Row[Any] | None) -> tuple[Any, str | None]:
    if isinstance(message.data, ShipmentShipped):
        return (order.value, order.currency) if order else (None, None)
    return worth_of(message.data) or (None, None)
