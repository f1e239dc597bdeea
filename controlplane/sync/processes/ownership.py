"""The blueprint enforced: a write from a system that is not of record for a field waits; what is no write changes nothing.

A message tells a whole state, with fields in it that its source is not of record for. Telling such a field as it is on record,
or as the same source told it last, is no write of it: what is on record stays. Whoever is of record for a key creates it whole.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select

from controlplane.store import tables as t
from controlplane.sync.ledger import Message
from controlplane.sync.ledger.messages import read
from controlplane.sync.processes.contract import BusinessRuleError, Work
from rules.model.messages import locations_of
from rules.policy.blueprint import Record

CODE = "not_of_record"


def refuse_foreign(work: Work, message: Message) -> None:
    """Raise BusinessRuleError for a message that writes what its source is not of record for."""
    record = work.snapshot.records.get(message.type)
    if record is None or message.source == "plane" or record.whole(message.source):
        return
    foreign = record.foreign(message.source, message.data)
    written = _written(work, message, record, foreign) if foreign and record.states else sorted(foreign)
    if written:
        raise _refusal(message, record, written)


def kept(work: Work, message: Message) -> dict[str, Any]:
    """Return the fields that stay as they are on record, because the message's source is not of record for them."""
    record = work.snapshot.records.get(message.type)
    if record is None or message.source == "plane" or record.whole(message.source):
        return {}
    on_record = _on_record(work, message)
    foreign = record.foreign(message.source, message.data) if on_record is not None else frozenset()
    return {name: getattr(on_record, name) for name in foreign}


def _written(work: Work, message: Message, record: Record, foreign: frozenset[str]) -> list[str]:
    on_record = _on_record(work, message)
    if on_record is None and record.owns(message.source, locations_of(message.data)):
        return []
    differs = {name for name in foreign if on_record is None or getattr(on_record, name) != _of(message.data, name)}
    if differs and (last := _told_last(work, message)) is not None:
        differs = {name for name in differs if _of(last, name) != _of(message.data, name)}
    return sorted(differs)


def _of(data: Any, name: str) -> Any:
    return getattr(data, name)


def _on_record(work: Work, message: Message) -> Row[Any] | None:
    p, s, data = t.product.c, t.stock_position.c, message.data
    query = (
        select(t.product).where(p.sku == data.sku)
        if message.type == "product.described"
        else select(t.stock_position).where(s.sku == data.sku, s.location == data.location)
    )
    return work.connection.execute(query).one_or_none()


def _told_last(work: Work, message: Message) -> Any:
    """Return what the same source told of the same key before, of what went through; None where it told nothing."""
    m = t.message.c
    mine = (m.subject == message.subject, m.type == message.type, m.source == message.source, m.id < message.id)
    query = select(m.data, m.schema_version).where(*mine, m.state == "processed").order_by(m.id.desc()).limit(1)
    row = work.connection.execute(query).one_or_none()
    return None if row is None else read(message.type, row.data, row.schema_version)


def _refusal(message: Message, record: Record, written: list[str]) -> BusinessRuleError:
    names, owners = ", ".join(written), record.of(written[0], locations_of(message.data))
    return BusinessRuleError(
        CODE,
        f"{message.type} {message.subject} of {message.source} writes {names}, and {owners} is of record for "
        f"{'it' if len(written) == 1 else written[0]} by the Domain {record.domain}",
        f"correct {names} at {owners} and drop this record, or name {message.source} in the Domain by a change request "
        "and replay",
        names,
    )
