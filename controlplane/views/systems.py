"""The outside parties and how each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from controlplane.health.observations import settings
from controlplane.registry import Snapshot
from controlplane.store import tables as t


def systems(conn: Connection, promises: Snapshot) -> list[Mapping[str, Any]]:
    """Return every system with its policy's gist, its state, and how it is set against what policy promises. Two queries.

    `state` is None while nothing has happened to it.
    """
    found = settings.newest(conn, promises)
    states = {row["system"]: dict(row) for row in conn.execute(select(t.system_state)).mappings()}
    return [
        {
            "name": name,
            "title": policy.metadata.title or name,
            "role": policy.spec.role,
            "connector": policy.spec.connector,
            "owner": policy.spec.owner,
            "state": states.get(name),
            "settings": _set(found, name),
        }
        for name, policy in promises.systems.items()
    ]


def _set(found: settings.Readings | None, name: str) -> Mapping[str, Any]:
    """Return when it was read, each setting, and why nothing is known where nothing is."""
    if found is None:
        return {"at": None, "rows": [], "unread": settings.NOT_YET}
    reading = found.by_system[name]
    return {"at": found.at, "rows": list(reading.settings), "unread": reading.unread}
