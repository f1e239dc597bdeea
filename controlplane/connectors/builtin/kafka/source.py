"""A topic read by a consumer group of the plane's own: an offset is committed after the commit that holds its record."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from controlplane.connectors.builtin.kafka.cluster import Cluster
from controlplane.connectors.contract import Record, Waiting
from controlplane.connectors.events import gap_of, record_at

SESSION = 10_000
"""Milliseconds after which the group gives the partitions of a member that went silent to another."""


def consumer_of(cluster: Cluster) -> Any:
    """Return a client of the group, which nothing is assigned to yet."""
    return Consumer(
        cluster.settings(**{
            "group.id": cluster.address.group, "enable.auto.commit": False, "enable.auto.offset.store": False,
            "auto.offset.reset": "error", "session.timeout.ms": SESSION, "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 16_384,
        })
    )  # fmt: skip


class Feed:
    """What was read and is not committed: never more than `prefetch`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._address, self._login = cluster, cluster.address, cluster.login
        with cluster.named():
            cluster.partitions()
            self._consumer = consumer_of(cluster)
            self._held = 0
            self._next: dict[int, int] = {}
            """Partition -> the offset behind what was given of it."""
            self._extra: list[Any] = []
            """What came though nothing more was to be taken; given before anything else."""
            self._stuck = False
            """Whether a partition stands before a gap."""
            self._taken = False
            """Whether the group took partitions away that something was held of."""
            self._is_member = False
            self._consumer.subscribe(
                [self._address.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
            self._join()

    def _join(self) -> None:
        """Wait until the group has given us partitions, or none; as long as it may take to answer."""
        until = time.monotonic() + self._login.timeout
        while not self._is_member and time.monotonic() < until:
            came = self._consumer.poll(0.1)
            self._extra += [came] if came is not None else []

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        """Begin where the group stopped, and at the beginning of what it never read."""
        known = consumer.committed(partitions, timeout=self._login.timeout)
        for one in known:
            if one.offset < 0:
                one.offset = OFFSET_BEGINNING
        consumer.assign(known)
        self._is_member = True

    def _revoked(self, _consumer: Any, partitions: list[Any]) -> None:
        self._taken |= any(one.partition in self._next for one in partitions)

    def take(self, seconds: float) -> Sequence[Record]:
        """Return what came, each partition in its order; wait for the first."""
        room = self._address.held - self._held
        with self._cluster.named():
            if room <= 0:
                self._rest(seconds)
                came = []
            elif self._extra:
                came, self._extra = self._extra, []
            else:
                came = self._consumer.consume(room, seconds)
            self._see()
            return [record for one in came for record in self._records(one)]

    def _rest(self, seconds: float) -> None:
        """Stay a member of the group while nothing more is taken."""
        assigned = self._consumer.assignment()
        self._consumer.pause(assigned)
        self._extra += [one for one in (self._consumer.poll(0),) if one is not None]  # it was on its way
        threading.Event().wait(seconds)
        self._extra += [one for one in (self._consumer.poll(0),) if one is not None]
        self._consumer.resume(assigned)

    def _see(self) -> None:
        if self._taken:
            raise KafkaException(KafkaError(KafkaError._ASSIGNMENT_LOST))
        if (trouble := self._cluster.trouble) is not None:
            raise KafkaException(trouble)

    def _records(self, message: Any) -> list[Record]:
        error = message.error()
        if error is None:
            self._held += 1
            self._next[message.partition()] = message.offset() + 1
            place = f"{self._address.topic}/{message.partition()}/{message.offset()}"
            return [record_at(place, message.value() or b"")]
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            return [self._gap(message.partition())]
        if error.retriable() or error.code() == KafkaError._PARTITION_EOF:
            return []
        raise KafkaException(error)

    def _gap(self, partition: int) -> Record:
        """Tell what the topic lost before it was read; when that is acknowledged, the first record that is there is the next."""
        place = TopicPartition(self._address.topic, partition)
        [stood] = self._consumer.committed([place], timeout=self._login.timeout)
        at = self._next.get(partition, stood.offset)
        low, high = self._consumer.get_watermark_offsets(place, timeout=self._login.timeout)
        self._stuck = True
        self._held += 1
        self._next[partition] = low
        count = low - at if at <= low else None  # offsets that went back: the topic was made anew, and nobody can tell
        return gap_of(topic=self._address.topic, group=self._address.group, partition=partition, after=at - 1, before=low,
                      newest=high - 1, count=count)  # fmt: skip

    def acknowledge(self) -> None:
        """Commit the offsets behind what was given, and wait until the group has them."""
        with self._cluster.named():
            self._see()
            offsets = [TopicPartition(self._address.topic, number, offset) for number, offset in self._next.items()]
            if offsets:
                for one in self._consumer.commit(offsets=offsets, asynchronous=False) or []:
                    if one.error is not None:
                        raise KafkaException(one.error)
            self._held, self._next = 0, {}
            if self._stuck:  # the client does not go on by itself; nothing is held, so all begin where the group stands
                self._stuck, self._extra = False, []
                self._assigned(self._consumer, self._consumer.assignment())

    def close(self) -> None:
        """Leave the group; what is not committed is read again."""
        with suppress(Exception):
            self._consumer.close()


def waiting(cluster: Cluster) -> Waiting:
    """Return the lag of the group over all partitions; unknown unless it is known of each. Raises UnavailableError, RejectedError."""
    with cluster.named():
        partitions = cluster.partitions()
        consumer = consumer_of(cluster)
        try:
            return _lag(cluster, consumer, partitions)
        finally:
            consumer.close()


def _lag(cluster: Cluster, consumer: Any, partitions: dict[int, KafkaError | None]) -> Waiting:
    address, timeout = cluster.address, cluster.login.timeout
    lags: dict[int, int | str] = {
        number: f"no leader ({error.str()})" for number, error in partitions.items() if error is not None
    }
    well = [TopicPartition(address.topic, number) for number, error in partitions.items() if error is None]
    behind: list[Any] = []
    for one in consumer.committed(well, timeout=timeout) if well else []:
        low, high = consumer.get_watermark_offsets(TopicPartition(address.topic, one.partition), timeout=timeout)
        if one.offset < 0 and high > 0:
            lags[one.partition] = f"the group '{address.group}' has committed nothing"
        elif one.offset > high:
            lags[one.partition] = "the group is ahead of the end"
        else:
            lags[one.partition] = high - max(one.offset, low, 0)
            if lags[one.partition]:
                behind.append(TopicPartition(address.topic, one.partition, max(one.offset, low)))
    told = ", ".join(f"{number}: {lag}" for number, lag in sorted(lags.items()))
    unknown = not lags or any(isinstance(lag, str) for lag in lags.values())
    count = None if unknown else sum(lag for lag in lags.values() if isinstance(lag, int))
    oldest = _oldest(consumer, behind, timeout) if behind else None
    return Waiting(count, oldest, f"by partition: {told}" if told else f"the topic '{address.topic}' has no partitions")


def _oldest(consumer: Any, behind: list[Any], timeout: float) -> datetime | None:
    """Read the first record of each partition that waits, as no member of the group."""
    consumer.assign(behind)
    first: dict[int, datetime] = {}
    ends = [message for message in consumer.consume(len(behind) * 10, min(timeout, 2.0)) if message.error() is None]
    for message in ends:
        kind, at = message.timestamp()
        if kind and message.partition() not in first:
            first[message.partition()] = datetime.fromtimestamp(at / 1000, UTC)
    consumer.unassign()
    return min(first.values()) if len(first) == len(behind) else None
