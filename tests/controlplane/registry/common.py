"""The documents and the people that these tests begin with."""

from __future__ import annotations

from typing import Any

from controlplane.access import Actor
from controlplane.clock import ManualClock
from controlplane.registry import Registry, revisions
from controlplane.registry.changes import Changes
from controlplane.registry.packs import load_genesis
from controlplane.registry.requests import ChangeRequest
from controlplane.store import Store


def sandbox_registry(store: Store, clock: ManualClock) -> Registry:
    """Return a registry in which the shipped sandbox pack is in force."""
    registry = Registry(store, clock)
    load_genesis(store, clock, registry, "sandbox")
    return registry


def person(name: str, *roles: str, team: str | None = None) -> Actor:
    """Return somebody with these roles."""
    return Actor(name, frozenset(roles), team)


ADA = person("ada", "editor")
BEN = person("ben", "approver", team="finance-systems")
WIM = person("wim", "approver", team="warehouse-ops")
PAT = person("pat", "approver", team="integration-platform")
BOTH = person("eve", "editor", "approver")
ADMIN = person("admin", "admin")
EVERYBODY = (ADA, BEN, WIM, PAT, BOTH, ADMIN)


def policy(changes: Changes, **spec: Any) -> dict[str, Any]:
    """Return the retry policy `default` as it is in force, with some keys changed."""
    with changes.store.read() as conn:
        document: dict[str, Any] = revisions.get(conn, "RetryPolicy", "default")["document"]
    return {**document, "spec": {**document["spec"], **spec}}


def drafted(changes: Changes, actor: Actor = ADA, **spec: Any) -> ChangeRequest:
    """Open a request that changes the retry policy `default`."""
    document = policy(changes, **(spec or {"cap": "9m"}))
    return changes.open("RetryPolicy", "default", document, "Wait longer", "the ERP asks for it", actor)


def approved(changes: Changes, **spec: Any) -> ChangeRequest:
    """Bring a request of Ada's to the approval of Ben and Wim."""
    request = changes.submit(drafted(changes, **spec).id, ADA)
    changes.vote(request.id, BEN, "approve", "fine")
    return changes.vote(request.id, WIM, "approve", "fine")
