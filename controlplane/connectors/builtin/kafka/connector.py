"""Kafka: canonical messages (docs/messages.md) off a topic, or into one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from controlplane.connectors.builtin.kafka.address import MECHANISMS, SCHEMES, Login, address_of, flaws
from controlplane.connectors.contract import Connector, Context, Draft, Feed, Manifest, UnsupportedError, Waiting, Write
from controlplane.connectors.events import drafts_of, source_of, target_of, written
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.errors import SettingsError
from rules.outcomes import Guarantee, Outcome, Result

if TYPE_CHECKING:
    from controlplane.connectors.builtin.kafka.cluster import Cluster


def specific(options: Mapping[str, Any]) -> Manifest:
    """Return what a System can do: one with a group is read, any other is put into."""
    general = KafkaConnector.manifest
    return source_of(general) if options.get("group") is not None else target_of(general)


class KafkaConnector(Connector):
    """A topic. Secrets: user, password, ca (certificates of those who vouch for its brokers). Options: topic; group (the consumer
    group it is read by) and prefetch; without a group it is put into; sasl (the mechanism, where there is a user)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="kafka",
        title="Kafka",
        consumes=True,
        writes=written(Guarantee.NONE, "readers know it by `id`", 60.0),
        secrets=("user", "password", "ca"),
        optional_secrets=("user", "password", "ca"),
        options=("topic", "group", "prefetch", "sasl"),
        schemes=SCHEMES,
        check=flaws,
        specific=specific,
        verified_against="librdkafka's mock cluster, (no Apache Kafka)",
        probes=("latency", "depth"),
        kind="broker",
        auth="SASL PLAIN or SCRAM with user and password; TLS by the scheme, with an authority of one's own by the secret ca",
        limits="`prefetch` records are held at once and committed together",
        gaps=(
            "Apache Kafka itself was not at hand",
            "Kerberos, OAuth and client certificates",
            "schema registries; events in binary mode", "transactions as a producer", "a broker told of between two looks is not checked",
        ),
        option_schemas={
            "topic": {"type": "string", "minLength": 1, "maxLength": 249},
            "group": {"type": "string", "minLength": 1, "maxLength": 255},
            "prefetch": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            "sasl": {"type": "string", "enum": list(MECHANISMS), "default": MECHANISMS[0]},
        },
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.manifest = specific(context.options)  # type: ignore[misc]  # what it can do is its system's own
        self._address = address_of(context)
        self._lock = threading.Lock()
        self._putting: tuple[Cluster, Any] | None = None

    def close(self) -> None:
        """Give what is under way a moment, and let go."""
        with self._lock:
            putting, self._putting = self._putting, None
        if putting is not None:
            putting[1].flush(1)

    def ping(self) -> None:
        """Log in, and look at the topic and at every broker that the cluster tells of."""
        cluster = self._cluster()
        with cluster.named():
            cluster.partitions()

    def consume(self) -> Feed:
        """Open the topic. Raises UnavailableError, RejectedError for a topic that is not there, SettingsError."""
        self._reads()
        cluster = self._cluster()
        from controlplane.connectors.builtin.kafka import source

        return source.Feed(cluster)

    def waiting(self) -> Waiting:
        """Ask how far the group is behind. Raises UnavailableError, SettingsError, UnsupportedError where it is put into."""
        self._reads()
        cluster = self._cluster()
        from controlplane.connectors.builtin.kafka import source

        return source.waiting(cluster)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read one event. Raises BadInputError naming the attribute, the rule and the remedy; for a gap always."""
        return drafts_of(topic, body, self.context.clock.now())

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Put an event into the topic."""
        self.manifest.write_spec(request.entity)
        cluster, producer = self._put()
        from controlplane.connectors.builtin.kafka import target

        try:
            outcome = target.publish(cluster, producer, request)
        except BaseException:
            with self._lock:  # a producer that failed may be fatally out of step with the cluster
                self._putting = None
            raise
        return outcome

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Answer UNKNOWN: nothing in Kafka looks a record up by its key."""
        self.manifest.write_spec(request.entity)
        return Outcome(Result.UNKNOWN, "a topic cannot be asked for one event; look at those who read it")

    def _put(self) -> tuple[Cluster, Any]:
        with self._lock:
            if self._putting is None:
                cluster = self._cluster()
                from controlplane.connectors.builtin.kafka import target

                with cluster.named():
                    cluster.partitions()
                    self._putting = cluster, target.producer_of(cluster)
            return self._putting

    def _reads(self) -> None:
        if not self._address.group:
            raise UnsupportedError(f"System '{self.context.system}' is put into, and nothing is taken off it")

    def _cluster(self) -> Cluster:
        """Import what speaks to the cluster only now: it is an extra."""
        try:
            from controlplane.connectors.builtin.kafka.cluster import Cluster
        except ImportError as error:
            raise SettingsError(
                f"System '{self.context.system}': {error}; install the extra: pip install 'trueup[kafka]'"
            ) from error
        secret, given = self.context.secret, self.context.given
        user, password, ca = (secret(name) if name in given else None for name in ("user", "password", "ca"))
        patience = self.context.timeout * self.context.clock.pace
        return Cluster(self._address, Login(self.context.system, user, password, patience, self.context.door, ca))
