"""Events into a topic: acknowledged by the cluster, and nothing promised that Kafka does not keep."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controlplane.connectors.builtin.kafka.connector import KafkaConnector
from rules.outcomes import Guarantee, Result
from tests.integration.kafka_queue import KafkaQueue, cluster
from tests.integration.puts import context_of, sale


@pytest.fixture(scope="module")
def there() -> Iterator[list[str]]:
    """A cluster."""
    with cluster() as found:
        yield found


@pytest.fixture
def topic(there: list[str]) -> KafkaQueue:
    """A topic of the test's own."""
    topic = KafkaQueue(",".join(there))
    topic.make()
    return topic


def test_an_event_lies_in_the_topic_under_its_business_key_with_its_idempotency_key(topic: KafkaQueue) -> None:
    connector = KafkaConnector(context_of(topic.endpoint, {"topic": topic.name}))
    outcomes = [connector.write(sale(number)) for number in (1, 2)]
    connector.close()
    assert [one.result for one in outcomes] == [Result.DELIVERED, Result.DELIVERED]
    found = {json.loads(one.value())["id"]: one for one in topic.lying()}
    assert set(found) == {"delivery-1", "delivery-2"}
    first = found["delivery-1"]
    assert first.key() == b"R1.a@x"
    assert dict(first.headers()) == {"content-type": b"application/cloudevents+json", "idempotency-key": b"delivery-1"}
    assert outcomes[0].native_id == f"{topic.name}/{first.partition()}/{first.offset()}"


def test_told_again_later_it_lies_there_twice_and_that_is_what_the_manifest_says(topic: KafkaQueue) -> None:
    for _ in range(2):
        connector = KafkaConnector(context_of(topic.endpoint, {"topic": topic.name}))
        assert connector.write(sale(1)).result is Result.DELIVERED
        connector.close()
    assert [json.loads(one.value())["id"] for one in topic.lying()] == ["delivery-1", "delivery-1"]
    assert connector.manifest.write_spec("sale.recorded").guarantee is Guarantee.NONE
    assert connector.read_back(sale(1)).result is Result.UNKNOWN


def test_a_cluster_that_is_not_reached_was_sent_nothing_and_a_topic_that_is_not_there_takes_nothing(
    topic: KafkaQueue,
) -> None:
    outcome = KafkaConnector(context_of("kafka://127.0.0.1:1", {"topic": "t"}, 1.0)).write(sale(1))
    assert outcome.result is Result.UNAVAILABLE
    outcome = KafkaConnector(context_of(topic.endpoint, {"topic": "never.made"})).write(sale(1))
    assert (outcome.result, "there is no topic" in outcome.detail) == (Result.REJECTED, True)


def test_a_system_that_is_read_is_not_written(topic: KafkaQueue) -> None:
    outcome = KafkaConnector(context_of(topic.endpoint, topic.options)).write(sale(1))
    assert (outcome.result, "does not write" in outcome.detail) == (Result.REJECTED, True)
