"""Policies: what was promised, how it came to be, and how it is changed: proposed by one person, approved by another."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html, no_update
from dash import State as Held
from dash.development.base_component import Component

from controlplane.api.answers import commands
from controlplane.views.policies import change_requests
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import HIDE, SHOW, live, opens, refresh, signature
from dashboards.components.parts import Node, aria, card, page_head, quiet, table
from dashboards.pages.policies import catalogue, deeds, history, policy, request, requests, thread

NOTHING = "Choose a policy to see its document and history; a Domain shows its blueprint."


def layout(asked: Asked) -> Component:
    """Draw the catalogue, and the policy and the request that the address names."""
    kind, name, chosen = (asked.query.get(key) for key in ("kind", "name", "request"))
    shown, base = policy.panel(asked.plane, kind, name) if kind and name else ([quiet(NOTHING)], None)
    one, seen = request.panel(asked.plane, chosen) if chosen else (None, None)
    return html.Div(
        [
            page_head("Policies"),
            live("policies"),
            dcc.Store(id="policies-version"), dcc.Store(id="policy-base", data=base), dcc.Store(id="request-seen", data=seen),
            *_staffing(),
            card("Change requests", table("requests-grid", requests.COLUMNS, empty="No change is asked for."),
                 aside=dmc.Switch(id="requests-all", label="Also those that are decided", size="sm")),
            html.Div([_told("request", "Show it as it is now"),
                      html.Div([html.Div(one, id="request-one"), thread.layout()], className="tu-split")],
                     id="request-area", style=SHOW if chosen else HIDE),
            html.Div([catalogue.layout(asked.plane), _chosen(shown)],
                     className="tu-split tu-split-right"),
        ]
    )  # fmt: skip


def _staffing() -> list[Component]:
    """Say so where there is one person only, for then nobody can approve anything, and where of an owner there is nobody."""
    found = commands().changes.staffing()
    told = (("One person", found.note), ("Owners without an account", found.nobody))
    return [dmc.Alert(text, title=title, color="orange", variant="light", mb="md") for title, text in told if text]


def _chosen(shown: list[Component]) -> Component:
    """Return the place of the policy that is open, under what others did to it meanwhile."""
    said = html.P(id="policy-others", className="tu-quiet tu-others", **aria(live="polite"))
    return html.Div([_told("policy", "Look at both, and bring mine onto it"), said, html.Div(shown, id="policy-one")])


def _told(of: str, deed: str) -> Component:
    """Return the place in which is told that somebody else was faster; what was written stays."""
    inside: list[Node] = [
        html.Span(id=f"{of}-moved-text"),
        dmc.Button(deed, id=f"{of}-moved-see", size="xs", variant="default"),
    ]
    alert = dmc.Alert(html.Div(inside, className="tu-row"), title="Changed meanwhile", color="orange", variant="light")
    return html.Div(alert, id=f"{of}-moved", style=HIDE, className="tu-banner", **aria(live="polite"))


def register(app: Dash, plane: Plane) -> None:
    """Keep the lists up to date, tell who was overtaken, and let every part do what it is for."""
    outputs = [
        Output("requests-grid", "rowData"), Output("policies-grid", "rowData"), Output("policies-version", "data"),
        Output("policy-moved", "style"), Output("policy-moved-text", "children"), Output("policy-others", "children"),
        Output("request-moved", "style"), Output("request-moved-text", "children"), Output("request-thread", "rowData"),
    ]  # fmt: skip
    asked: list[Input | Held] = [
        Input("requests-all", "checked"), Input("policies-by", "value"), Input("policies-wanted", "value"),
        Input("policy-base", "data"), Input("request-seen", "data"), Held("policies-version", "data"), Held("request-thread", "rowData"),
    ]  # fmt: skip

    @refresh(app, "policies", outputs, *asked)
    def update(
        everything: bool | None, by: Any, wanted: str | None, base: Any, seen: Any, known: str | None, steps: Any
    ) -> list[Any]:
        version = signature((plane.registry.snapshot().version, by, wanted))
        with plane.store.read() as conn:
            rows = [requests.row(one, plane.clock.now()) for one in change_requests(conn, bool(everything)).rows]
        entries = no_update if version == known else catalogue.rows(plane, by, wanted or "")
        overtaken, changed = policy.overtaken(plane, base), request.changed(plane, seen)
        return [
            rows,
            entries,
            version,
            *_shown(overtaken),
            policy.others(plane, base),
            *_shown(changed),
            thread.rows(plane, seen, steps),
        ]

    for part in (policy, history, request, deeds):
        part.register(app, plane)
    for grid in ("policies-grid", "requests-grid"):
        opens(app, grid)


def _shown(text: str) -> list[Any]:
    return [SHOW if text else HIDE, text]
