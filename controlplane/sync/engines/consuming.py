"""Taking records off queues: a thread for each System whose connector consumes; of several planes, one at a time for each.

One at a time, so that what stands in order in a queue comes in in that order. A queue is told to forget records only after
the commit that holds them. While the store takes nothing they are held, and not given back: a broker that counts how often it
gave a record may throw it away after so many times.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from controlplane import plugins
from controlplane.connectors.contract import Connector, Feed, Manifest, Record
from controlplane.errors import NotFoundError, OverloadedError, TrueupError
from controlplane.store.lease import Lease
from controlplane.sync.delivery import systems
from controlplane.sync.engines.sync import Sync
from rules.policy.kinds import SystemSpec

log = structlog.get_logger()
LOOK = 2.0
"""Seconds between two looks for systems that policy added."""
WAIT = 0.5
"""Wall seconds that one wait for records lasts, and so how late a stop or a changed policy is noticed."""
NOTE = 5.0
"""Seconds between two notes that all is well with a system."""
TROUBLE, LONGEST = 1.0, 15.0
"""Seconds after a first failure until the next try, and at most; they double."""
REFUSED = 2.0
"""Seconds after which the store is tried again when it took nothing."""
STOP = 15.0
"""Seconds that a commit may take to end when the process stops."""


class Consumers:
    """Attends to all queues that the policies name, until it is stopped."""

    def __init__(self, sync: Sync) -> None:
        self.sync = sync
        self._stop = threading.Event()
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._thread = threading.Thread(target=self._run, name="queues", daemon=True)
        self._attending: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start the threads."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the commits that are under way; what is not committed stays at the brokers."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=STOP)
        for thread in self._attending.values():
            thread.join(timeout=STOP)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for system in consuming(self.sync):
                    if system not in self._attending or not self._attending[system].is_alive():
                        consumer = Consumer(self.sync, system, self._owner, self._stop)
                        thread = threading.Thread(target=consumer.run, name=f"queue-{system}", daemon=True)
                        self._attending[system] = thread
                        thread.start()
            except Exception as error:  # noqa: BLE001 - the database is away: those that are known go on
                log.warning("it cannot be seen which queues there are; looking again", error=str(error))
            self.sync.clock.wait(self._stop, LOOK)


def consuming(sync: Sync) -> list[str]:
    """Return the systems whose connector takes records off a queue."""
    return [name for name, one in sync.registry.snapshot().systems.items() if _consumes(one.spec)]


def _consumes(spec: SystemSpec) -> bool:
    try:
        manifest: Manifest = plugins.load("connectors", spec.connector).manifest
        return manifest.of(spec.options).consumes
    except NotFoundError:
        return False


class Consumer:
    """One system's queue, in a thread of its own."""

    def __init__(self, sync: Sync, system: str, owner: str, stop: threading.Event) -> None:
        self.sync, self.system, self._stop = sync, system, stop
        self._lease = Lease(sync.store, sync.clock, f"queue:{system}", owner)
        self._held: list[Record] = []
        self._not_before = self._noted_at = 0.0
        self._failures = 0
        self._trouble = ""

    def run(self) -> None:
        """Attend to the queue until the process stops or policy does not name it any more."""
        take_over = self.sync.store.is_sqlite  # one process owns the file: whoever attended before is gone
        while not self._stop.is_set():
            try:
                if self.system not in consuming(self.sync):
                    break
                if self._lease.hold(by_force=take_over):
                    take_over = False
                    self._attend()
                else:
                    self._stop.wait(WAIT)
            except SQLAlchemyError as error:
                self._told("the database is away; what waits stays at the broker", error)
                self._stop.wait(REFUSED)
            except Exception as error:
                if not isinstance(error, TrueupError):
                    log.exception("a connector failed at its queue", system=self.system)
                self._failed(error)
        self._released()

    def _attend(self) -> None:
        connector = self.sync.connections.get(self.system)
        feed = connector.consume()
        self._held, self._not_before = [], 0.0
        try:
            self._well()
            while not self._stop.is_set() and self._turn(connector, feed):
                pass
        finally:
            feed.close()

    def _turn(self, connector: Connector, feed: Feed) -> bool:
        """Take what came, commit it, acknowledge it; say whether this queue is still to be attended to."""
        self._held += feed.take(WAIT)
        if self._now() < self._not_before:
            return True
        try:
            if not self._lease.hold() or self.sync.connections.get(self.system) is not connector:
                return False
            if self._held:
                self.sync.take_consumed(self.system, self._held)
        except (OverloadedError, SQLAlchemyError) as error:
            self._told("the store takes nothing; what came is held, and stays at the broker", error)
            self._not_before = self._now() + REFUSED
            return True
        if self._held:
            feed.acknowledge()
            self._held = []
        if self._now() - self._noted_at >= NOTE:
            self._well()
        return True

    def _now(self) -> float:
        return self.sync.clock.stopwatch() * self.sync.clock.pace

    def _well(self) -> None:
        self._noted_at = self._now()
        if self._note(None):
            self._failures, self._trouble = 0, ""

    def _failed(self, error: Exception) -> None:
        """Note it with the system, where people look, and wait before the next try."""
        self._told("nothing can be taken off the queue; trying again", error)
        self._note(str(error) if isinstance(error, TrueupError) else f"the connector failed at its queue: {error!r}")
        self._failures += 1
        self._stop.wait(min(LONGEST, TROUBLE * 2 ** min(self._failures - 1, 10)))

    def _note(self, failure: str | None) -> bool:
        """Write how the system stands; say whether it could be written."""
        try:
            with self.sync.store.write() as connection:
                if failure is None:
                    systems.succeeded(connection, self.sync.clock, self.system)
                else:
                    systems.failed(connection, self.sync.clock, self.system, failure)
        except SQLAlchemyError as error:
            self._told("it cannot be noted how the system stands", error)
            return False
        return True

    def _released(self) -> None:
        """Let another process attend at once."""
        try:
            self._lease.release()
        except SQLAlchemyError as error:
            self._told("the lease could not be given back; it runs out", error)

    def _told(self, what: str, error: Exception) -> None:
        """Log trouble when it begins, not each time that it is met."""
        if what != self._trouble:
            log.warning(what, system=self.system, error=str(error) or repr(error))
        self._trouble = what
