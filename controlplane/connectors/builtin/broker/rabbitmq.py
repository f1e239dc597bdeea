"""A queue of RabbitMQ. What is not acknowledged when the connection ends, however it ends, is given again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from amqp import Connection
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, NotFound, PreconditionFailed, ResourceLocked

from controlplane.connectors.builtin.broker.address import Address, Login
from controlplane.connectors.contract import Record, Waiting
from controlplane.errors import RejectedError
from rules.addresses import Pair

HEARTBEAT = 30
"""Seconds after which either side takes a silent connection for broken."""


class Broker:
    """A virtual host of RabbitMQ, and a queue in it."""

    confirms = False
    """Whether the broker says of each event that is put there that it has it."""

    def __init__(self, address: Address, login: Login, record_of: Callable[[bytes], Record]) -> None:
        self.address, self.login, self.record_of = address, login, record_of

    def look(self) -> None:
        """Log in, and look at the queue if it is there. Raises UnavailableError, RejectedError."""
        with self.named():
            connection = self.connected()
            try:
                self.is_there(connection)
            finally:
                connection.close()

    def open(self) -> Feed:
        """Take from the queue; a replicated (quorum) one is declared if there is none. Raises UnavailableError, RejectedError."""
        with self.named():
            connection = self.connected()
            try:
                if self.is_there(connection):
                    self._refuse_stream(connection)
                else:
                    self._declare(connection)
                return Feed(self, connection)
            except BaseException:
                with suppress(Exception):
                    connection.close()
                raise

    def connected(self) -> Connection:
        """Return a new connection, to the first of the broker's checked addresses that takes one."""
        found = self.login.door.addresses(self.address.host, self.address.port)
        failed: OSError | None = None
        for host in found:
            try:
                return self._connected(host, self.login.timeout / len(found))
            except OSError as error:
                failed = error
        raise failed or OSError("no address of it answers")

    def _connected(self, host: str, timeout: float) -> Connection:
        """Connect to an address; the name that policy gives is the one that the certificate has to be for."""
        address, login = self.address, self.login
        tls: dict[str, Any] = {"context": {"check_hostname": True}, "server_hostname": address.host}
        connection = Connection(
            host=str(Pair(host, address.port)), userid=login.user or "guest", password=login.password or "guest",
            login_method="PLAIN", virtual_host=address.place, ssl=tls if address.is_secure else False,
            connect_timeout=timeout, read_timeout=login.timeout, write_timeout=login.timeout,
            heartbeat=HEARTBEAT, confirm_publish=self.confirms,
            client_properties={"product": "trueup", "connection_name": f"trueup {login.system}"},
        )  # fmt: skip
        try:
            connection.connect()
        except BaseException:
            connection.collect()
            raise
        return connection

    def waiting(self) -> Waiting:
        """Return how many are ready to be given; those that somebody holds RabbitMQ does not tell here. Raises UnavailableError."""
        with self.named():
            connection = self.connected()
            try:
                with connection.channel() as channel:
                    told = channel.queue_declare(self.address.queue, passive=True)
            except NotFound:
                return Waiting(None, note=f"there is no queue '{self.address.queue}' at {self.address}")
            finally:
                connection.close()
        return Waiting(int(told.message_count), note="RabbitMQ does not tell since when the oldest waits")

    def is_there(self, connection: Connection) -> bool:
        """Say whether there is a queue of that name, of whatever type."""
        try:
            with connection.channel() as channel:
                channel.queue_declare(self.address.queue, passive=True)
        except NotFound:
            return False
        return True

    def _refuse_stream(self, connection: Connection) -> None:
        """The only way to learn a queue's type is to ask for another one."""
        with suppress(AccessRefused), connection.channel() as channel:  # not everybody may ask
            try:
                channel.queue_declare(self.address.queue, durable=True, auto_delete=False, arguments=_QUORUM)
            except PreconditionFailed as error:
                if re.search(r"current is .*stream", str(error.reply_text)):
                    raise RejectedError(
                        f"{self.login.system}: the queue '{self.address.queue}' at {self.address} is a stream, from which "
                        "nothing is taken off; have a quorum or classic queue bound to what feeds it, and name that"
                    ) from error

    def _declare(self, connection: Connection) -> None:
        version = str(connection.server_properties.get("version", ""))
        arguments: dict[str, Any] = dict(_QUORUM)
        if (major := re.match(r"\d+", version)) and int(major[0]) >= 4:
            arguments["x-delivery-limit"] = -1  # from 4.0 on what was given 20 times would be thrown away
        with connection.channel() as channel:
            channel.queue_declare(self.address.queue, durable=True, auto_delete=False, arguments=arguments)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Turn what the client raises into errors that say what to do."""
        try:
            yield
        except ResourceLocked as error:
            what = f"keeps the queue '{self.address.queue}' for another connection alone"
            raise self.login.unavailable(
                self.address, what, "end that one, or name another queue in the System policy", error
            ) from error
        except AccessRefused as error:
            remedy = "check the secrets user and password, and what that user may configure and read"
            raise self.login.unavailable(self.address, "refuses us", remedy, error) from error
        except NotAllowed as error:
            remedy = "check the virtual host in the endpoint, and whether the user may use it"
            raise self.login.unavailable(self.address, "refuses the virtual host", remedy, error) from error
        except (AMQPError, OSError) as error:
            remedy = "see that it runs and that the endpoint is right; what waits there is taken when it is back"
            raise self.login.unavailable(self.address, "is not reached", remedy, error) from error


_QUORUM = {"x-queue-type": "quorum"}


class Feed:
    """What RabbitMQ pushes to us: never more than `prefetch` that are not acknowledged."""

    def __init__(self, broker: Broker, connection: Connection) -> None:
        self._broker, self._connection = broker, connection
        self._came: list[Record] = []
        self._last = 0
        self._channel = connection.channel()
        self._channel.auto_decode = False  # the bytes as they came
        self._channel.basic_qos(0, broker.address.held, False)
        self._channel.basic_consume(broker.address.queue, callback=self._give)

    def _give(self, message: Any) -> None:
        body = message.body
        self._came.append(self._broker.record_of(body if isinstance(body, bytes) else str(body).encode()))
        self._last = message.delivery_tag

    def take(self, seconds: float) -> Sequence[Record]:
        """Return what was pushed."""
        with self._broker.named():
            self._connection.heartbeat_tick()
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=seconds)
                while True:
                    self._connection.drain_events(timeout=0)
        came, self._came = self._came, []
        return came

    def acknowledge(self) -> None:
        """Acknowledge everything up to the last one."""
        with self._broker.named():
            self._channel.basic_ack(self._last, multiple=True)

    def close(self) -> None:
        """End the connection."""
        with suppress(Exception):  # a connection that broke cannot be closed in order
            self._connection.close()
