"""One message's whole life: how it came in, what it said, what it caused, to whom it was owed, every attempt, the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select

from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.sync.ledger.accept import SENT_BY
from controlplane.sync.quarantine import sealed
from controlplane.views.personal import masked, readable

LIMIT = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, in time order."""

    at: datetime
    kind: str
    """arrived, accepted, caused, owed, attempt, finished or held."""
    title: str
    detail: str
    state: str
    took: float | None = None
    """Seconds, of an attempt."""
    link: str | None = None


@dataclass(frozen=True, slots=True)
class MessageLife:
    """A message with everything that belongs to it."""

    message: Mapping[str, Any]
    intake: Mapping[str, Any] | None
    """With `body` as text: masked and cut."""
    cause: Mapping[str, Any] | None
    derived: list[Mapping[str, Any]]
    deliveries: list[Mapping[str, Any]]
    attempts: list[Mapping[str, Any]]
    held: list[Mapping[str, Any]]
    steps: list[Step]


def message_life(conn: Connection, message_id: str) -> MessageLife:
    """Read one message's life. Six queries. Raises NotFoundError."""
    m, d, a, q = t.message.c, t.delivery.c, t.attempt.c, t.quarantine.c
    row = conn.execute(select(t.message).where(m.id == message_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            f"no message '{message_id}'; find one from its flow, GET /api/v1/flows/<name>, or put an old one back from the archive "
            "with `trueup ledger restore`"
        )
    message = {**row, "data": masked(row["data"])}
    near = _all(conn, select(t.message).where(or_(m.causation_id == message_id, m.id == row["causation_id"])))
    relatives: list[Mapping[str, Any]] = [{**one, "data": masked(one["data"])} for one in near]
    owed = _all(conn, select(t.delivery).where(d.message_id == message_id).order_by(d.id))
    deliveries: list[Mapping[str, Any]] = [{**one, "payload": masked(one["payload"])} for one in owed]
    ids = [one["id"] for one in deliveries]
    attempts = _all(conn, select(t.attempt).where(a.delivery_id.in_(ids)).order_by(a.started_at, a.id))
    cases = _all(conn, select(t.quarantine).where(or_(q.message_id == message_id, q.delivery_id.in_(ids))))
    held: list[Mapping[str, Any]] = [sealed.shown(one) for one in cases]
    came = _intake(conn, row["intake_id"])
    derived = [one for one in relatives if one["causation_id"] == message_id]
    cause = next((one for one in relatives if one["id"] == row["causation_id"]), None)
    steps = _steps(message, came, derived, deliveries, attempts, held)
    return MessageLife(message, came, cause, derived, deliveries, attempts, held, steps)


def _all(conn: Connection, query: Any) -> list[Mapping[str, Any]]:
    return [dict(row) for row in conn.execute(query.limit(LIMIT)).mappings()]


def _intake(conn: Connection, intake_id: str | None) -> Mapping[str, Any] | None:
    row = conn.execute(select(t.intake).where(t.intake.c.id == intake_id)).mappings().one_or_none()
    if row is None:
        return None
    shown = {"headers": masked(row["headers"]), "body": readable(row["body"]), "sealed": row["sealed"] is not None}
    return {**row, **shown}


def _steps(
    message: Mapping[str, Any],
    came: Mapping[str, Any] | None,
    derived: Sequence[Mapping[str, Any]],
    deliveries: Sequence[Mapping[str, Any]],
    attempts: Sequence[Mapping[str, Any]],
    held: Sequence[Mapping[str, Any]],
) -> list[Step]:
    targets = {one["id"]: one["target"] for one in deliveries}
    steps = [_arrived(came)] if came else []
    steps.append(_accepted(message))
    steps += [_caused(one) for one in derived]
    steps += [_owed(one) for one in deliveries]
    steps += [_attempt(one, targets[one["delivery_id"]]) for one in attempts]
    steps += [_finished(one) for one in deliveries if one["finished_at"]]
    steps += [_held(one) for one in held]
    return sorted(steps, key=lambda step: step.at)


def _arrived(one: Mapping[str, Any]) -> Step:
    title = f"{one['system']} told us by {one['channel']}"
    by = f" · sent by {sent}" if (sent := sender(one)) else ""
    return Step(one["received_at"], "arrived", title, f"{one['topic']} · {one['event_key']}{by}", one["state"])


def sender(came: Mapping[str, Any]) -> str:
    """Return the account by which something came over the API; empty where no account sent it."""
    return str(came["headers"].get(SENT_BY, "")) if came["channel"] == "api" else ""


def _accepted(one: Mapping[str, Any]) -> Step:
    took = f"understood as {one['type']} about {one['subject']}"
    return Step(one["accepted_at"], "accepted", "Became a message", took, one["state"])


def _caused(one: Mapping[str, Any]) -> Step:
    link = f"/messages/{one['id']}"
    return Step(one["accepted_at"], "caused", f"Caused {one['type']}", one["subject"], one["state"], link=link)


def _owed(one: Mapping[str, Any]) -> Step:
    detail = f"as {one['entity']} · promised by {one['promise_at']:%H:%M:%S} UTC"
    return Step(one["created_at"], "owed", f"Owed to {one['target']}", detail, "info")


def _attempt(one: Mapping[str, Any], target: str) -> Step:
    took = (one["finished_at"] - one["started_at"]).total_seconds()
    title = f"Attempt {one['number']} at {target}: {one['kind']}"
    return Step(one["started_at"], "attempt", title, one["detail"] or one["outcome"], one["outcome"], took)


def _finished(one: Mapping[str, Any]) -> Step:
    title, detail = f"{one['target']}: {one['state']}", one["detail"] or f"attempts: {one['attempts']}"
    return Step(one["finished_at"], "finished", title, detail, one["state"])


def _held(one: Mapping[str, Any]) -> Step:
    link = f"/quarantine?case={one['id']}"
    return Step(
        one["opened_at"], "held", f"Held for a person: {one['reason_code']}", one["reason"], one["state"], link=link
    )
