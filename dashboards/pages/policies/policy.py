"""One policy: its document in an editor, the blueprint where it is a domain, its history; and a change of it, proposed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, ctx, dcc, html, no_update
from dash import State as Held
from dash.development.base_component import Component

from controlplane.access import allowed, require, roles_with
from controlplane.api.answers import actor, commands
from controlplane.errors import BadInputError, ConflictError, PolicyError, TrueupError
from controlplane.registry import revisions
from controlplane.registry.checking import read_one
from controlplane.views.policies import policy, under_way
from controlplane.views.states import Light
from controlplane.wiring import Plane
from dashboards.components import editor
from dashboards.components.live import acted, refused
from dashboards.components.parts import aria, card, chip, facts, quiet
from dashboards.components.text import counted, day_time
from dashboards.pages.policies import blueprint, difference, history
from dashboards.pages.policies.requests import told
from rules.policy.difference import Field, merged, three_way
from rules.policy.kinds import KINDS, POLICY_NAME
from rules.policy.writing import begun, to_yaml

Base = list[Any]
"""What is open on the page: kind, name, and the revision that it stands on, 0 for one that is new."""
PROPOSE = "policy.propose"
NEW = 0
"""Revision that a policy stands on which is not there yet."""


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody has written on the page, which goes on in a panel that is drawn anew."""

    text: str
    title: str = ""
    reason: str = ""
    both: Sequence[Field] = ()
    """Base, theirs and mine, where it was brought onto what came into force meanwhile."""
    said: str = ""


def panel(plane: Plane, kind: str, name: str, written: Written | None = None) -> tuple[list[Component], Base]:
    """Return the cards of a policy, and what a proposal made in them stands on."""
    with plane.store.read() as conn:
        page = policy(conn, kind, name)
    now, may = page.policy, allowed(actor(), PROPOSE)
    known = [
        ("In force since", day_time(now["valid_from"])),
        ("Written by", now["author"]),
        ("Came by", history.came_by(now)),
    ]
    put = written or Written(to_yaml(now["document"]))
    shown = [
        *([blueprint.layout(plane, name)] if kind == "Domain" else []),
        card(
            f"{kind}/{name}", facts(known), editor.editor("policy", put.text, readonly=not may), *_both(put), _proposal(may, put),
            html.Div(acted(lambda: put.said) if put.said else None, id="policy-answer", className="tu-answer", **aria(live="polite")),
            aside=chip(Light.INFO, f"revision {now['revision']}"),
        ),
        history.layout(page, may),
    ]  # fmt: skip
    return shown, [kind, name, now["revision"]]


def blank(plane: Plane, kind: str, name: str) -> tuple[list[Component], Base]:
    """Return the card of a policy that is to be, with what its kind asks for in the editor.

    Raises BadInputError where that is none, ConflictError where it is in force.
    """
    require(actor(), PROPOSE)
    if kind not in KINDS:
        raise BadInputError("say of which kind the policy is")
    if not re.fullmatch(POLICY_NAME, name):
        raise BadInputError(
            f"'{name}' is no name of a policy; give small letters, digits and dashes between them, 63 at most"
        )
    with plane.store.read() as conn:
        if revisions.current(conn, kind, name) is not None:
            raise ConflictError(f"{kind}/{name} is in force already; open it from the list, and change that")
    put = Written(begun(kind, name))
    shown = card(
        f"{kind}/{name}", editor.editor("policy", put.text, readonly=False), _proposal(True, put),
        html.Div(id="policy-answer", className="tu-answer", **aria(live="polite")), aside=chip(Light.INFO, "new"),
    )  # fmt: skip
    return [shown], [kind, name, NEW]


def _both(put: Written) -> list[Component]:
    if not put.both:
        return []
    return [html.H3("Base, theirs and mine", className="tu-subtitle"), difference.grid("policy-fields", put.both)]


def _proposal(may: bool, put: Written) -> Component:
    look: dict[str, Any] = {"size": "sm", "disabled": not may}
    title = dmc.TextInput(
        id="policy-title", placeholder="What changes, in a line", value=put.title, w=250, **look, **aria(label="Title")
    )
    reason = dmc.TextInput(
        id="policy-reason", placeholder="Why", value=put.reason, w=250, **look, **aria(label="Reason")
    )
    propose = dmc.Button("Propose and ask for review", id="policy-propose", **look)
    draft = dmc.Button("Save as a draft", id="policy-draft", variant="default", **look)
    fields = html.Div([title, reason, propose, draft], className="tu-row", style={"margin": "12px 0"})
    why = None if may else quiet(f"You cannot propose a change: {lacking(PROPOSE)}.")
    return html.Div([fields, why])


def lacking(right: str) -> str:
    """Say which role it takes, and which the reader has."""
    return (
        f"it takes the role {' or '.join(roles_with(right))}, and yours is {', '.join(sorted(actor().roles)) or 'none'}"
    )


def overtaken(plane: Plane, base: Base | None) -> str:
    """Say that another revision came into force than the one that is open on the page; empty while none did."""
    if not base:
        return ""
    kind, name, revision = base
    with plane.store.read() as conn:
        now = revisions.current(conn, kind, name)
    if now is None or now["revision"] == revision:
        return ""
    mine = f"you opened revision {revision}" if revision else "you began it as a new policy"
    return (
        f"Revision {now['revision']} of {kind}/{name}, written by {now['author']}, came into force at {day_time(now['valid_from'])}, "
        f"and {mine}. What you wrote is kept, and nothing was overwritten."
    )


def others(plane: Plane, base: Base | None) -> str:
    """Say who else is changing the policy that is open on the page."""
    if not base:
        return ""
    with plane.store.read() as conn:
        found = under_way(conn, base[0], base[1])
    named = "; ".join(f"“{one['title']}” by {one['author']} ({told(one['state'])})" for one in found[:3])
    return f"Being changed already, by {counted(len(found), 'request')}: {named}." if found else ""


def register(app: Dash, plane: Plane) -> None:
    """Open policies, check what is written, propose it, and bring it onto what came into force meanwhile."""
    editor.register(
        app,
        "policy",
        lambda text, base: commands().changes.lint(text, actor(), base[0], base[1]),
        Held("policy-base", "data"),
    )

    @app.callback(
        Output("policy-one", "children"), Output("policy-base", "data"),
        Input("policies-grid", "cellClicked"), Held("policies-grid", "rowData"), Held("policy-base", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    def choose(cell: dict[str, Any] | None, rows: list[dict[str, Any]], base: Base | None) -> Any:
        row = next((one for one in rows if cell and one["id"] == cell["rowId"] and "kind" in one), None)
        if row is None or (base and base[:2] == [row["kind"], row["name"]]):
            return no_update, no_update  # what somebody has begun to write there stays
        return panel(plane, row["kind"], row["name"])

    @app.callback(
        Output("policy-one", "children", allow_duplicate=True), Output("policy-base", "data", allow_duplicate=True),
        Output("policy-new-answer", "children"),
        Input("policy-begin", "n_clicks"), Held("policy-new-kind", "value"), Held("policy-new-name", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def begin(clicks: int | None, kind: str | None, name: str | None) -> Any:
        if not clicks:
            return no_update, no_update, no_update
        try:
            return *blank(plane, kind or "", (name or "").strip()), None
        except TrueupError as error:
            return no_update, no_update, refused(error)

    @app.callback(
        Output("policy-answer", "children"), Output("policy-title", "error"),
        Input("policy-propose", "n_clicks"), Input("policy-draft", "n_clicks"),
        Held("policy-base", "data"), Held("policy-document", "value"),
        Held("policy-title", "value"), Held("policy-reason", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def propose(
        asked: int | None, drafted: int | None, base: Base, text: str, title: str | None, why: str | None
    ) -> Any:
        if not (asked or drafted):
            return no_update, no_update
        if not (title or "").strip():
            return None, "Say in a line what changes."
        review = ctx.triggered_id == "policy-propose"
        return acted(lambda: _propose(base, text, title or "", why or "", review=review)), None

    @app.callback(
        Output("policy-one", "children", allow_duplicate=True), Output("policy-base", "data", allow_duplicate=True),
        Output("policy-answer", "children", allow_duplicate=True),
        Input("policy-moved-see", "n_clicks"), Held("policy-base", "data"), Held("policy-document", "value"),
        Held("policy-title", "value"), Held("policy-reason", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def see(clicks: int | None, base: Base, text: str, title: str | None, why: str | None) -> Any:
        if not clicks:
            return no_update, no_update, no_update
        try:
            written = _onto_newest(plane, base, text)
        except PolicyError as error:
            return no_update, no_update, refused(error)
        return *panel(plane, base[0], base[1], replace(written, title=title or "", reason=why or "")), no_update


def _onto_newest(plane: Plane, base: Base, text: str) -> Written:
    """Put what was written on one revision onto the one in force: theirs, with mine in it. Raises PolicyError for what cannot be read."""
    kind, name, revision = base
    entry, problems = read_one(text)
    if entry is None:
        raise PolicyError(f"mend what you wrote first, then both can be looked at: {problems[0]}")
    with plane.store.read() as conn:
        now = revisions.get(conn, kind, name)["document"]
        was = revisions.get(conn, kind, name, revision)["document"] if revision else {}
    mine = revisions.dump(entry.document)
    found = three_way(was, now, mine)
    both = counted(sum(one.changed == "both" for one in found), "field")
    said = (
        f"What you wrote stands on what is in force now. Both of you changed {both}; there, yours is in the document."
    )
    return Written(to_yaml(merged(was, now, mine)), both=found, said=said)


def _propose(base: Base, text: str, title: str, reason: str, *, review: bool) -> Any:
    """Open a change of what the page showed, and ask for review. Raises ConflictError when that is not in force any more."""
    kind, name, revision = base
    changes, who = commands().changes, actor()
    problems = changes.lint(text, who, kind, name)
    if problems:
        raise PolicyError(f"nothing was proposed: {counted(len(problems), 'problem')}, told below the document")
    entry, _ = read_one(text)
    document = revisions.dump(entry.document) if entry else {}
    made = changes.open(kind, name, document, title, reason, who, seen=revision)
    link = dcc.Link("Open the change request", href=f"/policies?request={made.id}", className="tu-link")
    if not review:
        return ["A draft, which nobody is asked to look at yet. ", link]
    try:
        changes.submit(made.id, who)
    except (BadInputError, PolicyError):  # it goes on in the editor, and not as a draft
        changes.withdraw(made.id, who, "refused when it was submitted")
        raise
    return ["Proposed. Somebody else has to approve it before it can be applied. ", link]
