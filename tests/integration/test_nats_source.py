"""Canonical messages off a real stream of NATS: acknowledged when committed, given again in order, what was removed told as a gap."""

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
from nats.js.api import ConsumerConfig

from controlplane.connectors.contract import UnsupportedError
from controlplane.errors import BlockedAddressError, RejectedError, UnavailableError
from controlplane.health.observations import ProbeContext
from controlplane.store import Store
from probes import brokers
from tests.integration.brokers import NATS, wired
from tests.integration.nats_queue import NatsQueue, there
from tests.integration.sources import Taking, body, event
from tests.waiting import until

ROOT = Path(__file__).parents[2]
Make = Callable[..., Taking]


@pytest.fixture
def stream() -> Iterator[NatsQueue]:
    """A stream of the test's own."""
    there(NATS)
    stream = NatsQueue(NATS)
    stream.make()
    yield stream
    stream.remove()


@pytest.fixture
def make(sqlite_store: Store, tmp_path: Path, stream: NatsQueue) -> Iterator[Make]:
    """Make the rooms that take from the stream."""
    made: list[Taking] = []

    def make(**given: Any) -> Taking:
        made.append(Taking(sqlite_store, tmp_path / "home", stream, **given))
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


def lost(taking: Taking) -> list[dict[str, Any]]:
    """What the cases in quarantine tell as gaps."""
    return [json.loads(case["reason"].partition("read: ")[2].partition("; have")[0]) for case in taking.cases()]


def test_what_is_sent_is_in_the_ledger_as_it_came_and_in_its_order_and_pending_no_more(
    taking: Taking, stream: NatsQueue
) -> None:
    sent = [body(number) for number in range(120)]
    stream.send(sent[:70])
    with taking.running():
        until(lambda: len(taking.messages()) == 70, "what waited before")
        stream.send(sent[70:])
        until(lambda: len(taking.messages()) == 120 and stream.left() == 0, "what came meanwhile")
    assert (taking.messages(), taking.bodies()) == (ids(range(120)), sent)
    assert taking.state().last_error is None


def test_the_same_fact_is_accepted_once_and_what_is_no_event_waits_whole_while_its_neighbours_go_on(
    taking: Taking, stream: NatsQueue
) -> None:
    said = event(1)
    same = json.dumps(said).encode()
    with taking.running():
        stream.send([same, same, b"\xff no event", b"", json.dumps(said, indent=1).encode(), body(2)])
        until(lambda: len(taking.messages()) == 2 and len(taking.cases()) == 2, "two facts and two cases")
        until(lambda: stream.left() == 0, "all of them acknowledged")
    assert taking.messages() == ids(range(1, 3))
    assert b"\xff no event" in taking.bodies()


def test_killed_between_commit_and_acknowledgement_nothing_is_lost_or_taken_twice_and_order_is_kept(
    taking: Taking, stream: NatsQueue, tmp_path: Path
) -> None:
    stream.send([body(number) for number in range(200)])
    address = taking.store.engine.url.render_as_string(hide_password=False)
    program = [sys.executable, "-m", "tests.integration.dying"]
    command = [*program, address, str(tmp_path / "home"), NATS, stream.name, "2", "nats"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}
    done = subprocess.run(command, cwd=ROOT, timeout=120, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    known = len(taking.bodies())
    assert known > 0
    assert known + stream.left() > 200, "what was committed and not acknowledged is pending still"
    with taking.running():
        until(lambda: len(taking.messages()) == 200 and stream.left() == 0, "all of them", at_most=60)
    assert taking.messages() == ids(range(200))
    assert len(taking.bodies()) == 200


def test_what_was_given_and_not_acknowledged_comes_before_what_is_new(taking: Taking, stream: NatsQueue) -> None:
    stream.send([body(1), body(2)])
    connector = taking.connections.get("bus")
    feed = connector.consume()
    assert len(feed.take(2)) == 2
    feed.close()
    stream.send([body(3)])
    feed = connector.consume()
    try:
        came: list[bytes] = []
        while len(came) < 3:
            came += [record.body for record in feed.take(2)]
        assert [json.loads(one)["id"] for one in came] == ids(range(1, 4))
        feed.acknowledge()
    finally:
        feed.close()
    assert stream.left() == 0


def test_while_more_waits_than_is_held_nothing_is_given_beyond_it(make: Make, stream: NatsQueue) -> None:
    taking = make(options={**stream.options, "prefetch": 10})
    stream.send([body(number) for number in range(35)])
    feed = taking.connections.get("bus").consume()
    try:
        assert [len(feed.take(0.5)), len(feed.take(0.01))] == [10, 0]
        feed.acknowledge()
        assert len(feed.take(0.5)) == 10
    finally:
        feed.close()
    assert stream.left() == 25


def test_what_was_removed_before_it_was_read_is_told_once_as_a_gap_with_its_count(
    taking: Taking, stream: NatsQueue
) -> None:
    stream.remove()
    stream.make(max_msgs=2)
    stream.send([body(1)])
    with taking.running():
        until(lambda: taking.messages() == ["sale-1"] and stream.left() == 0, "the first")
    stream.send([body(number) for number in range(2, 8)])
    with taking.running():
        until(lambda: len(taking.messages()) == 3 and taking.cases(), "those that are left, and the gap")
        stream.send([body(8)])
        until(lambda: len(taking.messages()) == 4 and stream.left() == 0, "what came behind it")
    assert taking.messages() == ["sale-1", "sale-6", "sale-7", "sale-8"]
    [gap] = lost(taking)
    assert (gap["stream"], gap["count"]) == (stream.name, 4)


def test_of_a_stream_a_part_can_be_read(make: Make, stream: NatsQueue) -> None:
    async def sent(js: Any) -> None:
        await js.publish(f"{stream.name}.other", b"not ours")
        await js.publish(f"{stream.name}.sales", body(1))

    stream.ask(sent)
    taking = make(options={**stream.options, "subject": f"{stream.name}.sales"})
    with taking.running():
        until(lambda: taking.messages() == ["sale-1"], "the one of the part")
    assert taking.cases() == []


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"deliver_subject": "elsewhere"}, "is pushed to"),
        ({"ack_policy": "none"}, "is acknowledged otherwise"),
        ({"max_deliver": 3}, "throws away what was given 3 times"),
        ({"filter_subject": "X.sales"}, "reads the subject"),
    ],
)
def test_a_consumer_by_which_something_could_be_lost_is_refused_by_name(
    taking: Taking, stream: NatsQueue, config: dict[str, Any], told: str
) -> None:
    given = {"ack_policy": "explicit", "durable_name": stream.group, **config}
    if "filter_subject" in config:
        given["filter_subject"] = f"{stream.name}.sales"
    stream.ask(lambda js: js.add_consumer(stream.name, ConsumerConfig(**given)))
    with pytest.raises(RejectedError, match=told):
        taking.connections.get("bus").consume()


def test_a_stream_that_is_not_there_is_named_and_reading_begins_when_it_is(taking: Taking, stream: NatsQueue) -> None:
    stream.remove()
    with taking.running():
        until(lambda: (state := taking.state()) and state.last_error, "the trouble")
        assert f"there is no stream '{stream.name}'" in taking.state().last_error
        stream.make()
        stream.send([body(1)])
        until(lambda: taking.messages() == ["sale-1"], "the message, when the stream is there")


def test_cut_off_in_the_middle_it_goes_on_when_the_server_is_back(make: Make, stream: NatsQueue) -> None:
    with wired(NATS, 4222) as (wire, url):
        wire.mend()
        taking = make(endpoint=url)
        with taking.running():
            stream.send([body(1)])
            until(lambda: taking.messages() == ["sale-1"], "the first")
            wire.cut()
            until(lambda: (taking.state().last_error or "") != "", "the trouble", at_most=30)
            stream.send([body(2)])
            wire.mend()
            until(lambda: taking.messages() == ids(range(1, 3)) and stream.left() == 0, "the second", at_most=40)


# --- what it tells of itself ---


def seen(taking: Taking) -> dict[str, Any]:
    """Depth and age of the stream, as the probe observes them."""
    context = ProbeContext(taking.store, taking.registry.snapshot(), taking.connections, taking.clock)
    return {one.indicator: one for one in brokers.probe(context) if one.labels["system"] == "bus"}


def test_pending_and_unread_count_and_the_oldest_tells_its_age(taking: Taking, stream: NatsQueue) -> None:
    stream.send([body(1), body(2), body(3)])
    before = seen(taking)
    assert before["broker_depth"].value is None, "nobody has read it yet: unknown, not 0"
    assert "is not there, so nothing was read" in before["broker_depth"].note
    feed = taking.connections.get("bus").consume()
    feed.take(1)
    found = seen(taking)
    assert found["broker_depth"].value == 3.0
    assert 0 <= found["broker_age"].value < 60
    feed.acknowledge()
    feed.close()
    found = seen(taking)
    assert (found["broker_depth"].value, found["broker_age"].value) == (0.0, 0.0)


def test_a_server_that_is_not_reached_is_unknown_with_the_reason(make: Make, stream: NatsQueue) -> None:
    found = seen(make(endpoint="nats://127.0.0.1:1"))
    assert (found["broker_depth"].value, found["broker_age"].value) == (None, None)
    assert "is not reached" in found["broker_depth"].note


def test_a_system_that_is_put_into_is_not_taken_from_and_has_no_depth(make: Make, stream: NatsQueue) -> None:
    taking = make(options={"stream": stream.name, "subject": stream.name})
    with pytest.raises(UnsupportedError, match="is put into"):
        taking.connections.get("bus").consume()
    assert seen(taking) == {}
    stream.send([body(1)])
    with taking.running():
        assert taking.state() is None


# --- where a connection may go ---


def test_an_endpoint_that_policy_does_not_open_is_refused_before_anything_is_said(
    make: Make, stream: NatsQueue
) -> None:
    taking = make(internal=[])
    with pytest.raises(BlockedAddressError, match="loopback"):
        taking.connections.get("bus").ping()


def served(*said: bytes) -> tuple[int, list[bytes]]:
    """A server that says something to whoever connects, and keeps what it is told; its port."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                heard.append(b"connected")
                near.sendall(b"".join(said))
                near.settimeout(2)
                with suppress(OSError):
                    heard.append(near.recv(4096))
                near.close()

    threading.Thread(target=serve, daemon=True).start()
    return int(listening.getsockname()[1]), heard


def info(**more: Any) -> bytes:
    """What a server says first."""
    told = {"server_id": "X", "version": "2.9.0", "max_payload": 1048576, "headers": True, "jetstream": True, **more}
    return b"INFO " + json.dumps(told).encode() + b"\r\n"


def test_servers_that_the_cluster_tells_of_are_never_spoken_to(make: Make, stream: NatsQueue) -> None:
    other, heard = served(info())
    port, first = served(info(connect_urls=[f"127.0.0.1:{other}"]))
    endpoint = f"nats://127.0.0.1:{port}"
    taking = make(endpoint=endpoint, internal=[f"127.0.0.1:{port}", f"127.0.0.1:{other}"], timeout="2s")
    with pytest.raises(UnavailableError):
        taking.connections.get("bus").ping()
    assert first[0] == b"connected"
    assert heard == []


def test_where_the_endpoint_asks_for_tls_nothing_is_said_to_a_server_without_it(make: Make, stream: NatsQueue) -> None:
    port, heard = served(info())
    endpoint = f"tls://127.0.0.1:{port}"
    taking = make(endpoint=endpoint, internal=[f"127.0.0.1:{port}"], timeout="2s")
    with pytest.raises(UnavailableError, match="offers no TLS"):
        taking.connections.get("bus").ping()
    assert [one for one in heard if b"CONNECT" in one] == []
