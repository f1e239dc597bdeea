"""The outside parties and how each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from controlplane.registry import Snapshot
from controlplane.store import tables as t


def systems(conn: Connection, promises: Snapshot) -> list[Mapping[str, Any]]:
    """Return every system with its policy's gist and its state; `state` is None while nothing has happened to it. One query."""
    states = {row["system"]: dict(row) for row in conn.execute(select(t.system_state)).mappings()}
    return [
        {
            "name": name,
            "title": policy.metadata.title or name,
            "role": policy.spec.role,
            "connector": policy.spec.connector,
            "owner": policy.spec.owner,
            "state": states.get(name),
        }
        for name, policy in promises.systems.items()
    ]
