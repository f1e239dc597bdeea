"""Runs of comparisons, as they begin: by themselves, or because somebody asked."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert

from controlplane.clock import Clock
from controlplane.store import tables as t
from rules.ids import new_id


def begin(
    connection: Connection,
    clock: Clock,
    comparison: str,
    trigger: str,
    subjects: Sequence[str] | None,
    version: int,
    state: str = "running",
) -> str:
    """Write down that a comparison begins, or is asked for (`requested`); return the run's id. `subjects` None: everything."""
    now = clock.now()
    row = {
        "id": new_id(now), "comparison": comparison, "started_at": now, "state": state, "trigger": trigger,
        "subjects": None if subjects is None else list(subjects), "registry_version": version,
    }  # fmt: skip
    connection.execute(insert(t.comparison_run).values(**row))
    return str(row["id"])
