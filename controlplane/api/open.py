"""What watchers of the plane ask: does it live, can it work, what does it measure."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from controlplane.access import require
from controlplane.access.rights import METRICS
from controlplane.api.answers import actor, metrics_page, plane
from controlplane.health.readiness import ready

watch = Blueprint("open", __name__)


@watch.get("/healthz")
def healthz() -> Response:
    """Say that the process answers. Tells nothing else to anybody."""
    return jsonify(status="ok")


@watch.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Say whether the plane can do its work: database, registry, ticker. 503 when it cannot, with the checks that failed."""
    fine, checks = ready(plane().store, plane().clock, plane().registry.snapshot())
    return jsonify(ready=fine, checks=checks), 200 if fine else 503


@watch.get("/metrics")
def metrics() -> Response:
    """Give the measurements in Prometheus' format, to a session or a service token; gzip for whoever takes it."""
    if not actor().reach.everything:
        require(actor(), METRICS)
    compressed = request.accept_encodings["gzip"] > 0
    answer = Response(metrics_page().body(compressed=compressed), mimetype="text/plain; version=0.0.4; charset=utf-8")
    answer.vary.add("Accept-Encoding")
    if compressed:
        answer.content_encoding = "gzip"
    return answer
