"""Change requests: the only way to change a policy. Who may do what when stands in `rules.changes`; here it is done.

Who wrote, edited or scheduled a request never counts as its approver, whatever the roles. An approval binds to the hash of
the document, so any edit voids it. Each step is one transaction with its line in the action log. What nobody has approved is put
in force by break-glass only: for a day at most, with a reason, and owed a review.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, insert

from controlplane.access import DAY, Actor, StepUp, require
from controlplane.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    StaleError,
)
from controlplane.registry import checking, permits, revisions, simulation
from controlplane.registry import requests as rows
from controlplane.registry.checking import as_document, as_stored
from controlplane.registry.manifests import declared_connectors
from controlplane.registry.registry import Registry
from controlplane.registry.requests import ChangeRequest, Vote
from controlplane.registry.risk import Risk, Staffing, against, staffing, weighed
from controlplane.registry.simulation import Standing
from controlplane.registry.steps import Steps, moved_message
from rules.canonical import digest
from rules.changes import LONGEST_BREAK, UNDECIDED, WHO, Deed, State
from rules.ids import new_id
from rules.policy.abilities import Manifests
from rules.policy.difference import Field
from rules.policy.kinds import leads_elsewhere
from rules.policy.problems import Problem

M = TypeVar("M", bound=Callable[..., Any])


def _by_all_that_is_known(method: M) -> M:
    """Let the plane do it by the whole registry and all accounts, for whomever it is."""

    @wraps(method)
    def done(self: Changes, *args: Any, **more: Any) -> Any:
        with self.store.unconfined():
            return method(self, *args, **more)

    return cast("M", done)


def _of_a_request(method: M) -> M:
    """The same, about a request that is in sight of who asks. Raises NotFoundError for another."""
    whole = _by_all_that_is_known(method)

    @wraps(method)
    def done(self: Changes, request_id: str, *args: Any, **more: Any) -> Any:
        if self.store.is_confined:
            self.get(request_id)
        return whole(self, request_id, *args, **more)

    return cast("M", done)


class Changes(Steps):
    """Opens, edits, reviews and applies change requests. `manifests` gives what the connectors declare, for the lint.

    `step_up`: how fresh the proof has to be of who votes, reviews, schedules, applies or breaks the glass (StepUpError otherwise); None
    where nobody does but by a caller that asks for it itself.
    `wait`: for how long nobody votes by an account that somebody else made, reset or gave the right to approve.
    `seen`: versions (`ChangeRequest.etag`) of which a request must have one still; None: it does not matter.
    """

    def __init__(
        self,
        registry: Registry,
        manifests: Callable[[], Manifests | None] = declared_connectors,
        step_up: StepUp | None = None,
        seen: Collection[str] | None = None,
        wait: timedelta = DAY,
    ) -> None:
        super().__init__(registry, manifests, wait)
        self._step_up, self._seen = step_up, seen

    def only_if(self, seen: Collection[str] | None) -> Changes:
        """Return the same, but acting only on a request that still is as the caller has seen it. Raises StaleError then."""
        return Changes(self.registry, self._manifests, self._step_up, seen, self._wait)

    # --- towards a decision ---

    @_by_all_that_is_known
    def open(
        self, kind: str, name: str, document: Any, title: str, reason: str, actor: Actor,
        rolls_back: int | None = None, *, seen: int | None = None,
    ) -> ChangeRequest:  # fmt: skip
        """Start a draft on what is in force now. Raises PolicyError when the document is not one of its kind.

        `seen` is the revision that its author looked at, 0 where there was none: ConflictError where another one is in force by now.
        """
        require(actor, "policy.propose")
        if not title.strip():
            raise BadInputError("a change request has no title; say in a line what changes")
        content = as_stored(kind, name, document)
        self._within(actor, kind, name, content)
        now = self.clock.now()
        request_id = new_id(now)
        with self.store.write() as conn:
            base = revisions.current(conn, kind, name)
            _refuse_overtaken(kind, name, base, seen)
            row = {
                "id": request_id, "title": title.strip(), "reason": reason, "kind": kind, "name": name,
                "base_revision": base["revision"] if base else None, "document": content, "hash": digest(content),
                "state": State.DRAFT, "author": actor.name, "last_editor": actor.name, "editors": [actor.name], "created_at": now,
                "updated_at": now, "rolls_back": rolls_back,
            }  # fmt: skip
            conn.execute(insert(rows.TABLE).values(**row))
            self._audit(conn, actor.name, "open", request_id, reason, before=base and base["document"], after=content)
            return rows.get(conn, request_id)

    @_by_all_that_is_known
    def roll_back(
        self, kind: str, name: str, revision: int, reason: str, actor: Actor, *, seen: int | None = None
    ) -> ChangeRequest:
        """Start a draft with the document of an older revision; it is approved like any other, and becomes a new revision.

        Raises NotFoundError, BadInputError when that revision is in force already; `seen` as in `open`.
        """
        require(actor, "policy.propose")
        self._within(actor, kind, name)
        with self.store.read() as conn:
            if not actor.reach.everything and revisions.current(conn, kind, name) is None:
                raise permits.unseen(actor, kind, name)
            past = revisions.get(conn, kind, name, revision)
        if past["valid_to"] is None:
            raise BadInputError(f"revision {revision} of {kind}/{name} is in force already; name an older one")
        title = f"Roll back to revision {revision}"
        return self.open(kind, name, past["document"], title, reason, actor, rolls_back=revision, seen=seen)

    @_of_a_request
    def edit(
        self,
        request_id: str,
        document: Any,
        actor: Actor,
        *,
        rebase: bool = False,
        onto: int | None = None,
    ) -> ChangeRequest:
        """Replace the document; the request is a draft again and every approval is void.

        `rebase` takes what is in force now as the new base: after a conflict it has to be said that this is meant.
        `onto` is the revision in force that a rebase was made for, 0 for none: ConflictError where it is another one by now.
        """
        deed = Deed.REBASE if rebase else Deed.EDIT
        require(actor, WHO[deed].right)
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._refuse_stale(request)
            if request.state == State.CONFLICT and not rebase:
                raise ConflictError(
                    f"{request}: its base has moved; look at what is in force now, and edit with rebase"
                )
            self._may(request, deed, actor)
            content = as_stored(request.kind, request.name, document)
            self._within(actor, request.kind, request.name, content)
            same = digest(content) == request.hash
            changes: dict[str, Any] = {
                "document": content, "hash": digest(content), "last_editor": request.last_editor if same else actor.name,
                "editors": sorted({*request.editors, *([] if same else [actor.name])}), "scheduled_for": None,
                "scheduled_by": None, "rolls_back": request.rolls_back if same else None, "note": "",
            }  # fmt: skip
            if rebase:
                base = revisions.current(conn, request.kind, request.name)
                _refuse_overtaken(request.kind, request.name, base, onto)
                changes["base_revision"] = base["revision"] if base else None
            self._move(conn, request, deed, **changes)
            self._void_votes(conn, request)
            self._audit(conn, actor.name, "edit", request_id, before=request.document, after=content)
            return rows.get(conn, request_id)

    @_of_a_request
    def submit(self, request_id: str, actor: Actor) -> ChangeRequest:
        """Ask for review, simulated. Raises PolicyError with every problem that the registry would have with the document in it."""
        with self.store.read() as conn:
            request = rows.get(conn, request_id)
            self._may(request, Deed.SUBMIT, actor)
            self._refuse_unfit(conn, request)
            missing = self._standing(conn, request).missing
        if missing:
            self.simulate(request_id, actor)
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._may(request, Deed.SUBMIT, actor)
            self._refuse_unfit(conn, request)
            risk = weighed(conn, self.registry.snapshot_in(conn), request, self._wait)
            self._move(conn, request, Deed.SUBMIT)
            told = {"hash": request.hash, "relaxes": risk.relaxes, "needed": risk.needed, "owners": list(risk.owners)}
            self._audit(conn, actor.name, "submit", request_id, after=told)
            return rows.get(conn, request_id)

    def simulate(self, request_id: str, actor: Actor) -> Standing:
        """Replay the plane's history for a request that is not decided yet, and keep what came of it.

        Who may propose or approve may ask for it. Takes as long as there is history: a second or two, and up to a minute for
        millions of tries. Raises ConflictError when the request is edited meanwhile.
        """
        self._simulate(request_id, actor)
        return self.simulation(request_id)

    @_of_a_request
    def _simulate(self, request_id: str, actor: Actor) -> None:
        permits.take_part(actor)
        with self.store.read() as conn:
            request, snapshot = rows.get(conn, request_id), self.registry.snapshot_in(conn)
            self._within(actor, request.kind, request.name, request.document)
            self._refuse_stale(request)
            if request.state not in UNDECIDED:
                raise ConflictError(f"{request} is {request.state}; what is decided is not simulated any more")
            found = simulation.run(conn, snapshot, request, self.clock.now())
        if found is None:
            return
        with self.store.write() as conn:
            if rows.lock(conn, request_id).hash != request.hash:
                raise ConflictError(f"{request} was edited while it was simulated; simulate it again")
            simulation.keep(conn, found)
            told = {"simulation": found.hash, "hash": request.hash, "inputs": found.inputs}
            self._audit(conn, actor.name, "simulate", request_id, after=told)

    def simulation(self, request_id: str) -> Standing:
        """Return the newest result of a request, and whether an approval can rest on it. Raises NotFoundError.

        Of a result that speaks of what is out of sight only that is told, and `note` says so.
        """
        whole = self._simulation(request_id)
        if whole.result is None or not self.store.is_confined:
            return whole
        with self.store.read() as conn:
            shown = simulation.latest(conn, request_id)
        if shown is not None and shown.hash == whole.result.hash:
            return whole
        return Standing(
            None, whole.missing, "Its result speaks of what is out of your sight; ask somebody who sees all of it."
        )

    @_of_a_request
    def _simulation(self, request_id: str) -> Standing:
        with self.store.read() as conn:
            return self._standing(conn, rows.get(conn, request_id))

    @_of_a_request
    def vote(self, request_id: str, actor: Actor, decision: str, comment: str = "") -> ChangeRequest:
        """Approve what is under review, or reject it up to the moment it is in force, by its present hash.

        An approval rests on the newest simulation. Raises ForbiddenError for its author, its editors and its scheduler,
        StepUpError where who votes has to prove anew who it is, ConflictError when the simulation is stale.
        """
        if decision not in {"approve", "reject"}:
            require(actor, "policy.approve")
            raise BadInputError(f"'{decision}' is no decision; give approve or reject")
        deed = Deed(decision)
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._may(request, deed, actor)
            self._proved(actor)
            self._refuse_unready(conn, actor, request)
            before = [vote for vote in request.valid_votes if vote.voter == actor.name]
            if any(vote.decision == decision for vote in before):
                raise ConflictError(f"{request}: '{actor.name}' has voted on it already; another person has to")
            rests_on = self._simulated(conn, request) if deed is Deed.APPROVE else None
            vote = Vote(actor.name, decision, request.hash, comment, self.clock.now(), simulation=rests_on)
            self._count(conn, request, deed, vote)
            told = {"hash": request.hash, **({"simulation": rests_on} if rests_on else {})}
            self._audit(conn, actor.name, decision, request_id, comment, after=told)
            return rows.get(conn, request_id)

    @_of_a_request
    def withdraw(self, request_id: str, actor: Actor, reason: str = "") -> ChangeRequest:
        """Give a request up. Its author, its last editor and admins may."""
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._may(request, Deed.WITHDRAW, actor)
            self._move(conn, request, Deed.WITHDRAW)
            self._audit(conn, actor.name, "withdraw", request_id, reason)
            return rows.get(conn, request_id)

    @_of_a_request
    def comment(self, request_id: str, actor: Actor, text: str) -> None:
        """Say something about a request, in whatever state; it stands in the action log. Who may propose or approve may."""
        permits.take_part(actor)
        if not text.strip():
            raise BadInputError("a comment says something; write it", "comment")
        with self.store.write() as conn:
            request = rows.get(conn, request_id)
            self._within(actor, request.kind, request.name, request.document)
            self._audit(conn, actor.name, "comment", request_id, text.strip(), after={"hash": request.hash})

    # --- into force, and out of it ---

    @_of_a_request
    def schedule(self, request_id: str, instant: datetime, actor: Actor) -> ChangeRequest:
        """Let the plane put an approved request in force at an instant. Whoever schedules it never counts as its approver.

        Raises BadInputError for what is past, ForbiddenError when the approvals do not suffice without the scheduler's.
        """
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._may(request, Deed.SCHEDULE, actor)
            self._proved(actor)
            if instant.tzinfo is None or instant <= self.clock.now():
                raise BadInputError(f"{request}: {instant.isoformat()} is no instant to come; give one with its zone")
            self._move(conn, request, Deed.SCHEDULE, scheduled_for=instant, scheduled_by=actor.name)
            fresh = rows.get(conn, request_id)
            risk = weighed(conn, self.registry.snapshot_in(conn), fresh, self._wait)
            if risk.missing:
                raise ForbiddenError(
                    f"{request}: who schedules it does not count as its approver, and without '{actor.name}' there is "
                    f"missing: {risk.missing}; let somebody else schedule it"
                )
            self._audit(conn, actor.name, "schedule", request_id, after={"scheduled_for": instant.isoformat()})
            return fresh

    @_of_a_request
    def apply(self, request_id: str, actor: Actor) -> ChangeRequest:
        """Put an approved request in force now, as a new revision and a new version of the registry.

        Raises ConflictError when the base has moved (the request is then in state conflict), or when what its simulation looked at
        has changed (it is then in review again), PolicyError when the registry would have problems with it, ForbiddenError when
        who approved may no longer do so.
        """
        with self.store.write() as conn:
            revisions.take_turn(conn)
            request = rows.lock(conn, request_id)
            self._may(request, Deed.APPLY, actor)
            self._proved(actor)
            if self._holds(conn, request, actor.name):
                self._put_in_force(conn, request, actor.name)
            done = rows.get(conn, request_id)
        if done.state == State.CONFLICT:
            raise ConflictError(moved_message(done))
        if done.state == State.IN_REVIEW:
            raise ConflictError(f"{done}: {done.note}")
        return done

    @_of_a_request
    def break_glass(self, request_id: str, lasting: timedelta, reason: str, actor: Actor) -> ChangeRequest:
        """Put a draft in force without approval, for a day at most; then the plane takes it back, and a review is owed.

        Raises BadInputError without a reason, for too long a time, or for a document that nothing stands behind;
        ConflictError while a review of the policy is owed from the last time.
        """
        with self.store.write() as conn:
            revisions.take_turn(conn)
            request = rows.lock(conn, request_id)
            self._may(request, Deed.BREAK_GLASS, actor)
            self._proved(actor)
            _refuse_break(request, lasting, reason)
            _refuse_elsewhere(request, revisions.current(conn, request.kind, request.name))
            owed = rows.owed_reviews(conn, request.kind, request.name)
            if owed:
                raise ConflictError(f"{request}: a review is owed of {owed[0].id}; have that reviewed first")
            if any(one.break_glass for one in rows.in_force_by(conn, request.kind, request.name)):
                raise ConflictError(f"{request}: what is in force is there by break-glass itself; ask for approval")
            self._refuse_unfit(conn, request)
            until = self.clock.now() + lasting
            note = {"break_glass": True, "reverts_at": until, "scheduled_by": actor.name, "reason": reason.strip()}
            self._write(conn, request, Deed.BREAK_GLASS, actor.name, reason.strip(), **note)
            return rows.get(conn, request_id)

    @_of_a_request
    def review(self, request_id: str, actor: Actor, comment: str) -> ChangeRequest:
        """Say what is to be said of a break-glass, afterwards; then nothing is owed any more. It changes nothing in force."""
        with self.store.write() as conn:
            request = rows.lock(conn, request_id)
            self._may(request, Deed.REVIEW, actor)
            self._proved(actor)
            self._refuse_unready(conn, actor, request)
            if not request.review_owed:
                raise ConflictError(f"{request}: no review is owed of it; it was approved, or reviewed already")
            if not comment.strip():
                raise BadInputError(f"{request}: a review says something; give a comment")
            now = self.clock.now()
            self._move(conn, request, Deed.REVIEW, reviewed_by=actor.name, reviewed_at=now, note=comment.strip())
            self._audit(conn, actor.name, "review", request_id, comment.strip())
            return rows.get(conn, request_id)

    # --- looking ---

    def get(self, request_id: str) -> ChangeRequest:
        """Return one request with its votes. Raises NotFoundError."""
        with self.store.read() as conn:
            return rows.get(conn, request_id)

    def list(self, state: str | None = None, limit: int = 100) -> list[ChangeRequest]:
        """Return the newest requests, in one state or in all."""
        with self.store.read() as conn:
            return rows.newest(conn, state, limit)

    @_by_all_that_is_known
    def lint(self, text: str, actor: Actor, kind: str | None = None, name: str | None = None) -> Sequence[Problem]:
        """Return everything that is wrong with a text as a policy, and with the whole registry once it stood in it.

        Nothing is kept. A problem of the text has its line; one that another policy would have names that policy, without one.
        Given a kind and a name, the text has to be that policy. What is out of the actor's sight is not named.
        """
        with self.store.read() as conn:
            snapshot = self.registry.snapshot_in(conn)
            found = checking.problems_in(conn, snapshot, text, self._manifests(), (kind, name))
        if actor.reach.everything:
            return found
        veil = snapshot.sight(actor.reach).veil
        return [replace(one, name=veil(one.name), rule=veil(one.rule), remedy=veil(one.remedy)) for one in found]

    @_of_a_request
    def refusals(self, request_id: str, actor: Actor) -> dict[str, str]:
        """Return, for each deed that somebody may not do to a request as it stands, why."""
        with self.store.read() as conn:
            request = rows.get(conn, request_id)
            unready = self._unready(conn, actor, request)
        return permits.refusals(request, actor, self._beyond(actor, request), unready)

    @_of_a_request
    def risk(self, request_id: str) -> Risk:
        """Return what a request risks, who has to approve it, and what is missing. Raises NotFoundError."""
        with self.store.read() as conn:
            return weighed(conn, self.registry.snapshot_in(conn), rows.get(conn, request_id), self._wait)

    def against(self, request_id: str) -> Sequence[Field]:
        """Return base, theirs and mine of every field that a request, or what came into force since, has changed."""
        with self.store.read() as conn:
            return against(conn, rows.get(conn, request_id))

    def staffing(self) -> Staffing:
        """Return how many people there are to propose and approve, and which owners in sight have no account."""
        seen = self.registry.snapshot()
        with self.store.unconfined(), self.store.read() as conn:
            return staffing(conn, seen)

    # --- how it is done ---

    def _refuse_unready(self, conn: Connection, actor: Actor, request: ChangeRequest) -> None:
        if why := self._unready(conn, actor, request):
            raise ForbiddenError(f"{request}: '{actor.name}' {why}")

    def _proved(self, actor: Actor) -> None:
        if self._step_up is not None:
            self._step_up.require(actor, self.clock.now())

    def _may(self, request: ChangeRequest, deed: Deed, actor: Actor) -> None:
        """Raises ForbiddenError without the right or in the wrong relation, StaleError, ConflictError in the wrong state."""
        require(actor, WHO[deed].right)
        self._within(actor, request.kind, request.name, request.document)
        self._refuse_stale(request)
        permits.check(request, deed, actor)

    def _refuse_stale(self, request: ChangeRequest) -> None:
        if self._seen is not None and request.etag not in self._seen:
            raise StaleError(
                f"{request} is not what you have read: it was edited by '{request.last_editor}' since you looked at it, or is "
                f"{request.state} by now; look at it as it is now"
            )

    def _refuse_unfit(self, conn: Connection, request: ChangeRequest) -> None:
        """Refuse what stands on a base that has moved, changes nothing, or would do the registry harm."""
        if self._moved(conn, request):
            raise ConflictError(moved_message(request))
        base = revisions.current(conn, request.kind, request.name)
        if base is not None and base["hash"] == request.hash:
            raise BadInputError(f"{request} changes nothing; edit its document, or withdraw it")
        self._check(conn, as_document(request.document))


def _refuse_overtaken(kind: str, name: str, base: dict[str, Any] | None, seen: int | None) -> None:
    """`seen`: the revision that was looked at, 0 where there was none; None: it does not matter."""
    if seen is None or seen == (base["revision"] if base else 0):
        return
    now = f"revision {base['revision']} by '{base['author']}'" if base else "nothing"
    since = f"you opened revision {seen}" if seen else "you began it as a new policy"
    raise ConflictError(f"{kind}/{name}: {now} came into force since {since}; look at both, and propose on that")


def _refuse_break(request: ChangeRequest, lasting: timedelta, reason: str) -> None:
    if not reason.strip():
        raise BadInputError(f"{request}: break-glass needs a reason; say why it cannot wait for an approver")
    if not timedelta(0) < lasting <= LONGEST_BREAK:
        hours = LONGEST_BREAK.total_seconds() / 3600
        raise BadInputError(
            f"{request}: break-glass lasts at most {hours:.0f} hours; give more than 0 and no more than that"
        )
    if request.base_revision is None:
        raise BadInputError(
            f"{request}: nothing stands behind a new document that break-glass could go back to; ask for approval"
        )


def _refuse_elsewhere(request: ChangeRequest, base: dict[str, Any] | None) -> None:
    """By one person alone no system is spoken to at another place, or with other secrets."""
    if request.kind != "System" or base is None:
        return
    before, after = base["document"]["spec"], request.document["spec"]
    changed = leads_elsewhere(before, after)
    if changed:
        raise ForbiddenError(
            f"{request}: break-glass changes no `{changed}` of a System: where it leads, and by which secrets, takes an approval"
        )
