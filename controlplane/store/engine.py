"""One way to open the database and two ways to use it: `read` a consistent view, `write` in one short transaction."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError

from controlplane.store import direct
from controlplane.store.checkpoints import BACKSTOP, Checkpoints
from controlplane.store.confined import Confined, Lists
from controlplane.store.facts import Facts
from controlplane.store.signals import CHANNEL, Listener, Signals
from controlplane.store.sqlite import SQLITE_CONNECT, SQLITE_PRAGMAS, prepare
from controlplane.store.text import dumps

__all__ = ["HUNG", "SQLITE_PRAGMAS", "Store", "open_store"]
HUNG = "30s"
"""After which PostgreSQL ends a transaction whose process does nothing: one that hangs must not hold its locks for ever.
The address may set another, as `?options=-c idle_in_transaction_session_timeout=10s`."""
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', topic) FROM unnest(%s::text[]) AS topic"  # noqa: S608

_lists: ContextVar[Lists | None] = ContextVar("lists", default=None)
_beside: ContextVar[Callable[[Connection], None] | None] = ContextVar("beside", default=None)


class Store:
    """The database of one plane. On SQLite one process owns the file and writes take turns."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.signals = Signals()
        self.facts = Facts()
        self._turn = threading.RLock()
        self._writer: Connection | None = None
        self._changed = threading.Condition()
        self._generation = 0
        self._listener: Listener | None = None
        self._checkpoints: Checkpoints | None = None
        self._confined = Confined(engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent state and changes nothing; where `confine` was said, what is in sight of it."""
        lists = _lists.get()
        if lists is not None:
            with self._confined.read(lists) as connection:
                yield connection
            return
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:  # PostgreSQL's default gives every statement a view of its own
                connection.execution_options(isolation_level="REPEATABLE READ")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Give a connection for one query, which sees one consistent state by itself: on PostgreSQL one round trip, not three."""
        if _lists.get() is not None:
            with self.read() as connection:
                yield connection
            return
        with self.engine.connect() as connection:
            yield connection if self.is_sqlite else connection.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def is_confined(self) -> bool:
        """Whether what is read here and now is confined."""
        return _lists.get() is not None

    def confine(self, lists: Lists | None) -> None:
        """Let all that this thread reads from here on be what is in sight of these names (`store.sight`); None: everything."""
        _lists.set(lists)

    def unconfined(self) -> AbstractContextManager[None]:
        """Let the plane itself look within the block, in whomever's name: what is read of it is not for telling."""
        return self.confined(None)

    @contextmanager
    def confined(self, lists: Lists | None) -> Iterator[None]:
        """Confine what this thread reads within the block, as `confine` does."""
        token = _lists.set(lists)
        try:
            yield
        finally:
            _lists.reset(token)

    @contextmanager
    def write(self, *, derived: bool = False) -> Iterator[Connection]:
        """Give a connection inside one transaction; it commits at the end, or rolls back when the block raises.

        `derived`: all that it writes follows from what is committed, and is done again should PostgreSQL crash and forget it. Its
        commit then waits for no disk; whatever is committed after it, and waits, brings it to the disk too.

        Not reentrant: a function that may be called inside a transaction takes the connection as an argument.
        Keep it under 20 ms: no network, no waiting inside.
        """
        if not self.is_sqlite:
            with self.engine.connect() as connection, direct.transaction(connection) as begun:
                topics, facts = _empty_notes(connection)
                if derived:
                    direct.later(connection, "SET LOCAL synchronous_commit TO off")
                _note_beside(connection)
                yield connection
                if topics and self._listener:
                    told = [f"{self.signals.origin} {topic}" for topic in sorted(topics)]
                    direct.later(connection, _NOTIFY, (told,))
                direct.commit(connection, begun)
        else:
            with self._turn, self._sole_writer() as connection:
                topics, facts = _empty_notes(connection)
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                _note_beside(connection)
                yield connection
                connection.commit()
                if self._checkpoints:
                    raw: Any = connection.connection.driver_connection
                    self._checkpoints.changed(raw.total_changes)
        self.signals.ring(topics)
        self._wake()
        if facts:
            self.facts.tell(facts)

    @contextmanager
    def beside(self, note: Callable[[Connection], None]) -> Iterator[None]:
        """Let every transaction that this thread writes within the block begin with the note: both are committed, or neither."""
        token = _beside.set(note)
        try:
            yield
        finally:
            _beside.reset(token)

    @contextmanager
    def _sole_writer(self) -> Iterator[Connection]:
        """Give SQLite's one connection that writes: its pages stay known, where another's commit makes it forget them all."""
        if self._writer is None:
            self._writer = self.engine.connect()
            if self._checkpoints:
                self._writer.exec_driver_sql(f"PRAGMA wal_autocheckpoint={BACKSTOP}")
                self._writer.rollback()
        connection = self._writer
        try:
            yield connection
        except BaseException:
            self._writer = None
            with connection:
                connection.rollback()
            raise

    def start(self) -> None:
        """Begin what a process does that runs for long, until `close`.

        PostgreSQL: hear what other processes commit, and tell them what this one does. SQLite: checkpoints beside the commits.
        """
        if self.is_sqlite and self._checkpoints is None:
            with self._turn:
                self._checkpoints = Checkpoints(self.engine)
                self._let_go_of_writer()  # the next one leaves checkpoints to the thread
            self._checkpoints.start()
        if not self.is_sqlite and self._listener is None:
            self._listener = Listener(self.engine, self.signals)
            self._listener.start()

    def _wake(self) -> None:
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def wait_for_change(self, seen: int, seconds: float) -> int:
        """Wait at most so many wall seconds for a commit by this process after generation `seen`; return the present one."""
        with self._changed:
            if self._generation == seen:
                self._changed.wait(seconds)
            return self._generation

    def wake_all(self) -> None:
        """Wake whoever waits for a change, so that they notice a stop."""
        self.signals.ring_all()
        self._wake()

    def close(self) -> None:
        """Give all connections back."""
        if self._listener:
            self._listener.stop()
        if self._checkpoints:
            self._checkpoints.stop()
        with self._turn:
            self._let_go_of_writer()
        self._confined.close()
        self.engine.dispose()

    def _let_go_of_writer(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None


def open_store(url: str) -> Store:
    """Open the database at the address; create the folder of a SQLite file. Run `migrate` before first use."""
    address = make_url(url)
    options: dict[str, Any] = {"pool_size": 10, "max_overflow": 20}
    if address.get_backend_name() == "sqlite":
        if address.database and address.database != ":memory:":
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        options = {
            "connect_args": SQLITE_CONNECT,
            "pool_size": 64,
            "max_overflow": 64,
        }
    else:
        given = str(address.query.get("options", ""))
        options["connect_args"] = {"options": f"-c idle_in_transaction_session_timeout={HUNG} {given}".strip()}
    engine = create_engine(address, json_serializer=dumps, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", prepare)
    else:
        event.listen(engine, "checkout", _still_open)
        direct.gather(engine)
    return Store(engine)


def _empty_notes(connection: Connection) -> tuple[set[str], list[object]]:
    """Give the connection empty notes for what it will tell after the commit: topics (`signals`) and facts (`facts`)."""
    topics: set[str] = set()
    facts: list[object] = []
    connection.info.update(topics=topics, facts=facts)
    return topics, facts


def _note_beside(connection: Connection) -> None:
    note = _beside.get()
    if note is not None:
        note(connection)


def _still_open(connection: Any, _record: Any, _proxy: Any) -> None:
    """Replace a connection that the server has closed: nothing is to be read on an idle one but the end.

    Costs a system call; asking the server costs a round trip for each of our short transactions.
    """
    idle = select.poll()
    if not connection.closed:
        idle.register(connection.pgconn.socket, select.POLLIN)
    if connection.closed or idle.poll(0):
        raise DisconnectionError("the server closed the connection")
