"""What a change would have done: a figure under what is in force and under what is proposed, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.figures.base import BLUE, GREY, Figure, layout

NAMES = ("in force", "proposed")
HEIGHT = 130


def before_and_after(one: Mapping[str, Any]) -> Figure:
    """Return two bars. Each figure is drawn by itself, for calls and hours do not compare."""
    values = [one["before"], one["after"]]
    bars = {
        "type": "bar", "x": list(NAMES), "y": values, "width": 0.6, "marker": {"color": [GREY, BLUE]},
        "text": [said(value) for value in values], "textposition": "outside", "cliponaxis": False,
        "hovertemplate": f"%{{x}}: %{{y:,}} {one['unit']}<extra></extra>",
    }  # fmt: skip
    axes = {
        "xaxis": {"fixedrange": True, "showgrid": False},
        "yaxis": {"visible": False, "fixedrange": True, "range": [0, (max(values) or 1) * 1.25]},
    }
    margin = {"l": 8, "r": 8, "t": 4, "b": 24}
    return {
        "data": [bars],
        "layout": layout(HEIGHT, hovermode="closest", hoversubplots="single", margin=margin, **axes),
    }


def caption(one: Mapping[str, Any]) -> str:
    """Name the figure, with its unit where the name does not say it."""
    return one["name"] if one["unit"] in one["name"] else f"{one['name']}, {one['unit']}"


def said(value: float) -> str:
    """Write a number as people read it."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")
