"""/api/v1: what operators see and do of what moves: what waits and why, pause, resume, run now, replay from the ledger."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from pydantic import Field

from controlplane.api.answers import actor, commands, plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import Because, Body, Instant, Noted, Reason, Text
from controlplane.api.pages import Paged
from controlplane.api.schemas import INSTANT, NEXT, TEXT, WHOLE, YES, Null, Raw, row
from controlplane.store import tables as t
from controlplane.sync.engines.reprocess import Request
from controlplane.views import replays, retrying

operators = Blueprint("operators", __name__, url_prefix="/api/v1")
SYSTEM, FLOW = {"system": TEXT, "paused": YES}, {"flow": TEXT, "paused": YES}
REPLAY = row(t.replay)
ONE_REPLAY = REPLAY | {"waits_for": [TEXT]}
PREVIEW = {
    "looked_at": WHOLE,
    "complete": YES,
    "counts": Raw(
        {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "integer"}}}
    ),
    "keys": [{"subject": TEXT, "target": TEXT, "outcome": TEXT, "message": TEXT}],
}
ITS_ID = {"replay_id": "/id"}


class RetryingQuery(Paged):
    """Which deliveries."""

    system: Text | None = Field(default=None, description="only to this one")
    flow: Text | None = Field(default=None, description="only of this one")


class ReplayAsked(Body):
    """Which messages are sent again, and how."""

    flow: Text
    since: Instant = Field(description="messages accepted from here")
    until: Instant | None = Field(default=None, description="to here, not included; now, if not given")
    reason: Reason = Field(description="others read it in the action log")
    subject: Text | None = Field(default=None, description="only this business key")
    target: Text | None = Field(default=None, description="only to this target")
    rate: float | None = Field(default=None, ge=0.001, le=10_000, description="deliveries a second, to each target")
    force: bool = Field(default=False, description="accept that a target that guarantees nothing takes some twice")
    dry_run: bool = Field(default=False, description="only say what it would change")


@operators.get("/retrying")
@contract(retrying.Page, query=RetryingQuery)
def get_retrying(query: RetryingQuery) -> Response:
    """What is retrying or held up, and why; `system`, `flow` narrow it."""
    with plane().store.read() as conn:
        page = retrying.retrying(
            conn, plane().registry.snapshot_in(conn), plane().clock.now(), system=query.system, flow=query.flow,
            stretch=query.stretch,
        )  # fmt: skip
    return jsonify(page)


@operators.post("/systems/<name>/pause")
@contract(SYSTEM, right="sync.pause", body=Because, refuses=(409,), once=True)
def pause_system(name: str, asked: Because) -> Response:
    """Stop deliveries to a system: reason. Retry deadlines stand still meanwhile."""
    commands().operating.pause_system(name, asked.reason, actor())
    return jsonify(system=name, paused=True)


@operators.post("/systems/<name>/resume")
@contract(SYSTEM, right="sync.pause", body=Noted, refuses=(409,), once=True)
def resume_system(name: str, asked: Noted) -> Response:
    """Let deliveries to a system go on."""
    commands().operating.resume_system(name, asked.reason, actor())
    return jsonify(system=name, paused=False)


@operators.post("/systems/<name>/run")
@contract(
    {"system": TEXT, "asked_again": YES, "blocked_until": Null(INSTANT)},
    right="sync.pause", body=Noted, refuses=(409,), once=True,
)  # fmt: skip
def run_system(name: str, asked: Noted) -> Response:
    """Let what waits out a backoff be due now; one request tests a system whose breaker is open."""
    return jsonify({"system": name, **commands().operating.run_system(name, asked.reason, actor())})


@operators.post("/flows/<name>/pause")
@contract(FLOW, right="sync.pause", body=Because, refuses=(409,), once=True)
def pause_flow(name: str, asked: Because) -> Response:
    """Stop the deliveries of a flow: reason. Retry deadlines stand still meanwhile."""
    commands().operating.pause_flow(name, asked.reason, actor())
    return jsonify(flow=name, paused=True)


@operators.post("/flows/<name>/resume")
@contract(FLOW, right="sync.pause", body=Noted, refuses=(409,), once=True)
def resume_flow(name: str, asked: Noted) -> Response:
    """Let the deliveries of a flow go on."""
    commands().operating.resume_flow(name, asked.reason, actor())
    return jsonify(flow=name, paused=False)


@operators.post("/flows/<name>/run")
@contract({"flow": TEXT, "released": WHOLE, "more": YES}, right="sync.pause", body=Noted, refuses=(409,), once=True)
def run_flow(name: str, asked: Noted) -> Response:
    """Let what waits out a backoff in a flow be due now; `more` says that another call goes on."""
    return jsonify({"flow": name, **commands().operating.run_flow(name, asked.reason, actor())})


@operators.post("/deliveries/<delivery_id>/run")
@contract({"delivery": TEXT, "due": YES}, right="sync.pause", body=Noted, refuses=(409,), once=True)
def run_delivery(delivery_id: str, asked: Noted) -> Response:
    """Let one delivery be due now. What may have taken effect keeps its wait."""
    commands().operating.run_delivery(delivery_id, asked.reason, actor())
    return jsonify(delivery=delivery_id, due=True)


@operators.post("/replays")
@contract(
    {200: PREVIEW, 201: ONE_REPLAY}, right="sync.replay", body=ReplayAsked, refuses=(404, 409), once=True,
    links=(Link("operators.get_replay", ITS_ID), Link("operators.cancel_replay", ITS_ID)),
)  # fmt: skip
def start_replay(asked: ReplayAsked) -> tuple[Response, int]:
    """Send messages again from the ledger: flow, since, reason; until, subject, target, rate, force. `dry_run` (200) starts nothing."""
    if asked.dry_run:
        return jsonify(commands().operating.preview(_wanted(asked), actor())), 200
    made = commands().operating.replay(_wanted(asked), actor())
    answer = _replay(made)
    answer.headers["Location"] = f"/api/v1/replays/{made}"
    return answer, 201


@operators.get("/replays")
@contract(
    {"replays": [REPLAY], "next": NEXT},
    query=Paged,
    links=(Link("operators.get_replay", {"replay_id": "/replays/0/id"}),),
)
def list_replays(query: Paged) -> Response:
    """The newest replays and what became of their messages."""
    with plane().store.read() as conn:
        found = replays.replays(conn, query.stretch)
    return jsonify(replays=found.rows, next=found.next)


@operators.get("/replays/<replay_id>")
@contract(ONE_REPLAY, links=(Link("operators.cancel_replay", ITS_ID),))
def get_replay(replay_id: str) -> Response:
    """One replay, where it stands, and which targets it waits for."""
    return _replay(replay_id)


@operators.post("/replays/<replay_id>/cancel")
@contract(ONE_REPLAY, right="sync.replay", body=Noted, refuses=(409,), once=True)
def cancel_replay(replay_id: str, asked: Noted) -> Response:
    """Let a replay add nothing more; what it has added is owed."""
    commands().operating.cancel_replay(replay_id, asked.reason, actor())
    return _replay(replay_id)


def _wanted(asked: ReplayAsked) -> Request:
    until = asked.until or plane().clock.now()
    return Request(
        asked.flow, asked.since, until, asked.reason.strip(), asked.subject, asked.target, asked.rate, asked.force
    )


def _replay(replay_id: str) -> Response:
    with plane().store.read() as conn:
        return jsonify(replays.replay(conn, plane().registry.snapshot_in(conn), replay_id, plane().clock.now()))
