"""One finding: what each side showed and when it was read, why that is wrong, what it is worth, what was done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from controlplane.views.findings import FindingPage, finding
from controlplane.views.states import OF_DELIVERY, OF_FINDING, Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import leads, live, refresh, signature
from dashboards.components.parts import Node, card, chip, code, facts, page_head, state_column, table
from dashboards.components.text import clock_time, day_time, exact_time, money, pretty, worded
from dashboards.figures.evidence import Reading, intervals, said
from dashboards.pages.findings import values

READ = [
    {"field": "system", "headerName": "System", "minWidth": 90},
    {"field": "on_hand", "headerName": "On hand", "minWidth": 90, "type": "rightAligned"},
    {"field": "available", "headerName": "Available", "minWidth": 90, "type": "rightAligned"},
    {"field": "read", "headerName": "Read between", "flex": 2, "minWidth": 200},
    {"field": "source_at", "headerName": "Changed there", "flex": 1, "minWidth": 160},
]
WRITES = [
    state_column("state", "State", minWidth=120),
    {"field": "at", "headerName": "Owed since", "minWidth": 130},
    {"field": "quantity", "headerName": "Value", "minWidth": 80, "type": "rightAligned"},
    {"field": "attempts", "headerName": "Attempts", "minWidth": 90, "type": "rightAligned"},
    {"field": "detail", "headerName": "Outcome", "flex": 2, "minWidth": 160},
]


def layout(asked: Asked) -> Component:
    """Draw the page of one finding. Raises NotFoundError."""
    page = _read(asked.plane, asked.key)
    one = page.finding
    readings = _readings(page)
    figure = dcc.Graph(
        figure=intervals(readings), config={"displayModeBar": False, "responsive": True}, className="tu-graph"
    )
    raw = html.Details([html.Summary("All evidence, as it was kept"), code(pretty(page.evidence))])
    return html.Div(
        [
            page_head(one.subject, html.Div(id="finding-state", className="tu-row"),
                      back=("Findings", "/findings")),
            live("finding", every=3000),
            dcc.Store(id="finding-id", data=asked.key),
            dcc.Store(id="finding-seen"),
            facts(_about(page)),
            card("Why", html.P(one.explanation, className="tu-big")),
            card("What each side showed, and when we read it", table("finding-read", READ, _read_rows(page)),
                 figure if readings else None, html.P(said(readings), className="tu-said"), raw),
            card("What was sent to the wrong side since",
                 table("finding-writes", WRITES, empty="Nothing was sent to it for this key since.")),
        ]
    )  # fmt: skip


def _read(plane: Plane, finding_id: str) -> FindingPage:
    with plane.store.read() as conn:
        return finding(conn, finding_id)


def _about(page: FindingPage) -> list[tuple[str, Node]]:
    one = page.finding
    known: list[tuple[str, Node]] = [
        ("Wrong side", one.side),
        ("Shows / ought to", values(one)),
        ("Cause", one.cause.replace("_", " ")),
        ("Worth", money(one.money, one.currency)),
        ("First seen", day_time(one.first_seen_at)),
        ("Confirmed", day_time(one.confirmed_at)),
        ("Comparison", dcc.Link(one.comparison, href="/comparisons")),
    ]
    if one.field:
        known.insert(1, ("Field", one.field.replace("_", " ")))
    if one.accepted_by:
        known.append(("Accepted", f"by {one.accepted_by}: {one.note}"))
    if page.product:
        known.insert(0, ("Product", page.product["title"]))
    if page.message:
        known.append(("Message", dcc.Link(page.message["type"], href=f"/messages/{page.message['id']}")))
    return known


def _rows_read(page: FindingPage) -> list[tuple[str, Mapping[str, Any]]]:
    found = page.evidence.get("read", {})
    return [(system, row) for system, row in found.items() if row] if isinstance(found, Mapping) else []


def _read_rows(page: FindingPage) -> list[dict[str, Any]]:
    rows = [_read_row(system, row, page.finding.first_seen_at) for system, row in _rows_read(page)]
    position = page.evidence.get("position")
    if isinstance(position, Mapping):
        plane = {
            "system": "the ledger",
            "read": "what the plane was told",
            "source_at": _changed(position, page.finding.first_seen_at),
        }
        rows.append(
            {
                "id": "ledger",
                **plane,
                "on_hand": _count(position, "on_hand"),
                "available": _count(position, "available"),
            }
        )
    return rows


def _read_row(system: str, row: Mapping[str, Any], seen: datetime) -> dict[str, Any]:
    read = f"{exact_time(_instant(row, 'read_from'))} and {exact_time(_instant(row, 'read_to'))} UTC"
    return {
        "id": system, "system": system, "on_hand": _count(row, "on_hand"), "available": _count(row, "available"),
        "read": read, "source_at": _changed(row, seen),
    }  # fmt: skip


def _count(row: Mapping[str, Any], name: str) -> str:
    return "—" if row.get(name) is None else f"{row[name]:,}"


def _instant(row: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(str(row[name])) if row.get(name) else None


def _changed(row: Mapping[str, Any], seen: datetime) -> str:
    """Write when the system says that the value changed, with its date where that is not the finding's."""
    at = _instant(row, "source_at")
    if at is None:
        return "not told"
    day = "" if at.date() == seen.date() else f"{at:%Y-%m-%d} "
    return f"{day}{exact_time(at)} UTC"


def _readings(page: FindingPage) -> list[Reading]:
    found = [(system, _instant(row, "read_from"), _instant(row, "read_to")) for system, row in _rows_read(page)]
    return [Reading(system, since, until) for system, since, until in found if since and until]


def register(app: Dash, plane: Plane) -> None:
    """Follow what becomes of the finding."""
    outputs = [Output("finding-state", "children"), Output("finding-writes", "rowData"), Output("finding-seen", "data")]

    @refresh(app, "finding", outputs, Input("finding-id", "data"), State("finding-seen", "data"))
    def update(finding_id: str, seen: str | None) -> list[Any]:
        page = _read(plane, finding_id)
        mark = signature((page.finding, page.deliveries))
        if mark == seen:
            return [no_update, no_update, no_update]
        one = page.finding
        state = chip(OF_FINDING.get(one.state, Light.UNKNOWN), one.state)
        closed = f"closed {day_time(one.closed_at)}" if one.closed_at else "not closed"
        return [[state, html.Span(closed, className="tu-said")], [_write(row) for row in page.deliveries], mark]

    leads(app, "finding-writes")


def _write(row: Mapping[str, Any]) -> dict[str, Any]:
    payload = row["payload"] if isinstance(row["payload"], Mapping) else {}
    return {
        "id": row["id"], "state": worded(OF_DELIVERY[row["state"]], row["state"]), "at": clock_time(row["created_at"]),
        "quantity": payload.get("quantity"), "attempts": row["attempts"], "detail": row["detail"] or row["outcome"] or "not tried yet",
        "link": f"/messages/{row['message_id']}",
    }  # fmt: skip
