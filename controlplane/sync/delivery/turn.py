"""One turn for one target: what came of the last requests is recorded, and the next are claimed, in one commit."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, String, bindparam, func, select

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Connector
from controlplane.errors import TrueupError
from controlplane.registry import Registry, Snapshot
from controlplane.store import Store, direct, facts
from controlplane.store import tables as t
from controlplane.store.direct import Prepared
from controlplane.store.types import micros
from controlplane.sync.delivery import recovery, statements, systems
from controlplane.sync.delivery.claim import (
    LEASE,
    Claimed,
    claim,
    first_due,
    flows_of,
    release,
    renew,
    waiting_targets,
)
from controlplane.sync.delivery.record import lock, record
from controlplane.sync.delivery.send import DEFECT, Sent, batch_of, grouped, send
from controlplane.sync.processes.contract import Work
from controlplane.telemetry import facts as told
from controlplane.telemetry.spans import deliver_id
from controlplane.telemetry.tracing import OFF, Tracer, carrying
from rules import retry
from rules.delivery import VERIFY_PAUSE
from rules.outcomes import Result
from rules.policy.kinds import SystemSpec

FLOWS_SEEN = timedelta(seconds=30)
"""How long it is remembered which flows something waits for."""
CROWDED = 0.05
"""Seconds after which it is looked again whether other workers leave a place at a system."""
SOON = 0.05
"""Seconds after which it is looked for what falls due next, when all that was due is claimed: mostly results come in before, and
with them it is looked for too."""
_PAUSED_FLOWS = "SELECT flow FROM flow_state WHERE paused_at IS NOT NULL"


_D = t.delivery.c
_SENDING = Prepared(
    select(func.count().label("requests"), func.count(_D.lease_owner.distinct()).label("batches")).where(
        _D.target == bindparam("target", type_=String),
        t.among(_D.state, "sending"),
        _D.lease_until > bindparam("now", type_=BigInteger),
    )
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn leaves to do."""

    requests: list[list[Claimed]]
    """Each is sent with one request."""
    counted: int = 0
    """Results that were still ours to decide."""
    wait: float | None = None
    """Seconds of the clock after which more may be claimed; None: when something is committed."""
    full: bool = False
    """As much was claimed as there was room for: there may be more."""


class Delivering:
    """One process's hand in delivering. Keeps nothing that the store does not say; safe to use from several threads."""

    def __init__(
        self, store: Store, clock: Clock, registry: Registry, connections: Connections, tracer: Tracer = OFF
    ) -> None:
        self.store, self.clock, self.registry, self.connections = store, clock, registry, connections
        self.tracer = tracer
        self.lease = LEASE
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._claims = itertools.count()
        self._flows: dict[str, tuple[datetime, list[str]]] = {}

    # --- what a lane does ---

    def turn(
        self, target: str, sents: Sequence[Sent], slots: int, *, capped: bool = True, look_first: bool = True
    ) -> Turn:
        """Record the results and claim for up to `slots` more requests. One commit; none where nothing is to be done.

        `capped`: hold to the concurrency that policy gives all workers together. `look_first`: do not take the turn of
        writing, nor that of claiming, before it is seen that something is due.
        """
        wait: float | None = None
        if not sents and look_first:
            with self.store.look() as connection:
                wait = self._wait(connection, target)
            if slots <= 0 or wait is None or wait > 0:
                return Turn([], wait=wait)
            wait = None
        connector, trouble = self._reached(target) if slots > 0 else (None, "")
        requests: list[list[Claimed]] = []
        counted: set[str] = set()
        full = False
        began = self.clock.stopwatch()
        with self.store.write() as connection:
            facts.note(connection, told.Turn(target, began))
            lock(connection, target, sents)
            if sents:
                before = systems.ask_state(connection, target)
                work = self._work(connection)
                counted = record(work, target, sents, before())
            if connector is not None:
                if sents and look_first:
                    wait = self._wait(connection, target)
                if not sents or not look_first or wait == 0.0:
                    requests, wait, full = self._claim(connection, connector, target, slots, capped)
            elif trouble:
                systems.failed(connection, self.clock, target, trouble, self._spec(target))
        return Turn(requests, len(counted), wait, full)

    def _reached(self, target: str) -> tuple[Connector | None, str]:
        """The connector, before anything is claimed for it; or what is wrong with it, for people to mend."""
        try:
            connector = self.connector(target)
        except TrueupError as error:
            return None, str(error)
        blocked = connector.context.blocked
        return (None, blocked) if blocked else (connector, "")

    def send(self, target: str, request: Sequence[Claimed]) -> list[Sent]:
        """Make one request; see `send.send`. It carries the trace of what it sends, of a batch that of the first.

        What was not taken by a connector that has been made anew meanwhile, as it is when a refusal brought a new secret to
        light, is sent once more with the new one before it counts.
        """
        connector = self.connector(target)
        sent = self._sent(connector, request)
        refused = {one.claimed.id for one in sent if one.outcome.result is Result.UNAVAILABLE}
        renewed = self._reached(target)[0] if refused else None
        if renewed is None or renewed is connector:
            return sent
        again = self._sent(renewed, [item for item in request if item.id in refused])
        return [*(one for one in sent if one.claimed.id not in refused), *again]

    def _sent(self, connector: Connector, request: Sequence[Claimed]) -> list[Sent]:
        if not self.tracer.on:
            return send(connector, self.clock, request)
        first = request[0]
        with carrying(self.tracer.traceparent(first.trace_id, deliver_id(first))):
            return send(connector, self.clock, request)

    def renew(self, held: Sequence[Claimed]) -> None:
        """Keep what is being sent ours."""
        with self.store.write() as connection:
            renew(connection, self.clock, held, self.lease)

    def connector(self, target: str) -> Connector:
        """Return the connector of a target as policy stood at the last turn. Raises NotFoundError, SettingsError."""
        return self.connections.get(target, self.registry.known())

    def concurrency(self, target: str) -> int:
        """Return how many requests policy allows at once."""
        spec = self._spec(target)
        return spec.concurrency if spec else 1

    # --- claiming ---

    def _work(self, connection: Connection) -> Work:
        return Work(connection, self.registry.snapshot_in(connection), self.clock)

    def _spec(self, target: str) -> SystemSpec | None:
        system = self.registry.known().systems.get(target)
        return system.spec if system else None

    def _wait(self, connection: Connection, target: str) -> float | None:
        """Seconds until something may be claimed; 0: now; None: nothing waits, or only people can let it go on."""
        snapshot = self.registry.known()
        state = statements.standing(connection, target, self._known_flows(connection, snapshot, target))
        if state.version != snapshot.version:
            snapshot = self.registry.snapshot_in(connection)
            state = statements.standing(connection, target, self._known_flows(connection, snapshot, target))
        if state.due is None or state.paused_at:
            return None
        now = micros(self.clock.now())
        due = max(now if state.release_at else state.due, state.blocked_until or 0)
        return max(0.0, (due - now) / 1e6)

    def _known_flows(self, connection: Connection, snapshot: Snapshot, target: str) -> list[str]:
        """The flows of a target: those of the registry, and those it has forgotten that something waits for."""
        now = self.clock.now()
        seen_at, flows = self._flows.get(target, (None, []))
        if seen_at is None or not timedelta(0) <= now - seen_at < FLOWS_SEEN:
            flows = flows_of(connection, target, ())
            self._flows[target] = (now, flows)
        return sorted({*flows, *snapshot.flows_to.get(target, ())})

    def _claim(
        self, connection: Connection, connector: Connector, target: str, slots: int, capped: bool
    ) -> tuple[list[list[Claimed]], float | None, bool]:
        """Return requests for what was claimed, the seconds after which more may be, and whether they filled the room there was."""
        now = self.clock.now()
        locked = systems.ask_locked(connection, target)
        sending = (
            _SENDING.asked(connection, target=target, now=micros(now)) if capped and not self.store.is_sqlite else None
        )
        asked = direct.Asked(connection, _PAUSED_FLOWS)
        work = self._work(connection)
        row = locked()
        if row.paused_at or (row.blocked_until and row.blocked_until > now):
            blocked = row.blocked_until is not None and not row.paused_at
            return [], (row.blocked_until - now).total_seconds() if blocked else None, False
        spec = self._spec(target)
        sizes = {entity: batch_of(connector, entity) for entity in self._entities(work, target)}
        size = max(sizes.values(), default=1)
        room = slots
        if capped:
            [running] = sending() if sending else [None]
            room = min(slots, _room(running, spec, size))
        if room <= 0:
            return [], CROWDED, False
        if size > 1 and capped:
            room = min(room, 1)  # a claim is one request, so that requests can be counted, and the lock is held shortly
        paused = {flow for (flow,) in asked.rows()}
        flows = [flow for flow in self._known_flows(connection, work.snapshot, target) if flow not in paused]
        released = row.release_at is not None and release(connection, self.clock, target, flows)
        given, wait = self._granted(connection, target, spec, row, room, flows)
        requests, full = self._requests(work, connector, target, flows, given, sizes) if given else ([], False)
        if requests or released:
            full = full or bool(released)
            return requests, 0.0 if full else SOON, full
        return [], wait if wait is not None else self._wait(connection, target), False

    def _requests(
        self, work: Work, connector: Connector, target: str, flows: list[str], given: int, sizes: dict[str, int]
    ) -> tuple[list[list[Claimed]], bool]:
        """Claim for the requests that were given, and give back those that are not made; say whether there may be more."""
        turn, owner = next(self._claims), self.owner
        together = {entity: most for entity, most in sizes.items() if most > 1}
        if together:
            owner = f"{owner}#{turn}"  # of batches each request has a name of its own, so that requests can be counted
            start = turn % max(1, len(flows))  # a flow may take all of the room: each is the first in its turn
            flows = flows[start:] + flows[:start]
        carried = self._carried(work, target, flows, sizes)
        claimed = claim(work, target, flows, owner, given, self.lease, carried, list(together))
        requests = grouped(connector, claimed)
        if given > len(requests):
            systems.give_back(work.connection, target, given - len(requests))
        taken = sum(Fraction(1, 1 if one.alone else together.get(one.entity, 1)) for one in claimed)
        return requests, taken >= given

    def _carried(self, work: Work, target: str, flows: Sequence[str], sizes: Mapping[str, int]) -> dict[str, int]:
        """How many deliveries of each flow a request carries; of one that policy has forgotten, what it carries at least of any."""
        least = min((most for most in sizes.values() if most > 1), default=1)
        known = work.snapshot.flows
        entities = {
            name: [one.entity for one in known[name].spec.targets if one.system == target] if name in known else []
            for name in flows
        }
        return {name: min((sizes.get(one, 1) for one in mine), default=least) for name, mine in entities.items()}

    def _granted(
        self, connection: Connection, target: str, spec: SystemSpec | None, row: Row[tuple[object, ...]], room: int,
        flows: list[str],
    ) -> tuple[int, float | None]:  # fmt: skip
        """Ask the shared limit for as many requests as there is room and work for."""
        if spec is None or (spec.rate is None and row.learned_rate is None):
            failing = spec is not None and row.consecutive_failures >= spec.breaker.after
            return (1 if failing else room), None
        due = first_due(connection, target, flows)
        if due is None or due > self.clock.now():
            return 0, None
        found = systems.leave(connection, self.clock, target, spec, row, room)
        return found.requests, found.wait

    def _entities(self, work: Work, target: str) -> set[str]:
        return {
            one.entity
            for name in work.snapshot.flows_to.get(target, ())
            for one in work.snapshot.flows[name].spec.targets
            if one.system == target
        }

    # --- across targets ---

    def targets(self) -> list[str]:
        """Return the systems that anything is owed to, or may be."""
        with self.store.read() as connection:
            return waiting_targets(connection, self.registry.snapshot_in(connection).flows_to)

    def is_due(self, target: str) -> bool:
        """Say whether something may be claimed for a target now."""
        with self.store.look() as connection:
            return self._wait(connection, target) == 0.0

    def next_due(self) -> datetime | None:
        """Return when the next waiting delivery of any target can be tried, or None when nothing waits for time to pass."""
        with self.store.read() as connection:
            work = self._work(connection)
            waits = [self._wait(connection, target) for target in waiting_targets(connection, work.snapshot.flows_to)]
        now = self.clock.now()
        return min((now + timedelta(seconds=wait) for wait in waits if wait is not None), default=None)

    def recover(self, *, everything: bool = False) -> int:
        """Get going again what workers that are gone had claimed, and what a clock that was put back holds up; return how many."""
        snapshot = self.registry.snapshot()
        store, clock, late = self.store, self.clock, partial_late(self, False)
        found = recovery.take_back(store, clock, partial_late(self, everything), everything=everything)
        found += recovery.bring_forward(store, clock, late, self._longest_wait(snapshot, late))
        return found + recovery.let_go(store, clock, self._longest_pause)

    def _longest_wait(self, snapshot: Snapshot, late: recovery.Late) -> timedelta:
        """The longest time that anything which is to be tried again may wait."""
        waits = [VERIFY_PAUSE, DEFECT, *(retry.longest(one.spec) for one in snapshot.retry_policies.values())]
        for target, system in snapshot.systems.items():
            waits.append(system.spec.timeout)
            with suppress(TrueupError):
                waits += [late(target, spec.entity) for spec in self.connector(target).manifest.writes]
        return max(waits)

    def _longest_pause(self, target: str) -> timedelta:
        spec = self._spec(target)
        return spec.breaker.cap if spec else timedelta(0)

    def late_effect(self, target: str, entity: str) -> timedelta:
        """Return how long a request of an entity may still take effect after its answer is given up."""
        try:
            return timedelta(seconds=self.connector(target).manifest.write_spec(entity).late_effect)
        except TrueupError:
            return timedelta(0)


def _room(sending: Any, spec: SystemSpec | None, size: int) -> int:
    """Requests that the system's concurrency leaves, those of all workers taken off. On SQLite the lane knows."""
    most = spec.concurrency if spec else 1
    if sending is None:
        return most
    return most - int(sending.batches if size > 1 else sending.requests)


def partial_late(delivering: Delivering, dead: bool) -> Callable[[str, str], timedelta]:
    """How long to wait for what a worker that is gone had sent: one that only hangs may still have it on the wire."""

    def late(target: str, entity: str) -> timedelta:
        spec = delivering.registry.known().systems.get(target)
        running = timedelta(0) if dead or spec is None else spec.spec.timeout
        return running + delivering.late_effect(target, entity)

    return late
