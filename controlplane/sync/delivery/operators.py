"""What operators do to what is delivered: pause, resume, and run now. Each is a line in the action log, in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import ConflictError, NotFoundError
from controlplane.store import signals
from controlplane.store import tables as t
from controlplane.store.upsert import upsert
from controlplane.sync.delivery import systems
from controlplane.sync.routing.pauses import paused_for
from rules.outcomes import DeliveryState
from rules.policy.kinds import Breaker

BATCH = 500
"""Deliveries that are made due in one transaction."""


def pause(connection: Connection, clock: Clock, system: str, actor: str, reason: str) -> None:
    """Stop deliveries to a system. Raises ConflictError when it is paused already."""
    before = systems.locked(connection, system)
    if before.paused_at:
        raise ConflictError(
            f"deliveries to '{system}' are paused since {before.paused_at.isoformat()}; resume them first"
        )
    systems.change(connection, system, paused_at=clock.now())
    audit.record(connection, clock, actor=actor, action="system.pause", subject=f"System/{system}", reason=reason)


def resume(connection: Connection, clock: Clock, system: str, actor: str, reason: str) -> None:
    """Let deliveries go on; the pause did not use up anybody's retry budget. Raises ConflictError when not paused."""
    before = systems.locked(connection, system)
    if before.paused_at is None:
        raise ConflictError(f"deliveries to '{system}' are not paused; nothing to resume")
    systems.change(connection, system, paused_at=None, paused_for=paused_for(before, clock.now()))
    signals.note(connection, signals.deliveries(system))
    audit.record(connection, clock, actor=actor, action="system.resume", subject=f"System/{system}", reason=reason)


def flow_state_of(connection: Connection, flow: str) -> Row[Any] | None:
    """Return the row of a flow, or None while it was never paused."""
    return connection.execute(select(t.flow_state).where(t.flow_state.c.flow == flow)).one_or_none()


def pause_flow(connection: Connection, clock: Clock, flow: str, actor: str, reason: str) -> None:
    """Stop the deliveries of a flow. Raises ConflictError when it is paused already."""
    before = flow_state_of(connection, flow)
    if before and before.paused_at:
        raise ConflictError(f"the flow '{flow}' is paused since {before.paused_at.isoformat()}; resume it first")
    row = {"flow": flow, "paused_at": clock.now(), "paused_for": before.paused_for if before else 0}
    upsert(connection, t.flow_state, row)
    audit.record(connection, clock, actor=actor, action="flow.pause", subject=f"Flow/{flow}", reason=reason)


def resume_flow(
    connection: Connection, clock: Clock, flow: str, targets: Sequence[str], actor: str, reason: str
) -> None:
    """Let the deliveries of a flow go on. Raises ConflictError when it is not paused."""
    before = flow_state_of(connection, flow)
    if before is None or before.paused_at is None:
        raise ConflictError(f"the flow '{flow}' is not paused; nothing to resume")
    upsert(connection, t.flow_state, {"flow": flow, "paused_at": None, "paused_for": paused_for(before, clock.now())})
    for target in targets:
        signals.note(connection, signals.deliveries(target))
    audit.record(connection, clock, actor=actor, action="flow.resume", subject=f"Flow/{flow}", reason=reason)


# --- run now ---


@dataclass(frozen=True, slots=True)
class Released:
    """What running a system now came to."""

    asked_again: bool
    """Its breaker was open: one request tests it now."""
    blocked_until: datetime | None
    """It asked to wait until then, and is not asked before."""


def run_system(
    connection: Connection, clock: Clock, system: str, breaker: Breaker, actor: str, reason: str
) -> Released:
    """Let what waits out a backoff be due, batch by batch as it is claimed; one request tests a system that was failing.

    What a system asked for itself (`Retry-After`) is heeded, and what waits to be read back keeps its time.
    Raises ConflictError while it is paused.
    """
    row, now = systems.locked(connection, system), clock.now()
    if row.paused_at:
        raise ConflictError(f"deliveries to '{system}' are paused; resume them instead")
    values: dict[str, Any] = {"release_at": now}
    blocked = row.blocked_until if row.blocked_until and row.blocked_until > now else None
    failing = blocked is not None and row.consecutive_failures >= breaker.after
    if failing:
        values |= {"blocked_until": None, "blocked_reason": None}
    systems.change(connection, system, **values)
    signals.note(connection, signals.deliveries(system))
    audit.record(connection, clock, actor=actor, action="system.run", subject=f"System/{system}", reason=reason)
    return Released(failing, None if failing else blocked)


def run_flow(connection: Connection, clock: Clock, flow: str, targets: Iterable[str]) -> int:
    """Let the next of a flow's deliveries that wait out a backoff be due, at most BATCH; return how many."""
    d, now, done = t.delivery.c, clock.now(), 0
    for target in targets:
        later = (
            select(d.id).where(d.target == target, d.flow == flow, t.is_ready, d.due_at > now)
            .where(d.state == DeliveryState.PENDING, d.attempts > 0).order_by(d.due_at).limit(BATCH - done)
        )  # fmt: skip
        moved = int(connection.execute(update(t.delivery).where(d.id.in_(later)).values(due_at=now)).rowcount)
        if moved:
            signals.note(connection, signals.deliveries(target))
        done += moved
    return done


def refuse_paused_flow(connection: Connection, flow: str) -> None:
    """Raise ConflictError while a flow is paused."""
    row = flow_state_of(connection, flow)
    if row is not None and row.paused_at:
        raise ConflictError(f"the flow '{flow}' is paused; resume it instead")


def run_delivery(connection: Connection, clock: Clock, delivery_id: str, actor: str, reason: str) -> Row[Any]:
    """Let one delivery be due now; return its row as it was. Raises NotFoundError, ConflictError saying what it waits for."""
    d = t.delivery.c
    row = connection.execute(select(t.delivery).where(d.id == delivery_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFoundError(f"no delivery '{delivery_id}'; list those that wait with GET /api/v1/retrying")
    _refuse_unready(connection, row)
    refuse_paused_flow(connection, row.flow)
    state = systems.state_of(connection, row.target)
    if state is not None and state.paused_at:
        raise ConflictError(f"deliveries to '{row.target}' are paused; resume them instead")
    connection.execute(update(t.delivery).where(d.id == delivery_id, d.due_at > clock.now()).values(due_at=clock.now()))
    signals.note(connection, signals.deliveries(row.target))
    audit.record(
        connection, clock, actor=actor, action="delivery.run", subject=f"delivery/{delivery_id}", reason=reason
    )
    return row


def _refuse_unready(connection: Connection, row: Row[Any]) -> None:
    if row.state == DeliveryState.UNKNOWN:
        raise ConflictError(
            f"delivery '{row.id}' may have taken effect, or may yet: it is read back at {row.due_at.isoformat()} and not "
            "before, so that nothing takes effect twice"
        )
    if row.state != DeliveryState.PENDING:
        raise ConflictError(f"delivery '{row.id}' is {row.state}; only one that waits to be tried again can be run now")
    if not row.head:
        d = t.delivery.c
        ahead = select(func.min(d.id)).where(d.target == row.target, d.order_key == row.order_key, t.is_open)
        first = connection.execute(ahead).scalar_one()
        raise ConflictError(f"delivery '{row.id}' keeps its order behind '{first}' of {row.order_key}; run that one")
