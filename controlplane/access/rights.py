"""Roles and rights, in one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from controlplane.errors import ForbiddenError
from rules.reach import EVERYTHING, Reach

OPERATIONS = frozenset(
    {
        "quarantine.correct", "quarantine.approve", "quarantine.replay", "quarantine.drop",
        "comparison.run", "finding.accept", "finding.heal", "finding.approve",
        "incident.acknowledge", "sync.pause", "sync.replay", "messages.accept",
        "ledger.archive", "ledger.restore",
    }
)  # fmt: skip
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"view"}),
    "operator": frozenset({"view"}) | OPERATIONS,
    "editor": frozenset({"view", "policy.propose", "policy.apply", "policy.break_glass"}),
    "approver": frozenset({"view", "policy.approve", "policy.apply", "quarantine.approve", "finding.approve"}),
    "admin": frozenset(
        {
            "view",
            "policy.propose",
            "policy.apply",
            "policy.break_glass",
            "admin.accounts",
            "audit.view",
            "quarantine.unseal",
        }
    )
    | OPERATIONS,
    "auditor": frozenset({"view", "audit.view"}),
    "privacy": frozenset({"view", "quarantine.unseal"}),
}
"""Role -> rights. An admin looks after people and the plane, and approves no policy: for that it takes an approver.
Nobody corrects, or audits, by seeing what is personal; whose task that is has the role `privacy`."""
DENIED_TO_ADMINS = frozenset({"policy.approve"})
"""Who gives out roles does not decide with one that he has beside."""
KNOWN = frozenset().union(*ROLES.values())
METRICS = "metrics.view"
"""Only asked of who is confined: to anybody else, looking is looking at the figures too."""
WHOLE = frozenset({"admin.accounts", "audit.view", "ledger.archive", "ledger.restore", METRICS})
"""What is about the whole installation: nobody has it who is confined to a part, whatever the roles."""


@dataclass(frozen=True, slots=True)
class Proof:
    """When and how somebody proved who it is. `auth_time` is None when the provider did not say; `acr` and `amr` are its words."""

    auth_time: datetime | None
    acr: str | None = None
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks for something, as known at this request.

    `issuer`: whose people it is one of, None for a local account. `proof`: of its session; a program with a token has none.
    `scopes`: the rights that a token is confined to; None: all. `reach`: the brands, regions and domains that it is all about.
    """

    name: str
    roles: frozenset[str]
    team: str | None = None
    issuer: str | None = field(default=None, compare=False)
    proof: Proof | None = field(default=None, compare=False)
    scopes: frozenset[str] | None = field(default=None, compare=False)
    reach: Reach = field(default=EVERYTHING, compare=False)

    @property
    def rights(self) -> frozenset[str]:
        """Everything that the roles grant, within the scopes and the reach; an unknown role grants nothing. An admin approves
        nothing, whatever other roles he has."""
        return _granted(self.roles, self.scopes, self.reach.everything)


@lru_cache(maxsize=1024)
def _granted(roles: frozenset[str], scopes: frozenset[str] | None, everything: bool) -> frozenset[str]:
    """Return the rights of an actor; every request asks several times."""
    granted = frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))
    granted -= DENIED_TO_ADMINS if "admin" in roles else frozenset()
    granted = granted if everything else granted - WHOLE
    return granted if scopes is None else granted & scopes


def allowed(actor: Actor | None, right: str) -> bool:
    """Say whether the actor has the right; nobody, and an unknown right, are denied."""
    return actor is not None and right in KNOWN and right in actor.rights


def roles_with(right: str) -> tuple[str, ...]:
    """Return the roles that grant a right."""
    return tuple(role for role, rights in ROLES.items() if right in rights)


def require(actor: Actor | None, right: str) -> None:
    """Raise ForbiddenError, naming the roles that have the right, unless the actor has it."""
    if allowed(actor, right):
        return
    who = f"'{actor.name}' ({', '.join(sorted(actor.roles)) or 'no role'})" if actor else "nobody who is signed in"
    if actor is not None and right in WHOLE and not actor.reach.everything:
        raise ForbiddenError(
            f"{who} may not do this: it is about the whole installation, and the account reaches {actor.reach}; "
            "ask somebody whose reach is everything"
        )
    if actor is not None and right in DENIED_TO_ADMINS and "admin" in actor.roles and "approver" in actor.roles:
        raise ForbiddenError(
            f"{who} is an admin, who may not do this ('{right}') whatever other roles; ask another approver"
        )
    if actor is not None and any(role in actor.roles for role in roles_with(right)):
        raise ForbiddenError(f"the token of {who} is not for this: it takes the scope '{right}'; issue one that has it")
    having = ", ".join(roles_with(right)) or "no role"
    raise ForbiddenError(f"{who} may not do this: it takes the right '{right}' ({having}); ask somebody who has it")
