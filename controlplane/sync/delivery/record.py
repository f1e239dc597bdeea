"""Record what came of a try: the attempt always, its effect only while the claim is still ours."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, update

from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.delivery import effects, systems
from controlplane.sync.delivery.send import Sent
from controlplane.sync.processes.contract import Work
from rules import retry
from rules.ids import new_id
from rules.outcomes import Outcome, Result

VERIFY_PAUSE = timedelta(seconds=15)


def record(store: Store, work_of: Callable[[Connection], Work], sent: Sent) -> bool:
    """Write attempt, state and effects in one transaction; say whether the result counted (the fence was ours)."""
    with store.write() as connection:
        work = work_of(connection)
        _attempt(work, sent)
        values = _next(work, sent)
        d = t.delivery.c
        mine = (d.id == sent.claimed.id, d.fence == sent.claimed.fence, d.state == "sending")
        counted = bool(connection.execute(update(t.delivery).where(*mine).values(**values)).rowcount == 1)
        if counted:
            _follow(work, sent, values)
    return counted


def _attempt(work: Work, sent: Sent) -> None:
    claimed = sent.claimed
    work.connection.execute(
        insert(t.attempt).values(
            id=new_id(sent.finished_at), delivery_id=claimed.id, number=claimed.attempt,
            kind="read-back" if claimed.read_back else "write", system=claimed.target, flow=claimed.flow,
            started_at=sent.started_at, finished_at=sent.finished_at, outcome=sent.outcome.result,
            detail=sent.outcome.detail, evidence=sent.outcome.evidence or None, retry_revision=claimed.retry_revision,
        )
    )  # fmt: skip


def _next(work: Work, sent: Sent) -> dict[str, Any]:
    """Return the delivery's new values."""
    outcome = sent.outcome
    now = work.clock.now()
    base = {"outcome": outcome.result, "detail": outcome.detail, "lease_owner": None, "lease_until": None}
    match outcome.result:
        case Result.DELIVERED | Result.ALREADY_DELIVERED:
            payload = {"payload": sent.claimed.payload}
            return base | payload | {"state": "delivered", "finished_at": now}
        case Result.STALE:
            return base | {"state": "stale", "finished_at": now}
        case Result.REJECTED:
            return base | {"state": "quarantined"}
        case Result.ABSENT:
            return base | _try_again(work, sent, now, "pending")
        case Result.UNKNOWN:
            wait = VERIFY_PAUSE if sent.claimed.read_back else timedelta(seconds=sent.late_effect)
            return base | {"state": "unknown", "due_at": now + wait, "payload": sent.claimed.payload}
        case Result.THROTTLED:
            back = "unknown" if sent.claimed.read_back else "pending"
            return base | {"state": back, "due_at": now + timedelta(seconds=outcome.retry_after or 1)}
        case Result.UNAVAILABLE:
            return base | _try_again(work, sent, now, "unknown" if sent.claimed.read_back else "pending")


def _try_again(work: Work, sent: Sent, now: datetime, state: str) -> dict[str, Any]:
    flow = work.snapshot.flows[sent.claimed.flow]
    policy = work.snapshot.retry_policies[flow.spec.retry].spec
    due = now + retry.delay(policy, sent.claimed.attempt, random.random())
    if state == "pending" and retry.gives_up(policy, sent.claimed.attempt, due, sent.claimed.deadline_at):
        return {"state": "quarantined"}
    return {"state": state, "due_at": due}


def _follow(work: Work, sent: Sent, values: dict[str, Any]) -> None:
    claimed, outcome = sent.claimed, sent.outcome
    match outcome.result:
        case Result.UNAVAILABLE | Result.UNKNOWN:
            systems.failed(work.connection, work.clock, claimed.target, outcome.detail)
        case Result.THROTTLED:
            systems.throttled(work.connection, work.clock, claimed.target, outcome.retry_after or 1, outcome.detail)
        case Result.ABSENT:
            pass  # that nothing happened is no sign that the system takes writes
        case _:
            systems.succeeded(work.connection, work.clock, claimed.target)
    if values["state"] == "delivered":
        effects.apply(work, sent)
    elif values["state"] == "quarantined":
        _hold(work, sent, outcome)


def _hold(work: Work, sent: Sent, outcome: Outcome) -> None:
    claimed = sent.claimed
    flow = work.snapshot.flows[claimed.flow]
    rejected = outcome.result is Result.REJECTED
    case = quarantine.Case(
        stage="delivery", system=claimed.target, flow=claimed.flow, owner=flow.spec.owner,
        reason_code="rejected" if rejected else "gave_up",
        reason=f"{claimed.target} refused {claimed.entity} {claimed.subject}: {outcome.detail}" if rejected
        else f"{claimed.target} took {claimed.entity} {claimed.subject} in none of {claimed.attempt} tries: {outcome.detail}",
        remedy="correct the record, or what it refers to at the target, and replay" if rejected
        else "see that the system answers again, and replay",
        subject=claimed.subject, record=dict(claimed.payload), delivery_id=claimed.id,
    )  # fmt: skip
    quarantine.hold(work.connection, work.clock, case)
