"""How much is owed, and since when, at a cost that a million waiting deliveries do not raise to seconds.

Counted along an index that holds what is not finished by target and flow, without looking into the rows. Quarantined ones are in
it too; they are few beside a backlog, and are found by their cases and taken off.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from controlplane.store import tables as t

Pair = tuple[str, str]
"""Target and flow."""


class Waiting(NamedTuple):
    """What the plane itself still has to finish: pending, sending and unknown deliveries of a target and flow."""

    number: int
    oldest: datetime
    """When the oldest of them came to be."""


def waiting(connection: Connection) -> dict[Pair, Waiting]:
    """Return what is owed by target and flow; pairs that nothing is owed by are left out."""
    d = t.delivery.c
    unfinished = select(d.target, d.flow, func.count()).where(d.finished_at.is_(None)).group_by(d.target, d.flow)
    held = quarantined(connection)
    found: dict[Pair, Waiting] = {}
    for target, flow, count in connection.execute(unfinished).all():
        count -= held.get((target, flow), 0)
        oldest = _oldest(connection, target, flow) if count > 0 else None
        if oldest is not None:
            found[target, flow] = Waiting(count, oldest)
    return found


def quarantined(connection: Connection) -> dict[Pair, int]:
    """Return how many deliveries wait in quarantine, by target and flow. Each has a case that is open."""
    d, q = t.delivery.c, t.quarantine.c
    query = (
        select(d.target, d.flow, func.count(d.id.distinct()))
        .select_from(t.quarantine.join(t.delivery, d.id == q.delivery_id))
        .where(q.state.in_(("waiting", "corrected")), d.state == "quarantined")
        .group_by(d.target, d.flow)
    )
    return {(target, flow): count for target, flow, count in connection.execute(query)}


def _oldest(connection: Connection, target: str, flow: str) -> datetime | None:
    d = t.delivery.c
    mine = (d.target == target, d.flow == flow, d.finished_at.is_(None), d.state != "quarantined")
    query = select(d.created_at).where(*mine).order_by(d.created_at).limit(1)
    found: datetime | None = connection.execute(query).scalar_one_or_none()
    return found
