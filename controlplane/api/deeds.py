"""/api/v1: what people do. Each handler asks the one service layer, which checks the right and writes the action log."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, jsonify
from pydantic import Field, WithJsonSchema

from controlplane.api.answers import actor, commands, plane
from controlplane.api.contract import Link, contract, seen
from controlplane.api.fields import KEPT, LARGEST, Body, Count, Flag, Instant, Kind, Note, Noted, Reason, Whole
from controlplane.api.pages import Paged
from controlplane.api.schemas import ANY, NEXT, POLICY, TEXT, WHOLE, YES, Maybe, row
from controlplane.registry.changes import Changes
from controlplane.registry.requests import ChangeRequest, etag_of
from controlplane.registry.risk import Risk, Staffing
from controlplane.registry.simulation import Standing
from controlplane.store import tables as t
from controlplane.views import policies, threads
from rules.changes import LONGEST_BREAK, UNDECIDED
from rules.policy.difference import Field as Difference
from rules.policy.kinds import PolicyName
from rules.policy.problems import Problem

deeds = Blueprint("deeds", __name__, url_prefix="/api/v1")
LONGEST = LONGEST_BREAK.total_seconds() / 3600
"""Hours."""
Document = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "title": POLICY})]
REQUEST = row(t.change_request, editors=[TEXT])
FLAW = {name: WHOLE if name in ("line", "column") else TEXT for name in Problem.__dataclass_fields__}
"""What is wrong with a text: not what is called a problem in an answer that refuses something."""
ITS_ID = {"request_id": "/id"}
NEXT_DEEDS = tuple(
    Link(f"deeds.{name}", ITS_ID)
    for name in (
        "get_request", "edit_request", "submit_request", "simulate_request", "vote_on_request", "apply_request",
        "withdraw_request",
    )
)  # fmt: skip


class RequestsQuery(Paged):
    """Which change requests."""

    all: Flag = Field(default=False, description="also those that are decided")


class Proposal(Body):
    """A document in place of what is in force."""

    kind: Kind
    name: PolicyName
    document: Document
    title: Reason = Field(description="what changes, in a line")
    reason: Note = Field(default="", description="the approvers read it")


class Edition(Body):
    """Another document for a request."""

    document: Document
    rebase: bool = Field(default=False, description="put it on what is in force now, after a conflict")
    onto: Count | None = Field(
        default=None, description="the revision that a rebase was made for, 0: none; 409 where it is another by now"
    )  # fmt: skip


class Return(Body):
    """What to go back to."""

    revision: Whole = Field(ge=1, le=LARGEST, description="an older one")
    reason: Note = ""


class Ballot(Body):
    """What somebody decides."""

    decision: Literal["approve", "reject"]
    comment: Note = ""


class At(Body):
    """When."""

    at: Instant


class Break(Body):
    """For how long, and why."""

    hours: float = Field(gt=0, le=LONGEST)
    reason: Reason


class Comment(Body):
    """What is to be said."""

    comment: Reason


class Draft(Body):
    """A text that is to become a policy."""

    text: str = Field(pattern=KEPT, description="YAML or JSON, one document")
    kind: Kind | None = Field(default=None, description="it has to be of this kind")
    name: PolicyName | None = Field(default=None, description="and has to have this name")


@deeds.get("/change-requests")
@contract(
    {"change_requests": [REQUEST | {"approvals": WHOLE, "review_owed": YES}], "next": NEXT, "installation": Staffing},
    query=RequestsQuery,
    links=(Link("deeds.get_request", {"request_id": "/change_requests/0/id"}),),
)
def list_requests(query: RequestsQuery) -> Response:
    """Requests to change a policy that are not decided yet, or owed a review; `all=1` adds the others. And who is there to decide."""
    with plane().store.read() as conn:
        found = policies.change_requests(conn, query.all, query.stretch)
    return jsonify(change_requests=found.rows, next=found.next, installation=commands().changes.staffing())


@deeds.get("/change-requests/<request_id>")
@contract(
    REQUEST
    | {
        "review_owed": YES, "votes": [row(t.change_vote)], "in_force": ANY, "installation": Staffing, "simulation": Standing,
        "risk": Maybe(Risk), "fields": Maybe([Difference]),
    },
    etag=True,
    links=NEXT_DEEDS,
)  # fmt: skip
def get_request(request_id: str) -> Response:
    """One request with its votes and what is in force; while it is undecided, its risk, and base, theirs and mine by field."""
    changes = commands().changes
    with plane().store.read() as conn:
        found = policies.change_request(conn, request_id)
    more: dict[str, Any] = {"installation": changes.staffing()}
    if found["state"] in UNDECIDED:
        more |= {"risk": changes.risk(request_id), "fields": changes.against(request_id)}
    more["simulation"] = changes.simulation(request_id)
    answer = jsonify({**found, **more})
    answer.set_etag(etag_of(found["hash"], found["state"], found["base_revision"]))
    return answer


@deeds.post("/change-requests")
@contract(ChangeRequest, status=201, right="policy.propose", body=Proposal, etag=True, once=True, links=NEXT_DEEDS)
def open_request(asked: Proposal) -> tuple[Response, int]:
    """Propose a document in place of what is in force: kind, name, document, title, reason."""
    made = commands().changes.open(asked.kind, asked.name, asked.document, asked.title, asked.reason, actor())
    return _request(made), 201


@deeds.put("/change-requests/<request_id>")
@contract(ChangeRequest, right="policy.propose", body=Edition, refuses=(409,), if_match="needed")
def edit_request(request_id: str, asked: Edition) -> Response:
    """Replace the document, which voids every approval; `rebase` puts it on what is in force now, after a conflict."""
    return _request(_seen().edit(request_id, asked.document, actor(), rebase=asked.rebase, onto=asked.onto))


@deeds.post("/policies/<kind>/<name>/rollback")
@contract(ChangeRequest, status=201, right="policy.propose", body=Return, etag=True, once=True, links=NEXT_DEEDS)
def roll_back(kind: str, name: str, asked: Return) -> tuple[Response, int]:
    """Start a change request that goes back to an older revision: revision, reason."""
    made = commands().changes.roll_back(kind, name, asked.revision, asked.reason, actor())
    return _request(made), 201


@deeds.post("/change-requests/<request_id>/submit")
@contract(ChangeRequest, right="policy.propose", refuses=(409,), if_match="heeded", once=True)
def submit_request(request_id: str) -> Response:
    """Ask for review; it is simulated unless it is so already, and the whole registry is checked with the document in it."""
    return _request(_seen().submit(request_id, actor()))


@deeds.post("/change-requests/<request_id>/simulate")
@contract(Standing, right=("policy.propose", "policy.approve"), refuses=(409,), if_match="heeded", once=True)
def simulate_request(request_id: str) -> Response:
    """Replay the plane's history under the document and under what is in force; the result is kept with the request."""
    return jsonify(_seen().simulate(request_id, actor()))


@deeds.post("/change-requests/<request_id>/vote")
@contract(ChangeRequest, right="policy.approve", body=Ballot, refuses=(409,), if_match="heeded", once=True)
def vote_on_request(request_id: str, asked: Ballot) -> Response:
    """Approve or reject: decision, comment. Never by who wrote it."""
    return _request(_seen().vote(request_id, actor(), asked.decision, asked.comment))


@deeds.post("/change-requests/<request_id>/apply")
@contract(ChangeRequest, right="policy.apply", refuses=(409,), if_match="heeded", once=True)
def apply_request(request_id: str) -> Response:
    """Put an approved request in force."""
    return _request(_seen().apply(request_id, actor()))


@deeds.post("/change-requests/<request_id>/schedule")
@contract(ChangeRequest, right="policy.apply", body=At, refuses=(409,), if_match="heeded", once=True)
def schedule_request(request_id: str, asked: At) -> Response:
    """Let the plane put an approved request in force by itself: at, an ISO instant with its zone."""
    return _request(_seen().schedule(request_id, asked.at, actor()))


@deeds.post("/change-requests/<request_id>/break-glass")
@contract(ChangeRequest, right="policy.break_glass", body=Break, refuses=(409,), if_match="heeded", once=True)
def break_glass(request_id: str, asked: Break) -> Response:
    """Put a draft in force without approval: hours (24 at most), reason. It ends by itself, and a review is owed."""
    return _request(_seen().break_glass(request_id, timedelta(hours=asked.hours), asked.reason, actor()))


@deeds.post("/change-requests/<request_id>/review")
@contract(ChangeRequest, right="policy.approve", body=Comment, refuses=(409,), if_match="heeded", once=True)
def review_request(request_id: str, asked: Comment) -> Response:
    """Say afterwards what is to be said of a break-glass: comment."""
    return _request(_seen().review(request_id, actor(), asked.comment))


@deeds.get("/change-requests/<request_id>/thread")
@contract({"steps": [threads.Step], "next": NEXT}, query=Paged)
def get_thread(request_id: str, query: Paged) -> Response:
    """Who did and said what of a request, the oldest first."""
    commands().changes.get(request_id)
    with plane().store.read() as conn:
        found = threads.steps(conn, request_id, query.stretch)
    return jsonify(steps=found.rows, next=found.next)


@deeds.post("/change-requests/<request_id>/comments")
@contract(
    {"id": TEXT, "comment": TEXT}, status=201, right=("policy.propose", "policy.approve"), body=Comment, once=True,
    links=(Link("deeds.get_thread", ITS_ID),),
)  # fmt: skip
def comment_on_request(request_id: str, asked: Comment) -> tuple[Response, int]:
    """Say something about a request, in whatever state: comment. It stands in its thread, and changes nothing."""
    commands().changes.comment(request_id, actor(), asked.comment)
    return jsonify(id=request_id, comment=asked.comment.strip()), 201


@deeds.post("/policies/lint")
@contract({"problems": [FLAW]}, right=("policy.propose", "policy.approve"), body=Draft)
def lint_policy(asked: Draft) -> Response:
    """Everything that is wrong with a text as a policy, and with the registry once it stood in it: text; kind, name. Keeps nothing."""
    return jsonify(problems=commands().changes.lint(asked.text, actor(), asked.kind, asked.name))


@deeds.post("/change-requests/<request_id>/withdraw")
@contract(ChangeRequest, right="policy.propose", body=Noted, refuses=(409,), if_match="heeded", once=True)
def withdraw_request(request_id: str, asked: Noted) -> Response:
    """Give a request up."""
    return _request(_seen().withdraw(request_id, actor(), asked.reason))


def _seen() -> Changes:
    """Return the change requests, acting only on what the caller has seen."""
    return commands().changes.only_if(seen())


def _request(made: ChangeRequest) -> Response:
    answer = jsonify(made)
    answer.set_etag(made.etag)
    answer.headers["Location"] = f"/api/v1/change-requests/{made.id}"
    return answer


@deeds.post("/comparisons/<name>/runs")
@contract({"run": TEXT, "state": TEXT}, status=202, right="comparison.run", once=True)
def run_comparison(name: str) -> tuple[Response, int]:
    """Ask for a run now; it is done by the ticker, see GET /api/v1/comparisons."""
    return jsonify(run=commands().compare(name, actor()), state="requested"), 202


@deeds.post("/incidents/<incident_id>/acknowledge")
@contract({"id": TEXT, "state": TEXT}, right="incident.acknowledge", refuses=(409,), once=True)
def acknowledge_incident(incident_id: str) -> Response:
    """Say that somebody looks after it."""
    commands().acknowledge(incident_id, actor())
    return jsonify(id=incident_id, state="acknowledged")
