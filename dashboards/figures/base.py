"""What all figures share. Colours of text and grid come from the page's style sheet, so one figure suits light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dashboards.components.spark import runs

BLUE, SKY = "#2b8cc4", "#56b4e9"
BREACH, WARN, GREY = "#d55e00", "#e69f00", "#8a929e"
FONT = "Inter, Segoe UI, system-ui, -apple-system, Helvetica Neue, Arial, sans-serif"
LIMIT = 400
"""Points per line; more than a screen can show are thinned."""

Figure = dict[str, Any]
Line = Sequence[float | None]


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Return a layout with our manners: nothing behind it, no toolbar, and the reader's zoom kept over updates."""
    return {
        "height": height,
        "margin": {"l": 44, "r": 12, "t": 22, "b": 26},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 11, "color": GREY},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "showlegend": False,
        "uirevision": "kept",
        "dragmode": False,
        **more,
    }


def thin(times: Sequence[datetime], line: Line, limit: int = LIMIT) -> tuple[list[datetime], list[float | None]]:
    """Return at most `limit` points that keep the highest of each stretch, so that no peak is lost."""
    size = -(-len(line) // limit) or 1
    if size == 1:
        return list(times), list(line)
    kept = [
        max(range(at, min(at + size, len(line))), key=lambda n: _height(line[n])) for at in range(0, len(line), size)
    ]
    return [times[n] for n in kept], [line[n] for n in kept]


def _height(value: float | None) -> float:
    return float("-inf") if value is None else value


def scatter(times: Sequence[datetime], line: Line, name: str, unit: str, axis: str, **more: Any) -> dict[str, Any]:
    """Return one line on the shared time axis; unknown stretches are gaps, never zero."""
    xs, ys = thin(times, line)
    # a single known point between gaps has no line to be seen by
    lonely = {at for run in runs(ys) if len(run) == 1 for at, _ in run}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": xs,
        "y": ys,
        "name": name,
        "xaxis": "x",
        "yaxis": axis,
        "connectgaps": False,
        "line": {"color": more.pop("color", BLUE), "width": 1.75, "dash": more.pop("dash", "solid")},
        "marker": {"size": [5 if n in lonely else 0 for n in range(len(ys))], "color": BLUE},
        "hovertemplate": f"%{{y:.4~g}} {unit}<extra>{name}</extra>",
        **more,
    }


def unknown_bands(times: Sequence[datetime], line: Line, domain: tuple[float, float]) -> list[dict[str, Any]]:
    """Return grey bands over the stretches in which nothing is known."""
    holes = runs([None if value is not None else 0.0 for value in line])
    step = times[1] - times[0] if len(times) > 1 else None
    return [
        {
            "type": "rect", "xref": "x", "yref": "paper", "layer": "below", "line": {"width": 0},
            "x0": times[hole[0][0]], "x1": times[hole[-1][0]] + step, "y0": domain[0], "y1": domain[1],
            "fillcolor": GREY, "opacity": 0.10,
        }
        for hole in holes if step is not None
    ]  # fmt: skip


def note(text: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    """Return a text on the figure, placed on the paper."""
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "y": y,
        "showarrow": False,
        "xanchor": "left",
        **more,
    }
