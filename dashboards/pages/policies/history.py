"""The revisions of a policy: who wrote which, what differs between two, and the way back to an older one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html, no_update
from dash import State as Held
from dash.development.base_component import Component

from controlplane.api.answers import actor, commands
from controlplane.registry import revisions
from controlplane.views.policies import PolicyPage
from controlplane.wiring import Plane
from dashboards.components.live import acted
from dashboards.components.parts import aria, card, code, quiet, table
from dashboards.components.text import day_time
from dashboards.pages.policies import difference
from rules.policy.difference import Field, changed_fields

REQUEST = "change_request/"
COLUMNS = [
    {"field": "revision", "headerName": "Rev.", "minWidth": 60, "flex": None, "width": 64, "type": "rightAligned"},
    {"field": "since", "headerName": "In force from", "minWidth": 202},
    {"field": "until", "headerName": "Until", "minWidth": 202},
    {"field": "author", "headerName": "Written by", "minWidth": 96},
    {"field": "origin", "headerName": "Came by", "minWidth": 130, "tooltipField": "origin"},
]


def came_by(row: Mapping[str, Any]) -> Any:
    """Return how a revision came to be, with the way to the request that it came by."""
    origin = str(row["origin"])
    if not origin.startswith(REQUEST):
        return "the first pack" if origin == "genesis" else origin
    return dcc.Link("a change request", href=f"/policies?request={origin.removeprefix(REQUEST)}")


def layout(page: PolicyPage, may: bool) -> Component:
    """Draw the revisions, the difference of the newest two, and the way back."""
    numbers = [row["revision"] for row in page.history]
    return card(
        "History", table("history-grid", COLUMNS, [_row(row) for row in page.history]),
        *_two(numbers), *_way_back(numbers[1:], may), html.Div(id="history-answer", **aria(live="polite")),
    )  # fmt: skip


def _two(numbers: Sequence[int]) -> list[Component]:
    """Return the choice of two revisions, and what differs between them."""
    if len(numbers) < 2:
        return [quiet("It is as it was in the beginning: there is nothing to hold it against.")]
    choice = [_select("history-from", "From", numbers, numbers[1]), _select("history-to", "To", numbers, numbers[0])]
    return [
        html.Div(choice, className="tu-row", style={"margin": "12px 0"}), difference.grid("history-fields"),
        html.Details([html.Summary("As YAML"), code("", id="history-yaml")]),
    ]  # fmt: skip


def _select(select_id: str, label: str, numbers: Sequence[int], value: int, **more: Any) -> Component:
    data = [{"value": str(number), "label": f"revision {number}"} for number in numbers]
    found: Component = dmc.Select(
        id=select_id, label=label, data=data, value=str(value), size="sm", w=160, allowDeselect=False, **more
    )
    return found


def _way_back(older: Sequence[int], may: bool) -> list[Component]:
    """Return what it takes to go back, and why it cannot be done where it cannot."""
    able = may and bool(older)
    row = html.Div(
        [_select("rollback-to", "Go back to", older, older[0] if older else 0, disabled=not able),
         dmc.TextInput(id="rollback-reason", label="Why", size="sm", w=260, disabled=not able),
         dmc.Button("Propose to go back", id="rollback", size="sm", variant="default", disabled=not able)],
        className="tu-row tu-row-end", style={"margin": "12px 0"},
    )  # fmt: skip
    if able:
        return [
            row,
            quiet("Going back is a change like any other: it is simulated, approved, and becomes a new revision."),
        ]
    why = (
        "there is no older revision"
        if may
        else "it takes the right to propose changes, which your roles do not include"
    )
    return [row, quiet(f"You cannot go back: {why}.")]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    until = day_time(row["valid_to"]) if row["valid_to"] else "in force"
    origin = "the first pack" if row["origin"] == "genesis" else str(row["origin"]).replace(REQUEST, "request ")
    return {
        "id": str(row["revision"]), "revision": row["revision"], "since": day_time(row["valid_from"]), "until": until,
        "author": row["author"], "origin": origin,
    }  # fmt: skip


def register(app: Dash, plane: Plane) -> None:
    """Hold two revisions against each other, and propose to go back to one."""

    @app.callback(
        Output("history-fields", "rowData"), Output("history-yaml", "children"),
        Input("history-from", "value"), Input("history-to", "value"), Held("policy-base", "data"),
    )  # fmt: skip
    def compare(before: str | None, after: str | None, base: list[Any] | None) -> Any:
        if not (before and after and base):
            return no_update, no_update
        with plane.store.read() as conn:
            old, new = (revisions.get(conn, base[0], base[1], int(one))["document"] for one in (before, after))
        found = [Field(path, was, was, now, "mine") for path, was, now in changed_fields(old, new)]
        return difference.rows(found), difference.as_diff(old, new, (f"revision {before}", f"revision {after}"))

    @app.callback(
        Output("history-answer", "children"),
        Input("rollback", "n_clicks"),
        Held("policy-base", "data"), Held("rollback-to", "value"), Held("rollback-reason", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def go_back(clicks: int | None, base: list[Any], revision: str | None, reason: str | None) -> Any:
        if not (clicks and revision):
            return no_update
        return acted(lambda: _go_back(base, int(revision), reason or ""))


def _go_back(base: Sequence[Any], revision: int, reason: str) -> Any:
    kind, name, seen = base[:3]
    changes, who = commands().changes, actor()
    made = changes.roll_back(kind, name, revision, reason, who, seen=seen)
    changes.submit(made.id, who)
    link = dcc.Link("Open the change request", href=f"/policies?request={made.id}", className="tu-link")
    return [f"Proposed to go back to revision {revision}. Somebody else has to approve it. ", link]
