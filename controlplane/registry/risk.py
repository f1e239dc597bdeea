"""What a change request risks, who has to approve it, and who has; and whether there are enough people for that at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from controlplane.access import DAY, Actor, allowed, everybody, people, unready
from controlplane.errors import ForbiddenError, NotFoundError
from controlplane.registry import requests as rows
from controlplane.registry import revisions
from controlplane.registry.permits import refuse_beyond
from controlplane.registry.registry import Snapshot
from controlplane.registry.requests import ChangeRequest
from rules.changes import WHO, Deed, quorum
from rules.policy.difference import Field, three_way
from rules.policy.keepable import unattended
from rules.policy.kinds import KINDS, Document
from rules.policy.reading import Entry
from rules.policy.relaxing import Weighed, data_owners, weigh

ONE_PERSON = (
    "This installation has one person only, so nobody can approve what that person proposes. Nothing is let through for that: "
    "a change waits until there is an approver, or is put in force by break-glass for 24 hours at most, and is owed a review. "
    "Make an account with the role approver for somebody else."
)
NOBODY = (
    "Nobody has an account of these Teams, which own policies: {}. What is asked of an owner waits. Make accounts for their members, "
    "have them sign in, or write the names of accounts that there are as members, by a change request."
)


@dataclass(frozen=True, slots=True)
class Risk:
    """A change, weighed."""

    relaxes: bool
    weighed: tuple[Weighed, ...]
    """Every field that changes, and whether that relaxes."""
    owners: tuple[str, ...]
    """Teams that own the data; empty: no policy says whose it is, and then no team is asked."""
    needed: int
    """Approvals."""
    approvers: tuple[str, ...]
    """Whose approval counts today."""
    missing: str
    """What is missing still, in words; empty when nothing is."""


def weighed(conn: Connection, snapshot: Snapshot, request: ChangeRequest, wait: timedelta = DAY) -> Risk:
    """Weigh a request against what was last approved in its place, with the rights that people have now.

    `wait`: for how long an account cannot vote after another's hands were on it.

    The owner is read of what was approved, so that nobody makes himself the owner by the change, or by break-glass before it.
    """
    before, after = _approved_document(conn, request.kind, request.name), read(request.document)
    found = weigh(before, after)
    owners = sorted(data_owners(before or after, _approved_documents(conn, snapshot)))
    relaxes = any(one.relaxes for one in found)
    asked = quorum(relaxes, owners)
    counted = [
        one
        for one in rows.approvers(conn, request)
        if _reaches(snapshot, one, request) and _was_his(conn, request, one.name, wait)
    ]
    missing = asked.missing((actor.name, actor.team) for actor in counted)
    names = tuple(actor.name for actor in counted)
    return Risk(relaxes, tuple(found), tuple(owners), asked.needed, names, missing)


def _was_his(conn: Connection, request: ChangeRequest, name: str, wait: timedelta) -> bool:
    """Whether what was approved by an account was approved by whom it belongs to, as far as that can be told."""
    mine = (vote for vote in request.valid_votes if vote.voter == name and vote.decision == "approve")
    return any(not unready(conn, name, request.hands.own, vote.at, wait) for vote in mine)


def _reaches(snapshot: Snapshot, approver: Actor, request: ChangeRequest) -> bool:
    """Whether what was approved is in the approver's hand today."""
    try:
        refuse_beyond(snapshot, approver, request.kind, request.name, read(request.document))
    except (ForbiddenError, NotFoundError):
        return False
    return True


def _approved_documents(conn: Connection, snapshot: Snapshot) -> Mapping[tuple[str, str], Document]:
    """Return what is in force, and in place of what is there by break-glass only what stands behind it."""
    broken = [(one.kind, one.name) for one in rows.by_break_glass(conn)]
    behind = {key: found for key in broken if (found := _approved_document(conn, *key)) is not None}
    return {**snapshot.documents, **behind}


def _approved_document(conn: Connection, kind: str, name: str) -> Document | None:
    """Return what is in force, or what stands behind it where that is there by break-glass only."""
    current = revisions.current(conn, kind, name)
    for request in rows.in_force_by(conn, kind, name):
        if request.break_glass and current is not None and request.applied_revision == current["id"]:
            current = revisions.get(conn, kind, name, request.base_revision)
    return read(current["document"]) if current else None


def read(content: dict[str, Any]) -> Document:
    """Read a document as it is stored."""
    return KINDS[content["kind"]].model_validate(content)


def against(conn: Connection, request: ChangeRequest) -> list[Field]:
    """Hold a request, its base and what is in force now against each other; what is not there is an empty document."""
    base = request.base_revision
    was = revisions.get(conn, request.kind, request.name, base)["document"] if base else {}
    now = revisions.current(conn, request.kind, request.name)
    return three_way(was, now["document"] if now else {}, request.document)


@dataclass(frozen=True, slots=True)
class Staffing:
    """Who is there to propose and to approve."""

    people: int
    approvers: int
    one_person: bool
    note: str
    """What follows from there being one person; empty otherwise."""
    unattended: tuple[str, ...]
    """Teams that own something, and of whom nobody has an account in use."""

    @property
    def nobody(self) -> str:
        """What follows from owners of whom nobody has an account; empty otherwise."""
        return NOBODY.format(", ".join(self.unattended)) if self.unattended else ""


def staffing(conn: Connection, snapshot: Snapshot) -> Staffing:
    """Count the people whose accounts are in use, and say which owners have none."""
    found = everybody(conn)
    approvers = [actor for actor in found if allowed(actor, WHO[Deed.APPROVE].right)]
    one = len(found) < 2
    flaws = unattended([Entry(document) for document in snapshot.documents.values()], people(conn))
    alone = sorted({entry.document.spec.owner for entry, *_ in flaws})  # type: ignore[attr-defined]
    return Staffing(len(found), len(approvers), one, ONE_PERSON if one else "", tuple(alone))
