"""How much waits at each broker that a system takes from, and for how long: asked of the broker, and unknown where it cannot tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from controlplane import plugins
from controlplane.connectors.contract import Manifest, UnsupportedError, Waiting
from controlplane.errors import TrueupError
from controlplane.health.observations import Observation, ProbeContext

WORKERS = 8


def probe(ctx: ProbeContext) -> list[Observation]:
    """Ask every system that has a queue at the same time; systems without one have no series."""
    names = sorted(ctx.snapshot.systems)
    if not names:
        return []
    with ThreadPoolExecutor(min(WORKERS, len(names)), thread_name_prefix="depth") as pool:
        answers = list(pool.map(lambda name: _ask(ctx, name), names))
    return [seen for answer in answers for seen in answer]


def _ask(ctx: ProbeContext, system: str) -> list[Observation]:
    try:
        found = ctx.connections.get(system).waiting()
    except UnsupportedError:
        return []
    except TrueupError as error:
        if not _has_queue(ctx, system):
            return []
        found = Waiting(None, None, str(error))
    return _observations(ctx, system, found)


def _has_queue(ctx: ProbeContext, system: str) -> bool:
    """Whether the system is known to have one, though its connector could not be made or asked."""
    try:
        spec = ctx.snapshot.systems[system].spec
        manifest: Manifest = plugins.load("connectors", spec.connector).manifest
        return manifest.of(spec.options).consumes
    except TrueupError:  # no connector of that name is installed
        return False


def _observations(ctx: ProbeContext, system: str, found: Waiting) -> list[Observation]:
    now, labels, note = ctx.clock.now(), {"system": system}, found.note or None
    age: float | None = None
    if found.count == 0:
        age = 0.0
    elif found.oldest_at is not None:
        age = max(0.0, (now - found.oldest_at).total_seconds())
    count = None if found.count is None else float(found.count)
    return [
        Observation("broker_depth", now, count, labels, note=note),
        Observation("broker_age", now, age, labels, note=note),
    ]
