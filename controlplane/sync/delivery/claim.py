"""Claim what is due for one target.

1. nothing while the system is paused or asks to wait;
2. the oldest first, and of one order key only the first that is not finished;
3. one at a time while the system is failing (half-open breaker);
4. the claim is a conditional update with a lease and a higher fence: whoever holds an older fence is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, select, update

from controlplane.clock import Clock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery.systems import state_of
from controlplane.sync.processes.contract import Work
from controlplane.sync.processes.targets import level
from rules.outcomes import DeliveryState, Result
from rules.retry import BREAKER_AFTER

LEASE = timedelta(minutes=2)
UNFINISHED = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.QUARANTINED)

# put together once: making the aliases anew costs more than the query, and claiming is the hot path
DELIVERY = t.delivery.alias("d")
_EARLIER = t.delivery.alias("earlier")
_BLOCKED = exists().where(
    and_(
        _EARLIER.c.target == DELIVERY.c.target,
        _EARLIER.c.order_key == DELIVERY.c.order_key,
        _EARLIER.c.id < DELIVERY.c.id,
        _EARLIER.c.state.in_(UNFINISHED),
    )
)
WAITING = (
    select(DELIVERY, t.message.c.trace_id)
    .join(t.message, t.message.c.id == DELIVERY.c.message_id)
    .where(DELIVERY.c.state.in_(("pending", "unknown")), ~_BLOCKED)
    .order_by(DELIVERY.c.due_at, DELIVERY.c.id)
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker may send now."""

    id: str
    flow: str
    target: str
    entity: str
    subject: str
    order_key: str
    idempotency_key: str
    payload: dict[str, Any]
    attempt: int
    fence: int
    read_back: bool
    """The last outcome is unknown: find out before trying again."""
    created_at: datetime
    deadline_at: datetime
    retry_revision: str
    trace_id: str


def claim(store: Store, work_of: Any, clock: Clock, target: str, owner: str, limit: int) -> list[Claimed]:
    """Claim up to `limit` due deliveries of a target; `work_of(connection)` makes the Work of the transaction."""
    with store.read() as connection:
        if not _open(connection, clock, target) or not _due(connection, clock, target, 1):
            return []
    with store.write() as connection:
        state = state_of(connection, target)
        if state is not None and state.consecutive_failures >= BREAKER_AFTER:
            limit = 1
        rows = _due(connection, clock, target, limit, lock=not store.is_sqlite)
        return [_take(work_of(connection), row, owner) for row in rows]


def _open(connection: Connection, clock: Clock, target: str) -> bool:
    state = state_of(connection, target)
    if state is None:
        return True
    return state.paused_at is None and (state.blocked_until is None or state.blocked_until <= clock.now())


def _due(connection: Connection, clock: Clock, target: str, limit: int, lock: bool = False) -> list[Row[Any]]:
    query = WAITING.where(DELIVERY.c.target == target, DELIVERY.c.due_at <= clock.now()).limit(limit)
    if lock:
        query = query.with_for_update(skip_locked=True, of=DELIVERY)
    return list(connection.execute(query).all())


def _take(work: Work, row: Row[Any], owner: str) -> Claimed:
    read_back = row.state == DeliveryState.UNKNOWN
    payload = row.payload
    if row.entity == "available" and not read_back and not _doubtful(work, row):
        shown = level(work, row.target, "available", payload["sku"], payload["location"])
        payload = {**payload, "expected": shown.value if shown else None}
    work.connection.execute(
        update(t.delivery)
        .where(t.delivery.c.id == row.id)
        .values(
            state="sending", lease_owner=owner, lease_until=work.clock.now() + LEASE, fence=row.fence + 1,
            attempts=row.attempts + 1, payload=payload,
        )
    )  # fmt: skip
    return Claimed(
        id=row.id, flow=row.flow, target=row.target, entity=row.entity, subject=row.subject, order_key=row.order_key,
        idempotency_key=row.idempotency_key, payload=payload, attempt=row.attempts + 1, fence=row.fence + 1,
        read_back=read_back, created_at=row.created_at, deadline_at=row.deadline_at,
        retry_revision=row.retry_revision, trace_id=row.trace_id,
    )  # fmt: skip


def _doubtful(work: Work, row: Row[Any]) -> bool:
    """Whether an earlier try may have taken effect: then the very same write is repeated, and its key tells."""
    if not row.attempts:
        return False
    a = t.attempt.c
    query = select(a.id).where(a.delivery_id == row.id, a.outcome == Result.UNKNOWN).limit(1)
    return work.connection.execute(query).first() is not None


def recover(store: Store, clock: Clock, *, everything: bool = False) -> int:
    """Return deliveries whose worker is gone to the line as `unknown`: they may have been sent, so they are read back.

    `everything`: all leases end now (the one process that owns the store has restarted); else only those that ran out.
    Returns how many.
    """
    d = t.delivery.c
    gone = d.id.is_not(None) if everything else d.lease_until < clock.now()
    with store.write() as connection:
        lost = update(t.delivery).where(d.state == "sending", gone)
        values = {"state": "unknown", "due_at": clock.now(), "lease_owner": None, "lease_until": None}
        return int(connection.execute(lost.values(**values)).rowcount)


def next_due(connection: Connection, target: str | None = None) -> datetime | None:
    """Return when a waiting delivery (of one target, or any) can be tried next: due, and its system not asking to wait."""
    d, s = t.delivery.c, t.system_state.c
    query = (
        select(d.due_at, s.blocked_until)
        .outerjoin(t.system_state, s.system == d.target)
        .where(d.state.in_(("pending", "unknown")), s.paused_at.is_(None))
        .order_by(d.due_at)
    )
    if target is not None:
        query = query.where(d.target == target)
    instants = [max(row.due_at, row.blocked_until or row.due_at) for row in connection.execute(query)]
    return min(instants, default=None)


def due_targets(connection: Connection, clock: Clock) -> list[str]:
    """Return the systems that something is due to now."""
    d = t.delivery.c
    query = select(d.target).where(d.state.in_(("pending", "unknown")), d.due_at <= clock.now()).distinct()
    return sorted(connection.execute(query).scalars())
