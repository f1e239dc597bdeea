"""Get going again what nobody works at any more, or what a clock that was put back would hold up until it has caught up.

Times in the store were given by the clock of some worker. Once the clock is put back they lie ahead: a lease that outlives its
worker by an hour, a retry that is due in an hour, a system that is left alone for an hour. What lies further ahead than
anything that is given now was given before, and counts from now on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, or_, select, update

from controlplane.clock import Clock
from controlplane.store import Store, signals
from controlplane.store import tables as t
from controlplane.sync.delivery.claim import LEASE, flows_of, waiting_targets
from rules.outcomes import DeliveryState
from rules.retry import LONGEST_WAIT

Late = Callable[[str, str], timedelta]
"""(target, entity) -> how long a request that is on its way may still take effect."""
SKEW = 2 * LEASE
"""Two workers' clocks are never further apart than this."""
BATCH = 500
NOTED = ("last_ok_at", "last_error_at", "tokens_at", "learned_at")
"""Columns of a system's row that say when something was noted, and so never lie ahead."""


def take_back(store: Store, clock: Clock, late: Late, *, everything: bool = False) -> int:
    """Return deliveries whose worker is gone to the line as `unknown`: they may have been sent, so they are read back.

    They wait out `late` first. `everything`: all leases end now (the one process that owns the store has restarted); else
    those that ran out, and those that run on for longer than any lease does. Returns how many.
    """
    d = t.delivery.c
    now = clock.now()
    gone = [t.among(d.state, "sending")]
    if not everything:
        gone.append(or_(d.lease_until < now, d.lease_until > now + SKEW))
    with store.read() as connection:
        kinds = connection.execute(select(d.target, d.entity).where(*gone).distinct()).all()
    done = 0
    for target, entity in kinds:
        lost = update(t.delivery).where(*gone, d.target == target, d.entity == entity)
        due = now + late(target, entity)
        with store.write() as connection:
            values = {"state": "unknown", "due_at": due, "lease_owner": None, "lease_until": None}
            done += int(connection.execute(lost.values(**values)).rowcount)
            signals.note(connection, signals.deliveries(target))
    return done


def bring_forward(store: Store, clock: Clock, late: Late, longest: timedelta) -> int:
    """Make due what waits for longer than policy lets anything wait (`longest`); return how many.

    What is to be read back waits out `late` once more, since nobody knows how long it has waited. What is simply to be sent, was
    never tried and came to be before now, is due late on purpose.
    """
    with store.read() as connection:
        lines = [(x, flow) for x in waiting_targets(connection, ()) for flow in flows_of(connection, x, ())]
    return sum(_bring_forward(store, clock, late, longest, target, flow) for target, flow in lines)


def _bring_forward(store: Store, clock: Clock, late: Late, longest: timedelta, target: str, flow: str) -> int:
    d, done = t.delivery.c, 0
    while True:
        now = clock.now()
        given_before = (
            d.due_at > now + longest,
            or_(d.attempts > 0, d.created_at > now, d.state == DeliveryState.UNKNOWN),
        )
        query = select(d.id, d.entity, d.state).where(d.target == target, d.flow == flow, t.is_ready, *given_before)
        with store.read() as connection:
            found = connection.execute(query.limit(BATCH)).all()
        if found:
            with store.write() as connection:
                mine = update(t.delivery).where(d.id == bindparam("i"), t.is_ready)
                rows = [{"i": row.id, "due": _due(row.state, now, late(target, row.entity))} for row in found]
                connection.execute(mine.values(due_at=bindparam("due")), rows)
                signals.note(connection, signals.deliveries(target))
        done += len(found)
        if len(found) < BATCH:
            return done


def _due(state: str, now: datetime, late: timedelta) -> datetime:
    return now + late if state == DeliveryState.UNKNOWN else now


def let_go(store: Store, clock: Clock, cap: Callable[[str], timedelta]) -> int:
    """Shorten what systems are left alone for; return how many were changed.

    `cap(system)`: the longest pause that policy gives it. A pause that was noted by a clock that has been put back ends now:
    nobody knows how much of it is left, and the next request will tell.
    """
    now, done = clock.now(), 0
    with store.read() as connection:
        rows = connection.execute(select(t.system_state)).all()
    for row in rows:
        values = _shortened(row, now, max(cap(row.system), LONGEST_WAIT))
        if values:
            same = t.system_state.c.blocked_until.is_not_distinct_from(row.blocked_until)
            change = update(t.system_state).where(t.system_state.c.system == row.system, same)
            with store.write() as connection:
                done += int(connection.execute(change.values(**values)).rowcount)
                signals.note(connection, signals.deliveries(row.system))
    return done


def _shortened(row: Row[Any], now: datetime, longest: timedelta) -> dict[str, Any]:
    kept = row._asdict()
    values: dict[str, Any] = {name: now for name in NOTED if kept[name] is not None and kept[name] > now + SKEW}
    if row.blocked_until is not None and values and row.blocked_until > now:
        values["blocked_until"] = now
    elif row.blocked_until is not None and row.blocked_until > now + longest:
        values["blocked_until"] = now + longest
    return values
