"""The sandbox's policies, in which these people may change something."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from controlplane.clock import ManualClock
from controlplane.registry import Registry
from controlplane.registry.changes import Changes
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.registry.common import EVERYBODY, sandbox_registry


@pytest.fixture
def registry(store: Store, clock: ManualClock) -> Registry:
    """The sandbox pack in force, and accounts for the people of these tests."""
    with store.write() as conn:
        for actor in EVERYBODY:
            conn.execute(
                insert(t.account).values(
                    name=actor.name, display_name=actor.name, password_hash="none", roles=sorted(actor.roles), team=actor.team,
                    created_at=clock.now(), disabled=False, failed_logins=0,
                )
            )  # fmt: skip
    return sandbox_registry(store, clock)


@pytest.fixture
def changes(registry: Registry) -> Changes:
    """The change requests of that registry."""
    return Changes(registry)
