"""Policies: what was promised, how it came to be, and how it is changed: proposed by one person, approved by another."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import dash_mantine_components as dmc
import yaml
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from controlplane.access import allowed
from controlplane.api.answers import actor, commands
from controlplane.errors import BadInputError
from controlplane.views.policies import catalogue, change_request, change_requests, policy
from controlplane.views.states import Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import acted, live, refresh
from dashboards.components.parts import aria, card, chip, code, facts, page_head, quiet, state_column, table
from dashboards.components.text import ago, counted, day_time, worded

OF_REQUEST = {
    "draft": Light.INFO, "in_review": Light.WARN, "approved": Light.OK, "effective": Light.OK,
    "rejected": Light.UNKNOWN, "withdrawn": Light.UNKNOWN, "conflict": Light.BREACH,
}  # fmt: skip
CATALOGUE = [
    {"field": "kind", "headerName": "Kind", "minWidth": 130, "filter": True},
    {"field": "name", "headerName": "Name", "flex": 2, "minWidth": 160, "filter": True},
    {"field": "owner", "headerName": "Owner", "minWidth": 140, "filter": True},
    {"field": "revision", "headerName": "Revision", "minWidth": 90, "type": "rightAligned"},
    {"field": "since", "headerName": "In force since", "minWidth": 180},
]
REQUESTS = [
    state_column("state", "State", minWidth=120),
    {"field": "policy", "headerName": "Policy", "minWidth": 180},
    {"field": "title", "headerName": "Change", "flex": 2, "minWidth": 200},
    {"field": "author", "headerName": "By", "minWidth": 90},
    {"field": "age", "headerName": "Asked", "minWidth": 100},
]
STRONG = {"approve": "filled", "apply": "filled"}
DEEDS = ("submit", "approve", "reject", "apply")


def layout(asked: Asked) -> Component:
    """Draw the catalogue, and the policy that the address names."""
    kind, name = asked.query.get("kind"), asked.query.get("name")
    shown = (
        _panel(asked.plane, kind, name)
        if kind and name
        else [quiet("Choose a policy to see its document and history.")]
    )
    return html.Div(
        [
            page_head("Policies"),
            live("policies"),
            card("Change requests", table("requests-grid", REQUESTS, empty="No change is asked for."),
                 aside=dmc.Switch(id="requests-all", label="Also those that are decided", size="sm")),
            html.Div(id="request-one"),
            html.Div(
                [card("In force", table("policies-grid", CATALOGUE, _entries(asked.plane), height=520)), html.Div(shown, id="policy-one")],
                className="tu-split",
            ),
        ]
    )  # fmt: skip


def _entries(plane: Plane) -> list[dict[str, Any]]:
    with plane.store.read() as conn:
        return [{**row, "since": day_time(row["valid_from"]), "valid_from": None} for row in catalogue(conn)]


def _panel(plane: Plane, kind: str, name: str) -> list[Component]:
    with plane.store.read() as conn:
        page = policy(conn, kind, name)
    history = [
        f"r{row['revision']} · {day_time(row['valid_from'])} · {row['author']} · {row['origin']}"
        for row in page.history
    ]
    may = allowed(actor(), "policy.propose")
    return [
        card(
            f"{kind}/{name}",
            dmc.Textarea(id="policy-document", label="Document", value=as_yaml(page.policy["document"]), autosize=True,
                         minRows=8, maxRows=26, readOnly=not may, classNames={"input": "tu-code"}),
            html.Div(
                [dmc.TextInput(id="policy-title", placeholder="What changes, in a line", size="sm", w=260, **aria(label="Title")),
                 dmc.TextInput(id="policy-reason", placeholder="Why", size="sm", w=260, **aria(label="Reason")),
                 dmc.Button("Propose and ask for review", id="policy-propose", size="sm", disabled=not may)],
                className="tu-row", style={"margin": "12px 0"},
            ),
            html.Div(id="policy-answer", **aria(live="polite")),
            html.Details([html.Summary(counted(len(history), "revision")), code("\n".join(history))], open=len(history) > 1),
            dcc.Store(id="policy-named", data=[kind, name]),
            aside=chip(Light.INFO, f"revision {page.policy['revision']}"),
        )
    ]  # fmt: skip


def as_yaml(document: Mapping[str, Any]) -> str:
    """Write a document the way packs are written."""
    return str(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100))


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """Return what a request changes, as a unified diff of the documents."""
    old = as_yaml(before).splitlines() if before else []
    lines = difflib.unified_diff(old, as_yaml(after).splitlines(), "in force", "proposed", lineterm="", n=3)
    return "\n".join(lines) or "The same as what is in force."


def _request_panel(plane: Plane, request_id: str) -> list[Component]:
    with plane.store.read() as conn:
        one = change_request(conn, request_id)
    votes = ", ".join(f"{vote['voter']}: {vote['decision']}" for vote in one["votes"]) or "none yet"
    about = facts([("Policy", f"{one['kind']}/{one['name']}"), ("Author", one["author"]), ("Votes", votes),
                   ("Reason", one["reason"] or "—"), ("Bound to", one["hash"][:12])])  # fmt: skip
    return [
        card(
            one["title"], about, code(difference(one["in_force"], one["document"])),
            html.Div([dmc.TextInput(id="request-comment", placeholder="Comment", size="sm", w=260, **aria(label="Comment")),
                      *_deeds(one)], className="tu-row", style={"margin": "12px 0"}),
            html.Div(id="request-answer", **aria(live="polite")),
            dcc.Store(id="request-id", data=request_id),
            aside=chip(OF_REQUEST[one["state"]], one["state"].replace("_", " ")),
        )
    ]  # fmt: skip


def _deeds(one: Mapping[str, Any]) -> list[Component]:
    """Show every button, and enable those that state and rights allow; the service decides in any case."""
    who, state = actor(), one["state"]
    own = who.name in {one["author"], one["last_editor"]}
    may = {
        "submit": state == "draft" and allowed(who, "policy.propose"),
        "approve": state == "in_review" and allowed(who, "policy.approve") and not own,
        "reject": state == "in_review" and allowed(who, "policy.approve") and not own,
        "apply": state == "approved" and allowed(who, "policy.apply"),
    }
    return [
        dmc.Button(deed.capitalize(), id=f"request-{deed}", size="sm", disabled=not may[deed],
                   variant=STRONG.get(deed, "default"))
        for deed in DEEDS
    ]  # fmt: skip


def register(app: Dash, plane: Plane) -> None:
    """Keep requests up to date; open policies and requests; propose, vote and apply."""

    @refresh(app, "policies", [Output("requests-grid", "rowData")], Input("requests-all", "checked"))
    def update(everything: bool | None) -> list[Any]:
        now = plane.clock.now()
        with plane.store.read() as conn:
            return [[_request_row(one, now) for one in change_requests(conn, bool(everything))]]

    @app.callback(Output("policy-one", "children"), Input("policies-grid", "selectedRows"), prevent_initial_call=True)
    def choose(rows: list[dict[str, Any]] | None) -> Any:
        return _panel(plane, rows[0]["kind"], rows[0]["name"]) if rows else no_update

    @app.callback(Output("request-one", "children"), Input("requests-grid", "selectedRows"), prevent_initial_call=True)
    def choose_request(rows: list[dict[str, Any]] | None) -> Any:
        return _request_panel(plane, rows[0]["id"]) if rows else no_update

    @app.callback(
        Output("policy-answer", "children"),
        Input("policy-propose", "n_clicks"),
        State("policy-named", "data"), State("policy-document", "value"),
        State("policy-title", "value"), State("policy-reason", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def propose(clicks: int | None, named: list[str], text: str, title: str | None, reason: str | None) -> Any:
        return acted(lambda: _propose(named, text, title or "", reason or "")) if clicks else no_update

    @app.callback(
        Output("request-answer", "children"),
        *(Input(f"request-{deed}", "n_clicks") for deed in DEEDS),
        State("request-id", "data"),
        State("request-comment", "value"),
        prevent_initial_call=True,
    )
    def decide(*args: Any) -> Any:
        clicks, (request_id, comment) = args[: len(DEEDS)], args[len(DEEDS) :]
        if not any(clicks) or not ctx.triggered_id:
            return no_update
        deed = str(ctx.triggered_id).removeprefix("request-")
        return acted(lambda: _decide(deed, request_id, comment or ""))


def _propose(named: list[str], text: str, title: str, reason: str) -> str:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInputError(f"the document is no YAML: {error}; correct it there") from None
    changes, who = commands().changes, actor()
    made = changes.open(named[0], named[1], document, title, reason, who)
    changes.submit(made.id, who)
    return "Proposed. Somebody else has to approve it before it can be applied."


def _decide(deed: str, request_id: str, comment: str) -> str:
    changes, who = commands().changes, actor()
    if deed == "submit":
        changes.submit(request_id, who)
        return "In review: somebody else has to approve it."
    if deed == "apply":
        changes.apply(request_id, who)
        return "In force from now on; every room works by it without a restart."
    changes.vote(request_id, who, deed, comment)
    return "Approved: it can be applied now." if deed == "approve" else "Rejected."


def _request_row(one: Mapping[str, Any], now: Any) -> dict[str, Any]:
    state = one["state"].replace("_", " ")
    return {
        "id": one["id"], "state": worded(OF_REQUEST[one["state"]], state), "policy": f"{one['kind']}/{one['name']}",
        "title": one["title"], "author": one["author"], "age": ago(one["created_at"], now),
    }  # fmt: skip
