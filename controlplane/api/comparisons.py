"""What people may do about comparisons and findings, each behind its right and written into the action log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from controlplane import audit
from controlplane.access import Actor
from controlplane.api.beyond import Gate
from controlplane.api.operating import reasoned
from controlplane.errors import NotFoundError
from controlplane.health.observations import findings, heals, runs
from controlplane.store import tables as t
from controlplane.wiring import Plane


class Comparing:
    """Acts on one plane in somebody's name. Every method raises ForbiddenError without the right."""

    def __init__(self, plane: Plane, gate: Gate) -> None:
        self.plane, self.gate = plane, gate

    def run(self, comparison: str, actor: Actor, subjects: Sequence[str] | None = None) -> str:
        """Ask for a run now, over everything or some subjects; return the id of the ticker's run. Raises NotFoundError."""
        with self.gate.deed(actor, "comparison.run", Comparison=comparison):
            return self._run(comparison, actor, subjects)

    def _run(self, comparison: str, actor: Actor, subjects: Sequence[str] | None) -> str:
        snapshot = self.plane.registry.snapshot()
        if comparison not in snapshot.comparisons:
            known = ", ".join(snapshot.comparisons) or "none"
            raise NotFoundError(f"no comparison '{comparison}' in the registry; there are: {known}")
        clock, version = self.plane.clock, snapshot.version
        with self.plane.store.write() as conn:
            runs.begin(conn, clock, comparison, actor.name, subjects, version, "requested")
        return self.plane.request_run(f"compare:{comparison}")

    def accept(self, finding_id: str, reason: str, actor: Actor) -> None:
        """Live with a difference until it moves. A reason is needed. Raises NotFoundError, ConflictError."""
        with self.gate.deed_on(actor, "finding.accept", t.finding, finding_id):
            why = reasoned(reason, "accepting a finding")
            with self.plane.store.write() as conn:
                findings.accept(conn, self.plane.clock, finding_id, actor.name, why)
                self._record(conn, actor, "finding.accept", finding_id, why)

    def reopen(self, finding_id: str, reason: str, actor: Actor) -> None:
        """Take an acceptance back. Raises NotFoundError, ConflictError."""
        with self.gate.deed_on(actor, "finding.accept", t.finding, finding_id), self.plane.store.write() as conn:
            findings.reopen(conn, self.plane.clock, finding_id, actor.name, reason)
            self._record(conn, actor, "finding.reopen", finding_id, reason)

    def ask_to_heal(self, finding_id: str, reason: str, actor: Actor) -> str:
        """Ask for healing beyond the limits; return its id. A reason is needed. Raises NotFoundError, ConflictError."""
        with self.gate.deed_on(actor, "finding.heal", t.finding, finding_id):
            why = reasoned(reason, "healing beyond the limits")
            snapshot = self.plane.registry.snapshot()
            with self.plane.store.write() as conn:
                made = heals.ask(conn, self.plane.clock, snapshot, finding_id, actor.name, why)
                self._record(conn, actor, "finding.heal", finding_id, why)
            return made

    def approve_heal(self, finding_id: str, note: str, actor: Actor) -> str:
        """Agree to somebody else's asking; return the run that reads the key again and heals. Raises NotFoundError, ConflictError."""
        with self.gate.deed_on(actor, "finding.approve", t.finding, finding_id):
            with self.plane.store.write() as conn:
                row = heals.approve(conn, finding_id, actor.name)
                self._record(conn, actor, "finding.approve", finding_id, note)
            return self._run(row.comparison, actor, [row.subject])

    def _record(self, conn: Connection, actor: Actor, action: str, finding_id: str, reason: str) -> None:
        audit.record(
            conn, self.plane.clock, actor=actor.name, action=action, subject=f"finding/{finding_id}", reason=reason
        )
