"""Canonical messages (docs/messages.md) off a queue of RabbitMQ, a list or a stream of Redis; or into an exchange or a stream.

What travels there is the same event as at POST /api/v1/messages. It is kept verbatim, whatever it is; what cannot be read
waits in quarantine, and its neighbours go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, Protocol

from controlplane.connectors.builtin.broker.address import PORTS, Login, address_of, flaws, is_target
from controlplane.connectors.contract import Connector, Context, Draft, Feed, Manifest, UnsupportedError, Waiting, Write
from controlplane.connectors.events import TOPIC, drafts_of, record_of, source_of, target_of, written
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.errors import SettingsError
from rules.outcomes import Guarantee, Outcome

__all__ = ["TOPIC", "BrokerConnector", "record_of"]
LATE = 10.0
"""Seconds within which a broker may yet store what it did not confirm."""
IN_RABBITMQ = written(
    Guarantee.NONE,
    "RabbitMQ knows no repetition, readers know it by `id`; in a stream of Redis readable, by a marker",
    LATE,
)
IN_REDIS = written(Guarantee.READABLE, "a marker beside the stream, kept for seven days", LATE)


class _Broker(Protocol):
    """One kind of broker."""

    def open(self) -> Feed:
        """Open the queue, which is made if it is not there."""
        ...

    def waiting(self) -> Waiting:
        """Say how much waits, as far as the broker tells. Changes nothing."""
        ...

    def look(self) -> None:
        """See that the broker lets us in, and that the queue can be used if it is there. Changes nothing."""
        ...


def specific(options: Mapping[str, Any]) -> Manifest:
    """Return what a System can do: what names an exchange or a stream is put into, any other is taken from."""
    general = BrokerConnector.manifest
    if not is_target(options):
        return source_of(general)
    return replace(target_of(general), writes=IN_RABBITMQ if options.get("stream") is None else IN_REDIS)


class BrokerConnector(Connector):
    """A queue at a broker. Secrets: user, password. Options: queue, prefetch (records that are held at once, and
    committed together), group (the queue is a stream of Redis, and this its consumer group); or, to put into it,
    exchange and routing_key (RabbitMQ), stream (Redis)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="broker",
        title="Message broker (RabbitMQ, Redis and its streams)",
        consumes=True,
        writes=IN_RABBITMQ,
        secrets=("user", "password"),
        optional_secrets=("user", "password"),
        options=("queue", "prefetch", "group", "exchange", "routing_key", "stream"),
        schemes=tuple(PORTS),
        check=flaws,
        specific=specific,
        verified_against="RabbitMQ 3.10 and Redis 7.0, running",
        probes=("latency", "depth"),
        kind="broker",
        auth="user and password of the broker, TLS by the scheme",
        limits="`prefetch` records are held at once and committed together",
        gaps=(
            "streams of RabbitMQ",
            "Redis before 6.2, its streams before 7.0",
            "lists and clusters of Redis as targets",
        ),
        option_schemas={
            "queue": {"type": "string", "minLength": 1, "maxLength": 255},
            "prefetch": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            "group": {"type": "string", "minLength": 1, "maxLength": 255},
            "exchange": {"type": "string", "maxLength": 255},
            "routing_key": {"type": "string", "minLength": 1, "maxLength": 255},
            "stream": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.manifest = specific(context.options)  # type: ignore[misc]  # what it can do is its system's own
        self._address = address_of(context)

    def ping(self) -> None:
        """Log in, and look at the queue."""
        (self._broker() if self.manifest.consumes else self._outlet()).look()

    def consume(self) -> Feed:
        """Open the queue. Raises UnavailableError, RejectedError for a queue that cannot be used, SettingsError."""
        self._taken_from()
        return self._broker().open()

    def waiting(self) -> Waiting:
        """Ask how much waits. Raises UnavailableError, SettingsError."""
        self._taken_from()
        return self._broker().waiting()

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Put an event there."""
        self.manifest.write_spec(request.entity)
        outcome: Outcome = self._outlet().put(request)
        return outcome

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look the event up, where the broker can be asked."""
        self.manifest.write_spec(request.entity)
        outcome: Outcome = self._outlet().find(request, self.context.clock.now())
        return outcome

    def _taken_from(self) -> None:
        if not self.manifest.consumes:
            raise UnsupportedError(f"System '{self.context.system}' is put into, and nothing is taken off it")

    def _broker(self) -> _Broker:
        broker: _Broker = self._client().Broker(self._address, self._login(), record_of)
        return broker

    def _outlet(self) -> Any:
        return self._client().Outlet(self._address, self._login(), record_of)

    def _login(self) -> Login:
        secret, given = self.context.secret, self.context.given
        user, password = (secret(name) if name in given else None for name in ("user", "password"))
        patience = self.context.timeout * self.context.clock.pace
        return Login(self.context.system, user, password, patience, self.context.door)

    def _client(self) -> ModuleType:
        """Import what speaks to the broker only now: it is an extra."""
        name = "redis_list" if self._address.is_redis else "rabbitmq"
        if self._address.group:
            name = "redis_stream"
        if not self.manifest.consumes:
            name = "redis_target" if self._address.is_redis else "rabbitmq_target"
        try:
            return import_module(f"controlplane.connectors.builtin.broker.{name}")
        except ImportError as error:
            raise SettingsError(
                f"System '{self.context.system}': {error}; install the extra: pip install 'trueup[broker]'"
            ) from error

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read one event. Raises BadInputError naming the attribute, the rule and the remedy; for a gap always."""
        return drafts_of(topic, body, self.context.clock.now())
