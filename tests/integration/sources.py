"""A queue of canonical messages at a real broker, and the rooms of a plane that take from it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
from amqp.exceptions import NotFound
from redis import Redis
from redis.exceptions import ResponseError
from sqlalchemy import select

from controlplane.clock import Clock, SystemClock
from controlplane.connectors import Connections
from controlplane.registry import Registry, revisions
from controlplane.registry.packs import load_genesis
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from controlplane.sync.engines.embedded import Steps
from controlplane.sync.intake import label
from controlplane.sync.quarantine import sealed
from rules.policy.kinds import System
from tests.addresses import pairs_of
from tests.controlplane.sync.kit import Ringed

SYSTEM = "bus"


def event(number: int, **changed: Any) -> dict[str, Any]:
    """A sale of a till, in CloudEvents."""
    now = datetime.now(UTC).isoformat()
    data = {"ref": f"R{number}", "location": "ST1", "sku": "0042", "quantity": 1, "unit_price": "12.90", "currency": "EUR",
            "sold_at": now}  # fmt: skip
    found = {"specversion": "1.0", "id": f"sale-{number}", "source": "tills", "type": "sale.recorded", "subject": f"R{number}",
             "time": now, "data": data}  # fmt: skip
    return found | changed


def body(number: int, **changed: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(event(number, **changed)).encode()


class SourceQueue:
    """A queue of a test's own at a broker, as whoever sends to it sees it."""

    connector = "broker"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.is_redis = parts.scheme.startswith("redis")
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or (6379 if self.is_redis else 5672)
        self.user, self.password = parts.username, parts.password
        path = unquote(parts.path.removeprefix("/"))
        self.place = path.strip("/") or "0" if self.is_redis else path or "/"
        self.name = f"test-{uuid.uuid4().hex[:10]}"

    @property
    def options(self) -> dict[str, Any]:
        """What a System policy says of the queue."""
        return {"queue": self.name}

    @property
    def endpoint(self) -> str:
        """The address without the login, for a System policy."""
        scheme = "redis" if self.is_redis else "amqp"
        return f"{scheme}://{self.host}:{self.port}/{self.place}"

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of RabbitMQ."""
        connection = amqp.Connection(
            f"{self.host}:{self.port}", self.user or "guest", self.password or "guest", virtual_host=self.place,
            login_method="PLAIN", confirm_publish=True, connect_timeout=10, read_timeout=30,
        )  # fmt: skip
        connection.connect()
        try:
            yield connection.channel()
        finally:
            with suppress(Exception):
                connection.close()

    @property
    def redis(self) -> Any:
        """A client of Redis."""
        return Redis(self.host, self.port, int(self.place), self.password, username=self.user, socket_timeout=30)

    def send(self, bodies: Sequence[bytes]) -> None:
        """Put bodies into the queue; returned when the broker has them."""
        if self.is_redis:
            self.redis.lpush(self.name, *bodies)
            return
        with self.channel() as channel:
            self.declare(channel)
            for one in bodies:
                channel.basic_publish(amqp.Message(one, delivery_mode=2), routing_key=self.name)

    def declare(self, channel: Any) -> None:
        """Have the queue there, as whoever operates the broker would."""
        quorum = {"x-queue-type": "quorum"}
        channel.queue_declare(self.name, durable=True, auto_delete=False, arguments=quorum)

    def left(self) -> int:
        """How many wait at the broker; those that somebody holds are counted on Redis alone."""
        if self.is_redis:
            return int(self.redis.llen(self.name) + self.redis.llen(f"{self.name}:processing"))
        with self.channel() as channel:
            try:
                return int(channel.queue_declare(self.name, passive=True).message_count)
            except NotFound:
                return 0

    def remove(self) -> None:
        """Remove the queue."""
        with suppress(Exception):
            if self.is_redis:
                self.redis.delete(self.name, f"{self.name}:processing")
            else:
                with self.channel() as channel:
                    channel.queue_delete(self.name)


class StreamQueue(SourceQueue):
    """A stream of Redis, which a group reads."""

    group = "plane"

    @property
    def options(self) -> dict[str, Any]:
        """What a System policy says of the stream."""
        return {"queue": self.name, "group": self.group}

    def send(self, bodies: Sequence[bytes]) -> None:
        """Append bodies to the stream."""
        sent = self.redis.pipeline()
        for one in bodies:
            sent.xadd(self.name, {"event": one})
        sent.execute()

    def left(self) -> int:
        """How many the group has not acknowledged, those that it never read among them."""
        try:
            [group] = self.redis.xinfo_groups(self.name)
        except (ResponseError, ValueError):  # nobody has opened it yet
            return int(self.redis.xlen(self.name))
        return int(group["pending"] + len(self.redis.xrange(self.name, b"(" + group["last-delivered-id"])))


class Taking:
    """Registry, connections and sync over a store, with a System that takes from a queue."""

    def __init__(
        self, store: Store, home: Path, queue: SourceQueue, *, clock: Clock | None = None, limit: int = 0, **spec: Any
    ) -> None:
        self.store, self.queue, self.clock = store, queue, clock or SystemClock()
        self.registry = Registry(store, self.clock)
        self.home = home
        load_genesis(store, self.clock, self.registry, "sandbox")
        if SYSTEM not in self.registry.snapshot().systems:
            self.govern(**spec)
        self.connections = Connections(self.registry, Settings(home=home), self.clock)
        self.sync = Sync(store, self.clock, self.registry, self.connections, limit, keys=Ringed())

    def govern(self, **spec: Any) -> None:
        """Put the System into force, or change it."""
        given = {
            "connector": self.queue.connector, "owner": "warehouse-ops", "role": "bi", "endpoint": self.queue.endpoint,
            "internal": pairs_of(spec.get("endpoint", self.queue.endpoint)),
            "options": {**self.queue.options, "prefetch": 50}, "secrets": self._secrets(), "timeout": "5s", **spec,
        }  # fmt: skip
        document = System(apiVersion="trueup/v1", kind="System", metadata={"name": SYSTEM}, spec=given)
        with self.store.write() as connection:
            revisions.write(connection, self.clock, [document], author="test", origin="test", reason="test")

    def _secrets(self) -> dict[str, str]:
        folder = Settings(home=self.home).secrets
        folder.mkdir(parents=True, exist_ok=True)
        told = {"user": self.queue.user, "password": self.queue.password}
        for name, value in told.items():
            if value:
                (folder / name).write_text(value)
        return {name: f"file:{name}" for name, value in told.items() if value}

    @contextmanager
    def running(self) -> Iterator[None]:
        """The steps that an engine runs in the plane, whichever engine it is."""
        steps = Steps(self.sync)
        steps.start()
        try:
            yield
        finally:
            steps.stop()

    def close(self) -> None:
        """Let go of the connectors."""
        self.connections.close()

    # --- what came of it ---

    def messages(self) -> list[str]:
        """The event ids of the messages of the tills, in the order of the ledger."""
        m = t.message.c
        with self.store.read() as connection:
            query = select(m.dedupe_key).where(m.source == "tills").order_by(m.id)
            return list(connection.execute(query).scalars())

    def bodies(self) -> list[bytes]:
        """What was taken in from the broker, verbatim, in the order in which it came; opened, where it is sealed."""
        i, shield = t.intake.c, self.sync.shield(SYSTEM)
        with self.store.read() as connection:
            query = select(i.id, i.body, i.sealed).where(i.channel == "broker", i.system == SYSTEM).order_by(i.id)
            return [shield.whole(label(row.id), row.body, row.sealed) for row in connection.execute(query)]

    def cases(self) -> list[dict[str, Any]]:
        """What waits in quarantine."""
        query = select(t.quarantine).where(t.quarantine.c.stage == "intake").order_by(t.quarantine.c.id)
        with self.store.read() as connection:
            return [sealed.whole(row, self.sync.shield(SYSTEM)) for row in connection.execute(query).mappings()]

    def state(self) -> Any:
        """How the system stands; None while nothing has happened to it."""
        with self.store.read() as connection:
            return connection.execute(select(t.system_state).where(t.system_state.c.system == SYSTEM)).one_or_none()
