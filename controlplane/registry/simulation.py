"""What a change would have done: simulated on the plane's own history before people decide, and bound to what they decide on.

A kind's simulator is a plugin (entry point group `trueup.simulators`, named after the kind). The result is kept with a hash; an
approval carries that hash, and counts on a result only that is of this very document, of the policies in force now, and of today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, desc, insert, select

from controlplane.plugins import load, registered
from controlplane.registry import revisions
from controlplane.registry.registry import Snapshot
from controlplane.registry.requests import ChangeRequest
from controlplane.registry.risk import read
from controlplane.store import tables as t
from rules.canonical import digest
from rules.ids import new_id
from rules.policy.kinds import Document

LENGTH = timedelta(days=28)
"""Of history that is replayed, or all there is."""
FRESH = timedelta(hours=24)
"""After which a result is stale."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a simulation stands on: a consistent view of the store, the policies in force, and a stretch of time."""

    conn: Connection
    snapshot: Snapshot
    since: datetime
    until: datetime
    memory: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What several simulations on one ground share, by keys of their own."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number under both revisions."""

    name: str
    unit: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Impact:
    """What a simulator found out. All of it is made to be shown and kept as JSON."""

    figures: Sequence[Figure]
    rows: Sequence[Mapping[str, Any]] = ()
    """What differs, each a mapping of text and numbers: an alert gained, a target's course, a finding hidden."""
    not_simulated: Sequence[str] = ()
    """What the change does beside that, or what history does not tell, in a sentence each."""
    since: datetime | None = None
    """From when on there is history; None: in the whole stretch, or the simulator does not say."""


class Simulate(Protocol):
    """Replays history under a document and the one in force (None: there is none)."""

    def __call__(self, ground: Ground, before: Document | None, after: Document) -> Impact:
        """Return what would have been different."""
        ...


@dataclass(frozen=True, slots=True)
class Simulator:
    """A kind's simulator. `reads`: kinds whose documents it looks at beside the one that changes."""

    run: Simulate
    reads: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Simulation:
    """A result, as it is kept."""

    id: str
    change_request_id: str
    hash: str
    """Of the result: what an approval is bound to."""
    document_hash: str
    inputs: str
    """Hash of the document, its base and the policies that were looked at."""
    at: datetime
    since: datetime
    until: datetime
    impact: Mapping[str, Any] = field(default_factory=dict)


def simulator(kind: str) -> Simulator | None:
    """Return a kind's simulator; None where it has none, and that is to be said."""
    found: Simulator | None = load("simulators", kind) if kind in registered("simulators") else None
    return found


def inputs_of(conn: Connection, snapshot: Snapshot, request: ChangeRequest, reads: Sequence[str]) -> str:
    """Return a hash of what the result depends on, beside history."""
    current = revisions.current(conn, request.kind, request.name)
    looked_at = sorted(
        (kind, name, snapshot.revision(kind, name)) for kind, name in snapshot.documents if kind in reads
    )
    return digest(
        {"document": request.hash, "base": current and current["hash"], "read": [list(one) for one in looked_at]}
    )


def run(conn: Connection, snapshot: Snapshot, request: ChangeRequest, now: datetime) -> Simulation | None:
    """Replay history for a request; nothing is kept by it. None where the kind has no simulator."""
    found = simulator(request.kind)
    if found is None:
        return None
    current = revisions.current(conn, request.kind, request.name)
    before = read(current["document"]) if current else None
    after = read(request.document)
    ground = Ground(conn, snapshot, now - LENGTH, now)
    result = found.run(ground, before, after)
    impact, since = as_json(result), result.since or ground.since
    inputs = inputs_of(conn, snapshot, request, found.reads)
    told = {
        "since": since.isoformat(), "until": now.isoformat(), "impact": impact, "document": request.hash, "inputs": inputs,
    }  # fmt: skip
    return Simulation(
        new_id(now), request.id, digest(told), request.hash, inputs, now, since, now, impact
    )  # fmt: skip


def as_json(impact: Impact) -> dict[str, Any]:
    """Return an impact as plain values."""
    return {
        "figures": [
            {"name": one.name, "unit": one.unit, "before": one.before, "after": one.after} for one in impact.figures
        ],
        "rows": [dict(row) for row in impact.rows],
        "not_simulated": list(impact.not_simulated),
    }


def keep(conn: Connection, found: Simulation) -> None:
    """Keep a result with its request."""
    names = ("id", "change_request_id", "hash", "document_hash", "inputs", "at", "since", "until", "impact")
    conn.execute(insert(t.simulation).values({name: getattr(found, name) for name in names}))


def latest(conn: Connection, request_id: str) -> Simulation | None:
    """Return the newest result of a request."""
    c = t.simulation.c
    query = select(t.simulation).where(c.change_request_id == request_id).order_by(desc(c.at), desc(c.id)).limit(1)
    row = conn.execute(query).mappings().one_or_none()
    return Simulation(**row) if row else None


def overtaken(conn: Connection, snapshot: Snapshot, request: ChangeRequest) -> str:
    """Say that approvals of a request rest on a simulation of policies that have changed since; empty where none does.

    How old the simulation is does not matter here: it was of its day when they approved.
    """
    found = simulator(request.kind)
    if found is None:
        return ""
    c = t.simulation.c
    rows = conn.execute(select(c.hash, c.inputs).where(c.change_request_id == request.id))
    kept = {row.hash: row.inputs for row in rows}
    inputs = inputs_of(conn, snapshot, request, found.reads)
    rest_on = [kept.get(vote.simulation or "") for vote in request.valid_votes if vote.decision == "approve"]
    if all(one == inputs for one in rest_on):
        return ""
    return (
        "policies that its simulation looked at have changed since it was approved, so the approvals are void; simulate it "
        "anew, and have it approved anew"
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request's simulation stands. `missing`: why an approval cannot rest on it; empty when it can."""

    result: Simulation | None
    missing: str
    note: str = ""
    """Said of a kind that has no simulator."""


def standing(conn: Connection, snapshot: Snapshot, request: ChangeRequest, now: datetime) -> Standing:
    """Say whether the newest result of a request is of this document, of the policies in force, and of today."""
    found = simulator(request.kind)
    result = latest(conn, request.id)
    if found is None:
        return Standing(None, "", f"{request.kind} has no simulator: what this change would have done is not known")
    if result is None:
        return Standing(None, "it has not been simulated")
    if result.document_hash != request.hash:
        return Standing(result, "it was edited after it was simulated")
    if result.inputs != inputs_of(conn, snapshot, request, found.reads):
        return Standing(result, "policies that the simulation looked at have changed since")
    if not timedelta(0) <= now - result.at < FRESH:
        return Standing(result, f"the simulation of {result.at:%Y-%m-%d %H:%M} UTC is older than a day")
    return Standing(result, "")
