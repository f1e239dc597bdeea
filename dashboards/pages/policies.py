"""Policies: what was promised, how it came to be, and how it is changed: proposed by one person, approved by another."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
import yaml
from dash import Dash, Input, Output, ctx, dcc, html, no_update
from dash import State as Held
from dash.development.base_component import Component

from controlplane.access import Actor, allowed
from controlplane.api.answers import actor, commands
from controlplane.api.problems import AGAIN
from controlplane.errors import BadInputError, ConflictError, PolicyError, StepUpError
from controlplane.registry.changes import Changes
from controlplane.registry.requests import etag_of
from controlplane.views.policies import catalogue, change_request, change_requests, policy
from controlplane.views.states import Light
from controlplane.wiring import Plane
from dashboards.components.asked import Asked
from dashboards.components.live import acted, live, opens, refresh
from dashboards.components.parts import Node, aria, card, chip, code, facts, page_head, quiet, state_column, table
from dashboards.components.text import ago, counted, day_time, worded
from dashboards.figures.simulation import HEIGHT, before_and_after, caption
from rules.changes import UNDECIDED, Deed, State, after

OF_REQUEST = {
    "draft": Light.INFO, "in_review": Light.WARN, "approved": Light.OK, "scheduled": Light.OK, "effective": Light.OK,
    "superseded": Light.UNKNOWN, "rolled_back": Light.UNKNOWN, "rejected": Light.UNKNOWN, "withdrawn": Light.UNKNOWN,
    "expired": Light.UNKNOWN, "conflict": Light.BREACH,
}  # fmt: skip
CATALOGUE = [
    {"field": "kind", "headerName": "Kind", "minWidth": 130, "filter": True},
    {"field": "name", "headerName": "Name", "flex": 2, "minWidth": 160, "filter": True},
    {"field": "owner", "headerName": "Owner", "minWidth": 160, "filter": True},
    {"field": "revision", "headerName": "Revision", "minWidth": 84, "flex": None, "width": 84, "type": "rightAligned"},
    {"field": "since", "headerName": "In force since", "minWidth": 190},
]
REQUESTS = [
    state_column("state", "State", minWidth=120),
    {"field": "policy", "headerName": "Policy", "minWidth": 180},
    {"field": "title", "headerName": "Change", "flex": 2, "minWidth": 200},
    {"field": "author", "headerName": "By", "minWidth": 90},
    {"field": "age", "headerName": "Asked", "minWidth": 100},
]
STRONG = {"approve": "filled", "apply": "filled"}
DEEDS = ("simulate", "submit", "approve", "reject", "apply", "withdraw", "review")
OWED = "review owed"


def layout(asked: Asked) -> Component:
    """Draw the catalogue, and the policy that the address names."""
    kind, name = asked.query.get("kind"), asked.query.get("name")
    quietly = [quiet("Choose a policy to see its document and history.")]
    shown, base = _panel(asked.plane, kind, name) if kind and name else (quietly, None)
    request = asked.query.get("request")
    return html.Div(
        [
            page_head("Policies"),
            live("policies"),
            dcc.Store(id="policies-version"),
            dcc.Store(id="policy-base", data=base),
            dcc.Store(id="request-id", data=request),
            card("Change requests", *_staffing(), table("requests-grid", REQUESTS, empty="No change is asked for."),
                 aside=dmc.Switch(id="requests-all", label="Also those that are decided", size="sm")),
            html.Div(_request_panel(asked.plane, request) if request else None, id="request-one"),
            html.Div(
                [card("In force", table("policies-grid", CATALOGUE, _entries(asked.plane), height=520)), html.Div(shown, id="policy-one")],
                className="tu-split",
            ),
        ]
    )  # fmt: skip


def _staffing() -> list[Component]:
    """Say so where there is one person only, for then nobody can approve anything."""
    found = commands().changes.staffing()
    return [quiet(found.note)] if found.one_person else []


def _entries(plane: Plane) -> list[dict[str, Any]]:
    with plane.store.read() as conn:
        return [_entry(row) for row in catalogue(conn)]


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    named = f"{row['kind']}/{row['name']}"
    return {
        "id": named, "kind": row["kind"], "name": row["name"], "owner": row["owner"], "revision": row["revision"],
        "since": day_time(row["valid_from"]), "link": f"/policies?kind={row['kind']}&name={row['name']}",
    }  # fmt: skip


def _panel(plane: Plane, kind: str, name: str) -> tuple[list[Component], list[Any]]:
    """Return the card of a policy, and what a proposal made in it stands on: kind, name, revision."""
    with plane.store.read() as conn:
        page = policy(conn, kind, name)
    history = [
        f"r{row['revision']} · {day_time(row['valid_from'])} · {row['author']} · {row['origin']}"
        for row in page.history
    ]
    may = allowed(actor(), "policy.propose")
    shown = [
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
            aside=chip(Light.INFO, f"revision {page.policy['revision']}"),
        )
    ]  # fmt: skip
    return shown, [kind, name, page.policy["revision"]]


def as_yaml(document: Mapping[str, Any]) -> str:
    """Write a document the way packs are written."""
    return str(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100))


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """Return what a request changes, as a unified diff of the documents."""
    old = as_yaml(before).splitlines() if before else []
    lines = difflib.unified_diff(old, as_yaml(after).splitlines(), "in force", "proposed", lineterm="", n=3)
    return "\n".join(lines) or "The same as what is in force."


def _request_panel(plane: Plane, request_id: str, answer: Node = None) -> list[Component]:
    with plane.store.read() as conn:
        one = change_request(conn, request_id)
    votes = ", ".join(_vote(vote) for vote in one["votes"]) or "none yet"
    about = facts([("Policy", f"{one['kind']}/{one['name']}"), ("Author", one["author"]), ("Votes", votes),
                   ("Reason", one["reason"] or "—"), ("Bound to", one["hash"][:12]), *_beyond(one)])  # fmt: skip
    return [
        card(
            one["title"], about, code(difference(one["in_force"], one["document"])), *_simulation(one),
            html.Div([dmc.TextInput(id="request-comment", placeholder="Comment", size="sm", w=260, **aria(label="Comment")),
                      *_deeds(one)], className="tu-row", style={"margin": "12px 0"}),
            dcc.Store(id="request-seen", data=etag_of(one["hash"], one["state"], one["base_revision"])),
            quiet(_whose_turn(one)), html.Div(answer, id="request-answer", **aria(live="polite")),
            aside=chip(OF_REQUEST[one["state"]], one["state"].replace("_", " ")),
        )
    ]  # fmt: skip


def _beyond(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is to be said of some requests only: risk, date, break-glass, what kept the plane from going on."""
    found = []
    if one["state"] in UNDECIDED:
        risk = commands().changes.risk(one["id"])
        found.append(("Risk", f"{'relaxes' if risk.relaxes else 'tightens'}; {risk.missing or 'approved'}"))
    if one["scheduled_for"] is not None:
        found.append(("In force from", f"{day_time(one['scheduled_for'])}, scheduled by {one['scheduled_by']}"))
    if one["break_glass"]:
        reviewed = f"reviewed by {one['reviewed_by']}" if one["reviewed_by"] else OWED
        found.append(("Break-glass", f"by {one['scheduled_by']}, ends {day_time(one['reverts_at'])}; {reviewed}"))
    if one["note"]:
        found.append(("Note", one["note"]))
    return found


def _simulation(one: Mapping[str, Any]) -> list[Component]:
    """Say what the change would have done in the weeks behind us."""
    found = commands().changes.simulation(one["id"])
    if found.result is None:
        return [quiet(found.note or "Not simulated yet; it is when review is asked for.")]
    impact = found.result.impact
    figures = [figure for figure in impact["figures"] if figure["before"] or figure["after"]]
    stale = "" if one["state"] not in UNDECIDED else found.missing
    shown: list[Component] = [
        html.H3("What it would have done", className="tu-subtitle"),
        quiet(
            f"Replayed from {day_time(found.result.since)} to {day_time(found.result.until)}; result {found.result.hash[:12]}."
        ),
    ]
    if stale:
        shown.append(chip(Light.WARN, f"stale: {stale}"))
    if figures:
        shown.append(html.Div([_plot(figure) for figure in figures], className="tu-multiples"))
    else:
        shown.append(quiet("Nothing would have been different: no figure is other than zero."))
    told = [_differs(row) for row in impact["rows"]]
    if told:
        summary = html.Summary(counted(len(told), "difference"))
        shown.append(html.Details([summary, code("\n".join(told))]))
    return [*shown, html.Ul([html.Li(line) for line in impact["not_simulated"]], className="tu-quiet")]


def _plot(figure: Mapping[str, Any]) -> Component:
    shown = before_and_after(figure)
    graph = dcc.Graph(figure=shown, config={"displayModeBar": False, "responsive": True}, style={"height": HEIGHT})
    return html.Figure([html.Figcaption(caption(figure)), graph])


def _differs(row: Mapping[str, Any]) -> str:
    """Write what differs in a line."""
    return ", ".join(f"{name}: {_both(value)}" for name, value in row.items() if value is not None)


def _both(value: Any) -> str:
    if isinstance(value, Mapping) and set(value) == {"before", "after"}:
        return f"{value['before']} -> {value['after']}"
    return " ".join(map(str, value.values())) if isinstance(value, Mapping) else str(value)


def _vote(vote: Mapping[str, Any]) -> str:
    void = " (void: edited since)" if vote["voided_at"] else ""
    return f"{vote['voter']}: {vote['decision']}{void}"


def _whose_turn(one: Mapping[str, Any]) -> str:
    """Say who can take the next step, and why it is not the reader where it is not."""
    who = actor()
    if one["review_owed"]:
        return "This was put in force without approval: an approver who had no part in it has to review it. Comment, and press Review."
    if one["state"] == "in_review" and who.name in {one["author"], one["last_editor"]}:
        return "You wrote this, so you cannot approve or reject it, whatever your roles: another approver has to."
    if one["state"] == "in_review" and not allowed(who, "policy.approve"):
        return "An approver has to look at this; your roles do not include that."
    if one["state"] == "conflict":
        return "What it was made on is not in force any more: withdraw it, and propose it anew on what is."
    return {"approved": "Approved, and not in force before it is applied."}.get(one["state"], "")


def _deeds(one: Mapping[str, Any]) -> list[Component]:
    """Show every button, and enable those that state and rights allow; the service decides in any case."""
    who, state = actor(), State(one["state"])
    own = who.name in {one["author"], one["last_editor"], one["scheduled_by"]}
    decides = allowed(who, "policy.approve") and not own
    may = {
        "simulate": state in UNDECIDED and (allowed(who, "policy.propose") or allowed(who, "policy.approve")),
        "submit": state == "draft" and allowed(who, "policy.propose"),
        "approve": state == "in_review" and decides,
        "reject": after(state, Deed.REJECT) is not None and decides,
        "apply": after(state, Deed.APPLY) is not None and allowed(who, "policy.apply"),
        "withdraw": state in UNDECIDED and allowed(who, "policy.propose") and (own or "admin" in who.roles),
        "review": one["review_owed"] and decides,
    }
    return [
        dmc.Button(deed.capitalize(), id=f"request-{deed}", size="sm", disabled=not may[deed],
                   variant=STRONG.get(deed, "default"))
        for deed in DEEDS
    ]  # fmt: skip


def register(app: Dash, plane: Plane) -> None:
    """Keep requests up to date; open policies and requests; propose, vote and apply."""

    outputs = [
        Output("requests-grid", "rowData"),
        Output("policies-grid", "rowData"),
        Output("policies-version", "data"),
    ]

    @refresh(app, "policies", outputs, Input("requests-all", "checked"), Held("policies-version", "data"))
    def update(everything: bool | None, seen: int | None) -> list[Any]:
        now, version = plane.clock.now(), plane.registry.snapshot().version
        with plane.store.read() as conn:
            rows = [_request_row(one, now) for one in change_requests(conn, bool(everything)).rows]
        return [rows, no_update if version == seen else _entries(plane), version]

    _choices(app, plane)
    _proposals(app)
    _decisions(app, plane)


def _choices(app: Dash, plane: Plane) -> None:
    @app.callback(
        Output("policy-one", "children"),
        Output("policy-base", "data"),
        Input("policies-grid", "cellClicked"),
        Held("policies-grid", "rowData"),
        Held("policy-base", "data"),
        prevent_initial_call=True,
    )
    def choose(cell: dict[str, Any] | None, rows: list[dict[str, Any]], base: list[Any] | None) -> Any:
        row = next((one for one in rows if cell and one["id"] == cell["rowId"]), None)
        if row is None or base == [row["kind"], row["name"], row["revision"]]:
            return no_update, no_update  # what somebody has begun to write there stays
        return _panel(plane, row["kind"], row["name"])

    @app.callback(
        Output("request-one", "children"),
        Output("request-id", "data"),
        Input("requests-grid", "cellClicked"),
        prevent_initial_call=True,
    )
    def choose_request(cell: dict[str, Any] | None) -> Any:
        return (_request_panel(plane, cell["rowId"]), cell["rowId"]) if cell else (no_update, no_update)

    for grid in ("policies-grid", "requests-grid"):
        opens(app, grid)


def _proposals(app: Dash) -> None:
    @app.callback(
        Output("policy-answer", "children"), Output("policy-document", "error"), Output("policy-title", "error"),
        Input("policy-propose", "n_clicks"),
        Held("policy-base", "data"), Held("policy-document", "value"),
        Held("policy-title", "value"), Held("policy-reason", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def propose(clicks: int | None, base: list[Any], text: str, title: str | None, reason: str | None) -> Any:
        if not clicks:
            return no_update, no_update, no_update
        if not (title or "").strip():
            return None, None, "Say in a line what changes."
        try:
            answer = acted(lambda: _propose(base, text, title or "", reason or ""), beside=(BadInputError, PolicyError))
        except (BadInputError, PolicyError) as error:
            return None, str(error), None
        return answer, None, None


def _decisions(app: Dash, plane: Plane) -> None:
    @app.callback(
        Output("request-one", "children", allow_duplicate=True),
        *(Input(f"request-{deed}", "n_clicks") for deed in DEEDS),
        Held("request-id", "data"),
        Held("request-comment", "value"),
        Held("request-seen", "data"),
        prevent_initial_call=True,
    )
    def decide(*args: Any) -> Any:
        clicks, (request_id, comment, seen) = args[: len(DEEDS)], args[len(DEEDS) :]
        if not any(clicks) or not ctx.triggered_id:
            return no_update
        deed = str(ctx.triggered_id).removeprefix("request-")
        try:
            answer = acted(lambda: _decide(deed, request_id, comment or "", seen), beside=(StepUpError,))
        except StepUpError as error:
            answer = _prove_anew(error, request_id)
        return _request_panel(plane, request_id, answer)


def _prove_anew(error: StepUpError, request_id: str) -> Component:
    """Say what is wrong with the proof of who asks, and lead to where it is renewed and back to this request."""
    back = f"/policies?{urlencode({'request': request_id})}"
    link = html.A("Prove that it is you", href=f"{AGAIN}?{urlencode({'next': back})}", className="tu-link")
    found: Component = dmc.Alert([f"{error}. ", link], title="Not yet", color="orange", variant="light")
    return found


def _propose(base: list[Any], text: str, title: str, reason: str) -> Any:
    """Open and submit a change of what the page showed. Raises ConflictError when that is not in force any more."""
    kind, name, revision = base
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInputError(f"the document is no YAML: {error}; correct it there") from None
    changes, who = commands().changes, actor()
    made = changes.open(kind, name, document, title, reason, who)
    if made.base_revision != revision:
        changes.withdraw(made.id, who, "made on a page that showed an older revision")
        raise ConflictError(
            f"revision {made.base_revision} of {kind}/{name} came into force since you opened it; open it again, and propose on that"
        )
    _submit(changes, made.id, who)
    return [
        "Proposed. Somebody else has to approve it before it can be applied. ",
        dcc.Link("Open the change request", href=f"/policies?request={made.id}", className="tu-link"),
    ]


def _submit(changes: Changes, request_id: str, who: Actor) -> None:
    """Ask for review; what the lint refuses is withdrawn, for it goes on in the editor and not as a draft."""
    try:
        changes.submit(request_id, who)
    except (BadInputError, PolicyError):
        changes.withdraw(request_id, who, "refused when it was submitted")
        raise


def _decide(deed: str, request_id: str, comment: str, seen: str) -> str:
    """Do a deed to the request as the page showed it. Raises StaleError when it is another by now."""
    changes, who = commands().changes.only_if([seen]), actor()
    if deed == "submit":
        changes.submit(request_id, who)
        return "In review: somebody else has to approve it."
    if deed == "simulate":
        changes.simulate(request_id, who)
        return "Simulated; an approval rests on this result from now on."
    if deed == "withdraw":
        changes.withdraw(request_id, who, comment)
        return "Withdrawn."
    if deed == "apply":
        changes.apply(request_id, who)
        return "In force from now on; every room works by it without a restart."
    if deed == "review":
        changes.review(request_id, who, comment)
        return "Reviewed: nothing is owed any more."
    made = changes.vote(request_id, who, deed, comment)
    if made.state == "in_review":
        return f"Noted: there is missing {changes.risk(request_id).missing}."
    return "Approved: it can be applied now." if deed == "approve" else "Rejected."


def _request_row(one: Mapping[str, Any], now: Any) -> dict[str, Any]:
    state = OWED if one["review_owed"] else one["state"].replace("_", " ")
    light = Light.WARN if one["review_owed"] else OF_REQUEST[one["state"]]
    return {
        "id": one["id"], "state": worded(light, state), "policy": f"{one['kind']}/{one['name']}",
        "title": one["title"], "author": one["author"], "age": ago(one["created_at"], now),
        "link": f"/policies?request={one['id']}",
    }  # fmt: skip
