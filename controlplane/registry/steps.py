"""What becomes of a change request, each step within a transaction, and the steps that nobody has to ask for.

What is due comes into force, a break-glass goes back, and what nobody has touched for long ends. Who may ask for a step
stands in `permits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, update

from controlplane import audit
from controlplane.access import DAY, Actor, allowed, find_actor, unready
from controlplane.clock import Clock
from controlplane.errors import ConflictError, ForbiddenError, NotFoundError, PolicyError, TrueupError
from controlplane.registry import checking, permits, revisions, simulation
from controlplane.registry import requests as rows
from controlplane.registry.checking import as_document
from controlplane.registry.manifests import declared_connectors
from controlplane.registry.registry import Registry
from controlplane.registry.requests import ChangeRequest, Vote
from controlplane.registry.risk import weighed
from controlplane.registry.simulation import Standing
from controlplane.store import tables as t
from rules.changes import PATIENCE, UNDECIDED, WHO, Deed, State, after
from rules.ids import new_id
from rules.policy.abilities import Manifests
from rules.policy.kinds import Document
from rules.policy.problems import Problem
from rules.policy.reading import Entry

PLANE = "plane"
"""Who does in the action log what nobody asked for just then."""


class Steps:
    """Moves change requests on. `manifests` gives what the connectors declare, for the lint.

    `wait`: for how long nobody votes by an account that somebody else made, reset or gave the right to approve.
    """

    def __init__(
        self,
        registry: Registry,
        manifests: Callable[[], Manifests | None] = declared_connectors,
        wait: timedelta = DAY,
    ) -> None:
        self.registry = registry
        self._wait = wait
        self.store = registry.store
        self.clock: Clock = registry.clock
        self._manifests = manifests

    # --- by itself ---

    def waiting(self) -> bool:
        """Say whether anything is to be put in force or taken back by now."""
        with self.store.read() as conn:
            return bool(rows.to_be_done(conn, self.clock.now()))

    def advance(self) -> dict[str, int]:
        """Put in force what is due and take back what is over; return how many requests came to which state."""
        with self.store.read() as conn:
            due = rows.to_be_done(conn, self.clock.now())
        return dict(Counter(str(self._advance(request_id)) for request_id in due))

    def expire(self) -> int:
        """End what nobody has touched for long; return how many requests."""
        since = self.clock.now() - PATIENCE
        waits = [state for state in UNDECIDED if state != State.SCHEDULED]
        with self.store.read() as conn:
            found = rows.untouched(conn, since, waits)
        return sum(self._expire(request_id, since) for request_id in found)

    def _expire(self, request_id: str, since: datetime) -> bool:
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            if request.updated_at >= since or after(request.state, Deed.EXPIRE) is None:
                return False  # somebody went on with it just now
            self._end(conn, request, f"nobody touched it for {PATIENCE.days} days")
            return True

    def _advance(self, request_id: str) -> State:
        with self.store.write() as conn:
            revisions.take_turn(conn)
            request = rows.lock(conn, request_id)
            if request_id not in rows.to_be_done(conn, self.clock.now()):
                return request.state  # somebody else was faster
            if request.state == State.EFFECTIVE:
                self._take_back(conn, request)
            elif self._holds(conn, request, PLANE):
                try:
                    self._refuse_lapsed_scheduler(conn, request)
                    self._put_in_force(conn, request, PLANE)
                except (
                    TrueupError
                ) as error:  # raised before anything is written: what cannot be done is not left waiting
                    self._end(conn, request, str(error))
            return rows.get(conn, request_id).state

    def _take_back(self, conn: Connection, request: ChangeRequest) -> None:
        """End a break-glass by a revision with the document that stands behind it, and with it each that leans on it.

        What was approved and depends on it keeps it; a person has to look then, and finds it told in `note`.
        """
        problems, others = self._going_back(conn, request)
        if problems:
            self._stays(conn, request, "\n".join(map(str, problems)))
            return
        self._go_back(conn, request, f"{request.title}: taken back")
        for one in others:
            self._go_back(conn, one, f"{one.title}: taken back with {request.id}, which it leans on")

    def _going_back(
        self, conn: Connection, request: ChangeRequest
    ) -> tuple[Sequence[Problem], Sequence[ChangeRequest]]:
        """Return what stands against going back, and which other break-glasses have to go back for it: no more than it takes."""
        if not self._problems_behind(conn, [request]):
            return [], []
        others = tuple(one for one in rows.by_break_glass(conn) if one.id != request.id)
        problems = self._problems_behind(conn, [request, *others])
        if problems:
            return problems, []
        for one in others:
            fewer = tuple(other for other in others if other is not one)
            if not self._problems_behind(conn, [request, *fewer]):
                others = fewer
        return [], others

    def _problems_behind(self, conn: Connection, requests: Sequence[ChangeRequest]) -> Sequence[Problem]:
        """Return what would be wrong with other policies if these went back together.

        What is wrong with a document that stood there before, by younger rules or because its team has nobody left, keeps nothing in
        force that nobody has approved.
        """
        entries = [Entry(as_document(self._behind(conn, one)["document"])) for one in requests]
        back = {(one.kind, one.name) for one in requests}
        found = checking.problems_of_all(
            conn, self.registry.snapshot_in(conn), entries, self._manifests(), staffed=False
        )
        return [one for one in found if (one.kind, one.name) not in back]

    def _behind(self, conn: Connection, request: ChangeRequest) -> dict[str, Any]:
        return revisions.get(conn, request.kind, request.name, request.base_revision)

    def _stays(self, conn: Connection, request: ChangeRequest, why: str) -> None:
        if request.note != why:
            conn.execute(update(rows.TABLE).where(rows.TABLE.c.id == request.id).values(note=why))
            self._audit(conn, PLANE, "revert_refused", request.id, why)

    def _go_back(self, conn: Connection, request: ChangeRequest, why: str) -> None:
        behind = self._behind(conn, request)
        origin, document = f"change_request/{request.id}", as_document(behind["document"])
        revisions.write(conn, self.clock, [document], author=PLANE, origin=origin, reason=why)
        self._move(conn, request, Deed.ROLL_BACK)
        self._audit(conn, PLANE, "revert", request.id, why, before=request.document, after=behind["document"])

    # --- into force ---

    def _put_in_force(self, conn: Connection, request: ChangeRequest, actor: str) -> None:
        """Raises ForbiddenError, PolicyError; nothing is written then."""
        snapshot = self.registry.snapshot_in(conn)
        missing = weighed(conn, snapshot, request, self._wait).missing
        if missing:
            raise ForbiddenError(
                f"{request}: there is missing: {missing}; who approved it is no approver any more, has lost the "
                "team, or voted by an account that another had just made or reset; edit it and ask for approval anew"
            )
        self._check(conn, as_document(request.document))
        self._write(conn, request, Deed.APPLY, actor, request.reason)

    def _write(self, conn: Connection, request: ChangeRequest, deed: Deed, actor: str, why: str, **values: Any) -> None:
        """Make the revision, and say of what it takes the place of that it did."""
        before = revisions.current(conn, request.kind, request.name)
        replaced = rows.in_force_by(conn, request.kind, request.name)
        origin = f"change_request/{request.id}"
        document = as_document(request.document)
        (applied,) = revisions.write(
            conn, self.clock, [document], author=request.author, origin=origin, reason=request.title
        )
        self._move(conn, request, deed, effective_at=self.clock.now(), applied_revision=applied, **values)
        back = request.rolls_back is not None
        for old in replaced:
            self._move(conn, old, Deed.ROLL_BACK if back else Deed.SUPERSEDE)
        self._audit(
            conn, actor, str(deed), request.id, why,
            before=before and before["document"], after=request.document,
        )  # fmt: skip

    def _holds(self, conn: Connection, request: ChangeRequest, actor: str) -> bool:
        """Say whether what was approved is still what would come into force; where not, the request waits for people again."""
        if self._moved(conn, request):
            self._clash(conn, request, actor)
            return False
        why = simulation.overtaken(conn, self.registry.snapshot_in(conn), request)
        if why:
            self._move(conn, request, Deed.LOOK_AGAIN, scheduled_for=None, note=why)
            self._void_votes(conn, request)
            self._audit(conn, actor, "look_again", request.id, why)
        return not why

    def _check(self, conn: Connection, document: Document) -> None:
        """Raises PolicyError with a line per problem that the document would bring into the registry."""
        problems = checking.problems_of(conn, self.registry.snapshot_in(conn), Entry(document), self._manifests())
        if problems:
            raise PolicyError("\n".join(map(str, problems)))

    def _refuse_lapsed_scheduler(self, conn: Connection, request: ChangeRequest) -> None:
        scheduler = find_actor(conn, request.scheduled_by or "")
        if scheduler is None or not allowed(scheduler, WHO[Deed.SCHEDULE].right) or self._beyond(scheduler, request):
            raise ForbiddenError(
                f"{request}: '{request.scheduled_by}', who scheduled it, may not do so any more; propose it anew"
            )

    # --- what moves it ---

    def _count(self, conn: Connection, request: ChangeRequest, deed: Deed, vote: Vote) -> None:
        row = {
            "id": new_id(vote.at), "change_request_id": request.id, "voter": vote.voter, "decision": vote.decision,
            "hash": vote.hash, "comment": vote.comment, "at": vote.at, "simulation": vote.simulation,
        }  # fmt: skip
        conn.execute(insert(t.change_vote).values(**row))
        self._move(conn, request, deed)
        if deed is Deed.APPROVE:
            counted = rows.get(conn, request.id)
            if not weighed(conn, self.registry.snapshot_in(conn), counted, self._wait).missing:
                self._move(conn, counted, Deed.CARRY)

    def _end(self, conn: Connection, request: ChangeRequest, why: str) -> None:
        self._move(conn, request, Deed.EXPIRE, note=why)
        self._audit(conn, PLANE, "expire", request.id, why)

    def _clash(self, conn: Connection, request: ChangeRequest, actor: str) -> None:
        self._move(conn, request, Deed.CLASH, scheduled_for=None)
        self._audit(conn, actor, "conflict", request.id)

    def _void_votes(self, conn: Connection, request: ChangeRequest) -> None:
        mine = (t.change_vote.c.change_request_id == request.id) & t.change_vote.c.voided_at.is_(None)
        conn.execute(update(t.change_vote).where(mine).values(voided_at=self.clock.now()))

    def _move(self, conn: Connection, request: ChangeRequest, deed: Deed, **changes: Any) -> None:
        state = after(request.state, deed)
        if state is None:
            raise ConflictError(f"{request} is {request.state}, and '{deed}' leads nowhere from there; read it again")
        values = {"state": state, "updated_at": self.clock.now(), **changes}
        conn.execute(update(rows.TABLE).where(rows.TABLE.c.id == request.id).values(**values))

    def _audit(self, conn: Connection, actor: str, step: str, request_id: str, reason: str = "", **seen: Any) -> None:
        action, subject = f"change_request.{step}", f"change_request/{request_id}"
        audit.record(conn, self.clock, actor=actor, action=action, subject=subject, reason=reason, **seen)

    # --- what is asked of it ---

    def _within(self, actor: Actor, kind: str, name: str, *contents: Any) -> None:
        """Raises NotFoundError, ForbiddenError for what is beyond the actor's reach."""
        if not actor.reach.everything:
            permits.refuse_beyond(self.registry.snapshot(), actor, kind, name, *map(as_document, contents))

    def _beyond(self, actor: Actor, request: ChangeRequest) -> str:
        try:
            self._within(actor, request.kind, request.name, request.document)
        except (ForbiddenError, NotFoundError):
            return f"{permits.BEYOND} that you have"
        return ""

    def _unready(self, conn: Connection, actor: Actor, request: ChangeRequest) -> str:
        """Return why the actor's vote would not count, whatever the roles: who else had his hands on the account."""
        return unready(conn, actor.name, request.hands.own, self.clock.now(), self._wait)

    def _standing(self, conn: Connection, request: ChangeRequest) -> Standing:
        return simulation.standing(conn, self.registry.snapshot_in(conn), request, self.clock.now())

    def _simulated(self, conn: Connection, request: ChangeRequest) -> str | None:
        """Return the hash of the simulation that an approval rests on. Raises ConflictError where it cannot."""
        found = self._standing(conn, request)
        if found.missing:
            raise ConflictError(f"{request}: {found.missing}; simulate it anew, look at the result, and approve then")
        return found.result.hash if found.result else None

    def _moved(self, conn: Connection, request: ChangeRequest) -> bool:
        base = revisions.current(conn, request.kind, request.name)
        return (base["revision"] if base else None) != request.base_revision


def moved_message(request: ChangeRequest) -> str:
    """Say that a request was made on what is not in force any more."""
    base = f"revision {request.base_revision}" if request.base_revision else "nothing"
    return f"{request} was made on {base}, and that is not what is in force now; edit it with rebase, or withdraw it"
