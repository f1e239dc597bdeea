"""The drill as a page with two figures: what was taken, and how long it took, over what was offered."""

from __future__ import annotations

from typing import Any

import plotly.io

from controlplane.drill.run import Drilled
from controlplane.drill.target import Target
from rules.capacity import Step

TAKEN, THROTTLED, FAILED, LATENCY = "#009e73", "#e69f00", "#d55e00", ("#56b4e9", "#0072b2", "#1b3a57")


def page(target: Target, drilled: Drilled) -> str:
    """Return the page as HTML that needs nothing from elsewhere."""
    return str(plotly.io.to_html(figure(target, drilled), include_plotlyjs=True, full_html=True))


def figure(target: Target, drilled: Drilled) -> dict[str, Any]:
    """Return the figure: rates above, latencies below, on one axis of offered writes a second."""
    steps, rates = drilled.steps, [step.rate for step in drilled.steps]
    counts = (("taken", TAKEN, [step.taken for step in steps]), ("throttled", THROTTLED, [step.throttled for step in steps]),
              ("failed", FAILED, [step.failed for step in steps]))  # fmt: skip
    data = [_bars(name, colour, rates, steps, values) for name, colour, values in counts]
    for name, colour in zip(("p50", "p95", "p99"), LATENCY, strict=True):
        data.append(_line(name, colour, rates, [getattr(step, name) for step in steps]))
    return {"data": data, "layout": _layout(target, drilled, rates)}


def _bars(name: str, colour: str, rates: list[float], steps: tuple[Step, ...], counts: list[int]) -> dict[str, Any]:
    a_second = [count / step.seconds for count, step in zip(counts, steps, strict=True)]
    return {
        "type": "bar",
        "name": name,
        "x": [f"{rate:g}" for rate in rates],
        "y": a_second,
        "marker": {"color": colour},
    }


def _line(name: str, colour: str, rates: list[float], values: list[float | None]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": [f"{rate:g}" for rate in rates], "y": values, "yaxis": "y2",
        "line": {"color": colour}, "connectgaps": False,
    }  # fmt: skip


def _layout(target: Target, drilled: Drilled, rates: list[float]) -> dict[str, Any]:
    knee = drilled.knee.rate
    told = "the knee is not known" if knee is None else f"knee {knee:.4g} writes/s, bound by {drilled.knee.bound}"
    title = f"Drill of {target.system.name} with {target.flow.name} ({target.entity}), {drilled.started_at:%Y-%m-%d %H:%M} UTC: {told}"
    well = [rate for rate in rates if knee is not None and rate <= knee]
    line = {"type": "line", "xref": "x", "yref": "paper", "x0": len(well) - 0.5, "x1": len(well) - 0.5, "y0": 0, "y1": 1,
            "line": {"dash": "dash", "color": "#5b6470"}}  # fmt: skip
    return {
        "title": {"text": title, "font": {"size": 14}},
        "barmode": "stack",
        "template": "plotly_white",
        "xaxis": {"title": {"text": "offered, writes/s"}, "type": "category", "anchor": "y2"},
        "yaxis": {"title": {"text": "writes/s"}, "domain": [0.55, 1]},
        "yaxis2": {"title": {"text": "seconds from the intended instant"}, "domain": [0, 0.45], "rangemode": "tozero"},
        "shapes": [line] if knee is not None else [],
    }
