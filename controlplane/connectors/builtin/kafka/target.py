"""A topic that events are put into, by an idempotent producer and acknowledged by all replicas in sync.

The cluster knows a repetition by the producer's own number only, which a new process does not have. So nothing protects an event that is
told again later, and nothing in Kafka looks one up by its key: whoever reads it has to know it by its `id`.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from controlplane.connectors.builtin.kafka.cluster import MISSING, REFUSED, Cluster
from controlplane.connectors.contract import Write
from controlplane.connectors.events import event_of, headers_of
from controlplane.errors import RejectedError, UnknownOutcomeError
from rules.outcomes import Outcome, Result

FOR_GOOD = frozenset({
    KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG, KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.POLICY_VIOLATION,
})  # fmt: skip
NOT_TAKEN = frozenset({
    *REFUSED, *MISSING, KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.THROTTLING_QUOTA_EXCEEDED,
    KafkaError._QUEUE_FULL,
})  # fmt: skip
"""Answers that say that nothing was stored."""


def producer_of(cluster: Cluster) -> Any:
    """Return a producer. Raises BlockedAddressError, OSError."""
    patience = max(1000, int(cluster.login.timeout * 1000))
    return Producer(
        cluster.settings(**{
            "enable.idempotence": True, "acks": "all", "linger.ms": 0, "message.timeout.ms": patience, "request.timeout.ms": patience,
        })
    )  # fmt: skip


def publish(cluster: Cluster, producer: Any, request: Write) -> Outcome:
    """Put an event into the topic, under the business key. Raises ConnectorError."""
    told: list[tuple[KafkaError | None, Any]] = []
    headers = [(name, value.encode()) for name, value in headers_of(request).items()]
    with cluster.named():
        cluster.partitions()
        try:
            producer.produce(
                cluster.address.topic, event_of(request), key=request.subject.encode(), headers=headers,
                on_delivery=lambda error, message: told.append((error, message)),
            )  # fmt: skip
        except (KafkaException, BufferError) as error:
            raise _refusal(cluster, error.args[0] if isinstance(error, KafkaException) else error) from error
        _await(producer, told, cluster.login.timeout + 1)
    if not told:
        raise UnknownOutcomeError(
            f"{cluster.login.system}: Kafka at {cluster.address} said nothing of an event; it may be stored yet"
        )
    failed, message = told[0]
    if failed is not None:
        raise _refusal(cluster, failed)
    return Outcome(Result.DELIVERED, native_id=f"{message.topic()}/{message.partition()}/{message.offset()}")


def _await(producer: Any, told: list[Any], seconds: float) -> None:
    for _ in range(max(1, int(seconds / 0.1))):
        producer.poll(0.1)
        if told:
            return


def _refusal(cluster: Cluster, error: object) -> Exception:
    where = f"{cluster.login.system}: Kafka at {cluster.address}"
    if isinstance(error, KafkaError):
        if error.code() in FOR_GOOD:
            return RejectedError(f"{where} refuses the event: {error.str()}; correct it, or the topic")
        if error.code() not in NOT_TAKEN:
            return UnknownOutcomeError(f"{where}: {error.str()}; the event may have been stored")
    remedy = "see that the topic is there, has its replicas, and may be written to"
    return cluster.login.unavailable(cluster.address, "did not take the event", remedy, error)
