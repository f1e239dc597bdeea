"""Products: what an item is called and costs."""

from __future__ import annotations

from sqlalchemy import select

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.store.upsert import upsert
from controlplane.sync.ledger import Message
from controlplane.sync.processes import ownership
from controlplane.sync.processes.contract import OutdatedError, Process, Work, is_newer
from rules.model.messages import ProductDescribed


def apply(work: Work, message: Message) -> list[Draft]:
    """Keep the latest description, of each field as its system of record tells it."""
    data: ProductDescribed = message.data
    if _knows_newer(work, message):
        raise OutdatedError
    row = data.model_dump() | ownership.kept(work, message)
    row |= {"updated_at": work.clock.now(), "message_id": message.id}
    upsert(work.connection, t.product, row)
    return []


def _knows_newer(work: Work, message: Message) -> bool:
    """Say whether what is on record was told by the same source of a later instant."""
    m = t.message.c
    newest = select(t.product.c.message_id).where(t.product.c.sku == message.data.sku).scalar_subquery()
    query = select(m.occurred_at).where(m.id == newest, m.source == message.source)
    known = work.connection.execute(query).scalar_one_or_none()
    return known is not None and is_newer(known, message.occurred_at, work.clock.now())


process = Process(frozenset({"product.described"}), apply, stage=10)
