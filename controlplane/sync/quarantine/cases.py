"""Open, correct and close quarantine cases. Replaying one is the engines' business: it takes the same way as live traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.engine import RowMapping

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import ConflictError, NotFoundError
from controlplane.store import signals
from controlplane.store import tables as t
from controlplane.store.heads import promote
from controlplane.store.locks import lock_targets
from controlplane.store.text import kept
from rules.ids import bounded, new_id

OPEN = ("waiting", "corrected")


@dataclass(frozen=True, slots=True)
class Case:
    """Why a record waits and whom it waits for."""

    stage: str
    system: str
    flow: str
    owner: str
    reason_code: str
    reason: str
    remedy: str
    subject: str
    record: dict[str, Any]
    intake_id: str | None = None
    message_id: str | None = None
    delivery_id: str | None = None


def hold(connection: Connection, clock: Clock, case: Case) -> str:
    """Put a record into quarantine, whole; return the case's id."""
    now = clock.now()
    case_id = new_id(now)
    row = {name: getattr(case, name) for name in Case.__dataclass_fields__}
    row |= {name: kept(row[name]) for name in ("reason", "remedy")} | {"subject": bounded(kept(case.subject))}
    connection.execute(insert(t.quarantine).values(id=case_id, state="waiting", opened_at=now, **row))
    return case_id


def get(connection: Connection, case_id: str) -> RowMapping:
    """Return the row of a case. Raises NotFoundError."""
    row = connection.execute(select(t.quarantine).where(t.quarantine.c.id == case_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no quarantine case '{case_id}'; list them with GET /api/v1/quarantine")
    return row


def _close(connection: Connection, case_id: str, **values: Any) -> None:
    where = (t.quarantine.c.id == case_id, t.quarantine.c.state.in_(OPEN))
    if connection.execute(update(t.quarantine).where(*where).values(**values)).rowcount != 1:
        state = get(connection, case_id)["state"]
        raise ConflictError(f"quarantine case '{case_id}' is {state}; only a waiting or corrected case can be changed")


def correct(connection: Connection, clock: Clock, case_id: str, record: dict[str, Any], actor: str) -> None:
    """Keep a person's correction beside the original; nothing is sent before the replay. Raises NotFoundError, ConflictError."""
    before = get(connection, case_id)
    _close(connection, case_id, state="corrected", corrected=record)
    audit.record(
        connection, clock, actor=actor, action="quarantine.correct", subject=f"quarantine/{case_id}",
        before={"record": before["corrected"] or before["record"]}, after={"record": record},
    )  # fmt: skip


def mark_replayed(connection: Connection, clock: Clock, case_id: str, actor: str, replayed_as: str | None) -> None:
    """Close a case whose record went on its way. Raises ConflictError when somebody was faster."""
    _close(connection, case_id, state="replayed", closed_at=clock.now(), closed_by=actor, replayed_as=replayed_as)
    audit.record(
        connection, clock, actor=actor, action="quarantine.replay", subject=f"quarantine/{case_id}",
        after={"replayed_as": replayed_as},
    )  # fmt: skip


def drop(connection: Connection, clock: Clock, case_id: str, actor: str, reason: str) -> None:
    """Decide that a record is not owed any more. Raises NotFoundError, ConflictError."""
    case = get(connection, case_id)
    _close(connection, case_id, state="dropped", closed_at=clock.now(), closed_by=actor)
    if case["delivery_id"]:
        lock_targets(connection, [case["system"]], alone=False)
        owed = (t.delivery.c.id == case["delivery_id"], t.delivery.c.state == "quarantined")
        dropped = update(t.delivery).where(*owed).values(state="dropped", finished_at=clock.now())
        for key in connection.execute(dropped.returning(t.delivery.c.order_key)).scalars().all():
            promote(connection, case["system"], [key])
        signals.note(connection, signals.deliveries(case["system"]))
    audit.record(
        connection, clock, actor=actor, action="quarantine.drop", subject=f"quarantine/{case_id}", reason=reason
    )


def mark_reopened(connection: Connection, clock: Clock, delivery_ids: Sequence[str], actor: str, replay_id: str) -> int:
    """Close the cases of deliveries that a replay from the ledger sends on their way again; return how many.

    A case that a person had dropped is closed as replayed too: what was decided before stays in the action log.
    """
    q = t.quarantine.c
    left = (q.delivery_id.in_(delivery_ids), q.state.in_(("waiting", "dropped")))
    cases = connection.execute(select(q.id, q.delivery_id, q.state, q.closed_by).where(*left).order_by(q.id)).all()
    if cases:
        closed = update(t.quarantine).where(q.id == bindparam("case"))
        values = {"state": "replayed", "closed_at": clock.now(), "closed_by": actor}
        rows = [{"case": case.id, "as_": case.delivery_id} for case in cases]
        connection.execute(closed.values(**values, replayed_as=bindparam("as_")), rows)
        told = [
            audit.Told(
                actor, "quarantine.replay", f"quarantine/{case.id}",
                before={"state": case.state, "closed_by": case.closed_by},
                after={"replayed_as": case.delivery_id, "replay": replay_id},
            )
            for case in cases
        ]  # fmt: skip
        audit.record_all(connection, clock, told)
    return len(cases)
