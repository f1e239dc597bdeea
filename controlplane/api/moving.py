"""/api/v1: what moves, as lists: what arrived, messages, deliveries, attempts. The newest first; contents stand with single rows."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from pydantic import Field

from controlplane.api.answers import plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import Text
from controlplane.api.pages import Timed, listed
from controlplane.api.schemas import NEXT, YES, row
from controlplane.store import tables as t
from controlplane.views import moving as view

moving = Blueprint("moving", __name__, url_prefix="/api/v1")
ATTEMPT = row(t.attempt)


class IntakeQuery(Timed):
    """Which records of intake; the stretch of time is that of `received_at`."""

    system: Text | None = None
    channel: Text | None = Field(default=None, description="webhook, poll, file, broker, api or read-back")
    topic: Text | None = None
    event_key: Text | None = Field(default=None, description="the vendor's event id; give `system` with it")
    state: Text | None = Field(default=None, description="new, translated, ignored or quarantined")


@moving.get("/intake")
@contract(
    {"intake": [row(t.intake, without=view.INTAKE, sealed=YES)], "next": NEXT},
    query=IntakeQuery,
    links=(Link("moving.get_arrival", {"intake_id": "/intake/0/id"}),),
)
def list_intake(query: IntakeQuery) -> Response:
    """What systems told us, without what they said."""
    return listed("intake", view.arrived, query)


@moving.get("/intake/<intake_id>")
@contract(row(t.intake, without=("sealed",), sealed=YES))
def get_arrival(intake_id: str) -> Response:
    """One record as it came, what is personal in it hidden; long bodies are cut."""
    with plane().store.read() as conn:
        return jsonify(view.arrival(conn, intake_id))


class MessagesQuery(Timed):
    """Which messages; the stretch of time is that of `accepted_at`."""

    flow: Text | None = Field(default=None, description="those that it carries: of its source, of its types")
    source: Text | None = Field(default=None, description="the system that they speak of, or plane")
    type: Text | None = None
    subject: Text | None = Field(default=None, description="the business key")
    state: Text | None = Field(default=None, description="accepted, processed or quarantined")
    causation_id: Text | None = Field(default=None, description="those that this message caused")
    trace_id: Text | None = None

    @classmethod
    def beside(cls) -> frozenset[str]:
        """Return the fields that are no columns."""
        return frozenset({"flow"})


@moving.get("/messages")
@contract(
    {"messages": [row(t.message, without=view.MESSAGE)], "next": NEXT},
    query=MessagesQuery,
    links=(Link("rooms.get_message", {"message_id": "/messages/0/id"}),),
)
def list_messages(query: MessagesQuery) -> Response:
    """Canonical messages, without their data."""
    with plane().store.read() as conn:
        promises = plane().registry.snapshot_in(conn)
        found = view.messages(conn, promises, query.narrow, query.stretch, flow=query.flow)
    return jsonify(messages=found.rows, next=found.next)


class DeliveriesQuery(Timed):
    """Which deliveries; the stretch of time is that of `created_at`."""

    flow: Text | None = None
    target: Text | None = Field(default=None, description="the system that they are owed to")
    entity: Text | None = None
    subject: Text | None = Field(default=None, description="the business key")
    message_id: Text | None = None
    state: Text | None = Field(
        default=None, description="pending, sending, unknown, delivered, superseded, stale, quarantined or dropped"
    )
    outcome: Text | None = Field(default=None, description="of the last attempt")


@moving.get("/deliveries")
@contract(
    {"deliveries": [row(t.delivery, without=view.DELIVERY)], "next": NEXT},
    query=DeliveriesQuery,
    links=(
        Link("moving.get_delivery", {"delivery_id": "/deliveries/0/id"}),
        Link("rooms.get_message", {"message_id": "/deliveries/0/message_id"}),
    ),
)
def list_deliveries(query: DeliveriesQuery) -> Response:
    """What was owed to targets, and what became of it, without what is sent."""
    return listed("deliveries", view.deliveries, query)


@moving.get("/deliveries/<delivery_id>")
@contract(
    row(t.delivery, attempts=[ATTEMPT]),
    links=(
        Link("rooms.get_message", {"message_id": "/message_id"}),
        Link("operators.run_delivery", {"delivery_id": "/id"}),
    ),
)
def get_delivery(delivery_id: str) -> Response:
    """One delivery with what is sent, what is personal in it hidden, and every attempt at it."""
    with plane().store.read() as conn:
        return jsonify(view.delivery(conn, delivery_id))


class AttemptsQuery(Timed):
    """Which attempts; the stretch of time is that of `finished_at`."""

    system: Text | None = None
    flow: Text | None = None
    delivery_id: Text | None = None
    kind: Text | None = Field(default=None, description="write, read-back or repeat")
    outcome: Text | None = None


@moving.get("/attempts")
@contract(
    {"attempts": [ATTEMPT], "next": NEXT},
    query=AttemptsQuery,
    links=(Link("moving.get_delivery", {"delivery_id": "/attempts/0/delivery_id"}),),
)
def list_attempts(query: AttemptsQuery) -> Response:
    """Every try at a delivery with its outcome, by when it ended."""
    return listed("attempts", view.attempts, query)
