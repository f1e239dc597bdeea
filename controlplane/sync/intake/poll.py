"""Ask a system what has changed: page by page, each page committed together with the cursor behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector
from controlplane.sealing import Shield
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.types import EPOCH
from controlplane.store.upsert import upsert
from controlplane.sync.intake.receive import arrived, keep
from controlplane.sync.intake.room import Room


def poll(store: Store, clock: Clock, connector: Connector, entity: str, shield: Shield, room: Room) -> int:
    """Read what changed since the stored cursor; return how many records were new.

    Raises ConnectorError, and OverloadedError when there is no room for a page; what was committed before stays, and the
    next poll goes on from there. `read_at` of the cursor moves only after a complete read, so that its age tells how stale
    our knowledge may be.
    """
    system = connector.context.system
    began = clock.now()
    with store.read() as connection:
        cursor, read_at = _stored(connection, system, entity)
    taken = 0
    for page in connector.poll(entity, cursor):
        cursor = page.cursor
        arrival = arrived(clock, system, "poll", page.records, shield, connector.manifest.repeats_within)
        with room.held(len(arrival.rows), arrival.size), store.write() as connection:
            room.look_again(connection, [len(arrival.rows)])
            [new] = keep(connection, [arrival])
            taken += len(new)
            _keep(connection, system, entity, cursor, read_at)
    with store.write() as connection:
        _keep(connection, system, entity, cursor or {}, began)
    return taken


def _stored(connection: Connection, system: str, entity: str) -> tuple[dict[str, Any] | None, datetime]:
    where = (t.source_cursor.c.system == system, t.source_cursor.c.entity == entity)
    row = connection.execute(select(t.source_cursor).where(*where)).one_or_none()
    return (row.value, row.read_at) if row else (None, EPOCH)


def _keep(connection: Connection, system: str, entity: str, value: dict[str, Any], read_at: datetime) -> None:
    upsert(connection, t.source_cursor, {"system": system, "entity": entity, "value": value, "read_at": read_at})
