"""A message broker as a source: canonical messages (docs/messages.md) are taken off a queue of RabbitMQ, a list or a stream of Redis.

What travels there is the same event as at POST /api/v1/messages. It is kept verbatim, whatever it is; what cannot be read
waits in quarantine, and its neighbours go on.
"""

from __future__ import annotations

from types import ModuleType
from typing import ClassVar, Protocol

import orjson

from controlplane.connectors.builtin.broker.address import GAP, PORTS, Login, address_of, flaws
from controlplane.connectors.contract import Connector, Context, Draft, Feed, Manifest, Record, Waiting
from controlplane.connectors.envelope import open_envelope
from controlplane.connectors.records import content_key
from controlplane.errors import BadInputError, SettingsError

TOPIC = "event"


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


class BrokerConnector(Connector):
    """A queue at a broker. Secrets: user, password. Options: queue, prefetch (records that are held at once, and
    committed together), group (the queue is a stream of Redis, and this its consumer group)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="broker",
        title="Message broker (RabbitMQ, Redis and its streams)",
        consumes=True,
        secrets=("user", "password"),
        optional_secrets=("user", "password"),
        options=("queue", "prefetch", "group"),
        schemes=tuple(PORTS),
        check=flaws,
        verified_against="RabbitMQ 3.10 and Redis 7.0, running",
        probes=("latency", "depth"),
        kind="broker",
        auth="user and password of the broker, TLS by the scheme",
        limits="`prefetch` records are held at once and committed together",
        gaps=("streams of RabbitMQ", "Redis before 6.2, its streams before 7.0", "publishing"),
        option_schemas={
            "queue": {"type": "string", "minLength": 1, "maxLength": 255},
            "prefetch": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            "group": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._address = address_of(context)

    def ping(self) -> None:
        """Log in, and look at the queue."""
        self._broker().look()

    def consume(self) -> Feed:
        """Open the queue. Raises UnavailableError, RejectedError for a queue that cannot be used, SettingsError."""
        return self._broker().open()

    def waiting(self) -> Waiting:
        """Ask how much waits. Raises UnavailableError, SettingsError."""
        return self._broker().waiting()

    def _broker(self) -> _Broker:
        secret, given = self.context.secret, self.context.given
        user, password = (secret(name) if name in given else None for name in ("user", "password"))
        patience = self.context.timeout * self.context.clock.pace
        login = Login(self.context.system, user, password, patience, self.context.door)
        module = self._client()
        broker: _Broker = module.Broker(self._address, login, record_of)
        return broker

    def _client(self) -> ModuleType:
        """Import what speaks to the broker only now: it is an extra."""
        try:
            if self._address.group:
                from controlplane.connectors.builtin.broker import redis_stream

                return redis_stream
            if self._address.is_redis:
                from controlplane.connectors.builtin.broker import redis_list

                return redis_list
            from controlplane.connectors.builtin.broker import rabbitmq
        except ImportError as error:
            raise SettingsError(
                f"System '{self.context.system}': {error}; install the extra: pip install 'trueup[broker]'"
            ) from error
        return rabbitmq

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read one event. Raises BadInputError naming the attribute, the rule and the remedy; for a gap always."""
        if topic == GAP:
            raise BadInputError(
                f"the stream lost entries before they were read: {body.decode()}; have their sender send them again, let the "
                "stream keep more (MAXLEN, MINID), and then drop this record"
            )
        found = open_envelope(body, self.context.clock.now())
        return [
            Draft(
                found.type, found.subject, found.event_id, found.occurred_at, found.data, source=found.source,
                schema_version=found.version, causation_id=found.causation_id, trace=found.trace,
            )
        ]  # fmt: skip


def record_of(body: bytes) -> Record:
    """Return a delivery as intake takes it. The same bytes are the same record; the same fact in other bytes is told by the ledger."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    identity = told.get("id") if isinstance(told, dict) else None
    return Record(TOPIC, content_key(TOPIC, identity if isinstance(identity, str) else "", body), body)
