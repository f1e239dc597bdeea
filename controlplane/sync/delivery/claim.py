"""Claim what is due for one target.

1. nothing while the system or the flow is paused, or the system asks to wait;
2. the longest due first, each flow its share of the room, and of one order key only the first that is open (its head);
3. no more requests than the system's limits leave, one at a time while it is failing (half-open breaker);
4. the claim is a conditional update with a lease and a higher fence: whoever holds an older fence is ignored.

The cost of a claim does not depend on how much waits behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, func, select, update

from controlplane.clock import Clock
from controlplane.store import tables as t
from controlplane.store.types import instant, micros
from controlplane.sync.delivery import statements, systems
from controlplane.sync.processes.contract import Work
from controlplane.sync.processes.targets import level
from rules.outcomes import DeliveryState, Result

LEASE = timedelta(seconds=30)
"""For how long a claim is ours unless the lane that holds it renews it, where the settings say nothing else."""
RELEASE = 500
"""How many that wait out a pause of their own are made due at once after an outage."""


@dataclass(slots=True)  # not frozen, which would double the time to make one; nobody changes it
class Claimed:
    """A delivery that this worker may send now. Times in microseconds since 1970 where they are only passed on."""

    id: str
    message_id: str
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
    alone: bool
    """To be sent in a request of its own: others of its entity are too, or it is read back, or was, and what it was sent with
    may have failed because of it."""
    created: int
    deadline: int
    pause_base: int
    retry_revision: str
    trace_id: str
    lease_until: datetime
    filled: bool = False
    """The payload was completed when it was claimed, and is kept as it was sent."""

    @property
    def created_at(self) -> datetime:
        """When it came to be."""
        return instant(self.created)

    def deadline_at(self, paused: int) -> datetime:
        """When its retry budget ends; `paused`: microseconds for which system and flow have been paused by now."""
        return instant(self.deadline + max(0, paused - self.pause_base))


def claim(
    work: Work,
    target: str,
    flows: Sequence[str],
    owner: str,
    requests: int,
    lease: timedelta = LEASE,
    sizes: Mapping[str, int] | None = None,
    together: Sequence[str] = (),
) -> list[Claimed]:
    """Claim due deliveries of a target for so many requests, of each flow its share; the rest of the room goes to who has more.

    `sizes`: flow -> how many a request carries at most, of the entities `together`; 1 where it is left out. Of a flow those are
    claimed that go together, or those that go alone, as the longest due is.
    """
    connection, now, sizes = work.connection, work.clock.now(), sizes or {}
    until, left = now + lease, Fraction(requests)
    batched = max(sizes.values(), default=1) > 1
    found: list[tuple[Any, ...]] = []
    share = left / max(1, len(flows))
    for most in (share, left):
        for flow in flows:
            size = sizes.get(flow, 1)
            room = min(max(1, int(most * size)), int(left * size))
            if room > 0:
                rows = statements.claim(
                    connection, target=target, flow=flow, now=micros(now), limit=room, owner=owner, until=micros(until),
                    alone=-(-room // size) if batched else None, together=together,
                )  # fmt: skip
                alone = bool(rows) and statements.goes_alone(rows[0], together)
                left -= Fraction(len(rows), 1 if alone else size)
                found += rows
        if len(flows) == 1 or left <= 0:
            break
    return _completed(work, [_claimed(target, until, row, together) for row in found])


def _claimed(target: str, until: datetime, row: tuple[Any, ...], together: Sequence[str]) -> Claimed:
    identity, message_id, flow, entity, subject, order_key, key, attempt, fence = row[:9]
    created, deadline, pause_base, revision, trace_id, payload, before, _ = row[9:]
    return Claimed(
        identity, message_id, flow, target, entity, subject, order_key, key, orjson.loads(payload), attempt, fence,
        before == "unknown", statements.goes_alone(row, together), created, deadline, pause_base, revision, trace_id, until,
    )  # fmt: skip


# --- a write that is computed from what the target shows ---


def _completed(work: Work, claimed: list[Claimed]) -> list[Claimed]:
    return [_based(work, item) if item.entity == "available" and not item.read_back else item for item in claimed]


def _based(work: Work, item: Claimed) -> Claimed:
    """Give a stock level the value that it may replace: what the ledger says that the target shows now.

    Not where an earlier try may have taken effect: then the very same write is repeated, and its key tells.
    """
    if _doubtful(work, item):
        return item
    shown = level(work, item.target, "available", item.payload["sku"], item.payload["location"])
    payload = {**item.payload, "expected": shown.value if shown else None}
    if payload == item.payload:
        return replace(item, filled=True)
    work.connection.execute(update(t.delivery).where(t.delivery.c.id == item.id).values(payload=payload))
    return replace(item, payload=payload, filled=True)


def _doubtful(work: Work, item: Claimed) -> bool:
    if item.fence == 1:
        return False
    a = t.attempt.c
    query = select(a.id).where(a.delivery_id == item.id, a.outcome == Result.UNKNOWN).limit(1)
    return work.connection.execute(query).first() is not None


# --- what waits ---


def flows_of(connection: Connection, target: str, known: Iterable[str]) -> list[str]:
    """Return the flows that something waits for at the target, those of the registry and those it has forgotten."""
    d = t.delivery.c
    found, last = set(known), ""
    while True:  # from one flow to the next along the index, however much waits in each
        query = select(func.min(d.flow)).where(d.target == target, t.is_ready, d.flow > last)
        flow = connection.execute(query).scalar_one_or_none()
        if flow is None:
            return sorted(found)
        found.add(flow)
        last = flow


def first_due(connection: Connection, target: str, flows: Iterable[str]) -> datetime | None:
    """Return when the next delivery of a target falls due, or None when none waits."""
    d = t.delivery.c
    found = [
        connection.execute(select(func.min(d.due_at)).where(d.target == target, d.flow == flow, t.is_ready)).scalar()
        for flow in flows
    ]
    return min((due for due in found if due is not None), default=None)


def count_due(connection: Connection, target: str, flow: str, now: datetime, most: int) -> int:
    """Return how many deliveries of a flow may be claimed for a target now, counted up to `most`."""
    d = t.delivery.c
    due = select(d.id).where(d.target == target, d.flow == flow, t.is_ready, d.due_at <= now).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(due)).scalar_one())


def waiting_targets(connection: Connection, known: Iterable[str]) -> list[str]:
    """Return the targets that something waits for, those of the registry and those it has forgotten."""
    d = t.delivery.c
    found, last = set(known), ""
    while True:
        target = connection.execute(select(func.min(d.target)).where(t.is_ready, d.target > last)).scalar_one_or_none()
        if target is None:
            return sorted(found)
        found.add(target)
        last = target


def release(connection: Connection, clock: Clock, target: str, flows: Sequence[str]) -> int:
    """After an outage: make the next of those due that wait out a pause of their own; return how many.

    In batches as they are claimed, for a million rows are not changed in one transaction. What waits to be read back
    keeps its time.
    """
    d, s = t.delivery.c, t.system_state.c
    state = systems.state_of(connection, target)
    if state is None or state.release_at is None:
        return 0
    now, done = clock.now(), 0
    for flow in flows:
        early = (
            select(d.id).where(d.target == target, d.flow == flow, t.is_ready, d.due_at > now)
            .where(d.state == DeliveryState.PENDING, d.created_at <= state.release_at)
            .order_by(d.due_at).limit(RELEASE - done)
        )  # fmt: skip
        done += int(connection.execute(update(t.delivery).where(d.id.in_(early)).values(due_at=now)).rowcount)
    if done < RELEASE:
        connection.execute(update(t.system_state).where(s.system == target).values(release_at=None))
    return done


# --- what is ours ---


def renew(connection: Connection, clock: Clock, held: Sequence[Claimed], lease: timedelta = LEASE) -> None:
    """Keep what is being sent ours for another lease, and note that; what somebody else has claimed since stays theirs."""
    if not held:
        return
    d = t.delivery.c
    mine = update(t.delivery).where(d.id == bindparam("i"), d.fence == bindparam("f"), t.among(d.state, "sending"))
    until = clock.now() + lease
    rows = [{"i": item.id, "f": item.fence} for item in held]
    connection.execute(mine.values(lease_until=until), rows)
    kept = select(d.id, d.fence).where(d.id.in_([item.id for item in held]), t.among(d.state, "sending"))
    ours = {tuple(row) for row in connection.execute(kept)}
    for item in held:
        if (item.id, item.fence) in ours:
            item.lease_until = until
