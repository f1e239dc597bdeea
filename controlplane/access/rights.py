"""Roles and rights, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.errors import ForbiddenError

OPERATIONS = frozenset(
    {
        "quarantine.correct", "quarantine.approve", "quarantine.replay", "quarantine.drop", "comparison.run", "finding.accept",
        "incident.acknowledge", "sync.pause", "sync.replay", "messages.accept",
        "ledger.archive", "ledger.restore",
    }
)  # fmt: skip
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"view"}),
    "operator": frozenset({"view"}) | OPERATIONS,
    "editor": frozenset({"view", "policy.propose", "policy.apply", "policy.break_glass"}),
    "approver": frozenset({"view", "policy.approve", "policy.apply", "quarantine.approve"}),
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
KNOWN = frozenset().union(*ROLES.values())


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks for something, as known at this request."""

    name: str
    roles: frozenset[str]
    team: str | None = None

    @property
    def rights(self) -> frozenset[str]:
        """Everything that the roles grant; an unknown role grants nothing."""
        return frozenset().union(*(ROLES.get(role, frozenset()) for role in self.roles))


def allowed(actor: Actor | None, right: str) -> bool:
    """Say whether the actor has the right; nobody, and an unknown right, are denied."""
    return actor is not None and right in KNOWN and right in actor.rights


def require(actor: Actor | None, right: str) -> None:
    """Raise ForbiddenError, naming the roles that have the right, unless the actor has it."""
    if allowed(actor, right):
        return
    who = f"'{actor.name}' ({', '.join(sorted(actor.roles)) or 'no role'})" if actor else "nobody who is signed in"
    having = ", ".join(role for role, rights in ROLES.items() if right in rights) or "no role"
    raise ForbiddenError(f"{who} may not do this: it takes the right '{right}' ({having}); ask somebody who has it")
