"""A topic of Kafka on trial, at librdkafka's mock cluster, which the bench starts for itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from controlplane.connectors.builtin.kafka.connector import KafkaConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.contract import Connector

TOPIC = "conformance"


class KafkaBench(Bench):
    """One topic, read by one group; everything goes into one partition, so that it has an order."""

    connector: ClassVar[type[Connector]] = KafkaConnector
    against = "librdkafka's mock cluster, which is no Kafka"

    def start(self, folder: Path) -> Place:
        """Start a cluster of one broker in this process. Raises NotApplicable where the extra is missing."""
        try:
            from confluent_kafka import Producer
        except ImportError as error:
            raise NotApplicable(f"{error}; install the extra: pip install 'trueup[kafka]'") from error
        mock = {"bootstrap.servers": "ignored", "test.mock.num.brokers": 1, "log_level": 0}
        self._producer: Any = Producer(mock)
        self._next = count(1)
        self._producer.list_topics(TOPIC, timeout=10)  # what is asked for is made
        [broker] = self._producer.list_topics(TOPIC, timeout=10).brokers.values()
        return Place(f"kafka://{broker.host}:{broker.port}", options={"topic": TOPIC, "group": "plane"})

    def enqueue(self, count: int) -> list[bytes]:
        """Put events into the topic, and one that is none."""
        bodies = [*(self._event() for _ in range(count - 1)), b"\xff no event"]
        for body in bodies:
            self._producer.produce(TOPIC, body, key=b"till")
        self._producer.flush(20)
        return bodies

    def _event(self) -> bytes:
        name, at = f"sale-{next(self._next)}", datetime(2026, 11, 27, 6, tzinfo=UTC).isoformat()
        return json.dumps(
            {"id": name, "source": "tills", "type": "sale.recorded", "subject": name, "time": at, "data": {}}
        ).encode()
