"""For how long systems and flows have been paused: what a retry deadline is moved by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, literal, or_, select, union_all

from controlplane.store import tables as t
from controlplane.store.direct import Prepared
from controlplane.store.types import MICROSECOND


def _ever_paused(kind: str, table: Table, name: ColumnElement[str]) -> Select[Any]:
    place = (literal(f"{kind}/") + name).label("place")
    c = table.c
    return select(place, c.paused_at, c.paused_for).where(or_(c.paused_at.is_not(None), c.paused_for > 0))


_PAUSED = Prepared(
    union_all(
        _ever_paused("system", t.system_state, t.system_state.c.system),
        _ever_paused("flow", t.flow_state, t.flow_state.c.flow),
    )
)


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
    return ask_paused(connection)(now)


def ask_paused(connection: Connection) -> Callable[[datetime], dict[str, int]]:
    """Return what says `all_paused_for`, asked with the next statement."""
    asked = _PAUSED.asked(connection)
    return lambda now: {row.place: paused_for(row, now) for row in asked()}
