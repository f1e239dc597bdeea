"""The outside parties and how each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from controlplane.errors import NotFoundError
from controlplane.health.observations import settings
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.sync.delivery.systems import bucket_of
from controlplane.views.retrying import standing_of
from rules.pacing import rate_now
from rules.policy.kinds import System


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a system may be asked now, and how fast."""

    paused: bool
    """By an operator."""
    circuit: str
    """closed; open: it failed too often in a row and is left alone; half_open: a single request tests it next."""
    blocked_until: datetime | None
    """No request before this, where it lies ahead."""
    blocked_reason: str | None
    rate: float | None
    """Requests a second that are allowed now; None: as many as fit into its concurrency."""
    promised_rate: float | None
    """As policy says."""


def systems(conn: Connection, promises: Snapshot, now: datetime) -> list[Mapping[str, Any]]:
    """Return every system with its policy's gist, its state, and how it is set against what policy promises. Two queries.

    `state` is None while nothing has happened to it.
    """
    found = settings.newest(conn, promises)
    states = {row.system: row for row in conn.execute(select(t.system_state))}
    return [_shown(policy, states.get(name), found, promises, now) for name, policy in promises.systems.items()]


def system(conn: Connection, promises: Snapshot, name: str, now: datetime) -> Mapping[str, Any]:
    """Return one system as `systems` does, with its policy, and how many deliveries it is owed by state. Three queries.

    Raises NotFoundError naming the systems there are.
    """
    if name not in promises.systems:
        raise NotFoundError(f"no system '{name}' in the registry; there are: {', '.join(promises.systems) or 'none'}")
    d, policy = t.delivery.c, promises.systems[name]
    row = conn.execute(select(t.system_state).where(t.system_state.c.system == name)).one_or_none()
    shown = _shown(policy, row, settings.newest(conn, promises), promises, now)
    owed = conn.execute(select(d.state, func.count()).where(t.is_open, d.target == name).group_by(d.state))
    return {**shown, "policy": policy.model_dump(mode="json"), "owed": {row[0]: row[1] for row in owed}}


def _shown(
    policy: System, row: Row[Any] | None, found: settings.Readings | None, promises: Snapshot, now: datetime
) -> Mapping[str, Any]:
    return {
        "name": policy.name, "title": policy.metadata.title or policy.name, "role": policy.spec.role,
        "connector": policy.spec.connector, "owner": policy.spec.owner, "state": row and dict(row._mapping),
        "standing": _standing(policy, row, promises, now), "settings": _set(found, policy.name),
    }  # fmt: skip


def _standing(policy: System, row: Row[Any] | None, promises: Snapshot, now: datetime) -> Standing:
    rate = policy.spec.rate
    if row is None:
        return Standing(False, "closed", None, None, rate, rate)
    one = standing_of(promises, policy.name, row, now)
    circuit = "closed" if not one.failing else "open" if one.blocked(now) else "half_open"
    until, why = (one.blocked_until, row.blocked_reason) if one.blocked(now) else (None, None)
    return Standing(one.paused, circuit, until, why, rate_now(bucket_of(row), rate, now), rate)


def _set(found: settings.Readings | None, name: str) -> Mapping[str, Any]:
    """Return when it was read, each setting, and why nothing is known where nothing is."""
    if found is None:
        return {"at": None, "rows": [], "unread": settings.NOT_YET}
    reading = found.by_system[name]
    return {"at": found.at, "rows": list(reading.settings), "unread": reading.unread}
