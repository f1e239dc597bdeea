"""What waits for a person: look at a case, correct its record, replay it, or decide that it is not owed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from controlplane.access import Actor, allowed
from controlplane.api.answers import actor, commands
from controlplane.errors import BadInputError
from controlplane.sync.engines.workbench import Edit
from controlplane.sync.quarantine import OPEN
from controlplane.views.quarantine import Held, about, case, held
from controlplane.views.states import Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import HIDE, acted, live, opens, refresh
from dashboards.components.parts import Node, aria, card, chip, code, facts, page_head, quiet, state_column, table
from dashboards.components.text import ago, counted, day_time, pretty, worded

OF_CASE = {"waiting": Light.BREACH, "corrected": Light.WARN, "replayed": Light.OK, "dropped": Light.UNKNOWN}
DEEDS = ("correct", "preview", "approve", "replay", "vouch", "drop")
REASONED = ("vouch", "drop")
"""What takes a reason."""
SHOWN = 3
"""Messages of a preview that are shown; a till row makes one."""
COLUMNS = [
    state_column("state", "State", minWidth=110, width=120),
    {"field": "about", "headerName": "About", "flex": 2, "minWidth": 200, "tooltipField": "about"},
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
            dcc.Store(id="case-id", data=chosen),
            html.Div(
                _panel(asked.plane, chosen) if chosen else [quiet("Choose a case to see its record.")],
                id="quarantine-case",
            ),
        ]
    )


def _panel(plane: Plane, case_id: str, answer: Node = None) -> list[Component]:
    with plane.store.read() as conn:
        one = case(conn, case_id)
    who, opened = actor(), one["state"] in OPEN
    known = facts(
        [("Subject", one["subject"]), ("Stage", one["stage"]), ("System", one["system"]), ("Flow", one["flow"]),
         ("Owner", one["owner"]), ("Since", day_time(one["opened_at"])), ("Case", one["id"])]
    )  # fmt: skip
    return [
        card(
            about(one["subject"], one["record"]), html.P(one["reason"], className="tu-big"),
            html.P(["What helps: ", one["remedy"]], className="tu-said"), known,
            _editor(one, opened and allowed(who, "quarantine.correct")), _original(one),
            _waits(one) if opened else None,
            _buttons(who, one) if opened else _closed(one),
            html.Div(answer, id="case-answer", **aria(live="polite")),
            aside=chip(OF_CASE[one["state"]], one["state"]),
        )
    ]  # fmt: skip


def _editor(one: Mapping[str, Any], editable: bool) -> Component:
    found: Component = dmc.Textarea(
        id="case-record", label="Record", value=pretty(_record(one)), autosize=True, minRows=6, maxRows=24,
        readOnly=not editable, classNames={"input": "tu-code"},
        description="Correct what is wrong and leave the rest; the original is kept beside it. Nothing is sent before the replay.",
    )  # fmt: skip
    return found


def _record(one: Mapping[str, Any]) -> Any:
    return one["record"] if one["corrected"] is None else one["corrected"]


def _original(one: Mapping[str, Any]) -> Node:
    if one["corrected"] is None:
        return None
    return html.Details([html.Summary("As it was before the correction"), code(pretty(one["record"]))])


def _closed(one: Mapping[str, Any]) -> Component:
    said = f"{one['state'].capitalize()} by {one['closed_by']}, {day_time(one['closed_at'])}. "
    if one["replayed_as"] is None or one["stage"] == "delivery":
        return quiet(said)
    link = dcc.Link("See what becomes of it", href=f"/messages/{one['replayed_as']}")
    return html.P([said, link], className="tu-said")


def _waits(one: Mapping[str, Any]) -> Node:
    if not one["needs_approval"]:
        return None
    if one["approved_by"]:
        return quiet(f"{one['approved_by']} has approved the correction.")
    why = next((step["note"] for step in reversed(one["history"]) if "a second person" in step["note"]), "")
    return html.P(f"The correction waits for an approval: {why}", className="tu-said")


def _buttons(who: Actor, one: Mapping[str, Any]) -> Component:
    def button(name: str, title: str, right: str, **look: Any) -> Component:
        found: Component = dmc.Button(title, id=f"case-{name}", disabled=not allowed(who, right), size="sm", **look)
        return found

    waits, sent = one["needs_approval"] and not one["approved_by"], one["stage"] == "delivery"
    reason = "Reason for dropping it, or how you know that it had no effect" if sent else "Reason for dropping it"
    return html.Div(
        [
            button("correct", "Save the correction", "quarantine.correct", variant="default"),
            button("preview", "What would a replay do?", "quarantine.replay", variant="default"),
            button("approve", "Approve", "quarantine.approve", style={} if waits else HIDE),
            button("replay", "Replay", "quarantine.replay"),
            dmc.TextInput(id="case-reason", placeholder=reason, size="sm", **aria(label="Reason")),
            button(
                "vouch", "It had no effect there", "quarantine.replay", variant="default", style={} if sent else HIDE
            ),
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
            return [[_row(one, now) for one in held(conn, everything=bool(everything)).rows]]

    @app.callback(
        Output("quarantine-case", "children"),
        Output("case-id", "data"),
        Input("quarantine-grid", "cellClicked"),
        State("case-id", "data"),
        prevent_initial_call=True,
    )
    def choose(cell: dict[str, Any] | None, shown: str | None) -> Any:
        if not cell or cell["rowId"] == shown:
            return no_update, no_update  # what somebody has begun to write there stays
        return _panel(plane, cell["rowId"]), cell["rowId"]

    opens(app, "quarantine-grid")

    @app.callback(
        Output("quarantine-case", "children", allow_duplicate=True),
        Output("case-answer", "children"),
        Output("case-record", "error"),
        Output("case-reason", "error"),
        *(Input(f"case-{name}", "n_clicks") for name in DEEDS),
        State("case-id", "data"),
        State("case-record", "value"),
        State("case-reason", "value"),
        prevent_initial_call=True,
    )
    def act(*args: Any) -> Any:
        clicks, (case_id, record, reason) = args[: len(DEEDS)], args[len(DEEDS) :]
        if not any(clicks) or not ctx.triggered_id:
            return [no_update] * 4
        deed = str(ctx.triggered_id).removeprefix("case-")
        return _act(plane, deed, case_id, record or "", reason or "")


def _act(plane: Plane, deed: str, case_id: str, record: str, reason: str) -> list[Any]:
    """Return the case as it is after the deed; when what was written is wrong, leave it, and say so beside the field."""
    try:
        answer = acted(lambda: _do(plane, deed, case_id, record, reason), beside=(BadInputError,))
    except BadInputError as error:
        wrong = str(error)
        return [no_update, None, *((None, wrong) if deed in REASONED else (wrong, None))]
    return [_panel(plane, case_id, answer), no_update, no_update, no_update]


def _do(plane: Plane, deed: str, case_id: str, record: str, reason: str) -> Any:
    """Do what was asked in the name of who is signed in now; the service checks the right."""
    who = actor()
    if deed == "drop":
        commands().drop(case_id, reason, who)
        return "Dropped: it is not owed any more."
    if deed == "vouch":
        commands().vouch(case_id, reason, who)
        return "Noted in your name: what was sent of it had no effect. Nothing is sent before the replay."
    if deed == "approve":
        with plane.store.read() as conn:
            one = case(conn, case_id)
        if _parsed(record) != _record(one):
            raise BadInputError("this is not the correction that waits; open the case again, and look at what it says")
        commands().approve(case_id, who, one["correction_id"])
        return "Approved: it can be replayed."
    kept = _keep(plane, case_id, record, who)
    if deed == "preview":
        return _would(commands().preview(case_id, who))
    if deed == "replay":
        return _replayed(commands().replay(case_id, who))
    return "The correction is kept. Nothing is sent before the replay." if kept else "It says what it said before."


def _keep(plane: Plane, case_id: str, text: str, who: Actor) -> bool:
    """Keep what was written as the correction, if it differs: what is looked at and sent is what stands in the field."""
    record = _parsed(text)
    with plane.store.read() as conn:
        differs = record != _record(case(conn, case_id))
    if differs:
        commands().correct(case_id, Edit(record), who)
    return bool(differs)


def _would(made: Mapping[str, Any]) -> list[Node]:
    if made["superseded_by"]:
        return ["A newer state has gone through since: a replay would drop this one."]
    if "payload" in made:
        shows = made["shows"]
        return [
            f"A replay would send this to {made['target']}:", code(pretty(made["payload"])),
            html.P(f"{made['target']} shows now: {shows['detail'] or shows['result']}", className="tu-said"),
        ]  # fmt: skip
    found: list[Node] = [f"A replay would make {counted(len(made['messages']), 'message')}; nothing was changed."]
    for one in made["messages"][:SHOWN]:
        found += [html.Div(html.B(f"{one['type']} about {one['subject']}")), code(pretty(one["data"]))]
    found += [html.P(f"It would wait again: {one['reason']}", className="tu-said") for one in made["held"][:SHOWN]]
    return found


def _replayed(made: Mapping[str, Any]) -> list[Node]:
    if "superseded" in made:
        return ["A newer state has gone through since: this one is dropped instead."]
    if "delivery" in made:
        return ["On its way again, under the key ", html.Code(made["idempotency_key"]), "."]
    if not made["messages"]:
        return ["The plane knew it already: nothing is sent a second time."]
    return ["On its way again."]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInputError(f"the record is no JSON: {error}; correct it there") from None


def _row(one: Held, now: Any) -> dict[str, Any]:
    return {
        "id": one.id, "state": worded(OF_CASE[one.state], one.state), "about": one.about, "flow": one.flow,
        "code": one.reason_code.replace("_", " "), "reason": one.reason, "owner": one.owner, "age": ago(one.opened_at, now),
        "link": f"/quarantine?case={one.id}",
    }  # fmt: skip
