"""What people may do, each behind its right. The API and the pages both come through here, so no page can do more than the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from controlplane import audit
from controlplane.access import Actor, StepUp
from controlplane.api.beyond import Gate
from controlplane.api.comparisons import Comparing
from controlplane.api.operating import Operating, reasoned
from controlplane.health.incidents import acknowledge
from controlplane.registry.changes import Changes
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.engines.workbench import Edit
from controlplane.sync.ledger.archive import Wanted
from controlplane.sync.quarantine import Corrected, Selection
from controlplane.wiring import Plane


class Commands:
    """Acts on one plane in somebody's name. Every method raises ForbiddenError without the right, and is audited."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        wait = timedelta(hours=plane.settings.approver_wait)
        self.changes = Changes(plane.registry, step_up=StepUp.of(plane.settings), wait=wait)
        self.gate = Gate(plane)
        self.operating = Operating(plane, self.gate)
        self.comparing = Comparing(plane, self.gate)

    def correct(self, case_id: str, edit: Edit, actor: Actor, *, dry_run: bool = False) -> Corrected:
        """Keep a correction beside the original record. Raises NotFoundError, ConflictError, BadInputError, ForbiddenError."""
        with self.gate.deed_on(actor, "quarantine.correct", t.quarantine, case_id):
            bench = self.plane.sync.workbench
            return (bench.examine if dry_run else bench.correct)(case_id, edit, actor.name)

    def correct_many(self, selection: Selection, edit: Edit, actor: Actor, *, dry_run: bool = False) -> dict[str, Any]:
        """Correct several records the same way."""
        with self.gate.deed(actor, "quarantine.correct"):
            return self.plane.sync.workbench.correct_many(
                self.gate.seen_of(actor, selection), edit, actor.name, dry_run=dry_run
            )

    def unseal(self, case_id: str, reason: str, actor: Actor) -> Mapping[str, Any]:
        """Return a case's record with what is personal in it. A reason is needed. Raises NotFoundError, SealError."""
        with self.gate.deed_on(actor, "quarantine.unseal", t.quarantine, case_id):
            why = reasoned(reason, "unsealing a record")
            return self.plane.sync.workbench.unseal(case_id, actor.name, why)

    def approve(self, case_id: str, actor: Actor, correction_id: str | None = None, note: str = "") -> None:
        """Agree to somebody else's correction. Raises NotFoundError, ConflictError, ForbiddenError."""
        with self.gate.deed_on(actor, "quarantine.approve", t.quarantine, case_id):
            self.plane.sync.workbench.approve(case_id, actor.name, correction_id, note)

    def vouch(self, case_id: str, reason: str, actor: Actor) -> None:
        """Say that what was sent of a record had no effect at its target. A reason is needed: how one knows."""
        with self.gate.deed_on(actor, "quarantine.replay", t.quarantine, case_id):
            why = reasoned(reason, "vouching for a record")
            with self.plane.store.write() as conn:
                quarantine.vouch(conn, self.plane.clock, case_id, actor.name, why)

    def preview(self, case_id: str, actor: Actor) -> Mapping[str, Any]:
        """Return what a replay would make, changing nothing."""
        with self.gate.deed_on(actor, "quarantine.replay", t.quarantine, case_id):
            return dict(self.gate.told(actor, self.plane.sync.preview(case_id)))

    def replay(self, case_id: str, actor: Actor) -> Mapping[str, Any]:
        """Send a record on its way again. Raises NotFoundError, ConflictError, BadInputError."""
        with self.gate.deed_on(actor, "quarantine.replay", t.quarantine, case_id):
            return self.plane.sync.replay(case_id, actor.name)

    def preview_many(self, selection: Selection, actor: Actor) -> dict[str, Any]:
        """Say of several records what a replay would do."""
        with self.gate.deed(actor, "quarantine.replay"):
            found = self.plane.sync.workbench.preview_many(self.gate.seen_of(actor, selection))
            return dict(self.gate.told(actor, found))

    def replay_many(self, selection: Selection, rate: float | None, actor: Actor) -> dict[str, Any]:
        """Ask for the replay of several records, so many a second."""
        with self.gate.deed(actor, "quarantine.replay"):
            return self.plane.sync.workbench.replay_many(self.gate.seen_of(actor, selection), actor.name, rate)

    def drop_many(self, selection: Selection, reason: str, actor: Actor) -> dict[str, Any]:
        """Decide of several records that they are not owed any more. A reason is needed."""
        with self.gate.deed(actor, "quarantine.drop"):
            reasoned(reason, "dropping records")
            return self.plane.sync.workbench.drop_many(self.gate.seen_of(actor, selection), actor.name, reason.strip())

    def drop(self, case_id: str, reason: str, actor: Actor) -> None:
        """Decide that a record is not owed any more. A reason is needed."""
        with self.gate.deed_on(actor, "quarantine.drop", t.quarantine, case_id):
            why = reasoned(reason, "dropping a record")
            with self.plane.store.write() as conn:
                quarantine.drop(conn, self.plane.clock, case_id, actor.name, why)

    def compare(self, comparison: str, actor: Actor, subjects: Sequence[str] | None = None) -> str:
        """Ask for a run of a comparison now, over everything or some subjects; return the run's id. Raises NotFoundError."""
        return self.comparing.run(comparison, actor, subjects)

    def archive(self, actor: Actor) -> str:
        """Ask for a run of retention now; return the run's id."""
        with self.gate.deed(actor, "ledger.archive"):
            with self.plane.store.write() as conn:
                audit.record(
                    conn, self.plane.clock, actor=actor.name, action="ledger.archive", subject="ledger/archive"
                )
            return self.plane.request_run("archive")

    def restore(self, uri: str, wanted: Wanted, kept: timedelta, actor: Actor) -> tuple[str, str]:
        """Ask for archived rows to be put back; return the part's id and the run's. Raises BadInputError, ConflictError."""
        with self.gate.deed(actor, "ledger.restore"):
            return self.plane.sync.restorer.ask(uri, wanted, kept, actor.name), self.plane.request_run("restore")

    def acknowledge(self, incident_id: str, actor: Actor) -> None:
        """Say that somebody looks after an incident. Raises NotFoundError, ConflictError."""
        with self.gate.deed_on(actor, "incident.acknowledge", t.incident, incident_id):
            acknowledge(self.plane.store, self.plane.clock, incident_id, actor.name)
