"""A topic of a test's own at a Kafka cluster, as whoever sends to it sees it.

The cluster is librdkafka's mock one unless TRUEUP_TEST_KAFKA names another (HOST:PORT).
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.integration.sources import SourceQueue

ROOT = Path(__file__).parents[2]


@contextmanager
def cluster(brokers: int = 1) -> Iterator[list[str]]:
    """The brokers of a cluster, HOST:PORT each."""
    if given := os.environ.get("TRUEUP_TEST_KAFKA"):
        yield [given]
        return
    command = [sys.executable, "-m", "tests.integration.kafka_mock", str(brokers)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip().split(",")
    finally:
        process.communicate(timeout=20)


class KafkaQueue(SourceQueue):
    """A topic, read by the group `plane`."""

    connector = "kafka"
    group = "plane"

    def __init__(self, url: str) -> None:
        self.host, _, port = url.split(",")[0].rpartition(":")
        self.port, self.brokers = int(port), url.split(",")
        self.user = self.password = None
        self.name = f"test-{uuid.uuid4().hex[:10]}"
        self.group = f"plane-{self.name}"

    @property
    def options(self) -> dict[str, Any]:
        """What a System policy says of the topic."""
        return {"topic": self.name, "group": self.group}

    @property
    def endpoint(self) -> str:
        """The address, for a System policy."""
        return f"kafka://{self.host}:{self.port}"

    def make(self) -> None:
        """Have the topic there: the cluster makes what a producer asks for."""
        producer = Producer({"bootstrap.servers": ",".join(self.brokers), "log_level": 0})
        producer.list_topics(self.name, timeout=10)
        producer.list_topics(self.name, timeout=10)

    def send(self, bodies: Sequence[bytes | None], key: str = "till") -> None:
        """Append bodies to the partition of a key; returned when the cluster has them."""
        producer = Producer({"bootstrap.servers": ",".join(self.brokers), "enable.idempotence": True, "log_level": 0})
        failed: list[object] = []
        for one in bodies:
            producer.produce(
                self.name, one, key=key, on_delivery=lambda error, _: failed.append(error) if error else None
            )
        assert producer.flush(20) == 0
        assert failed == []

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of the group, which is no member of it."""
        client = Consumer(
            {
                "bootstrap.servers": ",".join(self.brokers),
                "group.id": self.group,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        try:
            yield client
        finally:
            client.close()

    def places(self, client: Any) -> list[Any]:
        """The topic's partitions."""
        return [
            TopicPartition(self.name, number)
            for number in client.list_topics(self.name, timeout=10).topics[self.name].partitions
        ]

    def left(self) -> int:
        """How far the group is behind the ends of all partitions."""
        with self.client() as client:
            known = client.committed(self.places(client), timeout=10)
            ends = [
                client.get_watermark_offsets(TopicPartition(self.name, one.partition), timeout=10)[1] for one in known
            ]
        return sum(end - max(0, one.offset) for one, end in zip(known, ends, strict=True))

    def stand(self, partition: int, offset: int) -> None:
        """Have the group stand somewhere, as another member would have left it."""
        with self.client() as client:
            client.commit(offsets=[TopicPartition(self.name, partition, offset)], asynchronous=False)

    def lying(self) -> list[Any]:
        """Every record of the topic."""
        found: list[Any] = []
        with self.client() as client:
            places = self.places(client)
            ends = sum(client.get_watermark_offsets(one, timeout=10)[1] for one in places)
            client.assign([TopicPartition(one.topic, one.partition, 0) for one in places])
            while len(found) < ends:
                found += [one for one in client.consume(100, 5) if one.error() is None]
        return found

    def remove(self) -> None:
        """It goes with its cluster."""
