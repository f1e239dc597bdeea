"""How the systems are set, read through their connectors and held against policy; and the newest reading as it was kept.

A reading is the result of a run of the schedule `settings`, so it is kept as long as runs are.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, select

from controlplane.connectors.contract import Connector, Setting, UnsupportedError
from controlplane.errors import TrueupError
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from rules.settings import Standing, standing

SCHEDULE = "settings"
AT_ONCE = 8
NOT_YET = "nobody has read it yet"


class Connectors(Protocol):
    """What gives the connector of a system."""

    def get(self, name: str) -> Connector:
        """Return it. Raises TrueupError."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How a system was found to be set."""

    system: str
    revision: str
    """Of its policy, which it was held against."""
    settings: tuple[Mapping[str, Any], ...] = ()
    """Each as {name, standing, promised, actual, remedy, note, never_told}."""
    unread: str | None = NOT_YET
    """Why nothing could be read; None when something was."""
    never_told: bool = False
    """Its connector has no way to tell anything. Known only to who read it."""

    def of(self, wanted: Standing) -> list[Mapping[str, Any]]:
        """Return the settings that stand so."""
        return [one for one in self.settings if one["standing"] == wanted]

    @property
    def differences(self) -> list[str]:
        """What differs, in words."""
        told = "{name} ought to be {promised} and is {actual}"
        return [told.format_map(one) for one in self.of(Standing.DIFFERENT)]


@dataclass(frozen=True, slots=True)
class Readings:
    """All systems at one time."""

    at: datetime
    by_system: Mapping[str, Reading]


def read(connectors: Connectors, snapshot: Snapshot) -> list[Reading]:
    """Ask every system at the same time how it is set; one that cannot be asked is in the answer with the reason."""
    names = sorted(snapshot.systems)
    if not names:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(names)), thread_name_prefix="settings") as pool:
        return list(pool.map(lambda name: _read(connectors, snapshot, name), names))


def _read(connectors: Connectors, snapshot: Snapshot, name: str) -> Reading:
    revision = snapshot.revision_ids.get(("System", name), "")
    try:
        found = connectors.get(name).settings()
    except UnsupportedError as error:
        return Reading(name, revision, unread=str(error), never_told=True)
    except TrueupError as error:
        return Reading(name, revision, unread=f"it could not be read: {error}")
    except Exception as error:  # noqa: BLE001 - a defect of one plugin hides nothing of the other systems
        return Reading(name, revision, unread=f"defect in the connector: {error!r}")
    return Reading(name, revision, tuple(map(_row, found)), None)


def _row(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "standing": str(standing(setting.promised, setting.actual)),
        "promised": setting.promised,
        "actual": setting.actual,
        "remedy": setting.remedy,
        "note": setting.note,
        "never_told": setting.never_told,
    }


def kept(found: list[Reading]) -> dict[str, Any]:
    """Return readings as the run keeps them."""
    return {
        one.system: {"revision": one.revision, "settings": list(one.settings), "unread": one.unread} for one in found
    }


def newest(conn: Connection, snapshot: Snapshot) -> Readings | None:
    """Return the newest readings, None where there are none: of each system in the registry, by what governs it now."""
    r = t.run.c
    query = select(r.finished_at, r.detail).where(r.schedule == SCHEDULE, r.state == "done")
    row = conn.execute(query.order_by(r.scheduled_for.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    found = row.detail["result"]
    return Readings(row.finished_at, {name: _reading(snapshot, name, found.get(name)) for name in snapshot.systems})


def _reading(snapshot: Snapshot, name: str, found: Mapping[str, Any] | None) -> Reading:
    revision = snapshot.revision_ids.get(("System", name), "")
    if found is None:
        return Reading(name, revision)
    if found["revision"] != revision:
        return Reading(name, revision, unread="its policy has changed since it was read")
    return Reading(name, revision, tuple(found["settings"]), found["unread"])
