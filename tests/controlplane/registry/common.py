"""The documents that these tests begin with."""

from __future__ import annotations

from controlplane.clock import ManualClock
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.store import Store


def sandbox_registry(store: Store, clock: ManualClock) -> Registry:
    """Return a registry in which the shipped sandbox pack is in force."""
    registry = Registry(store, clock)
    load_genesis(store, clock, registry, "sandbox")
    return registry
