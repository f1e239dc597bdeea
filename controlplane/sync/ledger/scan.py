"""Go through the ledger in the order in which messages were accepted, a bounded stretch at a time.

The place where a reader stands is an instant and an id. Messages that are committed behind it, because they were accepted in
the same instant or their commit took long, are not seen: whoever reads on like this is one for whom those are live traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select, union_all

from controlplane.store import tables as t


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands: behind this message."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: of one source and some types, accepted in [since, until), and only of one subject if one is given."""

    source: str
    types: tuple[str, ...]
    since: datetime
    until: datetime
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was found, oldest first."""

    places: list[Place]
    """Those that are wanted."""
    last: Place | None
    """The last that was looked at, wanted or not; None when nothing is left."""


def stretch(connection: Connection, wanted: Wanted, after: Place | None, limit: int) -> Stretch:
    """Look at the next messages behind a place, at most `limit`. One query, whose cost is that of what it looks at."""
    m = t.message.c
    if wanted.subject is not None:  # the types are compared here: with them in the query, their index might be taken
        query = _behind(wanted, after).where(m.subject == wanted.subject).order_by(m.accepted_at, m.id).limit(limit)
    else:
        parts = [
            _behind(wanted, after).where(m.type == kind).order_by(m.accepted_at, m.id).limit(limit).subquery()
            for kind in wanted.types
        ]
        whole = union_all(*(select(part) for part in parts)).subquery()
        query = select(whole).order_by(whole.c.accepted_at, whole.c.id).limit(limit)
    rows = connection.execute(query).all()
    found = [Place(row.accepted_at, row.id) for row in rows if row.source == wanted.source and row.type in wanted.types]
    return Stretch(found, Place(rows[-1].accepted_at, rows[-1].id) if rows else None)


def _behind(wanted: Wanted, after: Place | None) -> Select[Any]:
    m = t.message.c
    since = after.at if after else wanted.since
    query = select(m.id, m.accepted_at, m.source, m.type).where(m.accepted_at >= since, m.accepted_at < wanted.until)
    if after is None:
        return query
    return query.where(or_(m.accepted_at > after.at, and_(m.accepted_at == after.at, m.id > after.id)))
