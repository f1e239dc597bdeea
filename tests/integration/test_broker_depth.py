"""How much waits at a real broker, as the probe observes it: what the broker cannot tell is unknown, never 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.health.observations import Observation, ProbeContext
from controlplane.store import Store
from probes import brokers
from tests.integration.brokers import RABBITMQ, REDIS, there
from tests.integration.sources import SourceQueue, StreamQueue, Taking, body

See = Callable[..., dict[str, Observation]]


def queue_at(url: str, kind: type[SourceQueue] = SourceQueue) -> Iterator[SourceQueue]:
    """A queue of the test's own."""
    there(url)
    queue = kind(url)
    yield queue
    queue.remove()


@pytest.fixture
def rabbit() -> Iterator[SourceQueue]:
    """A queue of RabbitMQ."""
    yield from queue_at(RABBITMQ)


@pytest.fixture
def a_list() -> Iterator[SourceQueue]:
    """A list of Redis."""
    yield from queue_at(REDIS)


@pytest.fixture
def stream() -> Iterator[SourceQueue]:
    """A stream of Redis."""
    yield from queue_at(REDIS, StreamQueue)


@pytest.fixture
def see(sqlite_store: Store, tmp_path: Path) -> Iterator[See]:
    """Observe the system that takes from a queue."""
    made: list[Taking] = []

    def see(queue: SourceQueue, **spec: object) -> dict[str, Observation]:
        taking = Taking(sqlite_store, tmp_path / "home", queue, **spec)  # type: ignore[arg-type]
        made.append(taking)
        context = ProbeContext(sqlite_store, taking.registry.snapshot(), taking.connections, taking.clock)
        found = brokers.probe(context)
        assert {one.labels["system"] for one in found} == {"bus"}, "systems without a queue have no series"
        return {one.indicator: one for one in found}

    yield see
    for taking in made:
        taking.close()


def test_rabbitmq_tells_how_many_wait_and_not_since_when(see: See, rabbit: SourceQueue) -> None:
    rabbit.send([body(1), body(2)])
    seen = see(rabbit)
    assert (seen["broker_depth"].value, seen["broker_age"].value) == (2.0, None)
    assert "does not tell since when" in str(seen["broker_age"].note)


def test_a_queue_that_is_not_there_is_unknown_with_its_name(see: See, rabbit: SourceQueue) -> None:
    seen = see(rabbit)
    assert (seen["broker_depth"].value, seen["broker_age"].value) == (None, None)
    assert f"no queue '{rabbit.name}'" in str(seen["broker_depth"].note)


def test_of_a_list_what_is_held_counts_and_an_empty_one_holds_nothing(see: See, a_list: SourceQueue) -> None:
    seen = see(a_list)
    assert (seen["broker_depth"].value, seen["broker_age"].value) == (0.0, 0.0)
    a_list.send([body(1), body(2)])
    a_list.redis.lmove(a_list.name, f"{a_list.name}:processing", "RIGHT", "LEFT")
    seen = see(a_list)
    assert (seen["broker_depth"].value, seen["broker_age"].value) == (2.0, None)


def test_of_a_stream_pending_and_unread_count_and_the_oldest_tells_its_age(see: See, stream: SourceQueue) -> None:
    stream.redis.xadd(stream.name, {"event": body(1)}, id="1700000000000-0")
    stream.redis.xgroup_create(stream.name, "plane", "0", entries_read=0)
    stream.redis.xreadgroup("plane", "another", {stream.name: ">"})
    stream.send([body(2), body(3)])
    seen = see(stream)
    assert seen["broker_depth"].value == 3.0
    age = seen["broker_age"]
    assert age.value == pytest.approx(age.at.timestamp() - 1_700_000_000)
    stream.redis.xack(stream.name, "plane", "1700000000000-0")
    assert see(stream)["broker_depth"].value == 2.0


def test_a_stream_or_group_that_is_not_there_is_unknown(see: See, stream: SourceQueue) -> None:
    seen = see(stream)
    assert (seen["broker_depth"].value, f"no stream '{stream.name}'" in str(seen["broker_depth"].note)) == (None, True)
    stream.send([body(1)])
    seen = see(stream)
    assert (seen["broker_depth"].value, "no group 'plane'" in str(seen["broker_depth"].note)) == (None, True)


def test_a_lag_that_redis_lost_count_of_is_unknown_and_the_age_is_told_still(see: See, stream: SourceQueue) -> None:
    stream.send([body(number) for number in range(4)])
    entries = [identity for identity, _ in stream.redis.xrange(stream.name)]
    stream.redis.xgroup_create(stream.name, "plane", entries[0])
    stream.redis.xdel(stream.name, entries[2])
    seen = see(stream)
    assert seen["broker_depth"].value is None
    assert "does not know the group's lag" in str(seen["broker_depth"].note)
    assert seen["broker_age"].value is not None


def test_a_broker_that_is_not_reached_is_unknown_with_the_reason(see: See, stream: SourceQueue) -> None:
    seen = see(stream, endpoint="redis://127.0.0.1:1/0")
    assert (seen["broker_depth"].value, seen["broker_age"].value) == (None, None)
    assert "is not reached" in str(seen["broker_depth"].note)
