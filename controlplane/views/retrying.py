"""What is retrying, and what is held up: which deliveries wait, for what, how many of each, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, literal, or_, select, tuple_

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.store.types import MICROSECOND, Instant
from controlplane.sync.delivery.systems import bucket_of
from controlplane.sync.routing.pauses import paused_for
from controlplane.views.paging import Order, Stretch, part
from rules import pacing
from rules.outcomes import DeliveryState
from rules.policy.kinds import Breaker
from rules.waiting import Reason, Standing, Waiting, why

ORDER = Order("what waits", (t.delivery.c.target, t.delivery.c.order_key, t.delivery.c.id), newest_first=False)
COUNTED = 100_000
"""Deliveries that are counted at most: after an outage a million may wait, and the page is asked for again and again."""
STOPPED = frozenset({Reason.PAUSED_FLOW, Reason.PAUSED_SYSTEM, Reason.BEHIND})
"""Reasons for which nobody can say when the next try is."""


@dataclass(frozen=True, slots=True)
class Held:
    """So many deliveries of a flow to a system wait for the same."""

    system: str
    flow: str
    reason: Reason
    count: int


@dataclass(frozen=True, slots=True)
class Retrying:
    """One delivery that waits."""

    id: str
    message_id: str
    system: str
    flow: str
    entity: str
    subject: str
    state: str
    reason: Reason
    why: str
    """What the system is blocked for, or which delivery it waits behind."""
    attempts: int
    outcome: str | None
    """Of the last try, with its detail."""
    detail: str | None
    next_try: datetime | None
    """None while only a person, or the delivery before it, can let it go on."""
    deadline: datetime
    """When its retry budget ends as things stand: every pause moves it."""
    created_at: datetime
    promise_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Deliveries in the order of system and key, and how many there are of each kind."""

    at: datetime
    counts: list[Held]
    complete: bool
    """False where more than COUNTED wait, and the counts are of the first of them."""
    deliveries: list[Retrying]
    next: str | None
    """Give it as `cursor` for the next page."""


@dataclass(frozen=True, slots=True)
class _House:
    """How systems and flows stand."""

    now: datetime
    systems: Mapping[str, Row[Any]]
    standings: Mapping[str, Standing]
    flows: Mapping[str, Row[Any]]

    def standing(self, system: str) -> Standing:
        return self.standings.get(system, Standing())

    def flow_paused(self, flow: str) -> bool:
        return flow in self.flows and self.flows[flow].paused_at is not None

    def paused_for(self, system: str, flow: str) -> int:
        return paused_for(self.systems.get(system), self.now) + paused_for(self.flows.get(flow), self.now)


def retrying(
    conn: Connection, promises: Snapshot, now: datetime, *, system: str | None = None, flow: str | None = None,
    stretch: Stretch = Stretch(50),
) -> Page:  # fmt: skip
    """Return what waits: tried before, or held up by something. Five queries at most. Raises BadInputError for a strange cursor."""
    house = _house(conn, promises, now)
    wanted = and_(t.is_open, *_about(system, flow), _waits(house))
    counts, complete = _counts(conn, house, wanted)
    query = select(t.delivery, _longer(house).label("longer")).where(wanted)
    shown = part(conn, query, ORDER, stretch, lambda row: SimpleNamespace(**row))
    ahead = _ahead(conn, [(row.target, row.order_key) for row in shown.rows if not row.head])
    deliveries = [_retrying(house, row, ahead) for row in shown.rows]
    return Page(now, counts, complete, deliveries, shown.next)


def _house(conn: Connection, promises: Snapshot, now: datetime) -> _House:
    systems = {row.system: row for row in conn.execute(select(t.system_state))}
    flows = {row.flow: row for row in conn.execute(select(t.flow_state))}
    standings = {name: standing_of(promises, name, row, now) for name, row in systems.items()}
    return _House(now, systems, standings, flows)


def standing_of(promises: Snapshot, name: str, row: Row[Any], now: datetime) -> Standing:
    """Return how a system stands, by its row."""
    spec = promises.systems[name].spec if name in promises.systems else None
    breaker = spec.breaker if spec else Breaker()
    bucket = pacing.refilled(bucket_of(row), spec.rate if spec else None, spec.burst if spec else None, now)
    return Standing(
        paused=row.paused_at is not None,
        blocked_until=row.blocked_until,
        failing=row.consecutive_failures >= breaker.after,
        spent=bucket.tokens is not None and bucket.tokens < 1,
    )


def _about(system: str | None, flow: str | None) -> list[ColumnElement[bool]]:
    d = t.delivery.c
    found: list[ColumnElement[bool]] = [d.state.in_((DeliveryState.PENDING, DeliveryState.UNKNOWN))]
    return found + [column == name for column, name in ((d.target, system), (d.flow, flow)) if name is not None]


def _waits(house: _House) -> ColumnElement[bool]:
    """Leaves out what was never tried and is about to be."""
    d = t.delivery.c
    held = [
        name
        for name, one in house.standings.items()
        if one.paused or one.failing or one.spent or one.blocked(house.now)
    ]
    paused = [name for name in house.flows if house.flow_paused(name)]
    return or_(d.attempts > 0, d.head.is_(False), d.due_at > house.now, d.target.in_(held), d.flow.in_(paused))


def _longer(house: _House) -> ColumnElement[bool]:
    """Whether a delivery falls due later than its system may be asked."""
    d, now = t.delivery.c, literal(house.now, Instant())
    blocked = {name: one.free_at(house.now) for name, one in house.standings.items() if one.blocked(house.now)}
    if not blocked:
        return d.due_at > now
    whens = {name: literal(until, Instant()) for name, until in blocked.items()}
    return d.due_at > case(whens, value=d.target, else_=now)


def _counts(conn: Connection, house: _House, wanted: ColumnElement[bool]) -> tuple[list[Held], bool]:
    d = t.delivery.c
    features = (
        d.target, d.flow, d.state, d.head, d.outcome, (d.attempts > 0).label("tried"), _longer(house).label("longer"),
    )  # fmt: skip
    some = select(*features).where(wanted).limit(COUNTED + 1).subquery()
    query = select(some, func.count().label("number")).group_by(*some.c)
    found: dict[tuple[str, str, Reason], int] = {}
    for row in conn.execute(query):
        place = (row.target, row.flow, _reason(house, row, bool(row.tried), bool(row.longer)))
        found[place] = found.get(place, 0) + int(row.number)
    counts = [Held(*place, number) for place, number in sorted(found.items())]
    return counts, sum(found.values()) <= COUNTED


def _reason(house: _House, row: Any, tried: bool, longer: bool) -> Reason:
    waiting = Waiting(DeliveryState(row.state), bool(row.head), tried, row.outcome, longer)
    return why(waiting, house.standing(row.target), house.flow_paused(row.flow), house.now)


def _ahead(conn: Connection, keys: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The first open delivery of each line."""
    if not keys:
        return {}
    d = t.delivery.c
    lines = select(d.target, d.order_key, func.min(d.id)).where(t.is_open, tuple_(d.target, d.order_key).in_(keys))
    return {(row[0], row[1]): row[2] for row in conn.execute(lines.group_by(d.target, d.order_key))}


def _retrying(house: _House, row: Any, ahead: Mapping[tuple[str, str], str]) -> Retrying:
    standing = house.standing(row.target)
    reason = _reason(house, row, row.attempts > 0, bool(row.longer))
    moved = max(0, house.paused_for(row.target, row.flow) - row.pause_base)
    return Retrying(
        id=row.id, message_id=row.message_id, system=row.target, flow=row.flow, entity=row.entity, subject=row.subject,
        state=row.state, reason=reason, why=_why(house, row, reason, ahead), attempts=row.attempts, outcome=row.outcome,
        detail=row.detail, next_try=None if reason in STOPPED else max(row.due_at, standing.free_at(house.now)),
        deadline=row.deadline_at + moved * MICROSECOND, created_at=row.created_at, promise_at=row.promise_at,
    )  # fmt: skip


def _why(house: _House, row: Any, reason: Reason, ahead: Mapping[tuple[str, str], str]) -> str:
    if reason is Reason.BEHIND:
        return f"behind {ahead.get((row.target, row.order_key), 'one that has just ended')} of {row.order_key}"
    if reason in (Reason.BREAKER, Reason.THROTTLED):
        return str(house.systems[row.target].blocked_reason or "") if row.target in house.systems else ""
    return ""
