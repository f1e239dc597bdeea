"""/api/v1: what people do about comparisons: read some keys again, live with a difference, have it healed beyond the limits."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, jsonify
from pydantic import Field

from controlplane.api.answers import actor, commands, plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import Because, Body, Noted, Text
from controlplane.api.schemas import OBJECT, TEXT
from controlplane.health.observations import heals

comparing = Blueprint("comparing", __name__, url_prefix="/api/v1")
MOST = 500
"""Subjects of one targeted run."""
ITS_FINDING = (Link("rooms.get_finding", {"finding_id": "/id"}),)


class Targeted(Body):
    """Which keys are read."""

    subjects: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST)] = Field(
        description="business keys: SKU@location, a SKU for all locations, an order's reference"
    )


@comparing.post("/comparisons/<name>/targeted-runs")
@contract({"run": TEXT, "state": TEXT}, status=202, right="comparison.run", body=Targeted, once=True)
def run_targeted(name: str, asked: Targeted) -> tuple[Response, int]:
    """Ask for a run over some keys: subjects. It is done by the ticker, and says nothing of the rest."""
    return jsonify(run=commands().compare(name, actor(), asked.subjects), state="requested"), 202


@comparing.get("/comparisons/<name>/healing")
@contract({"decisions": [OBJECT]})
def preview_healing(name: str) -> Response:
    """What healing would do with each open finding now, from what to what, and why not; nothing is changed."""
    with plane().store.read() as conn:
        found = heals.preview(conn, plane().clock, plane().registry.snapshot_in(conn), name)
    return jsonify(decisions=found)


@comparing.post("/findings/<finding_id>/accept")
@contract(
    {"id": TEXT, "state": TEXT}, right="finding.accept", body=Because, refuses=(409,), once=True, links=ITS_FINDING
)
def accept_finding(finding_id: str, asked: Because) -> Response:
    """Live with a difference: reason. As soon as it moves it is open again."""
    commands().comparing.accept(finding_id, asked.reason, actor())
    return jsonify(id=finding_id, state="accepted")


@comparing.post("/findings/<finding_id>/reopen")
@contract({"id": TEXT, "state": TEXT}, right="finding.accept", body=Noted, refuses=(409,), once=True, links=ITS_FINDING)
def reopen_finding(finding_id: str, asked: Noted) -> Response:
    """Take an acceptance back."""
    commands().comparing.reopen(finding_id, asked.reason, actor())
    return jsonify(id=finding_id, state="open")


@comparing.post("/findings/<finding_id>/heal")
@contract({"id": TEXT, "heal": TEXT, "state": TEXT}, right="finding.heal", body=Because, refuses=(409,), once=True)
def heal_finding(finding_id: str, asked: Because) -> Response:
    """Ask for the healing of what is beyond the policy's limits: reason. Somebody else agrees to it."""
    made = commands().comparing.ask_to_heal(finding_id, asked.reason, actor())
    return jsonify(id=finding_id, heal=made, state="waiting")


@comparing.post("/findings/<finding_id>/heal/approve")
@contract(
    {"id": TEXT, "run": TEXT, "approved_by": TEXT}, right="finding.approve", body=Noted, refuses=(409,), once=True
)
def approve_heal(finding_id: str, asked: Noted) -> Response:
    """Agree to a healing that somebody else asked for; the key is read again, and healed by what it shows then."""
    run = commands().comparing.approve_heal(finding_id, asked.reason, actor())
    return jsonify(id=finding_id, run=run, approved_by=actor().name)
