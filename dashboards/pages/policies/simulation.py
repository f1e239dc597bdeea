"""What a change would have done in the weeks behind us, as figures and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from controlplane.api.answers import commands
from controlplane.views.states import Light
from dashboards.components.parts import chip, code, quiet
from dashboards.components.text import counted, day_time
from dashboards.figures.simulation import HEIGHT, before_and_after, caption
from rules.changes import UNDECIDED

TITLE = "What it would have done"


def result(one: Mapping[str, Any]) -> list[Component]:
    """Show the newest simulation of a request, or say why there is none."""
    found = commands().changes.simulation(one["id"])
    head: Component = html.H3(TITLE, className="tu-subtitle")
    if found.result is None:
        return [head, quiet(found.note or "Not simulated yet; it is when review is asked for.")]
    impact = found.result.impact
    since, until = day_time(found.result.since), day_time(found.result.until)
    shown = [head, quiet(f"Replayed from {since} to {until}; result {found.result.hash[:12]}.")]
    if found.missing and one["state"] in UNDECIDED:
        shown.append(chip(Light.WARN, f"stale: {found.missing}"))
    return [
        *shown,
        *_figures(impact),
        *_rows(impact),
        html.Ul([html.Li(line) for line in impact["not_simulated"]], className="tu-quiet"),
    ]


def _figures(impact: Mapping[str, Any]) -> list[Component]:
    figures = [figure for figure in impact["figures"] if figure["before"] or figure["after"]]
    if not figures:
        return [quiet("Nothing would have been different: no figure is other than zero.")]
    return [html.Div([_plot(figure) for figure in figures], className="tu-multiples")]


def _rows(impact: Mapping[str, Any]) -> list[Component]:
    told = [_differs(row) for row in impact["rows"]]
    if not told:
        return []
    return [html.Details([html.Summary(counted(len(told), "difference")), code("\n".join(told))])]


def _plot(figure: Mapping[str, Any]) -> Component:
    shown = before_and_after(figure)
    graph = dcc.Graph(figure=shown, config={"displayModeBar": False, "responsive": True}, style={"height": HEIGHT})
    return html.Figure([html.Figcaption(caption(figure)), graph])


def _differs(row: Mapping[str, Any]) -> str:
    """Write what differs in a line."""
    return ", ".join(f"{name}: {_both(value)}" for name, value in row.items() if value is not None)


def _both(value: Any) -> str:
    if isinstance(value, Mapping) and set(value) == {"before", "after"}:
        return f"{value['before']} -> {value['after']}"
    return " ".join(map(str, value.values())) if isinstance(value, Mapping) else str(value)
