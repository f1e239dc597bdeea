"""The trend: how work goes beside what it means for the business, as small multiples on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import Any

from dashboards.figures.base import BREACH, SKY, WARN, Figure, Line, layout, note, scatter, unknown_bands

SECONDS = {"dtickrange": [None, 59_999], "value": "%H:%M:%S\n%d %b"}
"""In the first minutes ticks are less than a minute apart: without seconds two of them would say the same."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the multiples. `scale` multiplies the values: shares are shown in percent."""

    title: str
    unit: str
    lines: list[tuple[str, Line]]
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """An incident on the time axis; `until` None while it is open."""

    title: str
    since: datetime
    until: datetime | None
    page: bool = field(default=True)


def small_multiples(
    times: Sequence[datetime], panels: Sequence[Panel], marks: Sequence[Mark] = (), height: int = 88
) -> Figure:
    """Return the panels one above the other, all on the axis `times`, with incidents across all of them."""
    data: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for number, panel in enumerate(panels):
        domain, key = _domain(number, len(panels)), _axis(number)
        axes["yaxis" + key[1:]] = _yaxis(domain)
        lines = [(name, _scaled(line, panel.scale)) for name, line in panel.lines]
        data += [_trace(times, line, name, panel.unit, key, n) for n, (name, line) in enumerate(lines)]
        shapes += unknown_bands(times, lines[0][1], domain)
        notes += _titles(panel, lines[0][1], domain)
    shapes += [shape for mark in marks for shape in _shapes(mark, times)]
    span = {"range": [times[0], times[-1]]} if times else {}
    bottom = _axis(len(panels) - 1)
    axes["xaxis"] = {
        "type": "date", "anchor": bottom, "showgrid": False, "zeroline": False, "ticks": "outside", "ticklen": 4,
        "tickformat": "%H:%M\n%d %b", "tickformatstops": [SECONDS], "fixedrange": True, "showspikes": True, "spikemode": "across",
        "spikethickness": 1, "spikedash": "dot", "hoverformat": "%H:%M UTC", **span,
    }  # fmt: skip
    return {"data": data, "layout": layout(height * len(panels) + 48, shapes=shapes, annotations=notes, **axes)}


def _domain(number: int, count: int) -> tuple[float, float]:
    """Return bottom and top of a panel; the first is on top, and each leaves room for its title."""
    share = 1 / count
    top = 1 - number * share
    return top - share * 0.72, top - share * 0.04


def _axis(number: int) -> str:
    return "y" if number == 0 else f"y{number + 1}"


def _yaxis(domain: tuple[float, float]) -> dict[str, Any]:
    return {
        "domain": domain, "rangemode": "tozero", "nticks": 3, "zeroline": False, "fixedrange": True, "anchor": "x",
        "tickformat": ",~g", "automargin": False,
    }  # fmt: skip


def _scaled(line: Line, scale: float) -> list[float | None]:
    return [None if value is None else value * scale for value in line]


def _trace(times: Sequence[datetime], line: Line, name: str, unit: str, key: str, number: int) -> dict[str, Any]:
    if number == 0:
        return scatter(times, line, name, unit, key, fill="tozeroy", fillcolor="rgba(43,140,196,.12)")
    return scatter(times, line, name, unit, key, color=SKY, dash="dot")


def _titles(panel: Panel, line: Line, domain: tuple[float, float]) -> list[dict[str, Any]]:
    title = note(f"<b>{panel.title}</b>  {panel.unit}", 0, domain[1], yanchor="bottom", font={"size": 12})
    if any(value is not None for value in line):
        return [title]
    return [title, note("not observed yet", 0.5, sum(domain) / 2, xanchor="center", yanchor="middle")]


def _shapes(mark: Mark, times: Sequence[datetime]) -> list[dict[str, Any]]:
    """A band from opened to resolved and a line where it began, if that is on the axis."""
    if not times:
        return []
    since, until = max(mark.since, times[0]), min(mark.until or times[-1], times[-1])
    colour = BREACH if mark.page else WARN
    across = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "name": escape(mark.title)}
    band = {"type": "rect", "x0": since, "x1": until, "fillcolor": colour, "opacity": 0.07, "line": {"width": 0}}
    edge = {"type": "line", "x0": since, "x1": since, "line": {"color": colour, "width": 1, "dash": "dash"}}
    return [across | band, *([across | edge] if since == mark.since else [])]


def summary(times: Sequence[datetime], panels: Sequence[Panel], marks: Sequence[Mark] = ()) -> str:
    """Say in words what the panels show: the newest value and the peak of each, and how many incidents."""
    parts = [f"{panel.title}: {_said(times, panel)}" for panel in panels]
    if marks:
        parts.append(f"{len(marks)} incidents marked")
    return ". ".join(parts) + "."


def _said(times: Sequence[datetime], panel: Panel) -> str:
    line = _scaled(panel.lines[0][1], panel.scale)
    known = [(value, at) for value, at in zip(line, times, strict=True) if value is not None]
    if not known:
        return "not observed"
    peak, when = max(known, key=lambda pair: pair[0])
    newest = (
        "not known now" if known[-1][1] < times[-1] - timedelta(minutes=5) else f"{known[-1][0]:.3g} {panel.unit} now"
    )
    return f"{newest}, peak {peak:.3g} at {when:%H:%M} UTC"
