"""Where systems disagree, and why."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, html
from dash.development.base_component import Component

from controlplane.views.findings import Finding, findings
from controlplane.views.states import OF_FINDING, Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import leads, live, refresh
from dashboards.components.parts import card, page_head, state_column, table
from dashboards.components.text import ago, money, worded

COLUMNS = [
    state_column("state", "State", minWidth=110, width=120),
    {"field": "key", "headerName": "Key", "minWidth": 150},
    {"field": "side", "headerName": "Wrong side", "minWidth": 100},
    {"field": "values", "headerName": "Shows / ought to", "minWidth": 130},
    {"field": "cause", "headerName": "Cause", "minWidth": 140},
    {"field": "explanation", "headerName": "Explanation", "flex": 3, "minWidth": 260, "tooltipField": "explanation"},
    {"field": "money", "headerName": "Worth", "minWidth": 100, "type": "rightAligned"},
    {"field": "age", "headerName": "First seen", "minWidth": 110},
]


def layout(_: Asked) -> Component:
    """Draw the list of findings."""
    choice = dmc.Switch(id="findings-all", label="Also those that are closed", size="sm")
    empty = "No comparison has found a difference that is still open."
    return html.Div(
        [
            page_head("Findings"),
            live("findings"),
            card("Where systems disagree", html.P(id="findings-said", className="tu-said"),
                 table("findings-grid", COLUMNS, empty=empty), aside=choice),
        ]
    )  # fmt: skip


def register(app: Dash, plane: Plane) -> None:
    """Keep the list up to date."""
    outputs = [Output("findings-grid", "rowData"), Output("findings-said", "children")]

    @refresh(app, "findings", outputs, Input("findings-all", "checked"))
    def update(everything: bool | None) -> list[Any]:
        now = plane.clock.now()
        with plane.store.read() as conn:
            found = findings(conn, bool(everything)).rows
        unproven = sum(one.state == "suspected" for one in found)
        said = f"{len(found)} shown, {unproven} of them not confirmed by a second reading yet."
        return [[{**finding_row(one), "age": ago(one.first_seen_at, now)} for one in found], said]

    leads(app, "findings-grid")


def finding_row(one: Finding) -> dict[str, Any]:
    """Return a finding as a row of a grid."""
    return {
        "id": one.id, "state": worded(OF_FINDING.get(one.state, Light.UNKNOWN), one.state),
        "key": one.subject, "side": one.side, "values": values(one),
        "cause": one.cause.replace("_", " "), "explanation": one.explanation, "money": money(one.money, one.currency),
        "link": f"/findings/{one.id}",
    }  # fmt: skip


def values(one: Finding) -> str:
    """Write what the side shows and what it may rightly show; nothing is never written as zero."""
    shows = "nothing" if one.actual is None else _written(one.actual)
    return f"{shows} / {' or '.join(map(_written, one.expected)) or 'unknown'}"


def _written(value: int | str) -> str:
    return value.replace("_", " ") if isinstance(value, str) else f"{value:,}"
