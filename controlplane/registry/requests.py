"""Rows of change requests and their votes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, desc, select

from controlplane.access import allowed, find_actor
from controlplane.errors import NotFoundError
from controlplane.store import tables as t

TABLE = t.change_request


class State(StrEnum):
    """Where a change request stands."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    EFFECTIVE = "effective"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    CONFLICT = "conflict"
    """Approved on a base that is no longer in force."""


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
    created_at: datetime
    updated_at: datetime
    effective_at: datetime | None
    applied_revision: str | None
    votes: tuple[Vote, ...]
    """All of them, the oldest first; what was voted before the last edit counts for nothing."""

    @property
    def valid_votes(self) -> tuple[Vote, ...]:
        """The votes on the document as it is now."""
        return tuple(vote for vote in self.votes if vote.hash == self.hash and vote.voided_at is None)

    def __str__(self) -> str:
        return f"change request {self.id} ({self.kind}/{self.name})"


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
        vote = Vote(row.voter, row.decision, row.hash, row.comment, row.at, row.voided_at)
        votes[row.change_request_id].append(vote)
    return [ChangeRequest(**{**row, "state": State(row["state"])}, votes=tuple(votes[row["id"]])) for row in found]


def approvers(conn: Connection, request: ChangeRequest) -> set[str]:
    """Return who approved the document as it is now, is neither its author nor its last editor, and may approve today."""
    names = {vote.voter for vote in request.valid_votes if vote.decision == "approve"}
    others = names - {request.author, request.last_editor}
    return {name for name in others if allowed(find_actor(conn, name), "policy.approve")}
