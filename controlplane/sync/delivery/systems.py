"""How a system stands: paused by a person, asking to wait, failing, or well. Shared by all workers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import ConflictError
from controlplane.store import tables as t
from controlplane.store.upsert import upsert
from rules.retry import BREAKER_AFTER

BREAKER_PAUSE = timedelta(seconds=15)
BREAKER_CAP = timedelta(minutes=2)


def state_of(connection: Connection, system: str) -> Row[Any] | None:
    """Return the row of a system, or None while nothing has happened to it."""
    return connection.execute(select(t.system_state).where(t.system_state.c.system == system)).one_or_none()


def _values(connection: Connection, system: str, **values: Any) -> None:
    row = state_of(connection, system)
    base = dict(row._mapping) if row else {"system": system, "consecutive_failures": 0}
    upsert(connection, t.system_state, base | values)


def succeeded(connection: Connection, clock: Clock, system: str) -> None:
    """Note an answer. After an outage, what waited out its pause is due at once."""
    before = state_of(connection, system)
    if before and before.consecutive_failures >= BREAKER_AFTER:
        waiting = (t.delivery.c.target == system, t.delivery.c.state == "pending")
        connection.execute(update(t.delivery).where(*waiting).values(due_at=clock.now()))
    if before is None or before.consecutive_failures or before.blocked_until or _old(before.last_ok_at, clock):
        calm = {"consecutive_failures": 0, "blocked_until": None, "blocked_reason": None}
        _values(connection, system, last_ok_at=clock.now(), **calm)


def _old(instant: datetime | None, clock: Clock) -> bool:
    return instant is None or clock.now() - instant > timedelta(seconds=1)


def failed(connection: Connection, clock: Clock, system: str, detail: str) -> None:
    """Note a failure; from the fifth in a row on, the system is given a pause that doubles up to two minutes."""
    before = state_of(connection, system)
    failures = (before.consecutive_failures if before else 0) + 1
    values: dict[str, Any] = {"consecutive_failures": failures, "last_error": detail, "last_error_at": clock.now()}
    if failures >= BREAKER_AFTER:
        pause = min(BREAKER_CAP, BREAKER_PAUSE * 2 ** min(failures - BREAKER_AFTER, 10))
        values |= {"blocked_until": clock.now() + pause, "blocked_reason": f"{failures} failures in a row: {detail}"}
    _values(connection, system, **values)


def throttled(connection: Connection, clock: Clock, system: str, seconds: float, detail: str) -> None:
    """Wait as long as the system asks."""
    until = clock.now() + timedelta(seconds=seconds)
    _values(connection, system, blocked_until=until, blocked_reason=detail)


def pause(connection: Connection, clock: Clock, system: str, actor: str, reason: str) -> None:
    """Stop deliveries to a system. Raises ConflictError when it is paused already."""
    before = state_of(connection, system)
    if before and before.paused_at:
        raise ConflictError(
            f"deliveries to '{system}' are paused since {before.paused_at.isoformat()}; resume them first"
        )
    _values(connection, system, paused_at=clock.now())
    audit.record(connection, clock, actor=actor, action="system.pause", subject=f"System/{system}", reason=reason)


def resume(connection: Connection, clock: Clock, system: str, actor: str, reason: str) -> None:
    """Let deliveries go on; the pause did not use up anybody's retry budget. Raises ConflictError when not paused."""
    before = state_of(connection, system)
    if before is None or before.paused_at is None:
        raise ConflictError(f"deliveries to '{system}' are not paused; nothing to resume")
    paused = clock.now() - before.paused_at
    d = t.delivery.c
    owed = select(t.delivery).where(d.target == system, d.state.in_(("pending", "unknown")))
    for row in connection.execute(owed).all():
        later = max(row.deadline_at, before.paused_at) + paused
        connection.execute(update(t.delivery).where(d.id == row.id).values(deadline_at=later))
    _values(connection, system, paused_at=None)
    audit.record(connection, clock, actor=actor, action="system.resume", subject=f"System/{system}", reason=reason)
