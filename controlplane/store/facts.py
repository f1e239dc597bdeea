"""What a transaction has to tell this process once it is committed: for measurements and traces, which must not fail it.

Unlike a signal a fact goes to no other process, and carries what was done. What is rolled back was never told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from sqlalchemy import Connection

log = structlog.get_logger()
Listener = Callable[[Sequence[object]], None]


def note(connection: Connection, fact: object) -> None:
    """Tell the listeners of this process once this transaction is committed."""
    connection.info.setdefault("facts", []).append(fact)


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Give a part of the transaction that may fail alone: what was noted in it is then forgotten with what was written."""
    noted = connection.info.setdefault("facts", [])
    mark = len(noted)
    try:
        with connection.begin_nested():
            yield
    except BaseException:
        del noted[mark:]
        raise


class Facts:
    """Who is told of what this process has committed."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def subscribe(self, listener: Listener) -> None:
        """Call the listener after each commit that noted anything, in the thread that committed; it should be quick."""
        self._listeners = (*self._listeners, listener)

    def tell(self, facts: Sequence[object]) -> None:
        """Tell everybody. What a listener raises is logged, for what it was told of is committed and stays so."""
        for listener in self._listeners:
            try:
                listener(facts)
            except Exception:
                log.exception("what was committed could not be measured; nothing else is affected")
