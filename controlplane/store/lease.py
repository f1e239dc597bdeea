"""What only one process may do at a time: it holds a lease, renews it while it lives, and gives it back when it stops."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from sqlalchemy import delete, or_

from controlplane.clock import Clock
from controlplane.store import tables as t
from controlplane.store.engine import Store
from controlplane.store.upsert import upsert

LENGTH = timedelta(seconds=15)
"""After so long without a sign of life the holder counts as gone."""
RENEW = 1 / 3
"""Of a lease, after which it is renewed."""


class Lease:
    """One process's claim to one name. Safe to use from several threads."""

    def __init__(self, store: Store, clock: Clock, name: str, owner: str, length: timedelta = LENGTH) -> None:
        self.store, self.clock, self.name, self.owner, self.length = store, clock, name, owner, length
        self._lock = threading.Lock()
        self._renewed_at: datetime | None = None
        self._ended = False

    def hold(self, *, by_force: bool = False) -> bool:
        """Take the lease, or keep it; say whether it is ours. `by_force`: whoever had it is known to be gone."""
        with self._lock:
            if self._ended:
                return False
            now = self.clock.now()
            # a clock that was put back proves nothing about how old our last sign of life is: then it is given anew
            if (
                self._renewed_at is None
                or by_force
                or not self._renewed_at <= now < self._renewed_at + RENEW * self.length
            ):
                self._renewed_at = now if self._write(now, by_force) else None
            return self._renewed_at is not None

    def _write(self, now: datetime, by_force: bool) -> bool:
        lease = t.lease.c
        # one that ends much later than any that is given now was given before the clock was put back
        free = or_(lease.owner == self.owner, lease.until <= now, lease.until > now + 2 * self.length)
        row = {"name": self.name, "owner": self.owner, "until": now + self.length}
        with self.store.write() as connection:
            return upsert(connection, t.lease, row, where=None if by_force else free)

    def release(self) -> None:
        """Give it up for good: the next who asks has it at once."""
        with self._lock:
            self._ended, held, self._renewed_at = True, self._renewed_at is not None, None
            if held:
                mine = delete(t.lease).where(t.lease.c.name == self.name, t.lease.c.owner == self.owner)
                with self.store.write() as connection:
                    connection.execute(mine)
