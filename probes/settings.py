"""How many settings at each system are not as policy promises, by the newest reading that the ticker had made."""

from __future__ import annotations

from datetime import datetime, timedelta

from controlplane.health.observations import Observation, ProbeContext, settings
from controlplane.health.observations.settings import NOT_YET, Reading
from rules.settings import Standing

FRESH = timedelta(minutes=45)
"""Three readings. An older one says nothing of now."""


def probe(ctx: ProbeContext) -> list[Observation]:
    """Return per system how many settings differ, and how many it does not tell. Both unknown while nothing was read."""
    now = ctx.clock.now()
    with ctx.store.read() as conn:
        found = settings.newest(conn, ctx.snapshot)
    if found is None or not timedelta(0) <= now - found.at <= FRESH:
        note = NOT_YET if found is None else f"last read at {found.at:%Y-%m-%d %H:%M} UTC"
        return [seen for name in sorted(ctx.snapshot.systems) for seen in _unknown(now, name, note)]
    return [seen for _, reading in sorted(found.by_system.items()) for seen in _observe(now, reading)]


def _observe(now: datetime, reading: Reading) -> list[Observation]:
    if reading.unread is not None:
        return _unknown(now, reading.system, reading.unread)
    labels = {"system": reading.system}
    untold = [f"{one['name']}: {one['note'] or 'the system does not tell it'}" for one in reading.of(Standing.UNKNOWN)]
    return [
        _counted("registry_drift", now, labels, reading.differences),
        _counted("registry_untold", now, labels, untold),
    ]


def _counted(indicator: str, now: datetime, labels: dict[str, str], told: list[str]) -> Observation:
    return Observation(indicator, now, float(len(told)), labels, note="; ".join(told) or None)


def _unknown(now: datetime, system: str, note: str) -> list[Observation]:
    labels = {"system": system}
    return [Observation(name, now, None, labels, note=note) for name in ("registry_drift", "registry_untold")]
