"""What was promised: the catalogue, one policy with its history, and the requests to change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, or_, select

from controlplane.errors import NotFoundError
from controlplane.registry import revisions
from controlplane.store import tables as t
from controlplane.views.paging import FIRST, Order, Part, Stretch, part
from rules.changes import UNDECIDED

LIMIT = 100
ORDER = Order("change requests", (t.change_request.c.id,))


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """One policy: the revision asked for, and all revisions, the newest first, without their documents."""

    policy: Mapping[str, Any]
    history: list[Mapping[str, Any]]
    requests: list[Mapping[str, Any]]


def catalogue(conn: Connection, kind: str | None = None) -> list[Mapping[str, Any]]:
    """Return every policy in force with its owner, where it has one. One query."""
    return [_entry(row) for row in revisions.in_force(conn) if kind in (None, row["kind"])]


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    document = row["document"]
    kept = ("id", "kind", "name", "revision", "hash", "valid_from", "author", "origin")
    about = {"title": document["metadata"].get("title", ""), "owner": document["spec"].get("owner", "")}
    return {name: row[name] for name in kept} | about


def policy(conn: Connection, kind: str, name: str, revision: int | None = None) -> PolicyPage:
    """Read one policy. Three queries. Raises NotFoundError naming the revisions there are."""
    chosen = revisions.get(conn, kind, name, revision)
    past: list[Mapping[str, Any]] = [
        {key: row[key] for key in row if key != "document"} for row in revisions.history(conn, kind, name)
    ]
    c = t.change_request.c
    mine = select(t.change_request).where(c.kind == kind, c.name == name).order_by(c.id.desc()).limit(LIMIT)
    return PolicyPage(chosen, past, [dict(row) for row in conn.execute(mine).mappings()])


def change_requests(conn: Connection, everything: bool = False, stretch: Stretch = FIRST) -> Part[Mapping[str, Any]]:
    """Return the requests that are not decided yet, or owed a review (or all), the newest first, with counts of votes. One query."""
    c, v = t.change_request.c, t.change_vote.c
    votes = (
        select(func.count())
        .where(v.change_request_id == c.id, v.hash == c.hash, v.decision == "approve", v.voided_at.is_(None))
        .scalar_subquery()
    )
    query = select(t.change_request, votes.label("approvals"))
    if not everything:
        query = query.where(or_(c.state.in_(UNDECIDED), c.break_glass & c.reviewed_at.is_(None)))
    return part(conn, query, ORDER, stretch, lambda row: row | {"review_owed": _owed(row)})


def under_way(conn: Connection, kind: str, name: str) -> list[Mapping[str, Any]]:
    """Return title, author and state of the requests to change a policy that are not decided, the newest first. One query."""
    c = t.change_request.c
    mine = select(c.title, c.author, c.state).where(c.kind == kind, c.name == name, c.state.in_(UNDECIDED))
    return [dict(row) for row in conn.execute(mine.order_by(c.id.desc()).limit(LIMIT)).mappings()]


def _owed(row: Mapping[str, Any]) -> bool:
    return bool(row["break_glass"]) and row["reviewed_at"] is None


def change_request(conn: Connection, request_id: str) -> Mapping[str, Any]:
    """Return one request with its votes and the document it would replace. Three queries. Raises NotFoundError."""
    c, v = t.change_request.c, t.change_vote.c
    row = conn.execute(select(t.change_request).where(c.id == request_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no change request '{request_id}'; list them with GET /api/v1/change-requests")
    votes = conn.execute(select(t.change_vote).where(v.change_request_id == request_id).order_by(v.id)).mappings()
    before = revisions.current(conn, row["kind"], row["name"])
    in_force = before["document"] if before else None
    return {**row, "review_owed": _owed(dict(row)), "votes": [dict(vote) for vote in votes], "in_force": in_force}
