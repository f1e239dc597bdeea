"""The life of a change request: which deed leads from which state to which, who may do it, and when a change is approved. Pure.

draft -> in_review -> approved -> scheduled -> effective -> superseded | rolled_back
beside it: rejected, withdrawn, expired, and conflict, which only a rebase leads out of
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

RELAXING, TIGHTENING = 2, 1
"""Approvals that a change needs."""
LONGEST_BREAK = timedelta(hours=24)
"""What is put in force without approval ends after this at the latest."""
PATIENCE = timedelta(days=30)
"""A request that nobody has touched for so long expires; a scheduled one waits for its time."""


class State(StrEnum):
    """Where a change request stands."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    EFFECTIVE = "effective"
    SUPERSEDED = "superseded"
    """Another revision took its place."""
    ROLLED_BACK = "rolled_back"
    """A revision took its place that goes back behind it."""
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    """Nobody went on with it, or it could not be put in force when its time came."""
    CONFLICT = "conflict"
    """Made on a base that is no longer in force."""


UNDECIDED = (State.DRAFT, State.IN_REVIEW, State.APPROVED, State.SCHEDULED, State.CONFLICT)
"""States in which something is still to be done."""


class Deed(StrEnum):
    """What is done to a change request."""

    EDIT = "edit"
    REBASE = "rebase"
    SUBMIT = "submit"
    APPROVE = "approve"
    CARRY = "carry"
    """The approvals suffice."""
    REJECT = "reject"
    SCHEDULE = "schedule"
    APPLY = "apply"
    BREAK_GLASS = "break_glass"
    REVIEW = "review"
    """Look afterwards at what was put in force without approval."""
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    CLASH = "clash"
    """The base has moved."""
    LOOK_AGAIN = "look_again"
    """What the approvals rest on has changed."""
    SUPERSEDE = "supersede"
    ROLL_BACK = "roll_back"


_S, _D = State, Deed
STEPS: Mapping[tuple[State, Deed], State] = {
    **{(state, _D.EDIT): _S.DRAFT for state in (_S.DRAFT, _S.IN_REVIEW, _S.APPROVED, _S.SCHEDULED)},
    **{(state, _D.REBASE): _S.DRAFT for state in UNDECIDED},
    **{(state, _D.WITHDRAW): _S.WITHDRAWN for state in UNDECIDED},
    **{(state, _D.EXPIRE): _S.EXPIRED for state in UNDECIDED},
    **{(state, _D.REJECT): _S.REJECTED for state in (_S.IN_REVIEW, _S.APPROVED, _S.SCHEDULED)},
    **{(state, _D.CLASH): _S.CONFLICT for state in (_S.APPROVED, _S.SCHEDULED)},
    **{(state, _D.LOOK_AGAIN): _S.IN_REVIEW for state in (_S.APPROVED, _S.SCHEDULED)},
    **{(state, _D.APPLY): _S.EFFECTIVE for state in (_S.APPROVED, _S.SCHEDULED)},
    **{(state, _D.REVIEW): state for state in (_S.EFFECTIVE, _S.SUPERSEDED, _S.ROLLED_BACK)},
    (_S.DRAFT, _D.SUBMIT): _S.IN_REVIEW,
    (_S.DRAFT, _D.BREAK_GLASS): _S.EFFECTIVE,
    (_S.IN_REVIEW, _D.APPROVE): _S.IN_REVIEW,
    (_S.IN_REVIEW, _D.CARRY): _S.APPROVED,
    (_S.APPROVED, _D.SCHEDULE): _S.SCHEDULED,
    (_S.EFFECTIVE, _D.SUPERSEDE): _S.SUPERSEDED,
    (_S.EFFECTIVE, _D.ROLL_BACK): _S.ROLLED_BACK,
}  # fmt: skip
"""(state, deed) -> next state. What is not listed cannot be done."""


class Relation(StrEnum):
    """How who does a deed must stand to the request, whatever the roles."""

    ANYBODY = "anybody"
    ANOTHER = "another"
    """Neither its author, nor anybody who edited it, nor its scheduler."""
    OWN_OR_ADMIN = "own_or_admin"
    """Its author, its last editor, or an admin."""
    PLANE = "plane"
    """The plane itself."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who may do a deed: the right that it takes, and how they must stand to the request."""

    right: str
    relation: Relation = Relation.ANYBODY


PLANE = Who("", Relation.PLANE)
WHO: Mapping[Deed, Who] = {
    Deed.EDIT: Who("policy.propose"),
    Deed.REBASE: Who("policy.propose"),
    Deed.SUBMIT: Who("policy.propose"),
    Deed.APPROVE: Who("policy.approve", Relation.ANOTHER),
    Deed.CARRY: PLANE,
    Deed.REJECT: Who("policy.approve", Relation.ANOTHER),
    Deed.SCHEDULE: Who("policy.apply"),
    Deed.APPLY: Who("policy.apply"),
    Deed.BREAK_GLASS: Who("policy.break_glass"),
    Deed.REVIEW: Who("policy.approve", Relation.ANOTHER),
    Deed.WITHDRAW: Who("policy.propose", Relation.OWN_OR_ADMIN),
    Deed.EXPIRE: PLANE,
    Deed.CLASH: PLANE,
    Deed.LOOK_AGAIN: PLANE,
    Deed.SUPERSEDE: PLANE,
    Deed.ROLL_BACK: PLANE,
}


@dataclass(frozen=True, slots=True)
class Hands:
    """Whose hands a request went through; the scheduler of one in break-glass is who put it in force.

    `editors`: everybody who wrote on its document. Whose words stand in it still nobody can tell of an edited text, so all count.
    """

    author: str
    last_editor: str
    scheduler: str | None = None
    editors: Set[str] = frozenset()

    @property
    def own(self) -> frozenset[str]:
        """Who never counts as an approver."""
        return frozenset({self.author, self.last_editor, *self.editors, *([self.scheduler] if self.scheduler else [])})

    def did(self, name: str) -> str:
        """Say in a word what somebody of them did."""
        if name == self.author:
            return "wrote"
        if name == self.last_editor:
            return "last edited"
        return "edited" if name in self.editors else "scheduled"


def after(state: State, deed: Deed) -> State | None:
    """Return the state that a deed leads to, or None where it cannot be done."""
    return STEPS.get((state, deed))


def open_to(deed: Deed) -> tuple[State, ...]:
    """Return the states in which a deed can be done."""
    return tuple(state for state in State if (state, deed) in STEPS)


def stands_right(deed: Deed, name: str, roles: Set[str], hands: Hands) -> bool:
    """Say whether somebody stands to the request as the deed asks; the right comes on top of it."""
    match WHO[deed].relation:
        case Relation.ANYBODY:
            return True
        case Relation.ANOTHER:
            return name not in hands.own
        case Relation.OWN_OR_ADMIN:
            return name in {hands.author, hands.last_editor} or "admin" in roles
        case Relation.PLANE:
            return False


@dataclass(frozen=True, slots=True)
class Quorum:
    """Who has to approve a change: so many, one of them from a team that owns the data."""

    needed: int
    teams: frozenset[str] = frozenset()
    """Teams of which one approver has to be; empty where that is not asked, or nobody owns what is changed."""

    def missing(self, approvers: Iterable[tuple[str, str | None]]) -> str:
        """Say what is missing still, given (name, team) of who approved and may; empty when nothing is."""
        counted = dict(approvers)
        lacking = self.needed - len(counted)
        owner = bool(self.teams) and self.teams.isdisjoint(team for team in counted.values() if team)
        if lacking <= 0 and not owner:
            return ""
        more = max(lacking, 1)
        who = f"{more} approval{'s' if more > 1 else ''} more"
        return f"{who}, one of them from {' or '.join(sorted(self.teams))}" if owner else who


def quorum(relaxes: bool, owners: Iterable[str]) -> Quorum:
    """Return who has to approve: two for what relaxes a promise, one of them from the data owner's team; one for what tightens."""
    return Quorum(RELAXING, frozenset(owners)) if relaxes else Quorum(TIGHTENING)
