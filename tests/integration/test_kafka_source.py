"""Canonical messages off a topic: an offset is committed after our commit, nothing is lost or taken twice, and no lag is ever made up."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.builtin.kafka.connector import KafkaConnector
from controlplane.connectors.contract import UnsupportedError
from controlplane.errors import BlockedAddressError, RejectedError, UnavailableError
from controlplane.health.observations import ProbeContext
from controlplane.store import Store
from probes import brokers
from rules.addresses import Pair
from tests.integration.kafka_queue import KafkaQueue, cluster
from tests.integration.puts import context_of
from tests.integration.sources import Taking, body, event
from tests.waiting import until

ROOT = Path(__file__).parents[2]
Make = Callable[..., Taking]


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


@pytest.fixture
def make(sqlite_store: Store, tmp_path: Path, topic: KafkaQueue) -> Iterator[Make]:
    """Make the rooms that take from the topic."""
    made: list[Taking] = []

    def make(**given: Any) -> Taking:
        made.append(Taking(sqlite_store, tmp_path / "home", topic, **given))
        return made[-1]

    yield make
    for taking in made:
        taking.close()


@pytest.fixture
def taking(make: Make) -> Taking:
    """The rooms, with the usual policy."""
    return make()


def ids(numbers: range) -> list[str]:
    """The event ids of sales."""
    return [f"sale-{number}" for number in numbers]


def test_what_is_sent_is_in_the_ledger_as_it_came_and_in_its_order_and_committed(
    taking: Taking, topic: KafkaQueue
) -> None:
    sent = [body(number) for number in range(120)]
    topic.send(sent[:70])
    with taking.running():
        until(lambda: len(taking.messages()) == 70, "what waited before")
        topic.send(sent[70:])
        until(lambda: len(taking.messages()) == 120 and topic.left() == 0, "what came meanwhile")
    assert (taking.messages(), taking.bodies()) == (ids(range(120)), sent)
    assert taking.state().last_error is None


def test_all_partitions_are_read(taking: Taking, topic: KafkaQueue) -> None:
    for number in range(12):
        topic.send([body(number)], key=f"till-{number}")
    with taking.running():
        until(lambda: sorted(taking.messages()) == sorted(ids(range(12))) and topic.left() == 0, "all of them")


def test_the_same_fact_is_accepted_once_and_what_is_no_event_waits_whole_while_its_neighbours_go_on(
    taking: Taking, topic: KafkaQueue
) -> None:
    said = event(1)
    same = json.dumps(said).encode()
    with taking.running():
        topic.send([same, same, b"\xff no event", None, json.dumps(said, indent=1).encode(), body(2)])
        until(lambda: len(taking.messages()) == 2 and len(taking.cases()) == 2, "two facts and two cases")
        until(lambda: topic.left() == 0, "all of them committed")
    assert taking.messages() == ids(range(1, 3))
    assert b"\xff no event" in taking.bodies()


def test_killed_between_commit_and_acknowledgement_nothing_is_lost_or_taken_twice_and_order_is_kept(
    taking: Taking, topic: KafkaQueue, tmp_path: Path
) -> None:
    topic.send([body(number) for number in range(200)])
    address = taking.store.engine.url.render_as_string(hide_password=False)
    program = [sys.executable, "-m", "tests.integration.dying"]
    command = [*program, address, str(tmp_path / "home"), ",".join(topic.brokers), topic.name, "2", "kafka"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}
    done = subprocess.run(command, cwd=ROOT, timeout=120, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    known = len(taking.bodies())
    assert known > 0
    assert known + topic.left() > 200, "what was taken in and not committed there is read again"
    with taking.running():
        until(lambda: len(taking.messages()) == 200 and topic.left() == 0, "all of them")
    assert taking.messages() == ids(range(200))
    assert len(taking.bodies()) == 200


def test_while_more_waits_than_is_held_nothing_is_given_beyond_it(make: Make, topic: KafkaQueue) -> None:
    taking = make(options={**topic.options, "prefetch": 10})
    topic.send([body(number) for number in range(35)])
    feed = taking.connections.get("bus").consume()
    try:
        came: list[Any] = []
        until(lambda: len(_into(came, feed)) >= 10, "as many as are held")
        assert [len(feed.take(0.3)), len(feed.take(0.3))] == [0, 0]
        feed.acknowledge()
        until(lambda: len(_into(came, feed)) >= 20, "the next ones")
        assert [json.loads(one.body)["id"] for one in came] == ids(range(20))
    finally:
        feed.close()
    assert topic.left() == 25


def _into(came: list[Any], feed: Any) -> list[Any]:
    came.extend(feed.take(0.2))
    return came


def test_what_another_member_took_over_is_not_committed_by_us(make: Make, topic: KafkaQueue) -> None:
    taking = make()
    topic.send([body(1), body(2)])
    feed = taking.connections.get("bus").consume()
    came: list[Any] = []
    until(lambda: len(_into(came, feed)) == 2, "both")
    other = taking.connections.get("bus").consume()
    failed: list[str] = []

    def both() -> bool:
        try:
            other.take(0.2)
            feed.take(0.2)
        except UnavailableError as error:
            failed.append(str(error))
        return bool(failed)

    try:
        until(both, "the group hands over")
        with pytest.raises(Exception, match="is not reached"):
            feed.acknowledge()
        assert topic.left() == 2
    finally:
        feed.close()
        other.close()


def test_offsets_that_the_topic_does_not_have_are_told_as_a_gap_once_and_reading_goes_on(
    taking: Taking, topic: KafkaQueue
) -> None:
    topic.send([body(1), body(2)])
    with topic.client() as client:
        [partition] = [
            one.partition for one in topic.places(client) if client.get_watermark_offsets(one, timeout=10)[1]
        ]
    topic.stand(partition, 1000)
    with taking.running():
        until(lambda: len(taking.messages()) == 2 and taking.cases(), "what is there, and the gap")
        until(lambda: topic.left() == 0, "committed")
    [case] = taking.cases()
    assert "the stream lost entries before they were read" in case["reason"]
    assert f'"topic": "{topic.name}"' in case["reason"]
    assert '"count": null' in case["reason"], "offsets went back: nobody can tell how many"


def test_a_topic_that_is_not_there_is_named(make: Make, topic: KafkaQueue) -> None:
    taking = make(options={"topic": "never.made", "group": "plane"})
    with pytest.raises(RejectedError, match=r"there is no topic 'never\.made'"):
        taking.connections.get("bus").consume()


# --- what it tells of itself ---


def seen(taking: Taking) -> dict[str, Any]:
    """Depth and age of the topic, as the probe observes them."""
    context = ProbeContext(taking.store, taking.registry.snapshot(), taking.connections, taking.clock)
    return {one.indicator: one for one in brokers.probe(context) if one.labels["system"] == "bus"}


def test_lag_is_the_sum_over_partitions_and_unknown_while_one_has_no_commit(taking: Taking, topic: KafkaQueue) -> None:
    topic.send([body(1), body(2), body(3)])
    found = seen(taking)
    assert found["broker_depth"].value is None, "nothing was ever committed: unknown, not 0"
    assert "has committed nothing" in found["broker_depth"].note
    with topic.client() as client:
        [partition] = [
            one.partition for one in topic.places(client) if client.get_watermark_offsets(one, timeout=10)[1]
        ]
    topic.stand(partition, 1)
    found = seen(taking)
    assert found["broker_depth"].value == 2.0
    assert f"{partition}: 2" in found["broker_depth"].note
    assert found["broker_age"].value is not None
    assert 0 <= found["broker_age"].value < 120
    topic.stand(partition, 3)
    found = seen(taking)
    assert (found["broker_depth"].value, found["broker_age"].value) == (0.0, 0.0)
    topic.stand(partition, 9)
    found = seen(taking)
    assert found["broker_depth"].value is None
    assert "ahead of the end" in found["broker_depth"].note


def test_a_topic_or_cluster_that_is_not_reached_is_unknown_with_the_reason(make: Make, topic: KafkaQueue) -> None:
    taking = make(endpoint="kafka://127.0.0.1:1", timeout="1s")
    found = seen(taking)
    assert (found["broker_depth"].value, found["broker_age"].value) == (None, None)
    assert "is not reached" in found["broker_depth"].note


def test_a_system_that_is_put_into_is_not_taken_from_and_has_no_depth(make: Make, topic: KafkaQueue) -> None:
    taking = make(options={"topic": topic.name})
    with pytest.raises(UnsupportedError, match="is put into"):
        taking.connections.get("bus").consume()
    assert seen(taking) == {}


# --- where a connection may go ---


def test_an_endpoint_that_policy_does_not_open_is_refused(make: Make, topic: KafkaQueue) -> None:
    with pytest.raises(BlockedAddressError, match="loopback"):
        make(internal=[]).connections.get("bus").ping()


def test_a_broker_that_the_cluster_tells_of_and_policy_does_not_open_is_refused_and_never_connected_to() -> None:
    with cluster(2) as [first, second]:
        connector = KafkaConnector(context_of(f"kafka://{first}", {"topic": "t", "group": "plane"}))
        with pytest.raises(BlockedAddressError, match=rf"{second} is loopback.*advertised\.listeners"):
            connector.consume()
        allowed = context_of(f"kafka://{first}", {"topic": "t", "group": "plane"})
        object.__setattr__(allowed, "internal", allowed.internal | {Pair.read(second)})
        with pytest.raises(RejectedError, match="there is no topic 't'"):
            KafkaConnector(allowed).consume()


def test_a_name_is_looked_up_by_the_door_and_the_checked_address_is_what_the_client_gets(topic: KafkaQueue) -> None:
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    context = context_of(f"kafka://bus.example:{topic.port}", topic.options)
    object.__setattr__(context, "internal", frozenset({Pair("127.0.0.1", topic.port)}))
    object.__setattr__(context, "resolve", resolve)
    KafkaConnector(context).ping()
    assert asked == ["bus.example"]


def silent() -> tuple[int, list[bytes]]:
    """A server that takes what it is told and says nothing; its port."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                heard.append(near.recv(4096))

    threading.Thread(target=serve, daemon=True).start()
    return int(listening.getsockname()[1]), heard


def test_where_the_endpoint_asks_for_tls_no_login_is_said_in_the_open() -> None:
    port, heard = silent()
    context = context_of(
        f"kafkas://127.0.0.1:{port}", {"topic": "t", "group": "g"}, 1.0, user="me", password="hush-hush"
    )
    with pytest.raises(Exception, match="is not reached") as refused:
        KafkaConnector(context).ping()
    assert "hush" not in str(refused.value)
    assert heard
    assert all(one[:1] == b"\x16" for one in heard), "a TLS handshake, and nothing else"
