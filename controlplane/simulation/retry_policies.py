"""A retry policy under two revisions: calls saved or added, and deliveries that would have waited for a person or come late."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, case, func, select, type_coerce

from controlplane.registry.registry import Snapshot
from controlplane.registry.simulation import Figure, Ground, Impact, Simulator
from controlplane.store import tables as t
from controlplane.store.types import instant
from rules.outcomes import DONE, DeliveryState, Result
from rules.policy.kinds import MOST_AT_ONCE, Document, RetryPolicy, RetryPolicySpec
from rules.simulation.retries import ALWAYS, FAILED, Course, Owed, Trouble, Try, replay, untroubled

AT_ONCE = 20_000
"""Rows that are read at once."""
ON_THE_WAY = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNKNOWN)
PERSONS = (DeliveryState.QUARANTINED, DeliveryState.DROPPED)
"""What a person had to see to."""
Place = tuple[str, str]
"""(flow, target)."""


@dataclass(slots=True)
class Past:
    """What was tried of one flow at one target."""

    smooth: int = 0
    """Deliveries that were taken at their first try."""
    smooth_late: int = 0
    troubled: list[Owed] = field(default_factory=list)
    happened: Course = field(default_factory=Course)
    """What came of the troubled ones, under the revisions of their time."""


def simulate(ground: Ground, before: Document | None, after: Document) -> Impact:
    """Try the deliveries of the stretch again, wherever the policy governs today."""
    if not isinstance(after, RetryPolicy):
        raise TypeError(after.kind)
    old = before.spec if isinstance(before, RetryPolicy) else None
    places = governed(ground.snapshot, after.name)
    past = read(ground, places)
    trouble = {system: Trouble(_tries(ground, system)) for system in sorted({target for _, target in past})}
    courses = {
        place: tuple(_course(policy, trouble[place[1]], past[place], ground.until) for policy in (old, after.spec))
        for place in sorted(past)
    }
    then, now = Course(), Course()
    for one, other in courses.values():
        then.add(one)
        now.add(other)
    rows = [_row(place, *both) for place, both in courses.items() if both[0] != both[1]]
    return Impact(_figures(then, now), rows, [*_happened(past.values(), then), *_untold(after.name, old, places)])


def governed(snapshot: Snapshot, policy: str) -> set[Place]:
    """Return the flows and targets that a retry policy governs."""
    return {
        (flow.name, target.system)
        for flow in snapshot.flows.values()
        for target in flow.spec.targets
        if (target.retry or flow.spec.retry) == policy
    }


def read(ground: Ground, places: Collection[Place]) -> dict[Place, Past]:
    """Read the deliveries that were first tried in the stretch. Two queries."""
    found: dict[Place, Past] = {}
    for flow, target, count, late in _smooth(ground, {flow for flow, _ in places}):
        if (flow, target) in places:
            past = found.setdefault((flow, target), Past())
            past.smooth, past.smooth_late = count, late
    for flow, target, owed, happened in _troubled(ground, {flow for flow, _ in places}):
        if (flow, target) in places:
            past = found.setdefault((flow, target), Past())
            past.troubled.append(owed)
            past.happened.add(happened)
    return found


def _smooth(ground: Ground, flows: Collection[str]) -> Iterator[tuple[str, str, int, int]]:
    a, d = t.attempt.c, t.delivery.c
    late = func.coalesce(func.sum(case((a.finished_at > d.promise_at, 1), else_=0)), 0).cast(Integer)
    query = (
        select(d.flow, d.target, func.count(), late)
        .join_from(t.attempt, t.delivery, a.delivery_id == d.id)
        .where(a.finished_at >= ground.since, a.finished_at < ground.until, a.number == 1)
        .where(a.outcome.in_(DONE), d.flow.in_(flows))
        .group_by(d.flow, d.target)
    )
    yield from ((row[0], row[1], row[2], row[3]) for row in ground.conn.execute(query))


def _troubled(ground: Ground, flows: Collection[str]) -> Iterator[tuple[str, str, Owed, Course]]:
    """Those whose first try was not taken: a policy decides what came next. With each, what did."""
    a, d = t.attempt.c, t.delivery.c
    failed = [*FAILED, Result.REJECTED]
    own = t.attempt.alias("own").c
    mine = (own.delivery_id == d.id) & (own.finished_at < ground.until)
    taken = select(func.min(own.started_at)).where(mine, own.outcome.in_(DONE)).scalar_subquery()
    last = select(func.max(own.started_at)).where(mine, own.outcome.in_(FAILED)).scalar_subquery()
    calls = select(func.count(own.id)).where(mine).scalar_subquery()
    query = (
        select(
            d.flow, d.target, d.id, d.created_at, a.started_at, d.promise_at, a.outcome, d.state,
            taken.label("taken"), last.label("last"), calls.label("calls"),
        )
        .join_from(t.attempt, t.delivery, a.delivery_id == d.id)
        .where(a.finished_at >= ground.since, a.finished_at < ground.until, a.number == 1)
        .where(a.outcome.in_(failed), d.flow.in_(flows))
    )  # fmt: skip
    for row in ground.conn.execute(query.execution_options(yield_per=AT_ONCE)):
        refused = (row.taken or row.started_at + ALWAYS) if row.outcome == Result.REJECTED else None
        alone = row.last if row.last is not None and row.last > row.started_at else None
        how = Result(row.outcome) if row.outcome in FAILED else Result.UNAVAILABLE
        owed = Owed(row.id, row.created_at, row.started_at, row.promise_at, refused, alone, how)
        yield row.flow, row.target, owed, _came_of(row, ground.until)


def _came_of(row: Any, until: datetime) -> Course:
    """What became of a delivery that was not taken at its first try."""
    if row.taken is not None:
        waited = (row.taken - row.started_at).total_seconds()
        return Course(1, row.calls, 1, 0, int(row.taken > row.promise_at), 0, waited)
    waits, on_the_way = row.state in PERSONS, row.state in ON_THE_WAY
    late = waits or (on_the_way and until > row.promise_at)
    return Course(1, row.calls, 0, int(waits), int(late), int(on_the_way))


def _happened(past: Iterable[Past], then: Course) -> Iterator[str]:
    """Say what history itself holds beside the replay of what is in force, so that nobody takes one for the other."""
    real = Course()
    for one in past:
        real.add(untroubled(one.smooth, one.smooth_late))
        real.add(one.happened)
    if real.deliveries:
        yield f"as it happened, under the revisions of their time: {_said(real)}"
        if then.deliveries:
            yield f"replayed under what is in force, to hold the proposal against: {_said(then)}"


def _said(course: Course) -> str:
    return (
        f"{course.deliveries} deliveries, {course.calls} calls, {course.delivered} delivered, {course.gave_up} waiting for a "
        f"person, {course.open} on the way, {course.breached} after their promise"
    )


def _tries(ground: Ground, system: str) -> Iterator[Try]:
    """Read failures, and so many successes behind each that one of them was begun after it: no more were under way."""
    a, behind = t.attempt.c, MOST_AT_ONCE + 1
    query = (
        select(type_coerce(a.started_at, BigInteger), a.outcome)
        .where(a.finished_at >= ground.since, a.finished_at < ground.until, a.system == system)
        .order_by(a.finished_at)
    )
    for started_at, outcome in ground.conn.execute(query.execution_options(yield_per=AT_ONCE)):
        behind = 0 if outcome in FAILED else behind + 1
        if behind <= MOST_AT_ONCE:
            yield Try(instant(started_at), outcome)


def _course(policy: RetryPolicySpec | None, trouble: Trouble, past: Past, until: datetime) -> Course:
    course = untroubled(past.smooth, past.smooth_late)
    if policy is not None:
        for owed in past.troubled:
            course.add(replay(policy, trouble, owed, until))
    return course


def _figures(then: Course, now: Course) -> list[Figure]:
    return [
        Figure("deliveries", "deliveries", then.deliveries, now.deliveries),
        Figure("vendor calls", "calls", then.calls, now.calls),
        Figure("delivered", "deliveries", then.delivered, now.delivered),
        Figure("waiting for a person", "deliveries", then.gave_up, now.gave_up),
        Figure("on the way where history ends", "deliveries", then.open, now.open),
        Figure("promise breached", "deliveries", then.breached, now.breached),
        Figure("mean wait for a retry", "seconds", *(round(_mean(one), 1) for one in (then, now))),
    ]


def _mean(course: Course) -> float:
    retried = course.delivered and course.waited / course.delivered
    return float(retried)


def _row(place: Place, then: Course, now: Course) -> Mapping[str, Any]:
    return {
        "flow": place[0], "target": place[1], "deliveries": now.deliveries,
        "calls": {"before": then.calls, "after": now.calls},
        "waiting for a person": {"before": then.gave_up, "after": now.gave_up},
        "promise breached": {"before": then.breached, "after": now.breached},
    }  # fmt: skip


def _untold(name: str, old: RetryPolicySpec | None, places: Collection[Place]) -> list[str]:
    found = [
        "rates, breakers and pauses that a system asked for are not replayed: a try is made when the policy says",
        "a system counts as failing from the first try that failed to the next that did not",
    ]
    if not places:
        found.append(f"no flow names {name} today, so nothing would have been different")
    elif old is None:
        found.append(
            "there is no revision in force to hold it against: what failed at its first try counts under the new one only"
        )
    return found


SIMULATOR = Simulator(simulate, reads=("Flow",))
