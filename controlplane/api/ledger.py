"""/api/v1/ledger: what retention does, what it archived, and how it comes back; see docs/retention.md."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import select

from controlplane.api.answers import actor, body, commands, plane
from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.sync.ledger.archive import Wanted, how_long, parts

ledger = Blueprint("ledger", __name__, url_prefix="/api/v1/ledger")
MOST = 1000


@ledger.get("/retention")
def get_retention() -> Response:
    """What is old from when on, under which domain, and where it goes."""
    return jsonify(scopes=[scope.told() for scope in plane().sync.archiver.plan()])


@ledger.get("/parts")
def get_parts() -> Response:
    """What was archived or deleted, the newest first; `limit` up to 1000."""
    limit = min(max(1, request.args.get("limit", 100, type=int)), MOST)
    with plane().store.read() as conn:
        return jsonify(parts=parts(conn, limit))


@ledger.post("/archive")
def archive_now() -> tuple[Response, int]:
    """Archive and delete what is due now; it is done by the ticker, see GET /api/v1/ledger/runs/<run>."""
    return jsonify(run=commands().archive(actor()), state="requested"), 202


@ledger.post("/restore")
def restore_part() -> tuple[Response, int]:
    """Put a part back: uri; since, until (instants, until not included), subject, keep (a duration) if not all of it for 30 days."""
    asked = body("uri")
    wanted = Wanted.read(asked.get("since"), asked.get("until"), asked.get("subject"))
    part, run = commands().restore(str(asked["uri"]), wanted, how_long(asked.get("keep")), actor())
    return jsonify(part=part, run=run, state="requested"), 202


@ledger.get("/runs/<run_id>")
def get_run(run_id: str) -> Response:
    """How a run that was asked for stands."""
    r = t.run.c
    query = select(r.id, r.schedule, r.state, r.detail).where(r.id == run_id, r.schedule.in_(("archive", "restore")))
    with plane().store.read() as conn:
        row = conn.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            f"no run '{run_id}' of archive or restore; the parts themselves are under /api/v1/ledger/parts"
        )
    return jsonify(dict(row))
