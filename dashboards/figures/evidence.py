"""When each side was read: overlapping intervals are why two values may both be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboards.components.text import exact_time
from dashboards.figures.base import BLUE, Figure, layout


@dataclass(frozen=True, slots=True)
class Reading:
    """The interval of our clock during which a side was read."""

    side: str
    since: datetime
    until: datetime


def intervals(readings: Sequence[Reading]) -> Figure:
    """Return one bar per side on a common time axis."""
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "x": [one.since, one.until], "y": [one.side, one.side],
            "line": {"width": 8, "color": BLUE}, "marker": {"size": 9, "symbol": "line-ns", "color": BLUE},
            "hovertemplate": f"{one.side} %{{x|%H:%M:%S.%L}}<extra></extra>",
        }
        for one in readings
    ]  # fmt: skip
    axes = {
        "xaxis": {"type": "date", "showgrid": True, "fixedrange": True, "tickformat": "%H:%M:%S.%L", "nticks": 6},
        "yaxis": {"type": "category", "fixedrange": True, "showgrid": False, "automargin": True},
    }
    return {"data": data, "layout": layout(60 + 30 * max(len(readings), 1), hovermode="closest", **axes)}


def said(readings: Sequence[Reading]) -> str:
    """Say in words when the sides were read."""
    if not readings:
        return "No reading of a side was kept."
    parts = [f"{one.side} from {exact_time(one.since)} to {exact_time(one.until)}" for one in readings]
    return f"Read by our clock, in UTC: {', '.join(parts)}."
