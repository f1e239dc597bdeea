"""/api/v1/audit: the action log, its export and its checkpoints; see docs/audit.md. It takes the right `audit.view`."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, jsonify
from pydantic import Field
from sqlalchemy import select

from controlplane.api.answers import plane
from controlplane.api.contract import contract
from controlplane.api.fields import Text
from controlplane.api.pages import Paged
from controlplane.api.schemas import ANY, NEXT, TEXT, row
from controlplane.audit import evidence
from controlplane.store import tables as t
from controlplane.views.paging import Order, part

audit = Blueprint("audit", __name__, url_prefix="/api/v1/audit")
ACTIONS = Order("actions", (t.action.c.seq,))
CHECKPOINTS = Order("checkpoints", (t.audit_checkpoint.c.seq,))
NDJSON = "application/x-ndjson"


class ActionsQuery(Paged):
    """Which actions."""

    actor: Text | None = Field(default=None, description="only by this account")
    action: Text | None = Field(default=None, description="only of this kind, for instance change_request.approve")
    subject: Text | None = Field(default=None, description="only on this, for instance policy/Flow/orders")


@audit.get("/actions")
@contract({"actions": [row(t.action)], "next": NEXT}, right="audit.view", query=ActionsQuery)
def actions(query: ActionsQuery) -> Response:
    """Actions, the newest first."""
    narrow = query.model_dump(include={"actor", "action", "subject"}, exclude_none=True)
    wanted = select(t.action).where(*(t.action.c[name] == value for name, value in narrow.items()))
    with plane().store.read() as conn:
        found = part(conn, wanted, ACTIONS, query.stretch, dict)
    return jsonify(actions=found.rows, next=found.next)


@audit.get("/checkpoints")
@contract(
    {"places": [TEXT], "checkpoints": [row(t.audit_checkpoint, only=("seq", "at"), written_to=[TEXT])], "next": NEXT},
    right="audit.view", query=Paged,
)  # fmt: skip
def checkpoints(query: Paged) -> Response:
    """Checkpoints, the newest first, with the places that have them."""
    c = t.audit_checkpoint.c
    with plane().store.read() as conn:
        wanted = select(c.seq, c.at, c.written_to)
        found = part(
            conn, wanted, CHECKPOINTS, query.stretch, lambda row: row | {"written_to": row["written_to"].split()}
        )
    return jsonify(places=plane().anchors.places, checkpoints=found.rows, next=found.next)


@audit.get("/export")
@contract(ANY, right="audit.view", media=NDJSON)
def export() -> Response:
    """The whole log with its checkpoints as NDJSON, which `trueup audit verify` checks without a plane."""
    made, clock = plane().store, plane().clock

    def lines() -> Iterator[str]:
        with made.read() as conn:
            yield from evidence.export(conn, clock)

    return Response(lines(), mimetype=NDJSON)
