"""Rows of change requests and their votes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, desc, select

from controlplane.access import Actor, allowed, find_actor
from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from rules.canonical import digest
from rules.changes import WHO, Deed, Hands, State

TABLE = t.change_request


@dataclass(frozen=True, slots=True)
class Vote:
    """What somebody decided about a document with this hash."""

    voter: str
    decision: str
    hash: str
    comment: str
    at: datetime
    voided_at: datetime | None = None
    """When the request was edited after it."""
    simulation: str | None = None
    """Hash of the simulation that an approval rests on; None where the kind has none."""


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A change that somebody proposes to one policy."""

    id: str
    title: str
    reason: str
    kind: str
    name: str
    base_revision: int | None
    """Revision that it was made on; None for a new document."""
    document: dict[str, Any]
    hash: str
    state: State
    author: str
    last_editor: str
    editors: tuple[str, ...]
    """Everybody who wrote on the document, the author included."""
    created_at: datetime
    updated_at: datetime
    effective_at: datetime | None
    applied_revision: str | None
    scheduled_for: datetime | None
    """When the plane puts it in force by itself."""
    scheduled_by: str | None
    """Who scheduled it, or put it in force by break-glass."""
    rolls_back: int | None
    """The revision that it goes back to."""
    break_glass: bool
    """It was put in force without approval."""
    reverts_at: datetime | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    note: str
    """What kept the plane from going on with it; after break-glass, what the review said."""
    votes: tuple[Vote, ...]
    """All of them, the oldest first; what was voted before the last edit counts for nothing."""

    @property
    def valid_votes(self) -> tuple[Vote, ...]:
        """The votes on the document as it is now."""
        return tuple(vote for vote in self.votes if vote.hash == self.hash and vote.voided_at is None)

    @property
    def hands(self) -> Hands:
        """Whose hands it went through."""
        return Hands(self.author, self.last_editor, self.scheduled_by, frozenset(self.editors))

    @property
    def etag(self) -> str:
        """What stands for the request as it can be edited."""
        return etag_of(self.hash, self.state, self.base_revision)

    @property
    def review_owed(self) -> bool:
        """Whether it was put in force without approval and nobody has looked at it since."""
        return self.break_glass and self.reviewed_at is None

    def __str__(self) -> str:
        return f"change request {self.id} ({self.kind}/{self.name})"


def etag_of(document_hash: str, state: str, base_revision: int | None) -> str:
    """Return what stands for a request as it can be edited: its document, its state, and what it is made on."""
    return digest([document_hash, state, base_revision])[:32]


def etag_of_revision(row: Mapping[str, Any]) -> str:
    """Return what stands for a revision of a policy: it and its document; it is never edited."""
    return digest([row["id"], row["hash"]])[:32]


def get(conn: Connection, request_id: str) -> ChangeRequest:
    """Return one request. Raises NotFoundError."""
    return _one(conn, request_id, for_update=False)


def lock(conn: Connection, request_id: str) -> ChangeRequest:
    """Return one request and keep others from changing it until the transaction ends. Raises NotFoundError."""
    return _one(conn, request_id, for_update=True)


def _one(conn: Connection, request_id: str, *, for_update: bool) -> ChangeRequest:
    query = select(TABLE).where(TABLE.c.id == request_id)
    found = conn.execute(query.with_for_update() if for_update else query).mappings().one_or_none()
    if found is None:
        raise NotFoundError(f"there is no change request '{request_id}'")
    return _with_votes(conn, [dict(found)])[0]


def newest(conn: Connection, state: str | None, limit: int) -> list[ChangeRequest]:
    """Return the newest requests, in one state or in all, by two queries."""
    query = select(TABLE).order_by(desc(TABLE.c.created_at), desc(TABLE.c.id)).limit(limit)
    if state is not None:
        query = query.where(TABLE.c.state == state)
    return _with_votes(conn, [dict(row) for row in conn.execute(query).mappings()])


def _with_votes(conn: Connection, found: list[dict[str, Any]]) -> list[ChangeRequest]:
    ids = [row["id"] for row in found]
    votes: dict[str, list[Vote]] = defaultdict(list)
    query = select(t.change_vote).where(t.change_vote.c.change_request_id.in_(ids)).order_by(t.change_vote.c.id)
    for row in conn.execute(query):
        vote = Vote(row.voter, row.decision, row.hash, row.comment, row.at, row.voided_at, row.simulation)
        votes[row.change_request_id].append(vote)
    return [_request(row, votes[row["id"]]) for row in found]


def _request(row: dict[str, Any], votes: list[Vote]) -> ChangeRequest:
    read = {"state": State(row["state"]), "editors": tuple(row["editors"])}
    return ChangeRequest(**{**row, **read}, votes=tuple(votes))


def approvers(conn: Connection, request: ChangeRequest) -> list[Actor]:
    """Return who approved the document as it is now, may still do so today, and is none of those whose work it is."""
    names = {vote.voter for vote in request.valid_votes if vote.decision == "approve"}
    found = (find_actor(conn, name) for name in sorted(names - request.hands.own))
    return [actor for actor in found if actor is not None and allowed(actor, WHO[Deed.APPROVE].right)]


def in_force_by(conn: Connection, kind: str, name: str) -> list[ChangeRequest]:
    """Return the requests that are noted as in force for a policy; there is one at most between two changes."""
    query = select(TABLE).where(TABLE.c.kind == kind, TABLE.c.name == name, TABLE.c.state == State.EFFECTIVE)
    return _with_votes(conn, [dict(row) for row in conn.execute(query).mappings()])


def by_break_glass(conn: Connection) -> list[ChangeRequest]:
    """Return what is in force without approval, of all policies; the oldest first."""
    query = select(TABLE).where(TABLE.c.state == State.EFFECTIVE, TABLE.c.break_glass).order_by(TABLE.c.effective_at)
    return _with_votes(conn, [dict(row) for row in conn.execute(query).mappings()])


def owed_reviews(conn: Connection, kind: str, name: str) -> list[ChangeRequest]:
    """Return what was put in force for a policy without approval and not reviewed since."""
    mine = (TABLE.c.kind == kind) & (TABLE.c.name == name)
    query = select(TABLE).where(mine, TABLE.c.break_glass, TABLE.c.reviewed_at.is_(None)).order_by(TABLE.c.id)
    return _with_votes(conn, [dict(row) for row in conn.execute(query).mappings()])


def to_be_done(conn: Connection, now: datetime) -> list[str]:
    """Return the ids of what the plane has to put in force, or to take back, by now; the earliest first."""
    c = TABLE.c
    scheduled = (c.state == State.SCHEDULED) & (c.scheduled_for <= now)
    over = (c.state == State.EFFECTIVE) & c.break_glass & (c.reverts_at <= now)
    return list(conn.execute(select(c.id).where(scheduled | over).order_by(c.updated_at, c.id)).scalars())


def untouched(conn: Connection, since: datetime, states: Collection[State]) -> list[str]:
    """Return the ids of the requests in these states that nobody has touched for so long."""
    query = select(TABLE.c.id).where(TABLE.c.state.in_(states), TABLE.c.updated_at < since).order_by(TABLE.c.id)
    return list(conn.execute(query).scalars())
