"""Which targets a message is owed to, and as what: one delivery per message and target, with the revision that governs it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select

from controlplane.store import tables as t
from controlplane.store.types import micros
from controlplane.sync.ledger import Message
from controlplane.sync.processes.contract import Work
from controlplane.sync.routing.owed import Owed
from rules.ids import new_id
from rules.model.messages import STATE_LIKE, IncidentNotified, ShipmentShipped, StockOffer, worth_of
from rules.policy.kinds import Flow, FlowTarget


def flows_of(work: Work, message: Message) -> list[Flow]:
    """Return the flows that carry a message."""
    return [
        flow
        for flow in work.snapshot.flows_from.get((message.source, message.type), ())
        if not isinstance(message.data, StockOffer) or any(x.system == message.data.channel for x in flow.spec.targets)
    ]


def route(
    work: Work, message: Message, paused: dict[str, int], *, due: datetime | None = None, again: str = ""
) -> list[Owed]:
    """Return what is owed for a message. `paused` is what `delivery.systems.all_paused_for` says.

    `due`: when it may be sent, if not now. `again`: what tells this delivery of a state from an earlier one of the same
    message, where it is sent again from the ledger.
    """
    return [
        _owe(work, message, flow, target, paused, due or work.clock.now(), again)
        for flow in flows_of(work, message)
        for target in flow.spec.targets
        if not isinstance(message.data, StockOffer) or target.system == message.data.channel
    ]


def _owe(
    work: Work, message: Message, flow: Flow, target: FlowTarget, paused: dict[str, int], due: datetime, again: str
) -> Owed:
    now = work.clock.now()
    name = target.retry or flow.spec.retry
    budget = work.snapshot.retry_policies[name].spec.budget
    money, currency = worth(work, message)
    row = {
        "id": new_id(now), "message_id": message.id, "flow": flow.name, "target": target.system,
        "entity": target.entity, "subject": message.subject, "order_key": ordering(message),
        "idempotency_key": f"{message.type}:{message.subject}:{target.system}:{target.entity}:{_once(message)}{again}",
        "coalesce": message.type in STATE_LIKE, "payload": orjson.dumps(message.data.model_dump(mode="json")).decode(),
        "state": "pending", "head": False, "due_at": micros(due), "deadline_at": micros(due + budget),
        "pause_base": paused.get(f"system/{target.system}", 0) + paused.get(f"flow/{flow.name}", 0),
        "promise_at": micros(due + flow.spec.promise), "attempts": 0, "fence": 0, "created_at": micros(now),
        "finished_at": None, "retry_revision": work.snapshot.revision("RetryPolicy", name),
        "registry_version": work.snapshot.version, "money": None if money is None else format(money, "f"),
        "currency": currency, "trace_id": message.trace_id,
    }  # fmt: skip
    return Owed(row)


def _once(message: Message) -> str:
    """What makes two deliveries of one subject different: a state each time; a document never; a notification by number."""
    if message.type in STATE_LIKE:
        return message.id
    told = message.data
    return f"{told.action}-{told.sequence}" if isinstance(told, IncidentNotified) else "document"


def ordering(message: Message) -> str:
    """Return the key whose deliveries keep their order at a target: all that is about one order, or one stock key."""
    return str(getattr(message.data, "order_ref", message.subject))


def worth(work: Work, message: Message) -> tuple[Any, str | None]:
    """Return what is at stake, and its currency: the document's value, or the order's that a shipment is for."""
    data = message.data
    if isinstance(data, ShipmentShipped):
        row = work.connection.execute(
            select(t.order_state.c.value, t.order_state.c.currency).where(t.order_state.c.ref == data.order_ref)
        ).one_or_none()
        return (row.value, row.currency) if row else (None, None)
    return worth_of(data) or (None, None)
