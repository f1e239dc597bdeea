"""The documents that these tests begin with."""

from __future__ import annotations

from controlplane.clock import ManualClock
from controlplane.registry import Registry
from controlplane.registry.packs import load_if_empty, pack_folder
from controlplane.store import Store


def sandbox_registry(store: Store, clock: ManualClock) -> Registry:
    """Return a registry in which the shipped sandbox pack is in force."""
    load_if_empty(store, clock, pack_folder("sandbox"))
    return Registry(store, clock)
