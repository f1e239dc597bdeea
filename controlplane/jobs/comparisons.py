"""Run a comparison, keep what it found, and heal what policy lets us heal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from controlplane import plugins
from controlplane.errors import ConnectorError
from controlplane.health.observations import findings
from controlplane.health.observations.comparison import Compared, ComparisonContext, Judged, Key
from controlplane.store import tables as t
from controlplane.wiring import Plane
from rules.comparison.explain import Cause
from rules.comparison.healing import Candidate, allowed
from rules.ids import new_id
from rules.policy.kinds import Comparison


def run(plane: Plane, name: str, trigger: str) -> dict[str, Any]:
    """Compare everything; return the counts."""
    return _compare(plane, name, trigger, None)


def confirm(plane: Plane, name: str) -> dict[str, Any]:
    """Read a second time what is suspected for longer than its promise, and what was healed; return the counts."""
    policy = plane.registry.snapshot().comparisons[name]
    with plane.store.read() as connection:
        keys = findings.waiting_keys(connection, plane.clock, name, policy.spec.promise)
    return _compare(plane, name, "confirmation", keys) if keys else {"keys": 0}


def _compare(plane: Plane, name: str, trigger: str, keys: list[Key] | None) -> dict[str, Any]:
    snapshot = plane.registry.snapshot()
    policy = snapshot.comparisons[name]
    run_id = _begin(plane, name, trigger, snapshot.version)
    compare = plugins.load("comparisons", policy.spec.kind)
    context = ComparisonContext(plane.store, snapshot, plane.connections, plane.clock, policy)
    compared: Compared = compare(context, keys)
    if not compared.unread:
        _anchor(plane, policy, compared, run_id)
    with plane.store.write() as connection:
        settled = findings.settle(
            connection, plane.clock, name, run_id, compared, policy.spec.promise, snapshot.version
        )
        counts = _counts(compared, settled.confirmed)
        _finish(plane, connection, run_id, compared, counts)
    healed = heal(plane, policy, {judged.key: judged for judged in compared.judged}) if not compared.unread else 0
    return counts | {
        "opened": len(settled.opened),
        "closed": len(settled.closed),
        "healing": healed,
        **_unread(compared),
    }


def _unread(compared: Compared) -> dict[str, Any]:
    return {"unread": dict(compared.unread)} if compared.unread else {}


def _begin(plane: Plane, name: str, trigger: str, version: int) -> str:
    now = plane.clock.now()
    run_id = new_id(now)
    row = {"id": run_id, "comparison": name, "started_at": now, "state": "running", "trigger": trigger}
    with plane.store.write() as connection:
        connection.execute(insert(t.comparison_run).values(**row, registry_version=version))
    return run_id


def _finish(plane: Plane, connection: Connection, run_id: str, compared: Compared, counts: dict[str, int]) -> None:
    state = "failed" if compared.unread else ("partial" if compared.partial else "complete")
    numbers = {} if compared.unread else counts
    values = {"state": state, "finished_at": plane.clock.now(), "unread": dict(compared.unread) or None, **numbers}
    connection.execute(update(t.comparison_run).where(t.comparison_run.c.id == run_id).values(**values))


def _counts(compared: Compared, confirmed: frozenset[Key]) -> dict[str, int]:
    counts = {"keys": len(compared.judged), "agree": 0, "in_flight": 0, "suspected": 0, "drift": 0, "indeterminate": 0}
    for judged in compared.judged:
        counts[_class(judged, confirmed)] += 1
    return counts


def _class(judged: Judged, confirmed: frozenset[Key]) -> str:
    causes = {finding.cause for finding in judged.findings}
    if any(finding.is_drift for finding in judged.findings):
        return "drift" if judged.key in confirmed else "suspected"
    if Cause.INDETERMINATE in causes:
        return "indeterminate"
    return "in_flight" if Cause.IN_FLIGHT in causes else "agree"


def _anchor(plane: Plane, policy: Comparison, compared: Compared, run_id: str) -> None:
    """Books that agree with the source, with nothing on its way, are taken for known from here on."""
    for side in policy.spec.sides:
        if side.system == policy.spec.source_side:
            continue
        agreeing = [
            level
            for judged in compared.judged
            if (level := judged.levels[side.system]) is not None
            and all(finding.cause is Cause.NONE for finding in judged.findings)
            and judged.evidence["delivered"].get(side.system) is None
        ]
        if agreeing:
            plane.sync.healing.anchor(side.system, side.field, agreeing, run_id)


def heal(plane: Plane, policy: Comparison, judged: dict[Key, Judged]) -> int:
    """Re-drive the flow for open findings, within the policy's limits; return how many. The rest waits for a person."""
    with plane.store.read() as connection:
        c = t.finding.c
        mine = select(t.finding).where(c.comparison == policy.name, c.state == "open").order_by(c.id)
        rows = [row for row in connection.execute(mine).all() if (row.sku, row.location) in judged]
    candidates = [Candidate(row.id, _units(row), row.money, _remedied(row)) for row in rows]
    chosen = allowed(policy.spec.heal, candidates)
    done = 0
    for row in rows:
        if row.id in chosen and _redrive(plane, policy, row, judged[(row.sku, row.location)]):
            with plane.store.write() as connection:
                connection.execute(update(t.finding).where(t.finding.c.id == row.id).values(state="healing"))
            done += 1
    return done


def _remedied(row: Row[Any]) -> Cause:
    """The cause as healing sees it: late with nothing on its way needs a delivery, as if it had never been received."""
    return Cause.NEVER_RECEIVED if row.cause == Cause.LATE and row.message_id is None else Cause(row.cause)


def _units(row: Row[Any]) -> int:
    if row.actual is None or not row.expected:
        return 0
    return int(min(abs(row.actual - value) for value in row.expected))


def _redrive(plane: Plane, policy: Comparison, row: Row[Any], judged: Judged) -> bool:
    key = (row.sku, row.location)
    source = next(side for side in policy.spec.sides if side.system == policy.spec.source_side)
    if row.cause == Cause.NEVER_RECEIVED and row.side == source.system:
        try:
            return plane.sync.healing.reread_source(source.system, source.entity, [key]) > 0
        except ConnectorError:
            return False
    side = next(side for side in policy.spec.sides if side.system == row.side)
    level = judged.levels.get(row.side)
    if _remedied(row) in (Cause.CHANGED_AT_TARGET, Cause.NEVER_RECEIVED) and side.field == "available" and level:
        return bool(plane.sync.healing.rewrite_target(row.side, level, row.id))
    return False
