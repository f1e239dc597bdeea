"""The states that people are shown. Absence of evidence is `unknown`, a state of its own that never counts as well."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Light(StrEnum):
    """How something stands, the worst last but for `info`, which is no judgement."""

    INFO = "info"
    OK = "ok"
    UNKNOWN = "unknown"
    WARN = "warn"
    BREACH = "breach"


RANK = {light: rank for rank, light in enumerate(Light)}

OF_SERVICE_LEVEL = {
    "meeting": Light.OK,
    "at_risk": Light.WARN,
    "breached": Light.BREACH,
    "unknown": Light.UNKNOWN,
}
"""States of a service level's verdict, as lights."""

OF_DELIVERY = {
    "pending": Light.INFO,
    "sending": Light.INFO,
    "unknown": Light.WARN,
    "delivered": Light.OK,
    "superseded": Light.OK,
    "stale": Light.WARN,
    "quarantined": Light.BREACH,
    "dropped": Light.UNKNOWN,
}
"""States of a delivery, as lights."""

OF_FINDING = {
    "suspected": Light.INFO,
    "open": Light.BREACH,
    "healing": Light.WARN,
    "healed": Light.OK,
    "closed": Light.OK,
    "accepted": Light.INFO,
}
"""States of a finding, as lights."""

OF_INCIDENT = {"open": Light.BREACH, "acknowledged": Light.WARN, "resolved": Light.OK}
"""States of an incident, as lights."""


def worst(lights: Iterable[Light]) -> Light:
    """Return the worst of the lights; without any, nothing is known."""
    return max(lights, key=RANK.__getitem__, default=Light.UNKNOWN)


def progress(lights: Iterable[Light]) -> Light:
    """Return how far several deliveries are together: well only when all of them are."""
    found = list(lights)
    return Light.INFO if worst(found) is Light.OK and Light.INFO in found else worst(found)
