"""Rules over observations. A verdict carries the policy revision it was made under; without evidence it is unknown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection, select
from sqlalchemy.exc import InterfaceError, OperationalError

from controlplane.clock import Clock
from controlplane.health.evaluation.alert_rules import judge_alert_rule, not_read, readings
from controlplane.health.evaluation.service_levels import judge_service_level, keep, not_judged
from controlplane.health.evaluation.verdict import Verdict
from controlplane.registry import Snapshot
from controlplane.store import Store
from controlplane.store import tables as t

__all__ = ["Verdict", "evaluate"]

log = structlog.get_logger()


def evaluate(store: Store, snapshot: Snapshot, clock: Clock) -> list[Verdict]:
    """Judge every service level and alert rule now, and store the service levels' verdicts.

    Each is judged by itself: one that cannot be is unknown, with the reason, and the others are judged all the same.
    """
    now = clock.now()
    with store.read() as conn:
        promises = _promises(conn, snapshot, now)
        told = set(conn.scalars(select(t.incident.c.open_key).where(t.incident.c.open_key.is_not(None))))
        alerts = _alerts(conn, snapshot, now, told)
    with store.write() as conn:
        keep(conn, promises, now)
    return promises + alerts


def _promises(conn: Connection, snapshot: Snapshot, now: datetime) -> list[Verdict]:
    found = []
    for level in snapshot.service_levels.values():
        found += _apart(
            conn,
            f"service_level/{level.name}",
            partial(judge_service_level, conn, snapshot, level, now),
            partial(not_judged, conn, snapshot, level, now),
        )
    return found


def _alerts(conn: Connection, snapshot: Snapshot, now: datetime, told: set[str]) -> list[Verdict]:
    seen, found = readings(conn, snapshot, now), []
    for rule in snapshot.alert_rules.values():
        found += _apart(
            conn,
            f"alert_rule/{rule.name}",
            partial(judge_alert_rule, conn, snapshot, rule, seen[rule.spec.indicator], told),
            partial(not_read, snapshot, rule),
        )
    return found


def _apart(
    conn: Connection, rule: str, judged: Callable[[], list[Verdict]], broken: Callable[[str], list[Verdict]]
) -> list[Verdict]:
    """Judge one rule so that its fault stays its own; that the database is away is nobody's fault, and raised."""
    try:
        with conn.begin_nested():
            return judged()
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("rule not judged", rule=rule)
        return broken(f"it could not be judged ({type(error).__name__}: {error}); see `trueup doctor`")
