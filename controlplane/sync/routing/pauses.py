"""For how long systems and flows have been paused: what a retry deadline is moved by."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from controlplane.store import tables as t
from controlplane.store.types import MICROSECOND


def paused_for(row: Row[Any] | None, now: datetime) -> int:
    """Return the microseconds for which a system or flow has been paused in its life, a pause that lasts included."""
    if row is None:
        return 0
    running = max(0, (now - row.paused_at) // MICROSECOND) if row.paused_at else 0
    return int(row.paused_for) + running


def all_paused_for(connection: Connection, now: datetime) -> dict[str, int]:
    """Return `paused_for` of all systems as system/NAME and of all flows as flow/NAME; of the others it is 0.

    While both a system and a flow of it are paused the time counts for both: a deadline is rather moved too far.
    """
    found = {f"system/{row.system}": paused_for(row, now) for row in connection.execute(select(t.system_state))}
    return found | {f"flow/{row.flow}": paused_for(row, now) for row in connection.execute(select(t.flow_state))}
