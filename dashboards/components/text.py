"""How things are written on pages: instants in UTC with their zone, ages, money, shares."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from controlplane.api.answers import Provider
from controlplane.views.matrix import span
from controlplane.views.overview import amount, share
from controlplane.views.states import Light

__all__ = [
    "ago", "amount", "clock_time", "counted", "day_time", "exact_time", "icon", "money", "pretty", "seconds", "share", "span", "worded",
    "young",
]  # fmt: skip

ICONS = {Light.OK: "✓", Light.WARN: "▲", Light.BREACH: "✕", Light.UNKNOWN: "?", Light.INFO: "•"}


def icon(light: Light) -> str:
    """Return the sign of a state, so that it never depends on colour alone."""
    return ICONS[light]


def worded(light: Light, word: str) -> str:
    """Return icon and word for a cell of a table; the icon decides its colour."""
    return f"{ICONS[light]} {word}"


def clock_time(at: datetime | None) -> str:
    """Write an instant of today: `12:04:05 UTC`."""
    return f"{at:%H:%M:%S} UTC" if at else "—"


def day_time(at: datetime | None) -> str:
    """Write an instant with its date: `2026-03-02 12:04:05 UTC`."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "—"


def exact_time(at: datetime | None) -> str:
    """Write an instant of today to the millisecond, in UTC: `12:04:05.250`."""
    return f"{at.astimezone(UTC):%H:%M:%S}.{at.microsecond // 1000:03}" if at else "—"


def young(began: datetime | None) -> str:
    """Say why a time axis is shorter than was asked for, where it is: nothing was observed before."""
    return f"Shown from the first observation, at {began:%H:%M} UTC. " if began else ""


def ago(at: datetime | None, now: datetime) -> str:
    """Write how long ago it was, or a dash when it never was."""
    return f"{span(now - at)} ago" if at else "—"


def seconds(value: float | None) -> str:
    """Write seconds: `0.24 s`, `12 s`, `3 min`."""
    if value is None:
        return "—"
    return f"{value:.2g} s" if value < 10 else span(timedelta(seconds=value))


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number of things: `1 flow`, `3 flows`, `2 deliveries`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def money(value: Decimal | None, currency: str | None) -> str:
    """Write an amount, or a dash when none is known."""
    return amount(value, currency or "") if value is not None else "—"


def pretty(value: Any) -> str:
    """Write a value as indented JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=Provider.default)
