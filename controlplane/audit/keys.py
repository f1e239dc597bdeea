"""What became of the keys of sealed records, in the action log: by their ids, never a key."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, desc, select

from controlplane.audit.chain import record, settled
from controlplane.clock import Clock
from controlplane.sealing import Ring
from controlplane.store import tables as t

SUBJECT = "keys/ring"
Deed = Literal["new", "rotate", "destroy"]


def note(conn: Connection, clock: Clock, ring: Ring, deed: Deed, actor: str) -> bool:
    """Note how the keys are by now, unless the log says so already; say whether anything was noted."""
    told, before = settled(_told(ring)), _last(conn)
    if told == before:
        return False
    record(conn, clock, actor=actor, action=f"keys.{deed}", subject=SUBJECT, before=before, after=told)
    return True


def _told(ring: Ring) -> dict[str, Any]:
    *opens, seals = (key.id for key in ring.keys)
    return {"seals": seals, "opens": opens, "hashes": ring.hashing.id, "destroyed": sorted(ring.destroyed)}


def _last(conn: Connection) -> Any:
    mine = select(t.action.c.after).where(t.action.c.subject == SUBJECT).order_by(desc(t.action.c.seq))
    return conn.execute(mine.limit(1)).scalar()
