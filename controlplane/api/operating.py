"""What operators do to what moves, each behind its right: pause, resume, run now, and replay from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.access import Actor
from controlplane.api.beyond import Gate
from controlplane.errors import BadInputError, NotFoundError
from controlplane.store import tables as t
from controlplane.sync.engines.reprocess import Request
from controlplane.wiring import Plane


class Operating:
    """Acts on one plane in somebody's name. Every method raises ForbiddenError without the right, and is audited."""

    def __init__(self, plane: Plane, gate: Gate) -> None:
        self.plane, self.sync, self.gate = plane, plane.sync, gate

    # --- pause and resume ---

    def pause_system(self, system: str, reason: str, actor: Actor) -> None:
        """Stop deliveries to a system. A reason is needed. Raises NotFoundError, ConflictError, BadInputError."""
        with self.gate.deed(actor, "sync.pause", System=system):
            self.sync.pause(self._system(system), actor.name, reasoned(reason, "pausing a system"))

    def resume_system(self, system: str, reason: str, actor: Actor) -> None:
        """Let deliveries to a system go on. Raises NotFoundError, ConflictError."""
        with self.gate.deed(actor, "sync.pause", System=system):
            self.sync.resume(self._system(system), actor.name, reason.strip())

    def pause_flow(self, flow: str, reason: str, actor: Actor) -> None:
        """Stop the deliveries of a flow. A reason is needed. Raises NotFoundError, ConflictError, BadInputError."""
        with self.gate.deed(actor, "sync.pause", Flow=flow):
            self.sync.pause_flow(self._flow(flow), actor.name, reasoned(reason, "pausing a flow"))

    def resume_flow(self, flow: str, reason: str, actor: Actor) -> None:
        """Let the deliveries of a flow go on. Raises NotFoundError, ConflictError."""
        with self.gate.deed(actor, "sync.pause", Flow=flow):
            self.sync.resume_flow(self._flow(flow), actor.name, reason.strip())

    # --- run now ---

    def run_system(self, system: str, reason: str, actor: Actor) -> Mapping[str, Any]:
        """Let what waits out a backoff be due, and test a system that was failing by one request.

        Raises NotFoundError, and ConflictError while it is paused.
        """
        with self.gate.deed(actor, "sync.pause", System=system):
            found = self.sync.run_system(self._system(system), actor.name, reason.strip())
            return {"asked_again": found.asked_again, "blocked_until": found.blocked_until}

    def run_flow(self, flow: str, reason: str, actor: Actor) -> Mapping[str, Any]:
        """Let what waits out a backoff in a flow be due; `more` asks for another call. Raises like `run_system`."""
        with self.gate.deed(actor, "sync.pause", Flow=flow):
            released, more = self.sync.run_flow(self._flow(flow), actor.name, reason.strip())
            return {"released": released, "more": more}

    def run_delivery(self, delivery_id: str, reason: str, actor: Actor) -> None:
        """Let one delivery be due now. Raises NotFoundError, and ConflictError saying what else it waits for."""
        with self.gate.deed_on(actor, "sync.pause", t.delivery, delivery_id):
            self.sync.run_delivery(delivery_id, actor.name, reason.strip())

    # --- replay ---

    def replay(self, asked: Request, actor: Actor) -> str:
        """Send messages again from the ledger; return the replay's id. Raises NotFoundError, BadInputError, ConflictError."""
        with self.gate.deed(actor, "sync.replay", Flow=asked.flow):
            return self.sync.reprocessing.start(asked, actor.name)

    def preview(self, asked: Request, actor: Actor) -> Mapping[str, Any]:
        """Return what a replay would change, changing nothing. Raises NotFoundError, BadInputError."""
        with self.gate.deed(actor, "sync.replay", Flow=asked.flow):
            return self.sync.reprocessing.preview(asked)

    def cancel_replay(self, replay_id: str, reason: str, actor: Actor) -> None:
        """Let a replay add nothing more. Raises NotFoundError, ConflictError."""
        with self.gate.deed_on(actor, "sync.replay", t.replay, replay_id):
            self.sync.reprocessing.cancel(replay_id, actor.name, reason.strip())

    # --- what there is ---

    def _system(self, name: str) -> str:
        known = self.plane.registry.snapshot().systems
        if name not in known:
            raise NotFoundError(f"no system '{name}' in the registry; there are: {', '.join(known) or 'none'}")
        return name

    def _flow(self, name: str) -> str:
        known = self.plane.registry.snapshot().flows
        if name not in known:
            raise NotFoundError(f"no flow '{name}' in the registry; there are: {', '.join(known) or 'none'}")
        return name


def reasoned(reason: Any, what: str) -> str:
    """Return a reason without the spaces around it. Raises BadInputError where there is none."""
    text = str(reason).strip()
    if not text:
        raise BadInputError(f"{what} needs a reason that others will read in the action log; give `reason`")
    return text
