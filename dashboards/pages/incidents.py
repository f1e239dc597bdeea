"""Incidents: what people were told, what they did, what it costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from controlplane.access import allowed
from controlplane.api.answers import actor, commands
from controlplane.views.incidents import Event, incident, incidents
from controlplane.views.states import OF_INCIDENT, Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import acted, live, opens, refresh
from dashboards.components.parts import aria, card, chip, facts, page_head, quiet, state_column, table
from dashboards.components.text import clock_time, day_time, money
from dashboards.pages.overview import incident_row

KEPT = timedelta(days=7)
SHOWN = 16
COLUMNS = [
    state_column("title", "Incident", flex=2, minWidth=200),
    {"field": "severity", "headerName": "Severity", "minWidth": 90},
    {"field": "cause", "headerName": "Cause", "flex": 3, "minWidth": 260, "tooltipField": "cause"},
    {"field": "owner", "headerName": "Owner", "minWidth": 160},
    {"field": "money", "headerName": "At risk", "minWidth": 110, "type": "rightAligned"},
    {"field": "age", "headerName": "Opened", "minWidth": 100},
    {"field": "acknowledged", "headerName": "Looked after by", "minWidth": 130},
]


def layout(asked: Asked) -> Component:
    """Draw the list, and the incident that the address names."""
    chosen = asked.query.get("incident")
    shown = _panel(asked.plane, chosen) if chosen else [quiet("Choose an incident to see its life.")]
    return html.Div(
        [
            page_head("Incidents"),
            live("incidents"),
            card("Open, and resolved within seven days", table("incidents-grid", COLUMNS, empty="No incident: nobody is being called.")),
            html.Div(shown, id="incidents-one"),
        ]
    )  # fmt: skip


def _panel(plane: Plane, incident_id: str) -> list[Component]:
    with plane.store.read() as conn:
        one, events = incident(conn, incident_id)
    may = allowed(actor(), "incident.acknowledge") and one.state == "open"
    about = [
        ("Rule", one.rule), ("Owner", one.owner), ("Money at risk", money(one.money_at_risk, one.currency)),
        ("Opened", day_time(one.opened_at)), ("Resolved", day_time(one.resolved_at)),
        ("Next escalation", day_time(one.next_escalation_at)), ("Policy revision", one.policy_revision),
    ]  # fmt: skip
    return [
        card(
            one.title, html.P(one.cause, className="tu-big"), facts(about), _life(events),
            dmc.Button("I look after it", id="incident-acknowledge", disabled=not may, size="sm"),
            html.Div(id="incident-answer", **aria(live="polite")), dcc.Store(id="incident-id", data=one.id),
            aside=chip(OF_INCIDENT[one.state], one.state),
        )
    ]  # fmt: skip


def _life(events: list[Event]) -> Component:
    return html.Ol(
        [
            html.Li(
                [
                    html.Time(clock_time(event.at).removesuffix(" UTC"), dateTime=event.at.isoformat(), title=day_time(event.at)),
                    html.Span(className=f"tu-dot tu-dot-{Light.OK if event.kind == 'resolved' else Light.INFO}"),
                    html.Div([html.B(f"{event.kind} by {event.actor}"), html.Small(_note(event))]),
                ]
            )
            for event in events[-SHOWN:]
        ],
        className="tu-life",
    )  # fmt: skip


def _note(event: Event) -> Any:
    if event.message_id is None:
        return event.note
    told = f" · notification {event.delivery_state or 'not routed yet'}"
    return [event.note, dcc.Link(told, href=f"/messages/{event.message_id}")]


def register(app: Dash, plane: Plane) -> None:
    """Keep the list up to date, open incidents, acknowledge them."""

    @refresh(app, "incidents", [Output("incidents-grid", "rowData")])
    def update() -> list[Any]:
        now = plane.clock.now()
        with plane.store.read() as conn:
            return [[incident_row(one, now) for one in incidents(conn, now - KEPT).rows]]

    @app.callback(
        Output("incidents-one", "children"), Input("incidents-grid", "cellClicked"), prevent_initial_call=True
    )
    def choose(cell: dict[str, Any] | None) -> Any:
        return _panel(plane, cell["rowId"]) if cell else no_update

    opens(app, "incidents-grid")

    @app.callback(
        Output("incident-answer", "children"),
        Input("incident-acknowledge", "n_clicks"),
        State("incident-id", "data"),
        prevent_initial_call=True,
    )
    def acknowledge(clicks: int | None, incident_id: str) -> Any:
        return acted(lambda: _acknowledge(incident_id)) if clicks else no_update


def _acknowledge(incident_id: str) -> str:
    who = actor()
    commands().acknowledge(incident_id, who)
    return f"{who.name} looks after it: it is not escalated further while that holds."
