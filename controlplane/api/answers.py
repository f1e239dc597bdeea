"""How values become JSON: money as text, instants in ISO 8601 with their zone, durations the way policies write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from flask import Flask, current_app, g, request
from flask.json.provider import DefaultJSONProvider

from controlplane.access import Actor
from controlplane.api.commands import Commands
from controlplane.health.metrics import Page
from controlplane.wiring import Plane
from rules.policy.kinds import format_duration

EXTENSION = "trueup"


class Provider(DefaultJSONProvider):
    """Flask's JSON, for the values of the plane."""

    sort_keys = False

    @staticmethod
    def default(value: Any) -> Any:
        """Return a JSON value for what JSON does not know. Raises TypeError."""
        match value:
            case datetime():
                return value.isoformat()
            case timedelta():
                return format_duration(value)
            case Decimal():
                return format(value, "f")
            case bytes():
                return value.decode("utf-8", errors="replace")
            case frozenset() | set():
                return sorted(value)
            case Mapping():
                return dict(value)
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in fields(value)}
        return DefaultJSONProvider.default(value)


def install(app: Flask, plane: Plane) -> None:
    """Give the handlers their plane and their JSON."""
    app.json = Provider(app)
    app.extensions[EXTENSION] = plane
    app.extensions[f"{EXTENSION}.commands"] = Commands(plane)
    app.extensions[f"{EXTENSION}.metrics"] = Page(plane.store, plane.clock, plane.registry, plane.telemetry.meters)


def plane() -> Plane:
    """Return the plane that this request is for."""
    found: Plane = current_app.extensions[EXTENSION]
    return found


def commands() -> Commands:
    """Return the services of the plane that change something."""
    found: Commands = current_app.extensions[f"{EXTENSION}.commands"]
    return found


def veiled(text: str, *, nowhere: bool = False) -> str:
    """Return what is said to whoever asks without the names that are out of sight: an error may name what it stumbled over.

    `nowhere`: it is said of what is not there. Then what was asked for is taken out as well, be it nobody's or somebody else's.
    """
    who: Actor | None = g.get("actor")
    return (
        text if who is None or who.reach.everything else commands().gate.refusal(who, text, _asked() if nowhere else ())
    )


def _asked() -> set[str]:
    """Return what the address of the request names."""
    return {*map(str, (request.view_args or {}).values()), *request.args.values()}


def metrics_page() -> Page:
    """Return the page of measurements."""
    found: Page = current_app.extensions[f"{EXTENSION}.metrics"]
    return found


def actor() -> Actor:
    """Return who asks. The gate has let nobody through without."""
    found: Actor = g.actor
    return found
