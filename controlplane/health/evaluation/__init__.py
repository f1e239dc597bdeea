"""Rules over observations. A verdict carries the policy revision it was made under; without evidence it is unknown."""

from __future__ import annotations

from sqlalchemy import select

from controlplane.clock import Clock
from controlplane.health.evaluation.alert_rules import judge_alert_rules
from controlplane.health.evaluation.service_levels import judge_service_level, keep
from controlplane.health.evaluation.verdict import Verdict
from controlplane.registry import Snapshot
from controlplane.store import Store
from controlplane.store import tables as t

__all__ = ["Verdict", "evaluate"]


def evaluate(store: Store, snapshot: Snapshot, clock: Clock) -> list[Verdict]:
    """Judge every service level and alert rule now, and store the service levels' verdicts."""
    now = clock.now()
    with store.read() as conn:
        promises = [
            verdict
            for level in snapshot.service_levels.values()
            for verdict in judge_service_level(conn, snapshot, level, now)
        ]
        told = set(conn.scalars(select(t.incident.c.open_key).where(t.incident.c.open_key.is_not(None))))
        alerts = judge_alert_rules(conn, snapshot, now, told)
    with store.write() as conn:
        keep(conn, promises, now)
    return promises + alerts
