"""Whether there is room for what comes: asked before anything is taken, whatever the way it comes in."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from controlplane.errors import BadInputError, OverloadedError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.locks import lock_room

FREE_BYTES = 64 * 2**20
"""Nothing is taken while the disk of the embedded store has less room than this."""
LOOK_EVERY = 256
"""Messages or records after which the room on the disk is looked at again."""
LOOK_BYTES = 4 * 2**20
"""Bytes after which it is."""
RETRY_AFTER = 5.0


class Room:
    """What a plane may hold that is not processed yet. Safe to use from several threads.

    What is let in has its place until `leave`, after its commit, so that several threads never pass the limit together: whoever
    counts, counts the places first, and what left before stands among what waits. Places are of this process alone; what other
    planes on the database take at the same instant is counted once more in the transaction (`look_again`).
    """

    def __init__(self, store: Store, limit: int = 0) -> None:
        """`limit`: most records and messages that may wait to be processed; 0: as many as the disk holds."""
        self._store, self._limit = store, limit
        self._left, self._bytes_left = 0, 0
        self._places = 0
        self._lock = threading.Lock()

    def ask(self, coming: int, size: int = 0) -> None:
        """Let in what comes until `leave`, or refuse it: the disk is nearly full, or more would
        wait than was set. Raises OverloadedError.

        `size`: its bytes. More at once than may wait at all is let in when nothing waits: a page cannot be cut.
        """
        self._look_at_disk(coming, size)
        if self._limit:
            taken = self._take_places(coming)
            try:
                with self._store.read() as connection:
                    waiting = _waiting(connection)
                self._refuse_beyond(waiting, taken, coming)
            except BaseException:
                self.leave(coming)
                raise

    def look_again(self, connection: Connection, coming: Iterable[int]) -> None:
        """Refuse within the transaction that takes it what other planes have left no room for. Raises OverloadedError.

        `coming`: how much each request of the transaction brings.
        """
        counts = list(coming)
        if self._limit and any(counts) and not self._store.is_sqlite:
            lock_room(connection)
            self._refuse_beyond(_waiting(connection), sum(min(count, self._limit) for count in counts), sum(counts))

    def leave(self, coming: int) -> None:
        """Give back the places of what was let in: it is committed and counted among what waits, or it was not taken."""
        if self._limit:
            with self._lock:
                self._places -= min(coming, self._limit)

    @contextmanager
    def held(self, coming: int, size: int = 0) -> Iterator[None]:
        """`ask`, and `leave` afterwards. Nothing that comes needs no room."""
        if not coming:
            yield
            return
        self.ask(coming, size)
        try:
            yield
        finally:
            self.leave(coming)

    def _take_places(self, coming: int) -> int:
        """Return how many places are taken, those of what comes included."""
        with self._lock:
            self._places += min(coming, self._limit)
            return self._places

    def _refuse_beyond(self, waiting: int, taken: int, coming: int) -> None:
        if waiting + taken > self._limit:
            raise OverloadedError(
                f"{waiting} messages wait to be processed, {coming} more come, and "
                f"TRUEUP_ACCEPT_LIMIT={self._limit}; send again later",
                RETRY_AFTER,
            )

    def refuse_too_many(self, coming: int) -> None:
        """Raise BadInputError for a batch that would be refused for ever, however little waits."""
        if self._limit and coming > self._limit:
            raise BadInputError(
                f"{coming} events at once are more than may wait at all (TRUEUP_ACCEPT_LIMIT={self._limit}); "
                "send fewer in one batch"
            )

    def refused(self, error: OperationalError) -> OverloadedError:
        """Return what to tell when the store took nothing though there seemed to be room."""
        self._left = 0  # the next one looks first
        free = self._free()
        if free is not None and free < FREE_BYTES:
            return _full(free)
        told = f"the store cannot take anything now ({error.orig}); nothing was stored, send it again later"
        return OverloadedError(told, RETRY_AFTER)

    def _look_at_disk(self, coming: int, size: int) -> None:
        self._left -= coming
        self._bytes_left -= size
        if self._left > 0 and self._bytes_left > 0:
            return
        free = self._free()
        if free is not None and free < FREE_BYTES:
            raise _full(free)
        self._left, self._bytes_left = LOOK_EVERY, LOOK_BYTES

    def _free(self) -> int | None:
        """Bytes that the disk of the embedded store has left; None where the store is on another machine."""
        if not self._store.is_sqlite:
            return None
        return shutil.disk_usage(Path(str(self._store.engine.url.database)).parent).free


def _waiting(connection: Connection) -> int:
    unread = select(func.count()).select_from(t.intake).where(t.among(t.intake.c.state, "new"))
    waiting = select(func.count()).select_from(t.message).where(t.among(t.message.c.state, "accepted"))
    return int(connection.execute(waiting).scalar_one() + connection.execute(unread).scalar_one())


def _full(free: int) -> OverloadedError:
    told = f"the disk of the store has only {free // 2**20} MB left; free some, then send again"
    return OverloadedError(told, RETRY_AFTER)
