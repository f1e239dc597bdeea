"""The incident tool's inlet: takes what it is told, and keeps it for the judge to look at."""

from typing import Any

from flask import Flask, Response, jsonify, request

from controlplane.sandbox.clock import iso_ms
from controlplane.sandbox.gate import Gate, Vendor
from controlplane.sandbox.records import PagerEvent
from controlplane.sandbox.world import World

PATH = "/pager/events"


def _problem(status: int, message: str) -> Response:
    answer = jsonify(status="error", message=message)
    answer.status_code = status
    return answer


def routes(app: Flask, world: World, gate: Gate) -> None:
    """Mount `POST /pager/events`."""
    vendor = Vendor(
        "pager", lambda: _problem(429, "rate limit reached"), lambda status: _problem(status, "unavailable")
    )

    @app.post(PATH)
    def page() -> Response:
        return gate.pass_through(vendor, ("write", "events"), lambda: _take(world))


def _take(world: World) -> Response:
    if request.headers.get("Authorization") != f"Bearer {world.secrets.read('pager_token')}":
        return _problem(401, "the bearer token is not the one in secrets/pager_token")
    body: Any = request.get_json(silent=True)
    if (
        not isinstance(body, dict)
        or body.get("event_action") not in ("trigger", "resolve")
        or not body.get("dedup_key")
    ):
        return _problem(400, "dedup_key and event_action (trigger or resolve) are required")
    with world.transaction():
        number = world.counters.next("page")
        told = PagerEvent(
            received_at=world.clock.now(), dedup_key=body["dedup_key"], event_action=body["event_action"], body=body
        )
        world.pages.put(str(number), told)
    answer = jsonify(status="success", message="Event processed", dedup_key=body["dedup_key"])
    answer.status_code = 202
    return answer


def listing(world: World) -> list[dict[str, Any]]:
    """Everything the tool was told, oldest first."""
    return [
        {
            "received_at": iso_ms(row.received_at),
            "dedup_key": row.dedup_key,
            "event_action": row.event_action,
            "body": row.body,
        }
        for row in world.pages
    ]
