"""The steps of sync, each a bounded batch: what an engine calls, and what people ask for by hand."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from controlplane import audit
from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Connector, Draft, Inbound, Record, SignatureError, UnsupportedError
from controlplane.errors import ConnectorError, NotFoundError, SettingsError
from controlplane.registry import Registry, Snapshot
from controlplane.sealing import Keyring, NoKeys, Shield
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.newest import go_on_behind_newest
from controlplane.sync import delivery, intake, ledger, routing
from controlplane.sync.delivery import operators, systems
from controlplane.sync.engines.healing import Healing
from controlplane.sync.engines.rechecks import Rechecks
from controlplane.sync.engines.replay import Replay
from controlplane.sync.engines.reprocess import Reprocessing
from controlplane.sync.engines.workbench import Workbench
from controlplane.sync.processes.contract import Work
from controlplane.telemetry.tracing import OFF, Tracer
from rules.policy.kinds import Breaker

if TYPE_CHECKING:
    from controlplane.sync.ledger.archive import Archiver, Restorer

BATCH = 50
FLOW_BATCHES = 20
"""Transactions of one request to run a flow now; who asks again goes on."""


class Sync:
    """Everything that moves, over one store, one registry and one set of connectors."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        registry: Registry,
        connections: Connections,
        accept_limit: int = 0,
        tracer: Tracer = OFF,
        keys: Keyring | None = None,
    ) -> None:
        """`keys`: those of the installation; without them nothing personal is taken in."""
        go_on_behind_newest(store, clock)
        self.store = store
        self.clock = clock
        self.registry = registry
        self.connections = connections
        self.keys: Keyring = keys or NoKeys()
        self.delivering = delivery.Delivering(store, clock, registry, connections, tracer)
        self.acceptor = ledger.Acceptor(store, clock, registry, self.keys, accept_limit)
        self.healing = Healing(store, clock, connections, self.work, self.shield)
        self.reprocessing = Reprocessing(store, clock, registry, connections, self.work)
        self.rechecks = Rechecks(store, clock, connections, self.work)
        self._replay = Replay(store, clock, registry, connections, self.work, self.shield)
        self.stopping = threading.Event()
        """Set when the process ends: what takes long stops after the batch that it is at."""
        self._silent = ledger.Silent(clock)
        self._processing = routing.Processing(store, self.work)
        self.workbench = Workbench(store, clock, registry, self._replay, self.shield)

    def work(self, connection: Connection) -> Work:
        """Return what processes need inside the given transaction."""
        return Work(connection, self.registry.snapshot_in(connection), self.clock)

    def shield(self, system: str) -> Shield:
        """Return what hides, and opens, the personal fields of a system's records."""
        return Shield(self.registry.snapshot().personal_of(system), self.keys)

    # --- the steps ---

    def take_webhook(self, system: str, inbound: Inbound) -> bool:
        """Verify and commit a webhook; say whether it was new.

        Raises SignatureError, NotFoundError, UnsupportedError for a system that calls nobody, OverloadedError.
        """
        snapshot = self.registry.snapshot()
        if system not in snapshot.systems:
            raise NotFoundError(f"no system '{system}' in the registry; webhooks go to /hooks/<system>")
        connector, shield = self._hearing(system, snapshot), Shield(snapshot.personal_of(system), self.keys)
        try:
            arrival = intake.webhook(self.clock, connector, inbound, shield)
        except SignatureError:
            connector.context.refused()  # its secret may have changed since it was looked at
            renewed = self.connections.get(system)
            if renewed is connector:
                raise
            arrival = intake.webhook(self.clock, renewed, inbound, shield)
        return self.acceptor.take(arrival) == 1

    def _hearing(self, system: str, snapshot: Snapshot) -> Connector:
        try:
            return self.connections.get(system, snapshot)
        except SettingsError as error:
            if self.connections.hears(system):
                raise
            raise UnsupportedError(f"System '{system}' receives no webhooks") from error

    def take_consumed(self, system: str, records: Sequence[Record]) -> int:
        """Commit what came off a queue; return how many records were new. Only then may the queue forget them.

        Raises OverloadedError when the store takes nothing now.
        """
        return self.acceptor.take(intake.arrived(self.clock, system, "broker", records, self.shield(system)))

    def poll(self, flow_name: str) -> int:
        """Poll the source of a flow; return how many records were new. Raises ConnectorError after noting it.

        Raises OverloadedError when there is no room: what is left is read by the next poll.
        """
        flow = self.registry.snapshot().flows[flow_name]
        if flow.spec.read is None:
            raise NotFoundError(f"flow '{flow_name}' names nothing to read; give it `read` to poll its source")
        try:
            connector, shield = self.connections.get(flow.spec.source), self.shield(flow.spec.source)
            taken = intake.poll(self.store, self.clock, connector, flow.spec.read, shield, self.acceptor.room)
        except ConnectorError as error:
            with self.store.write() as connection:
                systems.failed(connection, self.clock, flow.spec.source, str(error))
            raise
        with self.store.write() as connection:
            systems.succeeded(connection, self.clock, flow.spec.source)
        return taken

    def translate(self, *, look_first: bool = True) -> int:
        """Turn new intake into messages; return how many records were dealt with. It always looks first."""
        snapshot = self.registry.snapshot()
        return ledger.translate_some(self.store, self.clock, self.connections, snapshot, self.keys, self._silent, BATCH)

    def process(self, *, look_first: bool = True) -> int:
        """Take accepted messages through the processes and route them; return how many."""
        return self._processing.some(look_first=look_first)

    def deliver(self, target: str) -> int:
        """Send what is due to one target, one request after another; return how many tries were made."""
        turn = self.delivering.turn(target, [], BATCH, capped=False)
        sents = [sent for request in turn.requests for sent in self.delivering.send(target, request)]
        if sents:
            self.delivering.turn(target, sents, 0)
        return len(sents)

    def release(self, *, look_first: bool = True) -> int:
        """Make the replays of quarantined records that were asked for and are due; return how many. It always looks first."""
        return self.workbench.release()

    def targets(self) -> list[str]:
        """Return the systems that anything may be owed to."""
        return self.delivering.targets()

    def is_due(self, target: str) -> bool:
        """Say whether something may be sent to a target now."""
        return self.delivering.is_due(target)

    def drain(self, rounds: int = 1000) -> int:
        """Do all that is due now, in the order of the house, until nothing moves; return how many steps moved.

        `rounds`: how often each step is taken at most. A step that has more to do is taken again before the next one.
        """
        moved = 0
        for _ in range(rounds):
            step = self.release() + _again(self.translate, rounds) + _again(self.process, rounds)
            step += sum(self.deliver(target) for target in self.targets())
            if not step:
                return moved
            moved += step
        return moved

    def backlog(self) -> int:
        """Return how many records and messages are taken in and not processed yet."""
        new = select(func.count()).select_from(t.intake).where(t.among(t.intake.c.state, "new"))
        accepted = select(func.count()).select_from(t.message).where(t.among(t.message.c.state, "accepted"))
        with self.store.read() as connection:
            return int(connection.execute(new).scalar_one() + connection.execute(accepted).scalar_one())

    def next_due(self) -> datetime | None:
        """Return when the next waiting delivery or replay falls due, or None when nothing waits for time to pass."""
        known = (self.delivering.next_due(), self.workbench.next_release())
        return min((due for due in known if due is not None), default=None)

    def recover(self, restarted: bool = False) -> int:
        """Give back what a worker that is gone had claimed; return how many. `restarted`: this process owns the store."""
        return self.delivering.recover(everything=restarted and self.store.is_sqlite)

    # --- retention ---

    @cached_property
    def archiver(self) -> Archiver:
        """What holds the store to its retention. Made when it is first asked for: it loads Arrow, which few processes need."""
        from controlplane.sync.ledger.archive import Archiver

        return Archiver(self.store, self.clock, self.registry, self.stopping)

    @cached_property
    def restorer(self) -> Restorer:
        """What puts archived rows back."""
        from controlplane.sync.ledger.archive import Restorer

        return Restorer(self.store, self.clock, self.registry, self.stopping)

    def archive(self, *, anew: bool = False) -> dict[str, Any]:
        """Archive and delete what has outlived its retention; return what was done. See Archiver.run."""
        return self.archiver.run(anew=anew)

    def restore(self) -> dict[str, Any]:
        """Put back what was asked for; return what was done. See Restorer.run."""
        return self.restorer.run()

    # --- what people ask for ---

    def replay(self, case_id: str, actor: str) -> dict[str, object]:
        """Send a quarantined record on its way again, corrected or as it was. Raises NotFoundError, ConflictError, BadInputError."""
        return self._replay.replay(case_id, actor)

    def preview(self, case_id: str) -> dict[str, object]:
        """Return what a replay would make of the record, changing nothing. Raises like `replay`."""
        return self._replay.preview(case_id)

    def pause(self, system: str, actor: str, reason: str) -> None:
        """Stop deliveries to a system."""
        with self.store.write() as connection:
            operators.pause(connection, self.clock, system, actor, reason)

    def resume(self, system: str, actor: str, reason: str) -> None:
        """Let deliveries to a system go on."""
        with self.store.write() as connection:
            operators.resume(connection, self.clock, system, actor, reason)

    def pause_flow(self, flow: str, actor: str, reason: str) -> None:
        """Stop the deliveries of a flow."""
        with self.store.write() as connection:
            operators.pause_flow(connection, self.clock, flow, actor, reason)

    def resume_flow(self, flow: str, actor: str, reason: str) -> None:
        """Let the deliveries of a flow go on."""
        targets = self._targets_of(flow)
        with self.store.write() as connection:
            operators.resume_flow(connection, self.clock, flow, targets, actor, reason)

    def run_system(self, system: str, actor: str, reason: str) -> operators.Released:
        """Ask a system again now, and let what waits out a backoff be due. Raises ConflictError while it is paused."""
        known = self.registry.snapshot().systems.get(system)
        breaker = known.spec.breaker if known else Breaker()
        with self.store.write() as connection:
            return operators.run_system(connection, self.clock, system, breaker, actor, reason)

    def run_flow(self, flow: str, actor: str, reason: str) -> tuple[int, bool]:
        """Let what waits out a backoff in a flow be due, in short transactions; return how many, and whether more is left.

        Raises ConflictError while the flow is paused.
        """
        targets, released = self._targets_of(flow), 0
        with self.store.write() as connection:
            operators.refuse_paused_flow(connection, flow)
            audit.record(connection, self.clock, actor=actor, action="flow.run", subject=f"Flow/{flow}", reason=reason)
        for _ in range(FLOW_BATCHES):
            with self.store.write() as connection:
                moved = operators.run_flow(connection, self.clock, flow, targets)
            released += moved
            if moved < operators.BATCH:
                return released, False
        return released, True

    def run_delivery(self, delivery_id: str, actor: str, reason: str) -> None:
        """Let one delivery be due now. Raises NotFoundError, ConflictError saying what else it waits for."""
        with self.store.write() as connection:
            operators.run_delivery(connection, self.clock, delivery_id, actor, reason)

    def _targets_of(self, flow: str) -> list[str]:
        known = self.registry.snapshot().flows.get(flow)
        return [target.system for target in known.spec.targets] if known else self.targets()

    def emit(self, drafts: Sequence[Draft], trace_id: str | None = None) -> list[str]:
        """Append messages of the plane's own; return the ids of those that were new."""
        with self.store.write() as connection:
            work = self.work(connection)
            ids = [routing.emit(work, draft, trace_id or secrets.token_hex(16), None) for draft in drafts]
        return [message_id for message_id in ids if message_id]


def _again(step: Callable[[], int], rounds: int) -> int:
    """Take a step until it has nothing to do."""
    return sum(takewhile(bool, (step() for _ in range(rounds))))
