"""Comparisons: which systems are held against each other, how often, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, html, no_update
from dash.development.base_component import Component

from controlplane.access import allowed
from controlplane.api.answers import actor, commands
from controlplane.views.findings import runs
from controlplane.views.states import Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import acted, live, refresh
from dashboards.components.parts import aria, card, page_head, state_column, table
from dashboards.components.text import counted, day_time, seconds, worded
from rules.policy.kinds import format_duration

PROMISED = [
    {"field": "name", "headerName": "Comparison", "minWidth": 150},
    {"field": "sides", "headerName": "Holds against each other", "flex": 3, "minWidth": 260},
    {"field": "source", "headerName": "System of record", "minWidth": 130},
    {"field": "every", "headerName": "Every", "minWidth": 80},
    {"field": "heal", "headerName": "Heals by itself", "flex": 2, "minWidth": 200},
    {"field": "owner", "headerName": "Owner", "minWidth": 160},
]
RUNS = [
    state_column("state", "Result", flex=2, minWidth=246, tooltipField="unread"),
    {"field": "comparison", "headerName": "Comparison", "minWidth": 130},
    {"field": "at", "headerName": "Began", "minWidth": 196},
    {"field": "took", "headerName": "Took", "minWidth": 80, "type": "rightAligned"},
    {"field": "keys", "headerName": "Keys", "minWidth": 80, "type": "rightAligned"},
    {"field": "agree", "headerName": "Agree", "minWidth": 80, "type": "rightAligned"},
    {"field": "in_flight", "headerName": "In flight", "minWidth": 90, "type": "rightAligned"},
    {
        "field": "suspected",
        "headerName": "Suspected",
        "minWidth": 100,
        "type": "rightAligned",
        "headerTooltip": "A difference that a second reading has not confirmed yet",
    },
    {"field": "drift", "headerName": "Drift", "minWidth": 80, "type": "rightAligned"},
    {"field": "indeterminate", "headerName": "Indeterminate", "minWidth": 124, "type": "rightAligned"},
    {"field": "trigger", "headerName": "Asked by", "minWidth": 110},
]


def layout(asked: Asked) -> Component:
    """Draw what was promised and what ran."""
    promised = asked.plane.registry.snapshot().comparisons
    names = list(promised)
    choice = html.Div(
        [
            dmc.Select(id="comparison-name", data=names, value=names[0] if names else None, size="sm", w=220,
                       **aria(label="Comparison")),
            dmc.Button("Run now", id="comparison-run", size="sm", disabled=not (names and allowed(actor(), "comparison.run"))),
        ],
        className="tu-row",
    )  # fmt: skip
    return html.Div(
        [
            page_head("Comparisons"),
            live("comparisons"),
            card("Promised", table("comparisons-promised", PROMISED, [_promised(one) for one in promised.values()],
                                   empty="No comparison is promised yet."), aside=choice),
            html.Div(id="comparison-answer", **aria(live="polite")),
            card("Runs", table("comparisons-runs", RUNS, empty="Awaiting the first run.")),
        ]
    )  # fmt: skip


def _promised(one: Any) -> dict[str, Any]:
    spec, heal = one.spec, one.spec.heal
    limits = (
        f"up to {heal.max_keys} keys, {heal.max_units} units each, {heal.max_money} worth"
        if heal.enabled
        else "no, a person decides"
    )
    return {
        "id": one.name, "name": one.name, "source": spec.source_side, "every": format_duration(spec.every),
        "sides": " · ".join(f"{side.system} {side.field.replace('_', ' ')}" for side in spec.sides),
        "heal": limits, "owner": spec.owner,
    }  # fmt: skip


def register(app: Dash, plane: Plane) -> None:
    """Keep the runs up to date, and run one when asked."""

    @refresh(app, "comparisons", [Output("comparisons-runs", "rowData")])
    def update() -> list[Any]:
        with plane.store.read() as conn:
            return [[_run(one) for one in runs(conn).rows]]

    @app.callback(
        Output("comparison-answer", "children"),
        Input("comparison-run", "n_clicks"),
        State("comparison-name", "value"),
        prevent_initial_call=True,
    )
    def run(clicks: int | None, name: str) -> Any:
        return acted(lambda: _run_now(name)) if clicks else no_update


def _run_now(name: str) -> str:
    commands().compare(name, actor())
    return f"{name} runs next; its result shows up below."


def _run(one: Mapping[str, Any]) -> dict[str, Any]:
    took = (one["finished_at"] - one["started_at"]).total_seconds() if one["finished_at"] else None
    light, word = _result(one)
    counts = {
        name: "—" if one[name] is None else f"{one[name]:,}"
        for name in ("keys", "agree", "in_flight", "suspected", "drift", "indeterminate")
    }
    unread = "; ".join(f"{side}: {why}" for side, why in (one["unread"] or {}).items()) or word
    return {
        "id": one["id"], "state": worded(light, word), "comparison": one["comparison"], "at": day_time(one["started_at"]),
        "took": seconds(took), "trigger": one["trigger"], "unread": unread, **counts,
    }  # fmt: skip


def _result(one: Mapping[str, Any]) -> tuple[Light, str]:
    if one["state"] == "running":
        return Light.INFO, "running"
    if one["state"] == "requested":
        return Light.INFO, "asked for"
    if one["state"] == "stopped":
        return Light.UNKNOWN, f"stopped: {counted(one['skipped'], 'key')} not looked at"
    if one["state"] == "failed":
        return Light.UNKNOWN, "failed: nothing is concluded"
    found = ((Light.BREACH, "drift", "in drift"), (Light.UNKNOWN, "indeterminate", "undecided"),
             (Light.INFO, "suspected", "suspected"), (Light.INFO, "accepted", "accepted"))  # fmt: skip
    light, word = next(
        ((light, f"{counted(one[name], 'key')} {what}") for light, name, what in found if one[name]),
        (Light.OK, "agree"),
    )
    again = "second reading" if one["trigger"] == "confirmation" else "some keys"
    return light, f"{again}: {word}" if one["state"] == "partial" else word
