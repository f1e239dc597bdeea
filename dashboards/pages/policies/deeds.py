"""What is done to a request when a button is pressed, in the name of who is signed in now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import Dash, Input, Output, ctx, html, no_update
from dash import State as Held
from dash.development.base_component import Component

from controlplane.access import Actor
from controlplane.api.answers import actor, commands
from controlplane.api.problems import AGAIN
from controlplane.errors import BadInputError, PolicyError, StepUpError, TrueupError
from controlplane.registry import revisions
from controlplane.registry.changes import Changes
from controlplane.registry.checking import read_one
from controlplane.wiring import Plane
from dashboards.components.live import acted, refused
from dashboards.pages.policies import request as page
from dashboards.pages.policies.buttons import HOURS, TITLES


def register(app: Dash, plane: Plane) -> None:
    """Do what is pressed; what is refused leaves the page as it is, with what was written on it."""

    @app.callback(
        Output("request-one", "children", allow_duplicate=True), Output("request-seen", "data", allow_duplicate=True),
        Output("request-answer", "children"),
        *(Input(f"request-{deed}", "n_clicks") for deed in TITLES),
        Held("request-seen", "data"),
        *(Held(f"request-{field}", "value") for field in ("said", "at", "hours")),
        Held("request-document", "value"),
        prevent_initial_call=True,
    )  # fmt: skip
    def decide(*args: Any) -> Any:
        clicks, (seen, *fields) = args[: len(TITLES)], args[len(TITLES) :]
        if not any(clicks) or not ctx.triggered_id:
            return no_update, no_update, no_update
        deed = str(ctx.triggered_id).removeprefix("request-")
        try:
            answer = acted(lambda: _done(deed, seen, *fields), beside=(TrueupError,))
        except StepUpError as error:
            return no_update, no_update, _prove_anew(error, seen[0])
        except TrueupError as error:
            return no_update, no_update, refused(error)
        return *page.panel(plane, seen[0], answer), no_update


def _prove_anew(error: StepUpError, request_id: str) -> Component:
    """Say what is wrong with the proof of who asks, and lead to where it is renewed and back to this request."""
    back = f"/policies?{urlencode({'request': request_id})}"
    link = html.A("Prove that it is you", href=f"{AGAIN}?{urlencode({'next': back})}", className="tu-link")
    found: Component = dmc.Alert([f"{error}. ", link], title="Not yet", color="orange", variant="light")
    return found


def _done(deed: str, seen: list[Any], comment: str | None, at: str | None, hours: Any, text: str | None) -> str:
    """Do a deed in the name of who is signed in, to the request as the page showed it; the service checks both."""
    changes, who, said = commands().changes.only_if([seen[3]]), actor(), (comment or "").strip()
    request_id = seen[0]
    if deed in {"approve", "reject"}:
        return _voted(changes, seen, who, deed, said)
    if deed in {"edit", "rebase"}:
        changes.edit(request_id, _written(changes, request_id, text), who, rebase=deed == "rebase", onto=seen[4])
        return "Kept: it is a draft again, and every approval is void. Ask for review when it is as it should be."
    if deed == "schedule":
        changes.schedule(request_id, _instant(at), who)
        return "Scheduled: the plane puts it in force by itself."
    if deed == "break_glass":
        changes.break_glass(request_id, _hours(hours), said, who)
        return "In force without approval. It ends by itself, and a review is owed."
    return _plain(changes, deed, request_id, who, said)


def _plain(changes: Changes, deed: str, request_id: str, who: Actor, said: str) -> str:
    """Do what takes nothing but who does it, and perhaps a word."""
    done: dict[str, tuple[Callable[[], Any], str]] = {
        "submit": (lambda: changes.submit(request_id, who), "In review: somebody else has to approve it."),
        "simulate": (lambda: changes.simulate(request_id, who), "Simulated; an approval rests on this result from now on."),
        "withdraw": (lambda: changes.withdraw(request_id, who, said), "Withdrawn."),
        "apply": (lambda: changes.apply(request_id, who), "In force from now on; every room works by it without a restart."),
        "review": (lambda: changes.review(request_id, who, said), "Reviewed: nothing is owed any more."),
        "comment": (lambda: changes.comment(request_id, who, said), "Said, and kept in the thread."),
    }  # fmt: skip
    act, told = done[deed]
    act()
    return told


def _voted(changes: Changes, seen: list[Any], who: Actor, decision: str, comment: str) -> str:
    made = changes.vote(seen[0], who, decision, comment)
    if made.state == "in_review":
        return f"Noted: there is missing {changes.risk(seen[0]).missing}."
    return "Approved: it can be applied now." if decision == "approve" else "Rejected."


def _written(changes: Changes, request_id: str, text: str | None) -> Any:
    """Return what stands in the editor as a document. Raises PolicyError naming the first place that has to be mended."""
    about = changes.get(request_id)
    problems = changes.lint(text or "", actor(), about.kind, about.name)
    if problems:
        raise PolicyError(f"nothing was kept: {problems[0]}")
    entry, _ = read_one(text or "")
    return revisions.dump(entry.document) if entry else None


def _instant(given: str | None) -> datetime:
    try:
        found = datetime.fromisoformat((given or "").strip())
    except ValueError:
        raise BadInputError(
            f"'{given or ''}' is no instant; write for instance 2026-12-01 06:00, in UTC", "at"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _hours(given: Any) -> timedelta:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise BadInputError(f"'{given}' is no number of hours; give {HOURS} at most", "hours")
    return timedelta(hours=given)
