"""Events into a real RabbitMQ and a real Redis: confirmed, told apart from what nobody has, and known again where that can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import amqp
import pytest

from controlplane.clock import SystemClock
from controlplane.connectors.builtin.broker.address import flaws
from controlplane.connectors.builtin.broker.connector import BrokerConnector
from controlplane.connectors.contract import UnsupportedError
from controlplane.connectors.envelope import open_envelope
from rules.outcomes import Guarantee, Result
from tests.integration.brokers import RABBITMQ, REDIS, there, wired
from tests.integration.puts import context_of, sale
from tests.integration.sources import SourceQueue, StreamQueue

Open = Callable[..., BrokerConnector]


@pytest.fixture
def put() -> Iterator[Open]:
    """Connectors that put into a broker."""
    made: list[BrokerConnector] = []

    def put(endpoint: str, options: dict[str, Any], timeout: float = 5.0) -> BrokerConnector:
        made.append(BrokerConnector(context_of(endpoint, options, timeout)))
        return made[-1]

    yield put
    for connector in made:
        connector.close()


@pytest.fixture
def rabbit() -> Iterator[SourceQueue]:
    """A queue of RabbitMQ."""
    there(RABBITMQ)
    queue = SourceQueue(RABBITMQ)
    yield queue
    queue.remove()


@pytest.fixture
def stream() -> Iterator[StreamQueue]:
    """A stream of Redis."""
    there(REDIS)
    stream = StreamQueue(REDIS)
    yield stream
    for key in stream.redis.scan_iter(f"{stream.name}*"):
        stream.redis.delete(key)


# --- RabbitMQ ---


def test_what_rabbitmq_confirmed_lies_in_the_queue_as_an_event_with_its_key(put: Open, rabbit: SourceQueue) -> None:
    with rabbit.channel() as channel:
        rabbit.declare(channel)
    connector = put(rabbit.endpoint, {"exchange": "", "routing_key": rabbit.name})
    assert connector.write(sale(1)).result is Result.DELIVERED
    with rabbit.channel() as channel:
        found = channel.basic_get(rabbit.name, no_ack=True)
    assert found.headers["idempotency-key"] == found.properties["message_id"] == "delivery-1"
    assert (found.properties["content_type"], found.properties["delivery_mode"]) == ("application/cloudevents+json", 2)
    read = open_envelope(found.body if isinstance(found.body, bytes) else found.body.encode(), SystemClock().now())
    assert (read.event_id, read.source, read.type) == ("delivery-1", "trueup", "sale.recorded")


def test_an_event_is_routed_by_its_type_unless_policy_says_by_what(put: Open, rabbit: SourceQueue) -> None:
    with rabbit.channel() as channel:
        rabbit.declare(channel)
        channel.exchange_declare(f"{rabbit.name}-x", "topic", durable=False, auto_delete=True)
        channel.queue_bind(rabbit.name, f"{rabbit.name}-x", "sale.*")
        assert put(rabbit.endpoint, {"exchange": f"{rabbit.name}-x"}).write(sale(1)).result is Result.DELIVERED
    assert rabbit.left() == 1


def test_an_event_that_no_queue_is_bound_for_waits_and_is_not_thrown_away(put: Open, rabbit: SourceQueue) -> None:
    outcome = put(rabbit.endpoint, {"exchange": "", "routing_key": rabbit.name}).write(sale(1))
    assert outcome.result is Result.UNAVAILABLE
    assert "has no queue for what goes to ''" in outcome.detail
    outcome = put(rabbit.endpoint, {"exchange": "never-made"}).write(sale(1))
    assert (outcome.result, "there is an exchange 'never-made'" in outcome.detail) == (Result.UNAVAILABLE, True)


def test_what_a_full_queue_refused_is_in_doubt_and_cannot_be_looked_up(put: Open, rabbit: SourceQueue) -> None:
    with rabbit.channel() as channel:
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare(rabbit.name, durable=False, auto_delete=False, arguments=full)
        channel.basic_publish(amqp.Message(b"first"), routing_key=rabbit.name)
    connector = put(rabbit.endpoint, {"exchange": "", "routing_key": rabbit.name})
    outcome = connector.write(sale(1))
    assert (outcome.result, "refused the event" in outcome.detail) == (Result.UNKNOWN, True)
    assert connector.read_back(sale(1)).result is Result.UNKNOWN
    assert connector.manifest.write_spec("sale.recorded").guarantee is Guarantee.NONE


def test_a_rabbitmq_that_is_not_reached_was_sent_nothing(put: Open, rabbit: SourceQueue) -> None:
    with wired(RABBITMQ, 5672) as (_, url):
        endpoint = f"amqp://127.0.0.1:{url.rpartition('@')[2].partition('/')[0].rpartition(':')[2]}"
        assert put(endpoint, {"exchange": "x"}, 1.0).write(sale(1)).result is Result.UNAVAILABLE


# --- Redis ---


def test_an_event_is_added_to_the_stream_once_however_often_it_is_told(put: Open, stream: StreamQueue) -> None:
    results = [put(stream.endpoint, {"stream": stream.name}).write(sale(1)) for _ in range(3)]
    assert [one.result for one in results] == [Result.DELIVERED, Result.ALREADY_DELIVERED, Result.ALREADY_DELIVERED]
    [(entry, fields)] = stream.redis.xrange(stream.name)
    assert {one.native_id for one in results} == {entry.decode()}
    assert fields[b"idempotency-key"] == b"delivery-1"
    assert json.loads(fields[b"event"])["id"] == "delivery-1"


def test_reading_back_tells_what_was_added_what_was_not_and_what_nobody_can_tell(
    put: Open, stream: StreamQueue
) -> None:
    connector, now = put(stream.endpoint, {"stream": stream.name}), SystemClock().now()
    connector.write(sale(1))
    assert connector.manifest.write_spec("sale.recorded").guarantee is Guarantee.READABLE
    assert connector.read_back(sale(1)).result is Result.ALREADY_DELIVERED
    assert connector.read_back(sale(2, owed_since=now - timedelta(days=6))).result is Result.ABSENT
    assert connector.read_back(sale(2, owed_since=now - timedelta(days=7))).result is Result.UNKNOWN
    assert connector.read_back(sale(2)).result is Result.UNKNOWN
    assert 0 < stream.redis.ttl(f"{stream.name}:sent:delivery-1") <= 7 * 86400


def test_a_key_that_is_no_stream_is_refused_by_redis_and_the_event_waits(put: Open, stream: StreamQueue) -> None:
    stream.redis.lpush(stream.name, "something else")
    assert put(stream.endpoint, {"stream": stream.name}).write(sale(1)).result is Result.UNAVAILABLE
    assert not stream.redis.exists(f"{stream.name}:sent:delivery-1")


# --- what policy says ---


@pytest.mark.parametrize(
    ("endpoint", "options", "place"),
    [
        ("amqps://b.example", {"exchange": "x", "queue": "q"}, "queue"),
        ("amqps://b.example", {"stream": "s"}, "stream"),
        ("rediss://r.example", {"exchange": "x"}, "exchange"),
        ("amqps://b.example", {"exchange": ""}, "exchange"),
        ("amqps://b.example", {"exchange": "x", "routing_key": ""}, "routing_key"),
        ("rediss://r.example", {"stream": ""}, "stream"),
    ],
)
def test_what_cannot_be_put_into_is_refused_with_its_place(endpoint: str, options: dict[str, Any], place: str) -> None:
    assert [path for path, _, _ in flaws(endpoint, options)] == [("options", place)]


def test_a_broker_that_is_put_into_is_not_taken_from(put: Open) -> None:
    connector = put("redis://127.0.0.1:1/0", {"stream": "s"})
    with pytest.raises(UnsupportedError, match="is put into"):
        connector.consume()
    assert not BrokerConnector.manifest.of({"stream": "s"}).consumes
    assert BrokerConnector.manifest.of({"queue": "q"}).writes == ()
