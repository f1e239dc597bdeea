"""What the ticker has health do. Each duty takes a plane and says what it did; repeating one does no harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

from controlplane import plugins
from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.health import evaluation, incidents, observations
from controlplane.health.observations import ProbeContext, settings
from controlplane.registry import Registry
from controlplane.settings import Settings
from controlplane.store import Store
from rules.slo import KEPT

SAMPLES_KEPT = timedelta(days=2)


class Plane(Protocol):
    """The parts of a plane that health works with."""

    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def store(self) -> Store: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def connections(self) -> Connections: ...


def probe(plane: Plane, name: str) -> int:
    """Run one probe and store what it observed; return how many observations. Raises NotFoundError."""
    context = ProbeContext(plane.store, plane.registry.snapshot(), plane.connections, plane.clock)
    seen = plugins.load("probes", name)(context)
    with plane.store.write() as conn:
        return observations.record(conn, seen)


def read_settings(plane: Plane) -> dict[str, Any]:
    """Ask every system how it is set; what is returned is kept with the run, where probe and pages read it."""
    return settings.kept(settings.read(plane.connections, plane.registry.snapshot()))


def evaluate_all(plane: Plane) -> dict[str, Any]:
    """Judge everything and bring the incidents in line; return the number of verdicts, which rules fire, and which broke."""
    snapshot = plane.registry.snapshot()
    verdicts = evaluation.evaluate(plane.store, snapshot, plane.clock)
    incidents.reconcile(plane.store, snapshot, plane.clock, verdicts, plane.settings.url)
    firing = sorted(verdict.fingerprint for verdict in verdicts if verdict.firing)
    broken = sorted({verdict.rule for verdict in verdicts if verdict.broken})
    return {"verdicts": len(verdicts), "firing": firing, "broken": broken}


def escalate_all(plane: Plane) -> dict[str, Any]:
    """Take the escalation steps that are due; return how many incidents are open."""
    incidents.reconcile(plane.store, plane.registry.snapshot(), plane.clock, [], plane.settings.url)
    return {"open": incidents.count_open(plane.store)}


def prune_all(plane: Plane) -> dict[str, Any]:
    """Forget samples after two days and rollups after ninety; return how many of each."""
    now = plane.clock.now()
    with plane.store.write() as conn:
        samples, rollups = observations.prune(conn, now - SAMPLES_KEPT, now - KEPT)
    return {"samples": samples, "rollups": rollups}
