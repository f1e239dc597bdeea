"""Write what is owed: one delivery per message and target, with the policy revision that governs it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from controlplane.store import tables as t
from controlplane.sync.ledger import Message
from controlplane.sync.processes.contract import Work
from rules.ids import new_id
from rules.model.messages import STATE_LIKE, IncidentNotified, OrderPlaced, ShipmentShipped, StockOffer
from rules.policy.kinds import Flow, FlowTarget

SUPERSEDABLE = ("pending", "quarantined")


def route(work: Work, message: Message) -> list[str]:
    """Write the deliveries of a message; return their ids."""
    return [
        _owe(work, message, flow, target)
        for flow in work.snapshot.flows.values()
        if flow.spec.source == message.source and message.type in flow.spec.message_types
        for target in flow.spec.targets
        if not isinstance(message.data, StockOffer) or target.system == message.data.channel
    ]


def _owe(work: Work, message: Message, flow: Flow, target: FlowTarget) -> str:
    now = work.clock.now()
    delivery_id = new_id(now)
    coalesce = message.type in STATE_LIKE
    order_key = ordering(message)
    if coalesce:
        _supersede(work, target, order_key)
    retry = work.snapshot.retry_policies[flow.spec.retry].spec
    money, currency = _worth(work, message)
    work.connection.execute(
        insert(t.delivery).values(
            id=delivery_id, message_id=message.id, flow=flow.name, target=target.system, entity=target.entity,
            subject=message.subject, order_key=order_key, coalesce=coalesce, state="pending",
            idempotency_key=f"{message.type}:{message.subject}:{target.system}:{target.entity}:{_once(message)}",
            payload=message.data.model_dump(mode="json"), due_at=now, deadline_at=now + retry.budget,
            promise_at=now + flow.spec.promise, created_at=now, money=money, currency=currency,
            retry_revision=work.snapshot.revision("RetryPolicy", flow.spec.retry),
            registry_version=work.snapshot.version, attempts=0, fence=0,
        )
    )  # fmt: skip
    return delivery_id


def _once(message: Message) -> str:
    """What makes two deliveries of one subject different: a state each time; a document never; a notification by number."""
    if message.type in STATE_LIKE:
        return message.id
    told = message.data
    return f"{told.action}-{told.sequence}" if isinstance(told, IncidentNotified) else "document"


def ordering(message: Message) -> str:
    """Return the key whose deliveries keep their order at a target: all that is about one order, or one stock key."""
    return str(getattr(message.data, "order_ref", message.subject))


def _supersede(work: Work, target: FlowTarget, order_key: str) -> None:
    d = t.delivery.c
    waiting = (
        d.target == target.system, d.entity == target.entity, d.order_key == order_key,
        d.coalesce.is_(True), d.state.in_(SUPERSEDABLE),
    )  # fmt: skip
    ids = list(work.connection.execute(select(d.id).where(*waiting)).scalars())
    if not ids:
        return
    now = work.clock.now()
    work.connection.execute(update(t.delivery).where(d.id.in_(ids)).values(state="superseded", finished_at=now))
    q = t.quarantine.c
    held = update(t.quarantine).where(q.delivery_id.in_(ids), q.state.in_(("waiting", "corrected")))
    work.connection.execute(held.values(state="dropped", closed_at=now, closed_by="superseded by a newer state"))


def _worth(work: Work, message: Message) -> tuple[Any, str | None]:
    """What is at stake: the order's value, or the share of it that a shipment or posting stands for."""
    data = message.data
    if isinstance(data, OrderPlaced):
        return data.value, data.currency
    if isinstance(data, ShipmentShipped):
        row = work.connection.execute(
            select(t.order_state.c.value, t.order_state.c.currency).where(t.order_state.c.ref == data.order_ref)
        ).one_or_none()
        return (row.value, row.currency) if row else (None, None)
    if message.type == "posting.made":
        return sum(line.debit for line in data.lines), data.currency
    if message.type == "sale.recorded":
        return data.unit_price * data.quantity, data.currency
    return None, None
