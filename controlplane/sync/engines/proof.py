"""What has to be known of earlier tries before something is sent again: whether they may have had an effect, or may have one yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Write
from controlplane.errors import ConflictError, TrueupError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery.send import business_ref
from controlplane.sync.quarantine import vouched_at
from rules.doubt import Tried, in_doubt, may_change
from rules.outcomes import Outcome, Result


class TooEarlyError(ConflictError):
    """What was sent may take effect yet; `until` then reading back proves nothing."""

    def __init__(self, told: str, until: datetime) -> None:
        super().__init__(told)
        self.until = until


def doubtful(connection: Connection, delivery_id: str, since: datetime | None = None) -> bool:
    """Say whether a delivery that waits may have taken effect, by what was tried, or tried since an instant."""
    return in_doubt(_tries(connection, delivery_id, since))


def replayed_in_doubt(connection: Connection, connections: Connections, row: Row[Any]) -> bool:
    """Say whether a delivery that is replayed as it was has to be found at its target first.

    A person's word counts only where absence at the target proves nothing.
    """
    try:
        settles = connections.get(row.target).manifest.write_spec(row.entity).settles
    except TrueupError:  # it cannot be asked, and nobody's word stands in for that
        settles = True
    return doubtful(connection, row.id, None if settles else vouched_at(connection, row.id))


def _tries(connection: Connection, delivery_id: str, since: datetime | None) -> list[Tried]:
    a = t.attempt.c
    query = select(a.kind, a.outcome).where(a.delivery_id == delivery_id).order_by(a.finished_at, a.id)
    if since is not None:
        query = query.where(a.finished_at > since)
    return [Tried(kind, outcome) for kind, outcome in connection.execute(query)]


def prove_absent(store: Store, clock: Clock, connections: Connections, case_id: str, row: Row[Any]) -> None:
    """A corrected payload gets a new key only when the old one is proven to have had no effect, or a person says so.

    Raises TooEarlyError while it may take effect yet, and ConflictError saying what is to be done.
    """
    with store.read() as connection:
        since = vouched_at(connection, row.id)
        tries = _tries(connection, row.id, since)
        early = row.due_at > clock.now() and doubtful(connection, row.id)
    if early:
        at = row.due_at.isoformat()
        raise TooEarlyError(
            f"the first {row.entity} {row.subject} may take effect until {at}, so nothing at {row.target} proves that it "
            "had none; replay it after that",
            row.due_at,
        )
    key = row.sent_key or row.idempotency_key
    ref = business_ref(row.payload, row.subject)
    write = Write(row.entity, row.subject, key, row.payload, ref, owed_since=row.created_at)
    connector = connections.get(row.target)
    seen = connector.read_back(write)
    if seen.result is Result.ABSENT and not connector.manifest.write_spec(row.entity).settles:
        seen = replace(seen, result=Result.UNSEEN)  # it may be started again in the target's queue
    if not may_change(seen.result, doubtful=in_doubt(tries), vouched=since is not None and not tries):
        raise ConflictError(_unproven(row, case_id, seen))


def _unproven(row: Row[Any], case_id: str, seen: Outcome) -> str:
    told = (
        f"{row.target} does not prove that the first {row.entity} {row.subject} had no effect "
        f"({seen.result}: {seen.detail}); correct it at the target, or replay it unchanged"
    )
    if seen.result in (Result.UNSEEN, Result.UNKNOWN):
        told += f"; or look there, and say that it had none: POST /api/v1/quarantine/{case_id}/vouch"
    return told
