"""What is due when, as the registry says it. The list is made anew each tick, so a changed policy needs no restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from controlplane import plugins
from controlplane.health import duties
from controlplane.health.observations import settings
from controlplane.health.readiness import JUDGING
from controlplane.jobs import comparisons, runs
from controlplane.registry.changes import Changes
from controlplane.wiring import Plane

ONCE = timedelta(days=36500)
"""The grid of what runs once in the life of an installation."""
CONFIRM_EVERY = timedelta(seconds=5)
"""What was healed is read again so often, and what is suspected for longer than its promise and could not be confirmed."""
RIPE_EVERY = timedelta(seconds=1)
"""How soon after its promise a suspicion is read a second time."""
EVALUATE_EVERY = timedelta(minutes=1)
ESCALATE_EVERY = timedelta(seconds=30)
RECOVER_EVERY = timedelta(seconds=5)
RECHECK_EVERY = timedelta(seconds=10)
REPLAY_EVERY = timedelta(seconds=1)
CHANGE_EVERY = timedelta(seconds=5)
ANCHOR_EVERY = timedelta(minutes=1)
PRUNE_EVERY = timedelta(hours=1)
RETAIN_EVERY = timedelta(hours=1)
SETTINGS_EVERY = timedelta(minutes=15)
RUNS_KEPT = timedelta(days=2)
COMPARING = "comparing"
"""The line of what reads several systems."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job on a grid."""

    name: str
    every: timedelta
    run: Callable[[], Any]
    """Returns what goes into the run's detail."""
    after_loading: bool = False
    """Makes no sense before the initial loads are done."""
    reads: bool = False
    """Takes records in, which whatever runs after it should find processed."""
    can_wait: bool = False
    """Nothing of the business waits for it: a clock that is moved by hand need not stop for it."""
    line: str = ""
    """In which line it waits for a thread: what asks a system that hangs holds up only what asks the same one."""
    not_before: datetime | None = None
    """When it comes to be due for the first time."""
    when_asked: Callable[[], Any] | None = None
    """What is run instead when somebody asked for it: all of it, where by itself it leaves out what it did today."""


def schedules(plane: Plane, pulse: timedelta) -> Iterator[Schedule]:
    """Yield all schedules of a plane, initial loads first, and last what takes long; `pulse` is how often probes measure."""
    yield from _reading(plane)
    for name in plugins.registered("probes"):
        yield Schedule(f"probe:{name}", pulse, partial(duties.probe, plane, name))
    suspected, ripe = comparisons.suspected(plane), comparisons.ripening(plane, RIPE_EVERY)
    for name in plane.registry.snapshot().comparisons:
        if name in ripe:
            at_once = partial(comparisons.confirm, plane, name, healed=False)
            yield Schedule(f"confirm-ripe:{name}", RIPE_EVERY, at_once, True, not_before=ripe[name], line=COMPARING)
        if name in suspected:
            confirm = partial(comparisons.confirm, plane, name)
            yield Schedule(f"confirm:{name}", CONFIRM_EVERY, confirm, True, line=COMPARING)
    yield Schedule(settings.SCHEDULE, SETTINGS_EVERY, partial(duties.read_settings, plane), can_wait=True)
    yield Schedule(JUDGING, EVALUATE_EVERY, partial(duties.evaluate_all, plane))
    yield Schedule("escalate", ESCALATE_EVERY, partial(duties.escalate_all, plane))
    yield Schedule("recover", RECOVER_EVERY, plane.sync.recover, can_wait=True)
    yield Schedule("recheck", RECHECK_EVERY, plane.sync.rechecks.run, can_wait=True)
    if plane.sync.reprocessing.running():
        yield Schedule("replay", REPLAY_EVERY, plane.sync.reprocessing.advance)
    changes = _changes(plane)
    if changes.waiting():
        yield Schedule("changes", CHANGE_EVERY, changes.advance)
    yield Schedule("anchor", ANCHOR_EVERY, plane.anchors.advance, can_wait=True)
    yield Schedule("prune", PRUNE_EVERY, partial(_prune, plane))
    yield Schedule("archive", RETAIN_EVERY, plane.sync.archive, when_asked=partial(plane.sync.archive, anew=True))
    yield Schedule("restore", RETAIN_EVERY, plane.sync.restore)
    for name, comparison in plane.registry.snapshot().comparisons.items():
        yield Schedule(f"compare:{name}", comparison.spec.every, partial(comparisons.run, plane, name, "schedule"), True,
                       line=COMPARING, when_asked=partial(comparisons.run_asked, plane, name))  # fmt: skip


def _changes(plane: Plane) -> Changes:
    return Changes(plane.registry, wait=timedelta(hours=plane.settings.approver_wait))


def _prune(plane: Plane) -> dict[str, Any]:
    kept = plane.clock.now() - RUNS_KEPT
    return duties.prune_all(plane) | {
        "runs": runs.prune(plane.store, kept),
        "changes": _changes(plane).expire(),
    }


def _reading(plane: Plane) -> Iterator[Schedule]:
    snapshot = plane.registry.snapshot()
    for channel in sorted({rule.spec.channel for rule in snapshot.allocation_rules.values()}):
        read = partial(plane.sync.healing.read_channel, channel)
        yield Schedule(f"channel:{channel}", ONCE, read, reads=True, line=f"system:{channel}")
    for flow in snapshot.flows.values():
        if flow.spec.read:
            every, poll = flow.spec.poll_every or ONCE, partial(plane.sync.poll, flow.name)
            yield Schedule(f"poll:{flow.name}", every, poll, reads=True, line=f"system:{flow.spec.source}")
