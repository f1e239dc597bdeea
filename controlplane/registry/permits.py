"""What somebody may do to a change request as it stands, and why not. Who may do what when is `rules.changes`; here it is put in words."""

from __future__ import annotations

from controlplane.access import Actor, allowed, require, roles_with
from controlplane.errors import ConflictError, ForbiddenError, NotFoundError
from controlplane.registry.registry import Snapshot
from controlplane.registry.requests import ChangeRequest
from rules.changes import UNDECIDED, WHO, Deed, Relation, State, after, open_to, stands_right
from rules.policy.kinds import Document

PROPOSE, APPROVE = WHO[Deed.EDIT].right, WHO[Deed.APPROVE].right
BEYOND = "it concerns, or names, what is beyond the reach"
PEOPLES = tuple(deed for deed in Deed if WHO[deed].relation is not Relation.PLANE)
"""What people do, rather than the plane."""
VOTES = (Deed.APPROVE, Deed.REJECT, Deed.REVIEW)


def check(request: ChangeRequest, deed: Deed, actor: Actor) -> None:
    """Raises ForbiddenError without the right or in the wrong relation, ConflictError in the wrong state."""
    require(actor, WHO[deed].right)
    if after(request.state, deed) is None:
        wanted = " or ".join(open_to(deed))
        raise ConflictError(f"{request} is {request.state}, and only what is {wanted} allows this; read it again")
    if not _stands_right(request, deed, actor):
        raise ForbiddenError(_not_yours(request, deed, actor))


def refuse_beyond(snapshot: Snapshot, actor: Actor, kind: str, name: str, *documents: Document) -> None:
    """Refuse to act on a policy that is not in hand, by the law in `rules.reach`, or to put such a document in its place.

    `snapshot`: the whole registry. Raises NotFoundError for what is not in sight either, ForbiddenError.
    """
    if actor.reach.everything:
        return
    seen = snapshot.sight(actor.reach)
    if (kind, name) in snapshot.documents and (kind, name) not in seen.documents:
        raise unseen(actor, kind, name)
    if ((kind, name) in snapshot.documents and (kind, name) not in seen.owned) or not all(
        map(seen.has_in_hand, documents)
    ):
        raise ForbiddenError(
            f"{kind}/{name}: {BEYOND} of '{actor.name}', who reaches {actor.reach}; ask somebody whose reach has all of it"
        )


def unseen(actor: Actor, kind: str, name: str) -> NotFoundError:
    """Return what is told of a policy that is out of sight, or nowhere."""
    return NotFoundError(f"there is no {kind} '{name}' that is in sight of {actor.reach}")


def take_part(actor: Actor) -> None:
    """Raises ForbiddenError unless the actor may propose or approve: they simulate, and talk about requests."""
    if not allowed(actor, APPROVE):
        require(actor, PROPOSE)


def refusals(request: ChangeRequest, actor: Actor, beyond: str = "", unready: str = "") -> dict[str, str]:
    """Return, for each deed that somebody may not do to a request, why, in a few words that follow on the deed's name.

    `beyond`: why they may do none of them; `unready`: why their vote would not count.
    """
    if beyond:
        return {str(deed): beyond for deed in (*PEOPLES, "comment", "simulate")}
    found = {str(deed): _why_not(request, deed, actor) for deed in PEOPLES}
    if unready:
        found |= {deed: found[deed] or f"you {unready}" for deed in map(str, VOTES)}
    outside = _lacking(actor, PROPOSE, APPROVE)
    found["comment"] = outside
    found["simulate"] = outside or ("" if request.state in UNDECIDED else f"it is {request.state}, and decided")
    return {name: why for name, why in found.items() if why}


def _why_not(request: ChangeRequest, deed: Deed, actor: Actor) -> str:
    lacking = _lacking(actor, WHO[deed].right)
    if lacking:
        return lacking
    beyond = _beyond(request, deed)
    if beyond:
        return beyond
    if after(request.state, deed) is None:
        wanted = " or ".join(map(_told, open_to(deed)))
        return f"it is {_told(request.state)}, and has to be {wanted} for this"
    if _stands_right(request, deed, actor):
        return ""
    if WHO[deed].relation is Relation.OWN_OR_ADMIN:
        return f"only '{request.author}' or an admin may"
    return f"you {_did(request, actor)} it, so another person has to, whatever your roles"


def _beyond(request: ChangeRequest, deed: Deed) -> str:
    """Return what stands against a deed beside right, state and relation."""
    if deed is Deed.REVIEW and not request.review_owed:
        return "no review is owed of it"
    if deed is Deed.BREAK_GLASS and request.base_revision is None:
        return "nothing stands behind a new document that it could go back to"
    if request.state not in UNDECIDED:
        return "" if deed is Deed.REVIEW else f"it is {_told(request.state)}, and decided"
    if deed is Deed.EDIT and request.state is State.CONFLICT:
        return "its base has moved, so it takes a rebase"
    return ""


def _told(state: State) -> str:
    return str(state).replace("_", " ")


def _lacking(actor: Actor, *rights: str) -> str:
    """Return which role it takes where the actor has none of the rights, one of which will do."""
    if any(allowed(actor, right) for right in rights):
        return ""
    if "admin" in actor.roles and rights == (APPROVE,):
        return "an admin approves nothing, whatever other roles"
    needed = dict.fromkeys(role for right in rights for role in roles_with(right))
    return f"it takes the role {' or '.join(needed)}, and yours is {', '.join(sorted(actor.roles)) or 'none'}"


def _stands_right(request: ChangeRequest, deed: Deed, actor: Actor) -> bool:
    return stands_right(deed, actor.name, actor.roles, request.hands)


def _did(request: ChangeRequest, actor: Actor) -> str:
    did = request.hands.did(actor.name)
    return "broke the glass for" if request.break_glass and did == "scheduled" else did


def _not_yours(request: ChangeRequest, deed: Deed, actor: Actor) -> str:
    if WHO[deed].relation is Relation.OWN_OR_ADMIN:
        return f"{request}: only '{request.author}' or an admin may withdraw it; ask them, or reject it"
    what = "review it" if deed is Deed.REVIEW else "approve or reject it"
    return f"{request}: '{actor.name}' {_did(request, actor)} it and cannot {what}; ask another approver"
