"""/api/v1: what people do. Each handler asks the one service layer, which checks the right and writes the action log."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from controlplane.api.answers import actor, body, commands, flag, plane
from controlplane.registry.requests import ChangeRequest
from controlplane.views import policies

deeds = Blueprint("deeds", __name__, url_prefix="/api/v1")


@deeds.get("/change-requests")
def list_requests() -> Response:
    """Requests to change a policy that are not decided yet; `all=1` adds the others."""
    with plane().store.read() as conn:
        return jsonify(change_requests=policies.change_requests(conn, flag("all")))


@deeds.get("/change-requests/<request_id>")
def get_request(request_id: str) -> Response:
    """One request with its votes and what is in force now."""
    with plane().store.read() as conn:
        return jsonify(policies.change_request(conn, request_id))


@deeds.post("/change-requests")
def open_request() -> tuple[Response, int]:
    """Propose a document in place of what is in force: kind, name, document, title, reason."""
    asked = body("kind", "name", "document", "title")
    made = commands().changes.open(
        str(asked["kind"]), str(asked["name"]), asked["document"], str(asked["title"]),
        str(asked.get("reason", "")), actor(),
    )  # fmt: skip
    return _request(made), 201


@deeds.post("/change-requests/<request_id>/submit")
def submit_request(request_id: str) -> Response:
    """Ask for review; the whole registry is checked with the document in it."""
    return _request(commands().changes.submit(request_id, actor()))


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


def _reason() -> str:
    found = request.get_json(silent=True)
    return str(found.get("reason", "")) if isinstance(found, dict) else ""
