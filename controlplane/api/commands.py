"""What people may do, each behind its right. The API and the pages both come through here, so no page can do more than the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from controlplane import audit
from controlplane.access import Actor, require
from controlplane.api.operating import Operating, reasoned
from controlplane.errors import BadInputError
from controlplane.health.incidents import acknowledge
from controlplane.registry.changes import Changes
from controlplane.sync import quarantine
from controlplane.sync.ledger.archive import Wanted
from controlplane.wiring import Plane


class Commands:
    """Acts on one plane in somebody's name. Every method raises ForbiddenError without the right, and is audited."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.changes = Changes(plane.registry)
        self.operating = Operating(plane)

    def correct(self, case_id: str, record: Any, actor: Actor) -> None:
        """Keep a corrected record beside the original one. Raises NotFoundError, ConflictError, BadInputError."""
        require(actor, "quarantine.correct")
        if not isinstance(record, dict):
            raise BadInputError(
                "a corrected record is a JSON object, whole, as the original is; correct its fields only"
            )
        with self.plane.store.write() as conn:
            quarantine.correct(conn, self.plane.clock, case_id, record, actor.name)

    def preview(self, case_id: str, actor: Actor) -> Mapping[str, Any]:
        """Return what a replay would make, changing nothing."""
        require(actor, "quarantine.replay")
        return self.plane.sync.preview(case_id)

    def replay(self, case_id: str, actor: Actor) -> Mapping[str, Any]:
        """Send a record on its way again. Raises NotFoundError, ConflictError, BadInputError."""
        require(actor, "quarantine.replay")
        return self.plane.sync.replay(case_id, actor.name)

    def drop(self, case_id: str, reason: str, actor: Actor) -> None:
        """Decide that a record is not owed any more. A reason is needed."""
        require(actor, "quarantine.drop")
        why = reasoned(reason, "dropping a record")
        with self.plane.store.write() as conn:
            quarantine.drop(conn, self.plane.clock, case_id, actor.name, why)

    def compare(self, comparison: str, actor: Actor) -> str:
        """Ask for a run of a comparison now; return the run's id. Raises NotFoundError."""
        require(actor, "comparison.run")
        return self.plane.request_run(f"compare:{comparison}")

    def archive(self, actor: Actor) -> str:
        """Ask for a run of retention now; return the run's id."""
        require(actor, "ledger.archive")
        with self.plane.store.write() as conn:
            audit.record(conn, self.plane.clock, actor=actor.name, action="ledger.archive", subject="ledger/archive")
        return self.plane.request_run("archive")

    def restore(self, uri: str, wanted: Wanted, kept: timedelta, actor: Actor) -> tuple[str, str]:
        """Ask for archived rows to be put back; return the part's id and the run's. Raises BadInputError, ConflictError."""
        require(actor, "ledger.restore")
        return self.plane.sync.restorer.ask(uri, wanted, kept, actor.name), self.plane.request_run("restore")

    def acknowledge(self, incident_id: str, actor: Actor) -> None:
        """Say that somebody looks after an incident. Raises NotFoundError, ConflictError."""
        require(actor, "incident.acknowledge")
        acknowledge(self.plane.store, self.plane.clock, incident_id, actor.name)
