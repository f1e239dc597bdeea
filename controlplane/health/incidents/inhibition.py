"""A system that is down explains the flows that target it: they are judged and shown, but nobody is told twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

OUTAGE = "api_down"


def inhibited(incident: Any, open_incidents: Sequence[Any]) -> bool:
    """Say whether another open incident reports the outage of the very system that this one is about.

    Both have to name the system: incidents without one are never inhibited, and an outage never inhibits itself.
    """
    system = _system(incident)
    if not system or incident.labels.get("indicator") == OUTAGE:
        return False
    return any(
        other.id != incident.id and other.labels.get("indicator") == OUTAGE and _system(other) == system
        for other in open_incidents
    )


def _system(incident: Any) -> str:
    return incident.labels.get("target") or incident.labels.get("system") or ""
