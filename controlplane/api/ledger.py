"""/api/v1/ledger: what retention does, what it archived, and how it comes back; see docs/retention.md."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from pydantic import Field
from sqlalchemy import select

from controlplane.api.answers import actor, commands, plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import KEPT, SAID, Body, Instant, Text
from controlplane.api.pages import Paged
from controlplane.api.schemas import NEXT, OBJECT, TEXT, row
from controlplane.errors import NotFoundError
from controlplane.store import tables as t
from controlplane.sync.ledger.archive import Wanted, how_long, part_of
from controlplane.views.paging import Order, part

ledger = Blueprint("ledger", __name__, url_prefix="/api/v1/ledger")
PARTS = Order("parts of the archive", (t.archive.c.id,))
RUN = {"run": TEXT, "state": TEXT}
ITS_RUN = (Link("ledger.get_run", {"run_id": "/run"}),)


class Restore(Body):
    """What is put back, and for how long."""

    uri: str = Field(
        min_length=1, max_length=1000, pattern=SAID, description="of the part, as GET /api/v1/ledger/parts tells it"
    )
    since: Instant | None = Field(default=None, description="only from here")
    until: Instant | None = Field(default=None, description="only to here, not included")
    subject: Text | None = Field(default=None, description="only this business key")
    keep: str | None = Field(default=None, max_length=40, pattern=KEPT, description="a duration; 30d, if not given")


@ledger.get("/retention")
@contract({"scopes": [OBJECT]})
def get_retention() -> Response:
    """What is old from when on, under which domain, and where it goes. Whole: there are as many as domains and kinds of rows."""
    return jsonify(scopes=[scope.told() for scope in plane().sync.archiver.plan()])


@ledger.get("/parts")
@contract({"parts": [row(t.archive)], "next": NEXT}, query=Paged)
def get_parts(query: Paged) -> Response:
    """What was archived or deleted, the newest first."""
    with plane().store.read() as conn:
        found = part(conn, select(t.archive), PARTS, query.stretch, dict)
    return jsonify(parts=found.rows, next=found.next)


@ledger.get("/parts/<part_id>")
@contract(row(t.archive), refuses=(404,))
def get_part(part_id: str) -> Response:
    """One part, and what came of putting it back the last time."""
    with plane().store.read() as conn:
        return jsonify(part_of(conn, part_id))


@ledger.post("/archive")
@contract(RUN, status=202, right="ledger.archive", once=True, links=ITS_RUN)
def archive_now() -> tuple[Response, int]:
    """Archive and delete what is due now; it is done by the ticker, see GET /api/v1/ledger/runs/<run>."""
    return jsonify(run=commands().archive(actor()), state="requested"), 202


@ledger.post("/restore")
@contract(
    RUN | {"part": TEXT},
    status=202,
    right="ledger.restore",
    body=Restore,
    refuses=(404, 409),
    once=True,
    links=(*ITS_RUN, Link("ledger.get_part", {"part_id": "/part"})),
)
def restore_part(asked: Restore) -> tuple[Response, int]:
    """Put a part back: uri; since, until (instants, until not included), subject, keep (a duration) if not all of it for 30 days."""
    wanted = Wanted(asked.since, asked.until, asked.subject)
    told, run = commands().restore(asked.uri, wanted, how_long(asked.keep), actor())
    return jsonify(part=told, run=run, state="requested"), 202


@ledger.get("/runs/<run_id>")
@contract(row(t.run, only=("id", "schedule", "state", "detail")))
def get_run(run_id: str) -> Response:
    """How a run that was asked for stands."""
    r = t.run.c
    query = select(r.id, r.schedule, r.state, r.detail).where(r.id == run_id, r.schedule.in_(("archive", "restore")))
    with plane().store.read() as conn:
        found = conn.execute(query).mappings().one_or_none()
    if found is None:
        raise NotFoundError(
            f"no run '{run_id}' of archive or restore; the parts themselves are under /api/v1/ledger/parts"
        )
    return jsonify(dict(found))
