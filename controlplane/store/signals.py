"""Who is told when something was committed: in this process at once, on PostgreSQL in all others too.

A signal is a hint to look, never the truth: what is lost is found by the next look on its own, what is doubled finds nothing.
"""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

log = structlog.get_logger()
CHANNEL = "trueup"
LISTEN_SECONDS = 1.0
"""How long one wait for PostgreSQL's notifications is, and so how late a stop is noticed."""

INTAKE = "intake"
"""Records were taken in and wait to be translated."""
MESSAGES = "messages"
"""Messages were accepted and wait to be processed."""

QUARANTINE = "quarantine"
"""Replays of quarantined records were asked for."""


ACCESS = "access"
"""An account or a token was changed."""


def deliveries(target: str) -> str:
    """Return the topic of what is owed to a target."""
    return f"target:{target}"


def note(connection: Connection, topic: str) -> None:
    """Tell those who wait for the topic once this transaction is committed."""
    connection.info.setdefault("topics", set()).add(topic)


class Signals:
    """Topics and those who wait for them. Safe to use from several threads."""

    def __init__(self) -> None:
        self.origin = secrets.token_hex(4)
        """Who tells: what this process has told itself it need not hear again from the database."""
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[], None]]] = defaultdict(list)

    def subscribe(self, topic: str, ring: Callable[[], None]) -> Callable[[], None]:
        """Call `ring` after each commit that touched the topic; return what ends that. `ring` only sets a flag."""
        with self._lock:
            self._waiting[topic].append(ring)
        return lambda: self._unsubscribe(topic, ring)

    def _unsubscribe(self, topic: str, ring: Callable[[], None]) -> None:
        with self._lock:
            if ring in self._waiting[topic]:
                self._waiting[topic].remove(ring)

    def ring(self, topics: Iterable[str]) -> None:
        """Tell those who wait for any of the topics."""
        with self._lock:
            found = [ring for topic in topics for ring in self._waiting.get(topic, ())]
        for ring in found:
            ring()

    def ring_all(self) -> None:
        """Tell everybody: something may have been missed."""
        with self._lock:
            topics = list(self._waiting)
        self.ring(topics)


class Listener:
    """Hears what other processes commit to the same PostgreSQL database."""

    def __init__(self, engine: Engine, signals: Signals) -> None:
        self._engine, self._signals = engine, signals
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listen", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the connection is given back."""
        self._stop.set()
        self._thread.join(timeout=5 * LISTEN_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever ends the connection, the next one is tried
                log.warning("listening to the database ended; trying again", error=str(error))
                self._stop.wait(LISTEN_SECONDS)

    def _listen(self) -> None:
        raw: Any = self._engine.raw_connection()
        heard = raw.driver_connection
        raw.detach()  # it is ours from here on, and does not go back to the pool
        try:
            heard.autocommit = True
            heard.execute(f"LISTEN {CHANNEL}")
            self._signals.ring_all()  # what was committed while nobody listened
            while not self._stop.is_set():
                for notice in heard.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                    origin, _, topic = notice.payload.partition(" ")
                    if origin != self._signals.origin:
                        self._signals.ring([topic])
        finally:
            heard.close()
