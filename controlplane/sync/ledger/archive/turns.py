"""Transactions that leave room for others: small, no longer than the law allows, with a pause after each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from controlplane.clock import Clock
from controlplane.store import Store
from rules.retention import next_size, rest

FIRST = 100
"""Rows of the first transaction, before it is known how long they take."""


class Turns:
    """Gives one transaction after another. `size`: how many rows the next one may change."""

    def __init__(self, store: Store, clock: Clock, stopping: threading.Event) -> None:
        self._store, self._clock, self._stopping = store, clock, stopping
        self.size = FIRST

    @property
    def stopped(self) -> bool:
        """Whether no further turn may be taken: the process ends."""
        return self._stopping.is_set()

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """Give a transaction; after its commit the size fits how long it took, and others have had their turn."""
        with self._store.write() as connection:
            began = self._clock.stopwatch()
            yield connection
        took = (self._clock.stopwatch() - began) * self._clock.pace
        self.size = next_size(self.size, took)
        self._stopping.wait(rest(took))
