"""/api/v1: what people do. Each handler asks the one service layer, which checks the right and writes the action log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request

from controlplane.api.answers import actor, body, commands, flag, plane
from controlplane.errors import BadInputError
from controlplane.registry.requests import ChangeRequest
from controlplane.views import policies
from rules.changes import LONGEST_BREAK, UNDECIDED

deeds = Blueprint("deeds", __name__, url_prefix="/api/v1")
LONGEST = LONGEST_BREAK.total_seconds() / 3600
"""Hours."""


@deeds.get("/change-requests")
def list_requests() -> Response:
    """Requests to change a policy that are not decided yet, or owed a review; `all=1` adds the others. And who is there to decide."""
    with plane().store.read() as conn:
        found = policies.change_requests(conn, flag("all"))
    return jsonify(change_requests=found, installation=commands().changes.staffing())


@deeds.get("/change-requests/<request_id>")
def get_request(request_id: str) -> Response:
    """One request with its votes and what is in force; while it is undecided, its risk, and base, theirs and mine by field."""
    changes = commands().changes
    with plane().store.read() as conn:
        found = policies.change_request(conn, request_id)
    more: dict[str, Any] = {"installation": changes.staffing()}
    if found["state"] in UNDECIDED:
        more |= {"risk": changes.risk(request_id), "fields": changes.against(request_id)}
    more["simulation"] = changes.simulation(request_id)
    return jsonify({**found, **more})


@deeds.post("/change-requests")
def open_request() -> tuple[Response, int]:
    """Propose a document in place of what is in force: kind, name, document, title, reason."""
    asked = body("kind", "name", "document", "title")
    made = commands().changes.open(
        str(asked["kind"]), str(asked["name"]), asked["document"], str(asked["title"]),
        str(asked.get("reason", "")), actor(),
    )  # fmt: skip
    return _request(made), 201


@deeds.put("/change-requests/<request_id>")
def edit_request(request_id: str) -> Response:
    """Replace the document, which voids every approval; `rebase` puts it on what is in force now, after a conflict."""
    asked = body("document")
    rebase = asked.get("rebase", False)
    if not isinstance(rebase, bool):
        raise BadInputError(f"rebase: {rebase!r} is neither true nor false; write one of them", "rebase")
    return _request(commands().changes.edit(request_id, asked["document"], actor(), rebase=rebase))


@deeds.post("/policies/<kind>/<name>/rollback")
def roll_back(kind: str, name: str) -> tuple[Response, int]:
    """Start a change request that goes back to an older revision: revision, reason."""
    asked = body("revision")
    if type(asked["revision"]) is not int:
        raise BadInputError(f"revision: {asked['revision']!r} is no number; give that of an older one", "revision")
    made = commands().changes.roll_back(kind, name, asked["revision"], str(asked.get("reason", "")), actor())
    return _request(made), 201


@deeds.post("/change-requests/<request_id>/submit")
def submit_request(request_id: str) -> Response:
    """Ask for review; it is simulated unless it is so already, and the whole registry is checked with the document in it."""
    return _request(commands().changes.submit(request_id, actor()))


@deeds.post("/change-requests/<request_id>/simulate")
def simulate_request(request_id: str) -> Response:
    """Replay the plane's history under the document and under what is in force; the result is kept with the request."""
    return jsonify(commands().changes.simulate(request_id, actor()))


@deeds.post("/change-requests/<request_id>/vote")
def vote_on_request(request_id: str) -> Response:
    """Approve or reject: decision, comment. Never by who wrote it."""
    asked = body("decision")
    decision, comment = str(asked["decision"]), str(asked.get("comment", ""))
    return _request(commands().changes.vote(request_id, actor(), decision, comment))


@deeds.post("/change-requests/<request_id>/apply")
def apply_request(request_id: str) -> Response:
    """Put an approved request in force."""
    return _request(commands().changes.apply(request_id, actor()))


@deeds.post("/change-requests/<request_id>/schedule")
def schedule_request(request_id: str) -> Response:
    """Let the plane put an approved request in force by itself: at, an ISO instant with its zone."""
    return _request(commands().changes.schedule(request_id, _instant(body("at")["at"]), actor()))


@deeds.post("/change-requests/<request_id>/break-glass")
def break_glass(request_id: str) -> Response:
    """Put a draft in force without approval: hours (24 at most), reason. It ends by itself, and a review is owed."""
    asked = body("hours", "reason")
    hours, reason = asked["hours"], str(asked["reason"])
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= LONGEST:
        raise BadInputError(f"hours: {hours!r} is none of 0 to {LONGEST:.0f}; say for how long it is needed", "hours")
    return _request(commands().changes.break_glass(request_id, timedelta(hours=hours), reason, actor()))


@deeds.post("/change-requests/<request_id>/review")
def review_request(request_id: str) -> Response:
    """Say afterwards what is to be said of a break-glass: comment."""
    return _request(commands().changes.review(request_id, actor(), str(body("comment")["comment"])))


@deeds.post("/change-requests/<request_id>/withdraw")
def withdraw_request(request_id: str) -> Response:
    """Give a request up."""
    return _request(commands().changes.withdraw(request_id, actor(), _reason()))


def _request(made: ChangeRequest) -> Response:
    return jsonify(made)


@deeds.post("/comparisons/<name>/runs")
def run_comparison(name: str) -> tuple[Response, int]:
    """Ask for a run now; it is done by the ticker, see GET /api/v1/comparisons."""
    return jsonify(run=commands().compare(name, actor()), state="requested"), 202


@deeds.post("/incidents/<incident_id>/acknowledge")
def acknowledge_incident(incident_id: str) -> Response:
    """Say that somebody looks after it."""
    commands().acknowledge(incident_id, actor())
    return jsonify(id=incident_id, state="acknowledged")


def _instant(given: Any) -> datetime:
    try:
        found = datetime.fromisoformat(str(given))
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadInputError(f"at: '{given}' is no instant; write for instance 2026-12-01T06:00:00+00:00", "at")


def _reason() -> str:
    found = request.get_json(silent=True)
    return str(found.get("reason", "")) if isinstance(found, dict) else ""
