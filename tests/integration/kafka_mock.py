"""librdkafka's mock cluster as a process of its own: prints its brokers, and ends with its standard input.

python -m tests.integration.kafka_mock BROKERS
"""

from __future__ import annotations

import sys

from confluent_kafka import Producer


def main(brokers: str) -> None:
    """Run until nobody is there any more."""
    producer = Producer({"bootstrap.servers": "ignored", "test.mock.num.brokers": int(brokers), "log_level": 0})
    told = producer.list_topics(timeout=10)
    print(",".join(f"{one.host}:{one.port}" for one in told.brokers.values()), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
