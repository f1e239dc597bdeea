"""What people may do, each behind its right. The API and the pages both come through here, so no page can do more than the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.access import Actor, require
from controlplane.api.operating import Operating, reasoned
from controlplane.errors import BadInputError
from controlplane.health.incidents import acknowledge
from controlplane.registry.changes import Changes
from controlplane.sync import quarantine
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

    def acknowledge(self, incident_id: str, actor: Actor) -> None:
        """Say that somebody looks after an incident. Raises NotFoundError, ConflictError."""
        require(actor, "incident.acknowledge")
        acknowledge(self.plane.store, self.plane.clock, incident_id, actor.name)
