"""Which message of a key is the newest, as the plane's own picture says it: without going through the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, func, select

from controlplane.store import tables as t
from controlplane.sync.ledger import Message
from rules.model.messages import stock_key


def newest(connection: Connection, messages: Sequence[Message]) -> frozenset[str]:
    """Return the ids of those messages of state-like types that are the newest of their key.

    A query for each type, and one more for a key that the picture does not have. A message that is not processed yet, or
    that waits in quarantine, is not part of the picture.
    """
    found: set[str] = set()
    for kind in {message.type for message in messages}:
        of_kind = [message for message in messages if message.type == kind]
        picture = PICTURES[kind](connection, of_kind) if kind in PICTURES else {}
        for message in of_kind:
            known = picture.get(message.subject) or _in_ledger(connection, message)
            if known == message.id:
                found.add(message.id)
    return frozenset(found)


def _products(connection: Connection, messages: Iterable[Message]) -> dict[str, str]:
    p = t.product.c
    query = select(p.sku, p.message_id).where(p.sku.in_([message.data.sku for message in messages]))
    known = {row.sku: row.message_id for row in connection.execute(query)}
    return {message.subject: known[message.data.sku] for message in messages if message.data.sku in known}


def _positions(connection: Connection, messages: Iterable[Message]) -> dict[str, str]:
    s = t.stock_position.c
    query = select(s.sku, s.location, s.message_id).where(s.sku.in_([message.data.sku for message in messages]))
    known = {stock_key(row.sku, row.location): row.message_id for row in connection.execute(query)}
    keys = {message.subject: stock_key(message.data.sku, message.data.location) for message in messages}
    return {subject: known[key] for subject, key in keys.items() if key in known}


PICTURES: dict[str, Callable[[Connection, Sequence[Message]], dict[str, str]]] = {
    "product.described": _products,
    "stock.level": _positions,
}
"""Type -> subject -> the message that the picture was made of."""


def _in_ledger(connection: Connection, message: Message) -> str | None:
    m = t.message.c
    mine = select(func.max(m.id)).where(m.subject == message.subject, m.type == message.type, m.state == "processed")
    return connection.execute(mine).scalar_one_or_none()
