"""Run a comparison, keep what it found, and heal what policy lets us heal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from controlplane import plugins
from controlplane.health.observations import findings
from controlplane.health.observations.comparison import Compared, ComparisonContext, Judged
from controlplane.health.observations.findings import Settled
from controlplane.health.observations.runs import begin
from controlplane.jobs.healing import heal
from controlplane.store import tables as t
from controlplane.wiring import Plane
from rules.comparison.explain import Cause
from rules.policy.kinds import Comparison


def run(plane: Plane, name: str, trigger: str, subjects: Sequence[str] | None = None) -> dict[str, Any]:
    """Compare everything, or only the subjects; return the counts."""
    with plane.store.write() as connection:
        version = plane.registry.snapshot().version
        run_id = begin(connection, plane.clock, name, trigger, subjects, version)
    return _compare(plane, name, run_id, subjects)


def suspected(plane: Plane) -> frozenset[str]:
    """Return the comparisons of which something is to be read a second time, soon or now."""
    with plane.store.look() as connection:
        return findings.suspected(connection)


def ripening(plane: Plane, within: timedelta) -> dict[str, datetime]:
    """Return comparison -> when its next suspicion is, or was within the last `within`, old enough to be read a second time."""
    promises = {name: policy.spec.promise for name, policy in plane.registry.snapshot().comparisons.items()}
    with plane.store.read() as connection:
        return findings.ripe_from(connection, plane.clock.now() - within, promises)


def confirm(plane: Plane, name: str, *, healed: bool = True) -> dict[str, Any]:
    """Read a second time what is suspected for longer than its promise, with `healed` also what was healed; return the counts."""
    policy = plane.registry.snapshot().comparisons[name]
    with plane.store.read() as connection:
        subjects = findings.waiting_subjects(connection, plane.clock, name, policy.spec.promise, healed=healed)
    return run(plane, name, "confirmation", subjects) if subjects else {"keys": 0}


def run_asked(plane: Plane, name: str) -> dict[str, Any]:
    """Do what people asked for, one after another; return the counts of each. Without any, compare everything."""
    c = t.comparison_run.c
    query = select(t.comparison_run).where(c.comparison == name, c.state == "requested").order_by(c.id)
    with plane.store.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return run(plane, name, "asked")
    answers = [_compare(plane, name, row.id, row.subjects) for row in rows]
    return answers[0] if len(answers) == 1 else {"runs": answers}


def _compare(plane: Plane, name: str, run_id: str, subjects: Sequence[str] | None) -> dict[str, Any]:
    snapshot = plane.registry.snapshot()
    policy = snapshot.comparisons[name]
    compare = plugins.load("comparisons", policy.spec.kind)
    with plane.store.write() as connection:
        begun = {"state": "running", "started_at": plane.clock.now(), "registry_version": snapshot.version}
        connection.execute(update(t.comparison_run).where(t.comparison_run.c.id == run_id).values(**begun))
        said = _said(connection, name)
    context = ComparisonContext(
        plane.store, snapshot, plane.connections, plane.clock, policy, said.get("proven", {}), said.get("resume", ""),
        plane.settings.home / "snapshots" / name if policy.spec.snapshots and subjects is None else None,
    )  # fmt: skip
    try:
        compared: Compared = compare(context, subjects)
    except Exception as error:
        _break(plane, run_id, error)
        raise
    if not compared.unread:
        _anchor(plane, policy, compared, run_id)
    with plane.store.write() as connection:
        settled = findings.settle(
            connection, plane.clock, name, run_id, compared, policy.spec.promise, snapshot.version
        )
        counts = _counts(compared, settled)
        _finish(plane, connection, run_id, compared, counts)
    healed = heal(plane, policy, {judged.subject: judged for judged in compared.judged}) if not compared.unread else 0
    return counts | {
        "opened": len(settled.opened),
        "closed": len(settled.closed),
        "healing": healed,
        **_unfinished(compared),
    }


def _break(plane: Plane, run_id: str, error: Exception) -> None:
    """Note that a run ended by a defect: it concludes nothing, and goes on no longer."""
    values = {
        "state": "failed",
        "finished_at": plane.clock.now(),
        "said": {"error": f"{type(error).__name__}: {error}"},
    }
    with plane.store.write() as connection:
        connection.execute(update(t.comparison_run).where(t.comparison_run.c.id == run_id).values(**values))


def _said(connection: Connection, name: str) -> dict[str, Any]:
    """Return what the last run over everything said beside its counts."""
    c = t.comparison_run.c
    whole = (c.comparison == name, c.state.in_(("complete", "stopped")), c.subjects.is_(None))
    query = select(c.said).where(*whole).order_by(c.id.desc()).limit(1)
    return connection.execute(query).scalar() or {}


def _unfinished(compared: Compared) -> dict[str, Any]:
    unread = {"unread": dict(compared.unread)} if compared.unread else {}
    stopped = {"stopped": compared.stopped, "skipped": compared.skipped} if compared.skipped else {}
    return unread | stopped


def _finish(plane: Plane, connection: Connection, run_id: str, compared: Compared, counts: dict[str, int]) -> None:
    numbers = {} if compared.unread else counts | {"skipped": compared.skipped}
    said = {"stopped": compared.stopped, "resume": compared.resume, "proven": dict(compared.proven)}
    values = {
        "state": _state(compared), "finished_at": plane.clock.now(), "unread": dict(compared.unread) or None,
        "said": {name: one for name, one in said.items() if one} or None, **numbers,
    }  # fmt: skip
    connection.execute(update(t.comparison_run).where(t.comparison_run.c.id == run_id).values(**values))


def _state(compared: Compared) -> str:
    if compared.unread:
        return "failed"
    if compared.skipped:
        return "stopped"
    return "partial" if compared.partial else "complete"


COUNTED = ("agree", "in_flight", "suspected", "drift", "accepted", "indeterminate")


def _counts(compared: Compared, settled: Settled) -> dict[str, int]:
    counts = {"keys": len(compared.judged)} | dict.fromkeys(COUNTED, 0)
    for judged in compared.judged:
        counts[_class(judged, settled)] += 1
    return counts


def _class(judged: Judged, settled: Settled) -> str:
    causes = {finding.cause for finding in judged.findings}
    if any(finding.is_drift for finding in judged.findings):
        if judged.subject in settled.accepted:
            return "accepted"
        return "drift" if judged.subject in settled.confirmed else "suspected"
    if Cause.INDETERMINATE in causes:
        return "indeterminate"
    return "in_flight" if Cause.IN_FLIGHT in causes else "agree"


def _anchor(plane: Plane, policy: Comparison, compared: Compared, run_id: str) -> None:
    """Books that agree with the source, with nothing on its way, are taken for known from here on."""
    for side in policy.spec.sides:
        agreeing = [
            level
            for judged in compared.judged
            if (level := judged.levels.get(side.system)) is not None
            and policy.spec.source_of(level.location) != side.system
            and all(finding.cause is Cause.NONE for finding in judged.findings)
            and side.system not in judged.touched
        ]
        if agreeing:
            plane.sync.healing.anchor(side.system, side.field, agreeing, run_id)
