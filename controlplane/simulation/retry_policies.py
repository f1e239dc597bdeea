"""A retry policy under two revisions: calls saved or added, and deliveries that would have waited for a person or come late."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, case, func, select, type_coerce

from controlplane.registry.registry import Snapshot
from controlplane.registry.simulation import Figure, Ground, Impact, Simulator
from controlplane.store import tables as t
from controlplane.store.types import instant
from rules.outcomes import DONE, Result
from rules.policy.kinds import MOST_AT_ONCE, Document, RetryPolicy, RetryPolicySpec
from rules.simulation.retries import ALWAYS, FAILED, Course, Owed, Trouble, Try, replay, untroubled

AT_ONCE = 20_000
"""Rows that are read at once."""
Place = tuple[str, str]
"""(flow, target)."""


@dataclass(slots=True)
class Past:
    """What was tried of one flow at one target."""

    smooth: int = 0
    """Deliveries that were taken at their first try."""
    smooth_late: int = 0
    troubled: list[Owed] = field(default_factory=list)


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
    return Impact(_figures(then, now), rows, _untold(after.name, old, places))


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
    for flow, target, owed in _troubled(ground, {flow for flow, _ in places}):
        if (flow, target) in places:
            found.setdefault((flow, target), Past()).troubled.append(owed)
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


def _troubled(ground: Ground, flows: Collection[str]) -> Iterator[tuple[str, str, Owed]]:
    """Those whose first try was not taken: a policy decides what came next."""
    a, d = t.attempt.c, t.delivery.c
    failed = [*FAILED, Result.REJECTED]
    done = t.attempt.alias("done").c
    taken = select(func.min(done.started_at)).where(done.delivery_id == d.id, done.outcome.in_(DONE)).scalar_subquery()
    query = (
        select(d.flow, d.target, d.id, d.created_at, a.started_at, d.promise_at, a.outcome, taken)
        .join_from(t.attempt, t.delivery, a.delivery_id == d.id)
        .where(a.finished_at >= ground.since, a.finished_at < ground.until, a.number == 1)
        .where(a.outcome.in_(failed), d.flow.in_(flows))
    )
    streamed = ground.conn.execute(query.execution_options(yield_per=AT_ONCE))
    for flow, target, identity, created, first, promise, outcome, when in streamed:
        refused = (when or first + ALWAYS) if outcome == Result.REJECTED else None
        yield flow, target, Owed(identity, created, first, promise, refused)


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
