"""A list of Redis as a queue: senders LPUSH, we take from its right end.

A plain pop would lose what was popped when the process dies. So an element is moved, in one step, to a second list
(`<queue>:processing`), and removed from there once it is committed. Whoever opens the queue first moves back what was left there.
An element is removed by its value, never by its place: however many processes hold the same one, it goes only after a commit.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from redis import Connection, ConnectionPool, Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.retry import Retry

from controlplane.connectors import contract
from controlplane.connectors.builtin.broker.address import Address, Login
from controlplane.connectors.contract import Record, Waiting
from controlplane.connectors.network import Door
from controlplane.errors import RejectedError

LISTS = (b"list", b"none")


class _Checked(Connection):
    """A connection that is made through the system's door."""

    def __init__(self, *, door: Door, **given: Any) -> None:
        super().__init__(**given)  # type: ignore[no-untyped-call]
        self._door = door

    def _connect(self) -> socket.socket:
        made = self._door.connect(self.host, self.port, self.socket_connect_timeout)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.settimeout(self.socket_timeout)
        return made


class _Secured(SSLConnection, _Checked):
    """The same, with TLS above it, by the name that was asked for."""


class Broker:
    """A database of Redis, and a list in it."""

    def __init__(self, address: Address, login: Login, record_of: Callable[[bytes], Record]) -> None:
        self.address, self.login, self.record_of = address, login, record_of
        self.queue, self.processing = address.queue, f"{address.queue}:processing"

    def look(self) -> None:
        """Log in, and see that what is there are lists. Raises UnavailableError, RejectedError."""
        with self.named(), self.connected() as client:
            for key in (self.queue, self.processing):
                found = client.type(key)
                if found not in LISTS:
                    raise RejectedError(
                        f"{self.login.system}: the key '{key}' at {self.address} is a {found.decode()}, and a queue is a list; "
                        "name another queue in the System policy, or remove the key"
                    )

    def open(self) -> contract.Feed:
        """Take from the list, after what was left before was moved back. Raises UnavailableError, RejectedError."""
        self.look()
        with self.named():
            client = self.connected()
            try:
                # the newest stands left: moved one by one to the right end, the oldest is the next again
                while client.lmove(self.processing, self.queue, "LEFT", "RIGHT") is not None:
                    pass
            except BaseException:
                client.close()
                raise
        return Feed(self, client)

    def waiting(self) -> Waiting:
        """Return how many wait or are held; a list that is not there is an empty one. Raises UnavailableError."""
        with self.named(), self.connected() as client:
            found = client.pipeline(transaction=True).llen(self.queue).llen(self.processing).execute()
        return Waiting(sum(found), note="a list of Redis does not tell since when its oldest waits")

    def connected(self) -> Any:
        """Return a client with one connection. It tries nothing twice: a move whose answer was lost is found by opening anew."""
        address, login = self.address, self.login
        pool = ConnectionPool(
            connection_class=_Secured if address.is_secure else _Checked, door=login.door,
            host=address.host, port=address.port, db=int(address.place), username=login.user, password=login.password,
            socket_timeout=login.timeout + 1, socket_connect_timeout=login.timeout, retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        try:
            client = Redis(connection_pool=pool, single_connection_client=True)
        except BaseException:
            pool.disconnect()
            raise
        client.auto_close_connection_pool = True  # the pool is this client's own
        return client

    @contextmanager
    def named(self) -> Iterator[None]:
        """Turn what the client raises into errors that say what to do."""
        try:
            yield
        except (AuthenticationError, NoPermissionError) as error:
            remedy = "check the secrets user and password, and what that user may do"
            raise self.login.unavailable(self.address, "refuses us", remedy, error) from error
        except ResponseError as error:
            remedy = (
                "check the number of the database in the endpoint; and it has to be Redis 6.2 or later, and take writes"
            )
            raise self.login.unavailable(self.address, "refuses", remedy, error) from error
        except (RedisError, OSError) as error:
            remedy = "see that it runs and that the endpoint is right; what waits there is taken when it is back"
            raise self.login.unavailable(self.address, "is not reached", remedy, error) from error


class Feed:
    """What is moved to the second list and not removed from it yet: never more than `prefetch`."""

    def __init__(self, broker: Broker, client: Any) -> None:
        self._broker, self._client = broker, client
        self._held: list[bytes] = []

    def take(self, seconds: float) -> Sequence[Record]:
        """Move what is there; wait for the first."""
        room = self._broker.address.held - len(self._held)
        if room <= 0:
            threading.Event().wait(seconds)
            return []
        queue, processing = self._broker.queue, self._broker.processing
        with self._broker.named():
            first = self._client.blmove(queue, processing, seconds, "RIGHT", "LEFT")
            if first is None:
                return []
            more = self._client.pipeline(transaction=False)
            for _ in range(min(room - 1, self._client.llen(queue))):
                more.lmove(queue, processing, "RIGHT", "LEFT")
            came = [first, *(body for body in more.execute() if body is not None)]
        self._held += came
        return [self._broker.record_of(body) for body in came]

    def acknowledge(self) -> None:
        """Remove what was given from the second list."""
        with self._broker.named():
            done = self._client.pipeline(transaction=True)
            for body in self._held:
                done.lrem(self._broker.processing, -1, body)
            done.execute()
        self._held = []

    def close(self) -> None:
        """Let go of the connection; what is not acknowledged is moved back by the next who opens."""
        with suppress(Exception):
            self._client.close()
