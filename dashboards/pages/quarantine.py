"""What waits for a person: look at a case, correct its record, replay it, or decide that it is not owed."""

from __future__ import annotations

import json
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component

from controlplane.access import Actor, allowed
from controlplane.api.answers import actor, commands
from controlplane.errors import BadInputError
from controlplane.views.quarantine import OPEN, Held, case, held
from controlplane.views.states import Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import acted, live, refresh
from dashboards.components.parts import aria, card, facts, page_head, quiet, state_column, table
from dashboards.components.text import ago, day_time, pretty, worded

OF_CASE = {"waiting": Light.BREACH, "corrected": Light.WARN, "replayed": Light.OK, "dropped": Light.UNKNOWN}
COLUMNS = [
    state_column("state", "State", minWidth=110, width=120),
    {"field": "subject", "headerName": "About", "minWidth": 150},
    {"field": "flow", "headerName": "Flow", "minWidth": 110},
    {"field": "code", "headerName": "Reason", "minWidth": 140},
    {"field": "reason", "headerName": "In words", "flex": 3, "minWidth": 240, "tooltipField": "reason"},
    {"field": "owner", "headerName": "Owner", "minWidth": 120},
    {"field": "age", "headerName": "Waits", "minWidth": 90},
]


def layout(asked: Asked) -> Component:
    """Draw the list, and the case that the address names."""
    chosen = asked.query.get("case")
    choice = dmc.Switch(id="quarantine-all", label="Also those that are closed", size="sm")
    grid = table("quarantine-grid", COLUMNS, empty="Nothing waits for a person.")
    return html.Div(
        [
            page_head("Quarantine"),
            live("quarantine"),
            card("What waits for a person", grid, aside=choice),
            html.Div(
                _panel(asked.plane, chosen) if chosen else [quiet("Choose a case to see its record.")],
                id="quarantine-case",
            ),
        ]
    )


def _panel(plane: Plane, case_id: str) -> list[Component]:
    with plane.store.read() as conn:
        one = case(conn, case_id)
    who, opened = actor(), one["state"] in OPEN
    record = one["corrected"] or one["record"]
    editor = dmc.Textarea(
        id="case-record", label="Record", value=pretty(record), autosize=True, minRows=6, maxRows=24,
        readOnly=not (opened and allowed(who, "quarantine.correct")), classNames={"input": "tu-code"},
        description="Correct the fields that are wrong and leave the others; the original is kept beside it.",
    )  # fmt: skip
    about = facts(
        [("State", one["state"]), ("Stage", one["stage"]), ("System", one["system"]), ("Flow", one["flow"]),
         ("Owner", one["owner"]), ("Since", day_time(one["opened_at"])), ("Case", one["id"])]
    )  # fmt: skip
    return [
        card(
            one["subject"], html.P(one["reason"], className="tu-big"),
            html.P(["What helps: ", one["remedy"]], className="tu-said"), about, editor,
            _buttons(who) if opened else quiet(f"Closed by {one['closed_by']}, {day_time(one['closed_at'])}."),
            html.Div(id="case-answer", **aria(live="polite")),
            html.Div(case_id, id="case-id", hidden=True),
        )
    ]  # fmt: skip


def _buttons(who: Actor) -> Component:
    def button(name: str, title: str, right: str, **look: Any) -> Component:
        found: Component = dmc.Button(title, id=f"case-{name}", disabled=not allowed(who, right), size="sm", **look)
        return found

    return html.Div(
        [
            button("correct", "Save the correction", "quarantine.correct", variant="default"),
            button("preview", "What would a replay do?", "quarantine.replay", variant="default"),
            button("replay", "Replay", "quarantine.replay"),
            dmc.TextInput(id="case-reason", placeholder="Reason for dropping it", size="sm", **aria(label="Reason")),
            button("drop", "Drop", "quarantine.drop", variant="outline", color="red"),
        ],
        className="tu-row",
        style={"margin": "12px 0"},
    )


def register(app: Dash, plane: Plane) -> None:
    """Keep the list up to date, open cases, act on them."""

    @refresh(app, "quarantine", [Output("quarantine-grid", "rowData")], Input("quarantine-all", "checked"))
    def update(everything: bool | None) -> list[Any]:
        now = plane.clock.now()
        with plane.store.read() as conn:
            return [[_row(one, now) for one in held(conn, everything=bool(everything))]]

    @app.callback(
        Output("quarantine-case", "children"),
        Input("quarantine-grid", "selectedRows"),
        prevent_initial_call=True,
    )
    def choose(rows: list[dict[str, Any]] | None) -> Any:
        return _panel(plane, rows[0]["id"]) if rows else no_update

    @app.callback(
        Output("case-answer", "children"),
        *(Input(f"case-{name}", "n_clicks") for name in ("correct", "preview", "replay", "drop")),
        State("case-id", "children"),
        State("case-record", "value"),
        State("case-reason", "value"),
        prevent_initial_call=True,
    )
    def act(*args: Any) -> Any:
        clicks, (case_id, record, reason) = args[:4], args[4:]
        if not any(clicks) or not ctx.triggered_id:
            return no_update
        deed = str(ctx.triggered_id).removeprefix("case-")
        return acted(lambda: _do(deed, case_id, record, reason or ""))


def _do(deed: str, case_id: str, record: str, reason: str) -> str:
    """Do what was asked in the name of who is signed in now; the service checks the right."""
    who = actor()
    if deed == "correct":
        commands().correct(case_id, _parsed(record), who)
        return "The correction is kept. Nothing is sent before the replay."
    if deed == "preview":
        return f"A replay would make: {json.dumps(commands().preview(case_id, who), ensure_ascii=False, default=str)}"
    if deed == "replay":
        return f"On its way again: {json.dumps(commands().replay(case_id, who), ensure_ascii=False, default=str)}"
    commands().drop(case_id, reason, who)
    return "Dropped: it is not owed any more."


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInputError(f"the record is no JSON: {error}; correct it there") from None


def _row(one: Held, now: Any) -> dict[str, Any]:
    return {
        "id": one.id, "state": worded(OF_CASE[one.state], one.state), "subject": one.subject, "flow": one.flow,
        "code": one.reason_code.replace("_", " "), "reason": one.reason, "owner": one.owner, "age": ago(one.opened_at, now),
    }  # fmt: skip
