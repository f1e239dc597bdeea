"""Sparklines as little pictures: an <img> whose address changes costs nothing, seven charts cost a second."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

WIDTH, HEIGHT, EDGE = 120, 28, 2
BLUE = "#2b8cc4"


def spark(values: Sequence[float | None]) -> str:
    """Return a data address of a line through the values; unknown stretches stay empty."""
    if not values:
        return _address("")
    known = [value for value in values if value is not None]
    if not known:
        return _address(f'<path d="M0 {HEIGHT / 2}H{WIDTH}" stroke="#8a929e" stroke-dasharray="2 4" fill="none"/>')
    low, high = min(0.0, *known), max(known)
    spread = (high - low) or 1.0
    step = WIDTH / max(len(values) - 1, 1)
    parts = [_line(run, low, spread, step) for run in runs(values)]
    return _address("".join(parts))


def runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Return the unbroken stretches of known values, each as (position, value)."""
    found: list[list[tuple[int, float]]] = []
    before = None
    for position, value in enumerate(values):
        if value is not None:
            if before is None:
                found.append([])
            found[-1].append((position, value))
        before = value
    return found


def _line(run: list[tuple[int, float]], low: float, spread: float, step: float) -> str:
    height = HEIGHT - 2 * EDGE
    points = [(at * step, EDGE + height * (1 - (value - low) / spread)) for at, value in run]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    first, last = points[0][0], points[-1][0]
    area = f'<path d="{path}L{last:.1f} {HEIGHT}L{first:.1f} {HEIGHT}Z" fill="{BLUE}" fill-opacity=".14"/>'
    dot = f'<circle cx="{last:.1f}" cy="{points[-1][1]:.1f}" r="1.6" fill="{BLUE}"/>'
    return f'{area}<path d="{path}" fill="none" stroke="{BLUE}" stroke-width="1.5" stroke-linejoin="round"/>{dot}'


def _address(inside: str) -> str:
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{inside}</svg>')
