"""What is due when, as the registry says it. The list is made anew each tick, so a changed policy needs no restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from controlplane import health, plugins
from controlplane.jobs import comparisons
from controlplane.wiring import Plane

ONCE = timedelta(days=36500)
"""The grid of what runs once in the life of an installation."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job on a grid."""

    name: str
    every: timedelta
    run: Callable[[], dict[str, Any]]


def schedules(plane: Plane, pulse: timedelta) -> Iterator[Schedule]:
    """Yield all schedules of a plane, initial loads first; `pulse` is how often probes measure."""
    snapshot = plane.registry.snapshot()
    for flow in snapshot.flows.values():
        if flow.spec.read:
            every = flow.spec.poll_every or ONCE
            yield Schedule(f"poll:{flow.name}", every, lambda name=flow.name: {"taken": plane.sync.poll(name)})
    for channel in sorted({rule.spec.channel for rule in snapshot.allocation_rules.values()}):
        yield Schedule(f"channel:{channel}", ONCE, lambda c=channel: {"levels": plane.sync.healing.read_channel(c)})
    for name in plugins.registered("probes"):
        yield Schedule(f"probe:{name}", pulse, lambda name=name: {"observations": health.probe(plane, name)})
    for comparison in snapshot.comparisons.values():
        yield Schedule(
            f"compare:{comparison.name}",
            comparison.spec.every,
            lambda name=comparison.name: comparisons.run(plane, name, "schedule"),
        )
        yield Schedule(
            f"confirm:{comparison.name}",
            timedelta(seconds=30),
            lambda name=comparison.name: comparisons.confirm(plane, name),
        )
    yield Schedule("evaluate", timedelta(minutes=1), lambda: health.evaluate_all(plane))
    yield Schedule("escalate", timedelta(seconds=30), lambda: health.escalate_all(plane))
    yield Schedule("recover", timedelta(seconds=30), lambda: {"recovered": plane.sync.recover()})
    yield Schedule("prune", timedelta(hours=1), lambda: health.prune_all(plane))
