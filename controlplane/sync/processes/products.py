"""Products: what an item is called and costs."""

from __future__ import annotations

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.store.upsert import upsert
from controlplane.sync.ledger import Message
from controlplane.sync.processes import ownership
from controlplane.sync.processes.contract import Process, Work
from rules.model.messages import ProductDescribed


def apply(work: Work, message: Message) -> list[Draft]:
    """Keep the latest description, of each field as its system of record tells it."""
    data: ProductDescribed = message.data
    row = data.model_dump() | ownership.kept(work, message)
    row |= {"updated_at": work.clock.now(), "message_id": message.id}
    upsert(work.connection, t.product, row)
    return []


process = Process(frozenset({"product.described"}), apply, stage=10)
