"""Change requests: the only way to change a policy. Two people, one document, one hash.

    draft -> in_review -> approved -> effective
      any of the first three -> withdrawn; in_review or approved -> rejected; approved -> conflict when the base has moved

Who wrote or last edited a request never counts as its approver, whatever the roles. An approval binds to the hash of the
document, so any edit voids it. Each step is one transaction with its line in the action log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, insert, update

from controlplane import audit
from controlplane.access import Actor, require
from controlplane.clock import Clock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, PolicyError
from controlplane.registry import requests as rows
from controlplane.registry import revisions
from controlplane.registry.manifests import declared_connectors, uninstalled
from controlplane.registry.registry import Registry, Snapshot
from controlplane.registry.requests import ChangeRequest, State, Vote
from controlplane.store import tables as t
from rules.canonical import digest
from rules.ids import new_id
from rules.policy.abilities import Manifests
from rules.policy.kinds import Document
from rules.policy.lint import lint
from rules.policy.problems import NOWHERE
from rules.policy.reading import Entry, read_document
from rules.policy.text import RawDocument

NEEDED = 1
"""Approvals that a request needs."""


class Changes:
    """Opens, edits, reviews and applies change requests. `manifests` gives what the connectors declare, for the lint."""

    def __init__(self, registry: Registry, manifests: Callable[[], Manifests | None] = declared_connectors) -> None:
        self.registry = registry
        self.store = registry.store
        self.clock: Clock = registry.clock
        self._manifests = manifests

    def open(self, kind: str, name: str, document: Any, title: str, reason: str, actor: Actor) -> ChangeRequest:
        """Start a draft on what is in force now. Raises PolicyError when the document is not one of its kind."""
        require(actor, "policy.propose")
        if not title.strip():
            raise BadInputError("a change request has no title; say in a line what changes")
        content = _content(kind, name, document)
        now = self.clock.now()
        request_id = new_id(now)
        with self.store.write() as conn:
            base = revisions.current(conn, kind, name)
            row = {
                "id": request_id, "title": title.strip(), "reason": reason, "kind": kind, "name": name,
                "base_revision": base["revision"] if base else None, "document": content, "hash": digest(content),
                "state": State.DRAFT, "author": actor.name, "last_editor": actor.name, "created_at": now,
                "updated_at": now,
            }  # fmt: skip
            conn.execute(insert(rows.TABLE).values(**row))
            self._audit(conn, actor, "open", request_id, reason, before=base and base["document"], after=content)
            return rows.get(conn, request_id)

    def edit(self, request_id: str, document: Any, actor: Actor, *, rebase: bool = False) -> ChangeRequest:
        """Replace the document; the request is a draft again and every approval is void.

        `rebase` takes what is in force now as the new base: after a conflict it has to be said that this is meant.
        """
        require(actor, "policy.propose")
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._expect(request, State.DRAFT, State.IN_REVIEW, State.APPROVED, State.CONFLICT)
            if request.state == State.CONFLICT and not rebase:
                raise ConflictError(
                    f"{request}: its base has moved; look at what is in force now, and edit with rebase"
                )
            content = _content(request.kind, request.name, document)
            changes: dict[str, Any] = {"document": content, "hash": digest(content), "last_editor": actor.name}
            if rebase:
                base = revisions.current(conn, request.kind, request.name)
                changes["base_revision"] = base["revision"] if base else None
            self._move(conn, request, State.DRAFT, **changes)
            self._void_votes(conn, request)
            self._audit(conn, actor, "edit", request_id, before=request.document, after=content)
            return rows.get(conn, request_id)

    def submit(self, request_id: str, actor: Actor) -> ChangeRequest:
        """Ask for review. Raises PolicyError with every problem that the registry would have with the document in it."""
        require(actor, "policy.propose")
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._expect(request, State.DRAFT)
            self._refuse_moved_base(conn, request)
            self._refuse_no_change(conn, request)
            self._lint(self.registry.snapshot_in(conn), _document(request.document))
            self._move(conn, request, State.IN_REVIEW)
            self._audit(conn, actor, "submit", request_id, after={"hash": request.hash})
            return rows.get(conn, request_id)

    def vote(self, request_id: str, actor: Actor, decision: str, comment: str = "") -> ChangeRequest:
        """Approve or reject what is under review, by its present hash. Raises ForbiddenError for its author and last editor."""
        require(actor, "policy.approve")
        if decision not in {"approve", "reject"}:
            raise BadInputError(f"'{decision}' is no decision; give approve or reject")
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._expect(request, State.IN_REVIEW)
            _refuse_own(request, actor)
            if any(vote.voter == actor.name for vote in request.valid_votes):
                raise ConflictError(f"{request}: '{actor.name}' has voted on it already; another person has to")
            self._count(conn, request, Vote(actor.name, decision, request.hash, comment, self.clock.now()))
            self._audit(conn, actor, decision, request_id, comment, after={"hash": request.hash})
            return rows.get(conn, request_id)

    def withdraw(self, request_id: str, actor: Actor, reason: str = "") -> ChangeRequest:
        """Give a request up. Its author, its last editor and admins may."""
        require(actor, "policy.propose")
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._expect(request, State.DRAFT, State.IN_REVIEW, State.APPROVED, State.CONFLICT)
            if actor.name not in {request.author, request.last_editor} and "admin" not in actor.roles:
                raise ForbiddenError(
                    f"{request}: only '{request.author}' or an admin may withdraw it; ask them, or reject it"
                )
            self._move(conn, request, State.WITHDRAWN)
            self._audit(conn, actor, "withdraw", request_id, reason)
            return rows.get(conn, request_id)

    def apply(self, request_id: str, actor: Actor) -> ChangeRequest:
        """Put an approved request in force now, as a new revision and a new version of the registry.

        Raises ConflictError when the base has moved (the request is then in state conflict), PolicyError when the
        registry would have problems with it, ForbiddenError when who approved may no longer do so.
        """
        require(actor, "policy.apply")
        with self.store.write() as conn:
            revisions.take_turn(conn)
            request = rows.lock(conn, request_id)
            self._expect(request, State.APPROVED)
            if self._moved(conn, request):
                self._move(conn, request, State.CONFLICT)
                self._audit(conn, actor, "conflict", request_id)
            else:
                self._put_in_force(conn, request, actor)
            done = rows.get(conn, request_id)
        if done.state == State.CONFLICT:
            raise ConflictError(_moved_message(done))
        return done

    def get(self, request_id: str) -> ChangeRequest:
        """Return one request with its votes. Raises NotFoundError."""
        with self.store.read() as conn:
            return rows.get(conn, request_id)

    def list(self, state: str | None = None, limit: int = 100) -> list[ChangeRequest]:
        """Return the newest requests, in one state or in all."""
        with self.store.read() as conn:
            return rows.newest(conn, state, limit)

    def _put_in_force(self, conn: Connection, request: ChangeRequest, actor: Actor) -> None:
        _refuse_lapsed(conn, request)
        document = _document(request.document)
        self._lint(self.registry.snapshot_in(conn), document)
        before = revisions.current(conn, request.kind, request.name)
        origin = f"change_request/{request.id}"
        (applied,) = revisions.write(
            conn, self.clock, [document], author=request.author, origin=origin, reason=request.title
        )
        self._move(conn, request, State.EFFECTIVE, effective_at=self.clock.now(), applied_revision=applied)
        self._audit(
            conn, actor, "apply", request.id, request.reason,
            before=before and before["document"], after=request.document,
        )  # fmt: skip

    def _count(self, conn: Connection, request: ChangeRequest, vote: Vote) -> None:
        row = {
            "id": new_id(vote.at), "change_request_id": request.id, "voter": vote.voter, "decision": vote.decision,
            "hash": vote.hash, "comment": vote.comment, "at": vote.at,
        }  # fmt: skip
        conn.execute(insert(t.change_vote).values(**row))
        if vote.decision == "reject":
            self._move(conn, request, State.REJECTED)
        elif len([known for known in request.valid_votes if known.decision == "approve"]) + 1 >= NEEDED:
            self._move(conn, request, State.APPROVED)

    def _void_votes(self, conn: Connection, request: ChangeRequest) -> None:
        mine = (t.change_vote.c.change_request_id == request.id) & t.change_vote.c.voided_at.is_(None)
        conn.execute(update(t.change_vote).where(mine).values(voided_at=self.clock.now()))

    def _expect(self, request: ChangeRequest, *states: State) -> None:
        if request.state not in states:
            wanted = " or ".join(states)
            raise ConflictError(f"{request} is {request.state}, and only what is {wanted} allows this; read it again")

    def _move(self, conn: Connection, request: ChangeRequest, state: State, **changes: Any) -> None:
        values = {"state": state, "updated_at": self.clock.now(), **changes}
        conn.execute(update(rows.TABLE).where(rows.TABLE.c.id == request.id).values(**values))

    def _audit(self, conn: Connection, actor: Actor, step: str, request_id: str, reason: str = "", **seen: Any) -> None:
        action, subject = f"change_request.{step}", f"change_request/{request_id}"
        audit.record(conn, self.clock, actor=actor.name, action=action, subject=subject, reason=reason, **seen)

    def _moved(self, conn: Connection, request: ChangeRequest) -> bool:
        base = revisions.current(conn, request.kind, request.name)
        return (base["revision"] if base else None) != request.base_revision

    def _refuse_moved_base(self, conn: Connection, request: ChangeRequest) -> None:
        if self._moved(conn, request):
            raise ConflictError(_moved_message(request))

    def _refuse_no_change(self, conn: Connection, request: ChangeRequest) -> None:
        base = revisions.current(conn, request.kind, request.name)
        if base is not None and base["hash"] == request.hash:
            raise BadInputError(f"{request} changes nothing; edit its document, or withdraw it")

    def _lint(self, snapshot: Snapshot, document: Document) -> None:
        """Look at the whole registry as it would be. Raises PolicyError with a line per problem."""
        whole = {**snapshot.documents, (document.kind, document.name): document}
        entries = [Entry(each) for each in whole.values()]
        problems = [*lint(entries, self._manifests()), *uninstalled(entries)]
        if problems:
            raise PolicyError("\n".join(map(str, problems)))


def _moved_message(request: ChangeRequest) -> str:
    base = f"revision {request.base_revision}" if request.base_revision else "nothing"
    return f"{request} was made on {base}, and that is not what is in force now; edit it with rebase, or withdraw it"


def _refuse_own(request: ChangeRequest, actor: Actor) -> None:
    """Four eyes, without exception for any role."""
    if actor.name in {request.author, request.last_editor}:
        did = "wrote" if actor.name == request.author else "last edited"
        raise ForbiddenError(
            f"{request}: '{actor.name}' {did} it and cannot approve or reject it; ask another approver"
        )


def _refuse_lapsed(conn: Connection, request: ChangeRequest) -> None:
    """Look again who approved: people leave, and lose roles."""
    counted = rows.approvers(conn, request)
    if len(counted) < NEEDED:
        raise ForbiddenError(f"{request}: who approved it is no approver any more; edit it and ask for approval anew")


def _content(kind: str, name: str, document: Any) -> dict[str, Any]:
    """Return the document as it will be stored. Raises PolicyError with a line per problem."""
    entry, problems = read_document(RawDocument(document, NOWHERE))
    if entry is None:
        raise PolicyError("\n".join(map(str, problems)))
    found = entry.document
    if (found.kind, found.name) != (kind, name):
        raise PolicyError(
            f"the document is {found.kind}/{found.name}, and the request is for {kind}/{name}; correct one"
        )
    return revisions.dump(found)


def _document(content: dict[str, Any]) -> Document:
    entry, problems = read_document(RawDocument(content, NOWHERE))
    if entry is None:
        raise PolicyError("\n".join(map(str, problems)))
    return entry.document
