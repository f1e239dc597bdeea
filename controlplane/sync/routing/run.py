"""Take accepted messages through the processes and route what comes of it: all of one message in one transaction."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, select, update

from controlplane import plugins
from controlplane.clock import Clock
from controlplane.registry import Snapshot
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.ledger import Message, append
from controlplane.sync.processes.contract import BusinessRuleError, Process, Work
from controlplane.sync.routing.route import route


@cache
def processes() -> tuple[Process, ...]:
    """Return the processes that are installed, in the order in which they run."""
    found: list[Process] = [process for _, process in plugins.load_all("processes")]
    return tuple(sorted(found, key=lambda process: process.stage))


def process_some(store: Store, clock: Clock, snapshot: Snapshot, limit: int = 100) -> int:
    """Process the oldest accepted messages, each in its own short transaction; return how many."""
    m = t.message.c
    with store.read() as connection:
        rows = connection.execute(select(t.message).where(m.state == "accepted").order_by(m.id).limit(limit)).all()
    return sum(_process(store, clock, snapshot, row) for row in rows)


def _process(store: Store, clock: Clock, snapshot: Snapshot, row: Row[Any]) -> bool:
    message = Message.of(row)
    try:
        with store.write() as connection:
            return _advance(Work(connection, snapshot, clock), message)
    except BusinessRuleError as error:
        with store.write() as connection:
            return _hold(connection, clock, snapshot, message, row.data, error)


def _advance(work: Work, message: Message) -> bool:
    mine = update(t.message).where(t.message.c.id == message.id, t.message.c.state == "accepted")
    if work.connection.execute(mine.values(state="processed", processed_at=work.clock.now())).rowcount != 1:
        return False
    for process in processes():
        if message.type in process.handles:
            for draft in process.apply(work, message):
                emit(work, draft, message.trace_id, message.id)
    route(work, message)
    return True


def emit(work: Work, draft: Any, trace_id: str, causation_id: str | None) -> str | None:
    """Append a message that the plane itself makes; it goes the same way as all others."""
    return append(
        work.connection, work.clock, draft, source="plane", registry_version=work.snapshot.version,
        trace_id=trace_id, causation_id=causation_id,
    )  # fmt: skip


def _hold(
    connection: Connection, clock: Clock, snapshot: Snapshot, message: Message, data: Any, error: BusinessRuleError
) -> bool:
    mine = update(t.message).where(t.message.c.id == message.id, t.message.c.state == "accepted")
    if connection.execute(mine.values(state="quarantined", processed_at=clock.now())).rowcount != 1:
        return False
    flow = next(
        f for f in snapshot.flows.values() if f.spec.source == message.source and message.type in f.spec.message_types
    )
    case = quarantine.Case(
        stage="process", system=message.source, flow=flow.name, owner=flow.spec.owner, reason_code=error.code,
        reason=str(error), remedy=error.remedy, subject=message.subject, record=data, message_id=message.id,
    )  # fmt: skip
    quarantine.hold(connection, clock, case)
    return True
