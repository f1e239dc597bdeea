"""/api/v1/audit: the action log, its export and its checkpoints; see docs/audit.md. It takes the right `audit.view`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import select

from controlplane.access import require
from controlplane.api.answers import actor, plane
from controlplane.audit import evidence
from controlplane.errors import BadInputError
from controlplane.store import tables as t

audit = Blueprint("audit", __name__, url_prefix="/api/v1/audit")
MOST = 1000


@audit.before_request
def _right() -> None:
    require(actor(), "audit.view")


@audit.get("/actions")
def actions() -> Response:
    """Actions, the newest first: `before` (a number of the chain), `limit` up to 1000, `actor`, `action`, `subject`."""
    limit = min(max(1, request.args.get("limit", 100, type=int)), MOST)
    a = t.action.c
    query = select(t.action).order_by(a.seq.desc()).limit(limit + 1)
    if "before" in request.args:
        query = query.where(a.seq < _number("before"))
    for name in ("actor", "action", "subject"):
        if name in request.args:
            query = query.where(a[name] == request.args[name])
    with plane().store.read() as conn:
        found: list[dict[str, Any]] = [dict(row) for row in conn.execute(query).mappings()]
    more = len(found) > limit
    return jsonify(actions=found[:limit], next=found[limit - 1]["seq"] if more else None)


def _number(name: str) -> int:
    try:
        return int(request.args[name])
    except ValueError:
        raise BadInputError(f"{name}={request.args[name]!r} is no number of an action; give one, such as 120") from None


@audit.get("/checkpoints")
def checkpoints() -> Response:
    """Checkpoints, the newest first, with the places that have them; `limit` up to 1000."""
    limit = min(max(1, request.args.get("limit", 100, type=int)), MOST)
    c = t.audit_checkpoint.c
    with plane().store.read() as conn:
        rows = conn.execute(select(c.seq, c.at, c.written_to).order_by(c.seq.desc()).limit(limit)).mappings().all()
    return jsonify(
        places=plane().anchors.places,
        checkpoints=[{**row, "written_to": row["written_to"].split()} for row in rows],
    )


@audit.get("/export")
def export() -> Response:
    """The whole log with its checkpoints as NDJSON, which `trueup audit verify` checks without a plane."""
    made, clock = plane().store, plane().clock

    def lines() -> Iterator[str]:
        with made.read() as conn:
            yield from evidence.export(conn, clock)

    return Response(lines(), mimetype="application/x-ndjson")
