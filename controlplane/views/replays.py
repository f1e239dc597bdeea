"""Replays from the ledger: what was asked for, where it stands, what became of the messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controlplane.errors import NotFoundError
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.sync.engines.reprocess import held_by
from controlplane.views.paging import FIRST, Order, Part, Stretch, part

ORDER = Order("replays", (t.replay.c.id,))


def replays(conn: Connection, stretch: Stretch = FIRST) -> Part[Mapping[str, Any]]:
    """Return the newest replays, newest first. One query."""
    return part(conn, select(t.replay), ORDER, stretch, dict)


def replay(conn: Connection, promises: Snapshot, replay_id: str, now: datetime) -> Mapping[str, Any]:
    """Return one replay, and which targets it waits for: they have more due already than they are being sent.

    A query, and one for each target. Raises NotFoundError.
    """
    row = conn.execute(select(t.replay).where(t.replay.c.id == replay_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"no replay '{replay_id}'; list them with GET /api/v1/replays")
    waits_for = held_by(conn, now, promises, row) if row.state == "running" else []
    return {**row._mapping, "waits_for": waits_for}
