"""The brokers of this machine, with queues of a test's own; and a wire to them that can be cut."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import pytest
from celery import Celery
from kombu import Connection

from controlplane.sync.engines.celery import celery_app, declare, is_redis, queue_for, queue_of

RABBITMQ = os.environ.get("TRUEUP_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
NATS = os.environ.get("TRUEUP_TEST_NATS", "nats://127.0.0.1:4222")
REDIS = os.environ.get("TRUEUP_TEST_REDIS", "redis://127.0.0.1:6379/5")


def there(url: str) -> None:
    """Return when a broker answers; else skip, or fail where CI promises that it is there."""
    try:
        with Connection(url, connect_timeout=3) as connection:
            connection.connect()
            connection.channel()
    except Exception as error:
        name = "Redis (TRUEUP_TEST_REDIS)" if is_redis(url) else "RabbitMQ (TRUEUP_TEST_RABBITMQ)"
        reason = f"no {name} answers: {error}"
        if os.environ.get("CI", "").lower() == "true":
            raise RuntimeError(reason) from error
        pytest.skip(reason)


class Broker:
    """A broker with queues under a prefix of one test's own."""

    def __init__(self, url: str) -> None:
        there(url)
        self.url, self.prefix = url, f"test-{uuid.uuid4().hex[:10]}"
        self.app: Celery = celery_app(url, self.prefix)
        self._targets: set[str] = set()

    def depth(self, target: str) -> int:
        """Return how many tasks wait for a target."""
        self._targets.add(target)
        with Connection(self.url) as connection:
            return declare(queue_for(self.app, target), connection.channel())

    def lose(self, target: str) -> int:
        """Throw away all tasks that wait for a target; return how many."""
        self._targets.add(target)
        with Connection(self.url) as connection:
            channel, queue = connection.channel(), queue_for(self.app, target)
            declare(queue, channel)  # whoever comes first makes it
            return int(queue(channel).purge() or 0)

    def double(self, target: str) -> int:
        """Put each task that waits for a target into its queue a second time; return how many there were."""
        self._targets.add(target)
        with Connection(self.url, transport_options={"confirm_publish": True}) as connection:
            queue = queue_for(self.app, target)(connection.channel())
            waiting = [queue.get() for _ in range(declare(queue, queue.channel))]
            for task in [*waiting, *waiting]:
                connection.Producer().publish(
                    task.body, routing_key=queue.name, content_type=task.content_type, headers=task.headers,
                    content_encoding=task.content_encoding, correlation_id=task.properties["correlation_id"],
                )  # fmt: skip
            for task in waiting:
                task.ack()
            return len(waiting)

    def squat(self, target: str) -> None:
        """Have a queue of the classic type where ours should be."""
        self._targets.add(target)
        with Connection(self.url) as connection:
            connection.channel().queue_declare(queue_of(target, self.prefix), durable=True, auto_delete=False)

    def close(self) -> None:
        """Remove what the test made."""
        with suppress(Exception), Connection(self.url) as connection:
            channel = connection.channel()
            for target in self._targets | {"pager", "erp", "wms", "shop", "extra"}:
                channel.queue_delete(queue_of(target, self.prefix))
            if is_redis(self.url):
                for key in channel.client.scan_iter(f"*{self.prefix}*"):
                    channel.client.delete(key)
            else:
                channel.exchange_delete(self.prefix)
        self.app.close()


class Wire:
    """A port of loopback that leads to a server, and can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._to, self._live = (host, port), set[socket.socket]()
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])

    def mend(self) -> None:
        """Let through what comes."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        with self._lock:
            live, self._live = self._live, set()
        for one in live:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                try:
                    far = socket.create_connection(self._to)
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._live |= {near, far}
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wired(url: str, default_port: int) -> Iterator[tuple[Wire, str]]:
    """A wire to the server of an address, cut at first; and the address through it."""
    parts = urlsplit(url)
    wire = Wire(parts.hostname or "127.0.0.1", parts.port or default_port)
    user = f"{parts.username}:{parts.password or ''}@" if parts.username else ""
    try:
        yield wire, urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{wire.port}"))
    finally:
        wire.cut()
