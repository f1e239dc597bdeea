"""Heal what a comparison found: within the policy's limits by itself, beyond them when two people say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from controlplane.errors import ConnectorError
from controlplane.health.observations import heals
from controlplane.health.observations.comparison import Judged
from controlplane.health.observations.heals import remedied
from controlplane.wiring import Plane
from rules.comparison.explain import Cause
from rules.comparison.healing import HEALABLE
from rules.policy.kinds import Comparison


def heal(plane: Plane, policy: Comparison, judged: Mapping[str, Judged]) -> int:
    """Re-drive the flow for open findings, within the policy's limits; return how many. The rest waits for a person."""
    with plane.store.read() as connection:
        rows = {row.id: row for row in heals.open_findings(connection, policy.name) if row.subject in judged}
        decisions = heals.decide(connection, plane.clock, plane.registry.snapshot(), policy, list(rows.values()))
    done = 0
    for decision in decisions:
        row = rows[decision.candidate.id]
        if not decision.why and _redrive(plane, policy, row, judged[row.subject]):
            with plane.store.write() as connection:
                heals.note(connection, plane.clock, row)
            done += 1
    return done


def _redrive(plane: Plane, policy: Comparison, row: Row[Any], judged: Judged) -> bool:
    sku, _, location = row.subject.rpartition("@")
    source = policy.spec.source_of(location)
    if row.cause == Cause.NEVER_RECEIVED and row.side == source:
        entity = next(side.entity for side in policy.spec.sides if side.system == source)
        try:
            return plane.sync.healing.reread_source(source, entity, [(sku, location)]) > 0
        except ConnectorError:
            return False
    side = next(side for side in policy.spec.sides if side.system == row.side)
    level = judged.levels.get(row.side)
    if remedied(row) in HEALABLE and side.field == "available" and level:
        return bool(plane.sync.healing.rewrite_target(row.side, level, row.id))
    return False
