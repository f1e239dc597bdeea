"""One change request: what it changes, what that would have done, where it stands, what may be done to it and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import Dash, Input, Output, dcc, html, no_update
from dash import State as Held
from dash.development.base_component import Component

from controlplane.api.answers import actor, commands
from controlplane.registry import revisions
from controlplane.registry.requests import ChangeRequest, etag_of
from controlplane.registry.risk import Risk
from controlplane.views.policies import change_request
from controlplane.views.threads import last
from controlplane.wiring import Plane
from dashboards.components import editor
from dashboards.components.live import SHOW
from dashboards.components.parts import Node, aria, card, chip, code, facts, quiet
from dashboards.components.text import day_time
from dashboards.pages.policies import buttons, difference, simulation
from dashboards.pages.policies.requests import OF_REQUEST, OWED, told
from rules.changes import UNDECIDED
from rules.policy.difference import Field, merged, three_way
from rules.policy.writing import to_yaml

Seen = list[Any]
"""What is shown: the request's id, the hash of its document, the last thing done to it, its ETag, and the revision in force."""


def panel(plane: Plane, request_id: str, answer: Node = None) -> tuple[list[Component], Seen]:
    """Return the card of a request, and what its reader has seen of it."""
    with plane.store.read() as conn:
        one = change_request(conn, request_id)
        base = (
            revisions.get(conn, one["kind"], one["name"], one["base_revision"])["document"]
            if one["base_revision"]
            else {}
        )
        now, done = revisions.current(conn, one["kind"], one["name"]), last(conn, request_id)
    risk = commands().changes.risk(request_id) if one["state"] in UNDECIDED else None
    found = list(commands().changes.against(request_id)) if risk else _settled(base, one["document"])
    moved = risk is not None and (now["revision"] if now else None) != one["base_revision"]
    why = {**_better(moved), **commands().changes.refusals(request_id, actor())}
    shown = card(
        one["title"], facts([*_about(one), *_beyond(one, risk)]), _needed(risk), *_turn(one),
        html.H3("What changes", className="tu-subtitle"),
        difference.grid("request-fields", found, {each.path for each in risk.weighed if each.relaxes} if risk else None),
        html.Details([html.Summary("As YAML"), code(difference.as_diff(base, one["document"], ("base", "this change")))]),
        *simulation.result(one), *_edit(one, base, why, moved=moved), *buttons.layout(why),
        html.Div(answer, id="request-answer", className="tu-answer", **aria(live="polite")),
        aside=chip(OF_REQUEST[one["state"]], told(one["state"])),
    )  # fmt: skip
    etag = etag_of(one["hash"], one["state"], one["base_revision"])
    return [shown], [one["id"], one["hash"], done.seq if done else 0, etag, now and now["revision"]]


def changed(plane: Plane, seen: Seen | None) -> str:
    """Say what became of the request since it was drawn; empty while nothing did."""
    if not seen:
        return ""
    now = commands().changes.get(seen[0])
    with plane.store.read() as conn:
        done = last(conn, seen[0])
    if done is None or done.seq == seen[2]:
        return _overtaken(plane, now, seen)
    if now.hash != seen[1]:
        return f"{now.last_editor} edited this request since you opened it. What you wrote is kept, and nothing was overwritten."
    return f"{done.actor} {done.did} since you opened it; it is {told(now.state)} now."


def _overtaken(plane: Plane, now: ChangeRequest, seen: Seen) -> str:
    """Say that something else came into force than was when the request was drawn, while it is not decided."""
    with plane.store.read() as conn:
        current = revisions.current(conn, now.kind, now.name)
    if current is None or current["revision"] == seen[4] or now.state not in UNDECIDED:
        return ""
    by = f"Revision {current['revision']} of {now.kind}/{now.name}, written by {current['author']},"
    return f"{by} came into force since you opened this."


def _settled(base: Mapping[str, Any], document: Mapping[str, Any]) -> list[Field]:
    """Return what a decided request changed of what it was made on."""
    return three_way(base, base, document)


def _about(one: Mapping[str, Any]) -> list[tuple[str, Node]]:
    votes = ", ".join(_vote(vote) for vote in one["votes"]) or "none yet"
    policy = dcc.Link(f"{one['kind']}/{one['name']}", href=f"/policies?kind={one['kind']}&name={one['name']}")
    return [
        ("Policy", policy), ("Author", one["author"]), ("Last editor", one["last_editor"]),
        *([("Edited by", ", ".join(others))] if (others := sorted({*one["editors"]} - {one["author"], one["last_editor"]})) else []),
        ("Votes", votes), ("Reason", one["reason"] or "—"), ("Bound to", one["hash"][:12]),
    ]  # fmt: skip


def _vote(vote: Mapping[str, Any]) -> str:
    void = " (void: edited since)" if vote["voided_at"] else ""
    return f"{vote['voter']}: {vote['decision']}{void}"


def _beyond(one: Mapping[str, Any], risk: Risk | None) -> list[tuple[str, Node]]:
    """Return what is to be said of some requests only: risk, date, break-glass, what kept the plane from going on."""
    found: list[tuple[str, Node]] = []
    if risk:
        found.append(("Risk", "relaxes a promise" if risk.relaxes else "relaxes nothing"))
    if one["rolls_back"] is not None:
        found.append(("Goes back to", f"revision {one['rolls_back']}"))
    if one["scheduled_for"] is not None:
        found.append(("In force from", f"{day_time(one['scheduled_for'])}, scheduled by {one['scheduled_by']}"))
    if one["break_glass"]:
        reviewed = f"reviewed by {one['reviewed_by']}" if one["reviewed_by"] else OWED
        found.append(("Break-glass", f"by {one['scheduled_by']}, ends {day_time(one['reverts_at'])}; {reviewed}"))
    if one["note"]:
        found.append(("Note", one["note"]))
    return found


def _needed(risk: Risk | None) -> Node:
    """Say how many approvals it takes, by whom, and what is missing."""
    if risk is None:
        return None
    owners = (
        f", one of them from {' or '.join(risk.owners)}, who own the data" if risk.owners and risk.needed > 1 else ""
    )
    takes = f"It takes {risk.needed} approval{'s' if risk.needed > 1 else ''}{owners}."
    return html.P(
        f"{takes} {'Missing: ' + risk.missing if risk.missing else 'Nothing is missing'}.", className="tu-quiet"
    )


def _turn(one: Mapping[str, Any]) -> list[Component]:
    """Say what has to be done next where that is not plain."""
    if one["review_owed"]:
        return [
            quiet(
                "This was put in force without approval: an approver who had no part in it has to review it. Comment, and press Review."
            )
        ]
    if one["state"] == "conflict":
        return [quiet("What it was made on is not in force any more. Below, their changes are in your document already; look at what both "
                      "changed, and rebase, or withdraw it.")]  # fmt: skip
    return (
        [quiet("Approved, and not in force before it is applied or scheduled.")] if one["state"] == "approved" else []
    )


def _better(moved: bool) -> dict[str, str]:
    """Return which of the two ways to keep an edit leads nowhere, though the service would take it."""
    return (
        {"edit": "its base has moved, so it takes a rebase"}
        if moved
        else {"rebase": "what it was made on is in force still"}
    )


def _edit(one: Mapping[str, Any], base: Mapping[str, Any], why: Mapping[str, str], *, moved: bool) -> list[Component]:
    """Return the document in an editor; where its base has moved, with their changes in it already."""
    document = merged(base, one["in_force"], one["document"]) if moved and one["in_force"] else one["document"]
    fixed = "edit" in why and "rebase" in why
    title = "The document" if fixed else "Edit the document"
    title += ", with what came into force since in it" if moved else ""
    text = editor.editor("request", to_yaml(document), readonly=fixed, label="Document of the request")
    deeds = html.Div(buttons.some(why, "edit", "rebase"), className="tu-row tu-deeds")
    return [
        html.Details([html.Summary(title), text, deeds], open=one["state"] == "conflict", style={"margin": "12px 0"})
    ]


def register(app: Dash, plane: Plane) -> None:
    """Open requests, check what is written in them, and show them as they are by now."""
    editor.register(app, "request", _lint, Held("request-seen", "data"))
    opened = [Output("request-one", "children"), Output("request-seen", "data")]

    @app.callback(
        *opened, Output("request-area", "style"), Input("requests-grid", "cellClicked"), Held("request-seen", "data"),
        prevent_initial_call=True,
    )  # fmt: skip
    def choose(cell: dict[str, Any] | None, seen: Seen | None) -> Any:
        if not cell or (seen and cell["rowId"] == seen[0]):
            return no_update, no_update, no_update  # what somebody has begun to write there stays
        return *panel(plane, cell["rowId"]), SHOW

    again = [Output(one.component_id, one.component_property, allow_duplicate=True) for one in opened]

    @app.callback(
        *again, Input("request-moved-see", "n_clicks"), Held("request-seen", "data"), prevent_initial_call=True
    )
    def see(clicks: int | None, seen: Seen | None) -> Any:
        return panel(plane, seen[0]) if clicks and seen else (no_update, no_update)


def _lint(text: str, seen: Seen) -> Any:
    about = commands().changes.get(seen[0])
    return commands().changes.lint(text, actor(), about.kind, about.name)
