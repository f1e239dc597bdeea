"""/api/v1: what operators see and do of what moves: what waits and why, pause, resume, run now, replay from the ledger."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from controlplane.api.answers import actor, body, commands, plane
from controlplane.errors import BadInputError
from controlplane.views import replays, retrying

operators = Blueprint("operators", __name__, url_prefix="/api/v1")


@operators.get("/retrying")
def get_retrying() -> Response:
    """What is retrying or held up, and why; `system`, `flow` narrow it, `after` and `limit` page it."""
    given = request.args
    with plane().store.read() as conn:
        page = retrying.retrying(
            conn, plane().registry.snapshot_in(conn), plane().clock.now(), system=given.get("system"),
            flow=given.get("flow"), after=given.get("after"), limit=given.get("limit", retrying.LIMIT, type=int),
        )  # fmt: skip
    return jsonify(page)


@operators.post("/systems/<name>/pause")
def pause_system(name: str) -> Response:
    """Stop deliveries to a system: reason. Retry deadlines stand still meanwhile."""
    commands().operating.pause_system(name, str(body("reason")["reason"]), actor())
    return jsonify(system=name, paused=True)


@operators.post("/systems/<name>/resume")
def resume_system(name: str) -> Response:
    """Let deliveries to a system go on."""
    commands().operating.resume_system(name, _reason(), actor())
    return jsonify(system=name, paused=False)


@operators.post("/systems/<name>/run")
def run_system(name: str) -> Response:
    """Let what waits out a backoff be due now; one request tests a system whose breaker is open."""
    return jsonify({"system": name, **commands().operating.run_system(name, _reason(), actor())})


@operators.post("/flows/<name>/pause")
def pause_flow(name: str) -> Response:
    """Stop the deliveries of a flow: reason. Retry deadlines stand still meanwhile."""
    commands().operating.pause_flow(name, str(body("reason")["reason"]), actor())
    return jsonify(flow=name, paused=True)


@operators.post("/flows/<name>/resume")
def resume_flow(name: str) -> Response:
    """Let the deliveries of a flow go on."""
    commands().operating.resume_flow(name, _reason(), actor())
    return jsonify(flow=name, paused=False)


@operators.post("/flows/<name>/run")
def run_flow(name: str) -> Response:
    """Let what waits out a backoff in a flow be due now; `more` says that another call goes on."""
    return jsonify({"flow": name, **commands().operating.run_flow(name, _reason(), actor())})


@operators.post("/deliveries/<delivery_id>/run")
def run_delivery(delivery_id: str) -> Response:
    """Let one delivery be due now. What may have taken effect keeps its wait."""
    commands().operating.run_delivery(delivery_id, _reason(), actor())
    return jsonify(delivery=delivery_id, due=True)


@operators.post("/replays")
def start_replay() -> tuple[Response, int]:
    """Send messages again from the ledger: flow, since, reason; until, subject, target, rate, force, dry_run."""
    asked: dict[str, Any] = body("flow", "since", "reason")
    dry_run = asked.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise BadInputError(f"`dry_run` is true or false, and not {dry_run!r}")
    if dry_run:
        return jsonify(commands().operating.preview(asked, actor())), 200
    return _replay(commands().operating.replay(asked, actor())), 201


@operators.get("/replays")
def list_replays() -> Response:
    """The newest replays and what became of their messages."""
    with plane().store.read() as conn:
        return jsonify(replays=replays.replays(conn))


@operators.get("/replays/<replay_id>")
def get_replay(replay_id: str) -> Response:
    """One replay, where it stands, and which targets it waits for."""
    return _replay(replay_id)


@operators.post("/replays/<replay_id>/cancel")
def cancel_replay(replay_id: str) -> Response:
    """Let a replay add nothing more; what it has added is owed."""
    commands().operating.cancel_replay(replay_id, _reason(), actor())
    return _replay(replay_id)


def _replay(replay_id: str) -> Response:
    with plane().store.read() as conn:
        return jsonify(replays.replay(conn, plane().registry.snapshot_in(conn), replay_id, plane().clock.now()))


def _reason() -> str:
    found = request.get_json(silent=True)
    return str(found.get("reason", "")) if isinstance(found, dict) else ""
