"""The overview: one page that says whether stock, fulfilment and finance can be trusted right now, and where not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from controlplane.api.answers import actor
from controlplane.registry import Snapshot
from controlplane.views.incidents import Incident
from controlplane.views.overview import Level, Overview, Tile, overview
from controlplane.views.states import OF_INCIDENT
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import leads, live, refresh
from dashboards.components.parts import WRAPPED, card, chip_class, state_column, table
from dashboards.components.spark import spark
from dashboards.components.text import ago, clock_time, counted, money, share, span, worded, young
from dashboards.figures.trend import Mark, Panel, small_multiples, summary
from rules.reach import Reach

TITLES = {
    "overall": "Can it be trusted?",
    "money": "Money at risk",
    "backlog": "Orders not shipped",
    "oversell": "Oversell",
    "mismatch": "Stock mismatch",
    "quarantine": "In quarantine",
    "incidents": "Open incidents",
}
WINDOWS = {"60": "1 h", "360": "6 h", "1440": "24 h"}
PARTS = ("value", "note", "word", "spark")
FRESH = timedelta(seconds=1)
"""Everybody who looks within so long sees the same state, read once."""


def layout(asked: Asked) -> Component:
    """Draw the fixed frame; the first refresh fills it."""
    systems = list(asked.plane.registry.snapshot().systems)
    window = asked.query.get("minutes", "60")
    return html.Div(
        [
            html.H1("Overview", className="tu-hidden"),
            live("overview"),
            html.Section([_tile(name, title) for name, title in TITLES.items()], className="tu-tiles"),
            html.Div([_trend_card(window if window in WINDOWS else "60"), _side()], className="tu-split"),
            card(
                "Flows × systems",
                html.P(id="overview-flows-said", className="tu-said"),
                table("overview-matrix", matrix_columns(systems), empty="No flow is promised yet."),
            ),
        ]
    )


def _tile(name: str, title: str) -> Component:
    def part(kind: str) -> dict[str, str]:
        return {"type": f"tile-{kind}", "key": name}

    inside = [
        html.Div([html.Span(title, className="tu-tile-title"), html.Span(id=part("word"), className="tu-chip")],
                 className="tu-tile-head"),
        html.Div("…", id=part("value"), className="tu-tile-value"),
        html.Div(id=part("note"), className="tu-tile-note"),
        html.Div(
            [html.Span(id=part("target"), className="tu-tile-target"), html.Img(id=part("spark"), alt="", src=spark([]))],
            className="tu-tile-foot",
        ),
    ]  # fmt: skip
    return dcc.Link(inside, href="/", id=part("link"), className=f"tu-tile tu-tile-{name}")


def _trend_card(window: str) -> Component:
    choice = dmc.SegmentedControl(
        id="overview-window", size="xs", value=window,
        data=[{"value": value, "label": label} for value, label in WINDOWS.items()],
    )  # fmt: skip
    graph = dcc.Graph(id="overview-trend", config={"displayModeBar": False, "responsive": True}, className="tu-graph",
                      figure=small_multiples([], panels_of(None)))  # fmt: skip
    said = html.P(id="overview-trend-said", className="tu-said")
    return card("Work and what it means", graph, said, aside=choice, className="tu-grow")


def _side() -> Component:
    columns = [
        state_column("title", "Incident", flex=5, minWidth=190, tooltipField="cause", **WRAPPED),
        {"field": "owner", "headerName": "Owner", "flex": 3, "minWidth": 126, **WRAPPED},
        {
            "field": "money",
            "headerName": "At risk",
            "flex": 2,
            "minWidth": 104,
            "type": "rightAligned",
            **WRAPPED,
            "cellClass": "tu-wrap ag-right-aligned-cell",
        },
        {"field": "age", "headerName": "Since", "flex": 2, "minWidth": 96, **WRAPPED},
    ]
    levels = [
        state_column("name", "Promise", flex=5, minWidth=220, tooltipField="why"),
        {"field": "attained", "headerName": "Kept", "minWidth": 80, "type": "rightAligned"},
        {"field": "burn", "headerName": "Burn", "minWidth": 70, "type": "rightAligned"},
        {"field": "coverage", "headerName": "Seen", "minWidth": 76, "type": "rightAligned"},
    ]
    return html.Div(
        [
            card("Open incidents", table("overview-incidents", columns, empty="No incident is open."),
                 html.P(id="overview-cause", className="tu-said")),
            card("Service levels", table("overview-levels", levels, empty="No service level is promised yet."),
                 html.P("Burn is how many times faster than allowed the error budget goes; seen is how much of the "
                        "window was observed.", className="tu-said")),
        ],
        className="tu-side",
    )  # fmt: skip


def matrix_columns(systems: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of the matrix: the flow, what it owes, and one per system."""
    return [
        {"field": "flow", "headerName": "Flow", "pinned": "left", "flex": None, "width": 130},
        *(state_column(f"at_{name}", name, minWidth=130, tooltipField=f"why_{name}") for name in systems),
        {"field": "owed", "headerName": "Owed", "type": "rightAligned", "flex": None, "width": 80},
        {"field": "promise", "headerName": "Promise", "flex": None, "width": 90},
        {"field": "owner", "headerName": "Owner", "minWidth": 140},
    ]


def panels_of(page: Overview | None) -> list[Panel]:
    """Return the six panels: two of the work, four of what it means for the business."""
    lines = page.lines if page else {}
    mean, slowest = (page.latency.mean, page.latency.slowest) if page else ([], [])
    return [
        Panel("Queue depth", "deliveries", [("owed", lines.get("queue_depth", []))]),
        Panel("Delivery latency", "s", [("mean", mean), ("slowest", slowest)]),
        Panel("Oversell", "% of lines", [("oversold", lines.get("oversell_rate", []))], 100),
        Panel("Stock mismatch", "% of keys", [("in drift", lines.get("mismatch_rate", []))], 100),
        Panel("Order backlog", "orders", [("not shipped", lines.get("order_backlog", []))]),
        Panel("Posting failures", "% of postings", [("first try failed", lines.get("posting_failures", []))], 100),
    ]


def marks_of(told: Sequence[Incident]) -> list[Mark]:
    """Return the incidents as marks on the time axis."""
    return [Mark(one.title, one.opened_at, one.resolved_at, one.severity == "page") for one in told]


class Shared:
    """The newest overview per window and reach, read once for everybody who has that."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int, Reach], Overview] = {}

    def read(self, minutes: int) -> tuple[Overview, Snapshot]:
        """Return an overview that is at most `FRESH` old."""
        now, snapshot = self.plane.clock.now(), self.plane.registry.snapshot()
        key = (minutes, snapshot.version, actor().reach)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or not timedelta(0) <= now - kept.at < FRESH:
                with self.plane.store.read() as conn:
                    kept = overview(conn, snapshot, now, timedelta(minutes=minutes))
                self._kept = {**{other: one for other, one in self._kept.items() if other[2] != key[2]}, key: kept}
        return kept, snapshot


def register(app: Dash, plane: Plane) -> None:
    """Keep the overview up to date: leaf properties, one figure and the rows of three grids; never a tree."""
    shared = Shared(plane)
    tile_outputs = [
        Output({"type": "tile-value", "key": ALL}, "children"),
        Output({"type": "tile-note", "key": ALL}, "children"),
        Output({"type": "tile-target", "key": ALL}, "children"),
        Output({"type": "tile-word", "key": ALL}, "children"),
        Output({"type": "tile-word", "key": ALL}, "className"),
        Output({"type": "tile-spark", "key": ALL}, "src"),
        Output({"type": "tile-link", "key": ALL}, "href"),
    ]
    rest = [
        Output("overview-trend", "figure"),
        Output("overview-trend-said", "children"),
        Output("overview-incidents", "rowData"),
        Output("overview-cause", "children"),
        Output("overview-levels", "rowData"),
        Output("overview-matrix", "rowData"),
        Output("overview-flows-said", "children"),
    ]

    @refresh(app, "overview", [*tile_outputs, *rest], Input("overview-window", "value"),
             State({"type": "tile-value", "key": ALL}, "id"))  # fmt: skip
    def update(window: str, ids: list[dict[str, str]]) -> list[Any]:
        page, promises = shared.read(int(window) if window in WINDOWS else 60)
        tiles = {tile.key: tile for tile in page.tiles}
        return [*_tiles([tiles[one["key"]] for one in ids]), *_rest(page, promises)]

    for grid in ("overview-matrix", "overview-incidents"):
        leads(app, grid)


def _tiles(tiles: Sequence[Tile]) -> list[Any]:
    return [
        [tile.value for tile in tiles],
        [tile.note for tile in tiles],
        [f"target: {tile.target}" for tile in tiles],
        [tile.word for tile in tiles],
        [chip_class(tile.light) for tile in tiles],
        [spark(tile.trend) for tile in tiles],
        [tile.link for tile in tiles],
    ]


def _rest(page: Overview, promises: Snapshot) -> list[Any]:
    panels, marks, times = panels_of(page), marks_of(page.incidents), page.over.times
    live_ones = [one for one in page.incidents if one.state != "resolved"]
    return [
        small_multiples(times, panels, marks),
        young(page.over.began) + summary(times, panels, marks),
        [incident_row(one, page.at) for one in live_ones],
        f"{live_ones[0].title}: {live_ones[0].cause}" if live_ones else "",
        [_level_row(level, page.at) for level in page.levels],
        [_flow_row(row, list(promises.systems)) for row in page.flows],
        _flows_said(page),
    ]


def incident_row(one: Incident, now: datetime) -> dict[str, Any]:
    """Return an incident as a row of a grid."""
    return {
        "id": one.id, "title": worded(OF_INCIDENT[one.state], one.title), "cause": one.cause, "owner": one.owner,
        "money": money(one.money_at_risk, one.currency), "age": ago(one.opened_at, now), "state": one.state,
        "severity": one.severity, "rule": one.rule, "opened": clock_time(one.opened_at),
        "acknowledged": one.acknowledged_by or "—", "link": f"/incidents?incident={one.id}",
    }  # fmt: skip


def _level_row(level: Level, now: datetime) -> dict[str, Any]:
    seen = f"judged {ago(level.at, now)}" if level.at else "not judged lately: unknown, and not counted as kept"
    return {
        "id": level.name,
        "name": worded(level.light, level.title),
        "why": f"{level.word} · target {share(level.target)} · {seen} · owned by {level.owner}",
        "attained": share(level.attainment) if level.attainment is not None else "—",
        "burn": f"{level.burn:.1f}×" if level.burn is not None else "—",
        "coverage": share(level.coverage) if level.coverage is not None else "—",
    }


def _flow_row(row: Any, systems: Sequence[str]) -> dict[str, Any]:
    found = {
        "id": row.flow, "flow": row.flow, "owner": row.owner, "link": f"/flows/{row.flow}",
        "promise": span(row.promise), "owed": f"{row.owed:,}",
    }  # fmt: skip
    for name in systems:
        cell = row.cells.get(name)
        arrow = "" if cell is None else " →" if cell.role == "source" else ""
        found[f"at_{name}"] = worded(cell.light, cell.word) + arrow if cell else ""
        found[f"why_{name}"] = f"{cell.role}: {cell.reason}" if cell else ""
    return found


def _flows_said(page: Overview) -> str:
    if not page.flows:
        return "Awaiting the first policies: load a pack, and every flow shows up here."
    late = sum(row.late for row in page.flows)
    unknown = sum(any(cell.light == "unknown" for cell in row.cells.values()) for row in page.flows)
    parts = [
        counted(len(page.flows), "flow"),
        f"{counted(late, 'delivery', 'deliveries')} past the promise",
        f"{unknown} not fully known",
    ]
    return f"{', '.join(parts)}. As of {clock_time(page.at)}. → marks the source; a grey hatch is unknown, never well."
