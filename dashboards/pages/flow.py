"""One flow: what was promised of it, how fast it goes, what it owes, what went through last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from controlplane.views.flows import FlowPage, flow
from controlplane.views.states import OF_DELIVERY, Light, progress
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import leads, live, refresh
from dashboards.components.parts import card, chip, facts, page_head, state_column, table
from dashboards.components.text import ago, clock_time, worded, young
from dashboards.figures.trend import Panel, small_multiples, summary


def layout(asked: Asked) -> Component:
    """Draw the frame of one flow. Raises NotFoundError."""
    page = _read(asked.plane, asked.key)
    spec = page.policy["spec"]
    targets = (
        ", ".join(f"{target['system']} as {target['entity']}" for target in spec["targets"]) or "none: feeds processes"
    )
    promised = facts(
        [
            ("Source", spec["source"]),
            ("Carries", ", ".join(spec["message_types"])),
            ("Targets", targets),
            ("Promise", spec["promise"]),
            ("Retries by", dcc.Link(spec["retry"], href=f"/policies?kind=RetryPolicy&name={spec['retry']}")),
            ("Owner", spec["owner"]),
            ("Policy", dcc.Link("Flow/" + asked.key, href=f"/policies?kind=Flow&name={asked.key}")),
        ]
    )
    owed = [
        state_column("state", "State", minWidth=120),
        {"field": "subject", "headerName": "About", "flex": 2, "minWidth": 150},
        {"field": "target", "headerName": "Target", "minWidth": 90},
        {"field": "age", "headerName": "Accepted", "minWidth": 100},
        {"field": "attempts", "headerName": "Attempts", "minWidth": 90, "type": "rightAligned"},
        {"field": "detail", "headerName": "Last answer", "flex": 2, "minWidth": 180, "tooltipField": "detail"},
    ]
    recent = [
        {"field": "at", "headerName": "Accepted", "minWidth": 120},
        {"field": "type", "headerName": "Message", "minWidth": 140},
        {"field": "subject", "headerName": "About", "flex": 2, "minWidth": 150},
        state_column("state", "Deliveries", flex=2, minWidth=160),
    ]
    held = [
        {"field": "age", "headerName": "Waits", "minWidth": 90},
        {"field": "subject", "headerName": "About", "minWidth": 150},
        {"field": "reason", "headerName": "Reason", "flex": 3, "minWidth": 220, "tooltipField": "reason"},
        {"field": "owner", "headerName": "Owner", "minWidth": 120},
    ]
    return html.Div(
        [
            page_head(asked.key, html.Div(id="flow-cells", className="tu-row"), back=("Overview", "/")),
            live("flow"),
            dcc.Store(id="flow-name", data=asked.key),
            promised,
            card("Throughput and latency",
                 dcc.Graph(id="flow-trend", config={"displayModeBar": False, "responsive": True}, className="tu-graph"),
                 html.P(id="flow-said", className="tu-said")),
            card("Owed and not finished", table("flow-owed", owed, empty="Nothing is owed.")),
            card("Newest messages", table("flow-recent", recent, empty="Awaiting the first message of this flow.", height=480)),
            card("Waits for a person", table("flow-held", held, empty="Nothing waits in quarantine.")),
        ]
    )  # fmt: skip


def _read(plane: Plane, name: str) -> FlowPage:
    with plane.store.read() as conn:
        return flow(conn, plane.registry.snapshot(), name, plane.clock.now())


def register(app: Dash, plane: Plane) -> None:
    """Keep the flow up to date."""
    outputs = [Output("flow-cells", "children"), Output("flow-trend", "figure"), Output("flow-said", "children"),
               Output("flow-owed", "rowData"), Output("flow-recent", "rowData"), Output("flow-held", "rowData")]  # fmt: skip

    @refresh(app, "flow", outputs, Input("flow-name", "data"))
    def update(name: str) -> list[Any]:
        page = _read(plane, name)
        panels = [
            Panel("Throughput", "deliveries a minute", [("delivered", page.latency.delivered)]),
            Panel("Delivery latency", "s", [("mean", page.latency.mean), ("slowest", page.latency.slowest)]),
        ]
        times = page.over.times
        cells = [chip(cell.light, f"{name}: {cell.word}", title=cell.reason) for name, cell in page.row.cells.items()]
        return [
            cells,
            small_multiples(times, panels, height=130),
            young(page.over.began) + summary(times, panels),
            [_owed_row(row, page) for row in page.owed],
            [_recent_row(row) for row in page.recent],
            [
                {"id": one.id, "age": ago(one.opened_at, page.at), "subject": one.about, "reason": one.reason,
                 "owner": one.owner, "link": f"/quarantine?case={one.id}"}
                for one in page.held
            ],
        ]  # fmt: skip

    for grid in ("flow-owed", "flow-recent", "flow-held"):
        leads(app, grid)


def _owed_row(row: Mapping[str, Any], page: FlowPage) -> dict[str, Any]:
    late = row["promise_at"] < page.at
    light = Light.BREACH if late else OF_DELIVERY[row["state"]]
    return {
        "id": row["id"], "state": worded(light, f"{row['state']}, late" if late else row["state"]),
        "subject": row["subject"], "target": row["target"], "age": ago(row["created_at"], page.at),
        "attempts": row["attempts"], "detail": row["detail"] or "not tried yet", "link": f"/messages/{row['message_id']}",
    }  # fmt: skip


def _recent_row(row: Mapping[str, Any]) -> dict[str, Any]:
    states = row["deliveries"]
    light = progress(OF_DELIVERY[state] for state in states) if states else Light.INFO
    word = ", ".join(f"{count} {state}" for state, count in states.items()) or row["state"]
    return {
        "id": row["id"], "at": clock_time(row["accepted_at"]), "type": row["type"], "subject": row["subject"],
        "state": worded(light, word), "link": f"/messages/{row['id']}",
    }  # fmt: skip
