"""Canonical messages off a real stream of Redis: pending until they are committed, and what was trimmed is told as a gap."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.store import Store
from tests.integration.brokers import REDIS, there
from tests.integration.sources import StreamQueue, Taking, body, event
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stream() -> Iterator[StreamQueue]:
    """A stream of the test's own."""
    there(REDIS)
    stream = StreamQueue(REDIS)
    yield stream
    stream.remove()


@pytest.fixture
def make(sqlite_store: Store, tmp_path: Path, stream: StreamQueue) -> Iterator[Callable[..., Taking]]:
    """Make the rooms that take from the stream."""
    made: list[Taking] = []

    def make(**given: Any) -> Taking:
        made.append(Taking(sqlite_store, tmp_path / "home", stream, **given))
        return made[-1]

    yield make
    for taking in made:
        taking.close()


@pytest.fixture
def taking(make: Callable[..., Taking]) -> Taking:
    """The rooms, with the usual policy."""
    return make()


def ids(numbers: range) -> list[str]:
    """The event ids of sales."""
    return [f"sale-{number}" for number in numbers]


def lost(taking: Taking) -> list[dict[str, Any]]:
    """What the cases in quarantine tell as gaps."""
    return [json.loads(case["reason"].partition("read: ")[2].partition("; have")[0]) for case in taking.cases()]


def test_what_is_sent_is_in_the_ledger_as_it_came_and_in_its_order_and_pending_no_more(
    taking: Taking, stream: StreamQueue
) -> None:
    sent = [body(number) for number in range(120)]
    stream.send(sent[:70])
    with taking.running():
        until(lambda: len(taking.messages()) == 70, "what waited before")
        stream.send(sent[70:])
        until(lambda: len(taking.messages()) == 120 and stream.left() == 0, "what came meanwhile")
    assert (taking.messages(), taking.bodies()) == (ids(range(120)), sent)
    assert taking.state().last_error is None


def test_the_same_fact_is_accepted_once_in_the_same_bytes_and_in_others(taking: Taking, stream: StreamQueue) -> None:
    said = event(1)
    same = json.dumps(said).encode()
    with taking.running():
        stream.send([same, same, json.dumps(said, indent=1).encode(), body(2)])
        until(lambda: len(taking.messages()) == 2 and stream.left() == 0, "two facts")
    assert (taking.messages(), taking.cases()) == (ids(range(1, 3)), [])


def test_an_entry_that_holds_no_event_waits_in_quarantine_whole_and_its_neighbours_go_on(
    taking: Taking, stream: StreamQueue
) -> None:
    stream.send([body(1), b"\xff no event"])
    stream.redis.xadd(stream.name, {"sku": "0042", "left": b"\xff"})
    stream.send([body(2)])
    with taking.running():
        until(lambda: len(taking.messages()) == 2 and len(taking.cases()) == 2, "the good ones and the cases")
        until(lambda: stream.left() == 0, "all of them acknowledged")
    assert taking.messages() == ids(range(1, 3))
    assert b"\xff no event" in taking.bodies()
    assert json.dumps({"sku": "0042", "left": "\\xff"}).encode() in taking.bodies()


def test_killed_between_commit_and_acknowledgement_nothing_is_lost_or_taken_twice_and_order_is_kept(
    taking: Taking, stream: StreamQueue, tmp_path: Path
) -> None:
    stream.send([body(number) for number in range(200)])
    address = taking.store.engine.url.render_as_string(hide_password=False)
    command = [
        sys.executable,
        "-m",
        "tests.integration.dying",
        address,
        str(tmp_path / "home"),
        REDIS,
        stream.name,
        "2",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}
    done = subprocess.run([*command, "stream"], cwd=ROOT, timeout=120, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    known = len(taking.bodies())
    assert known > 0
    assert known + stream.left() > 200, "what was committed and not acknowledged is pending still"
    with taking.running():
        until(lambda: len(taking.messages()) == 200 and stream.left() == 0, "all of them")
    assert taking.messages() == ids(range(200))
    assert len(taking.bodies()) == 200


def test_what_another_consumer_of_the_group_left_pending_is_taken_first(taking: Taking, stream: StreamQueue) -> None:
    stream.send([body(1), body(2)])
    stream.redis.xgroup_create(stream.name, stream.group, "0")
    stream.redis.xreadgroup(stream.group, "who-died", {stream.name: ">"})
    stream.send([body(3)])
    with taking.running():
        until(lambda: len(taking.messages()) == 3 and stream.left() == 0, "all of them")
    assert taking.messages() == ids(range(1, 4))


def test_what_was_trimmed_before_it_was_read_is_told_once_as_a_gap_with_its_count(
    taking: Taking, stream: StreamQueue
) -> None:
    stream.send([body(1)])
    with taking.running():
        until(lambda: taking.messages() == ["sale-1"] and stream.left() == 0, "the first")
    stream.send([body(number) for number in range(2, 8)])
    stream.redis.xtrim(stream.name, maxlen=2, approximate=False)
    with taking.running():
        until(lambda: len(taking.messages()) == 3 and taking.cases(), "those that are left, and the gap")
        stream.send([body(8)])
        until(lambda: len(taking.messages()) == 4 and stream.left() == 0, "what came behind it")
    assert taking.messages() == ["sale-1", "sale-6", "sale-7", "sale-8"]
    [gap] = lost(taking)
    assert (gap["stream"], gap["count"]) == (stream.name, 4)
    with taking.running():
        stream.send([body(9)])
        until(lambda: "sale-9" in taking.messages(), "the last")
    assert len(lost(taking)) == 1


def test_a_stream_that_was_emptied_before_it_was_read_is_a_gap_too(taking: Taking, stream: StreamQueue) -> None:
    stream.send([body(1)])
    with taking.running():
        until(lambda: taking.messages() == ["sale-1"] and stream.left() == 0, "the first")
    stream.send([body(2), body(3)])
    stream.redis.xtrim(stream.name, maxlen=0, approximate=False)
    with taking.running():
        until(lambda: bool(taking.cases()), "the gap")
        stream.send([body(4)])
        until(lambda: taking.messages() == ["sale-1", "sale-4"], "what came behind it")
    assert [(gap["count"], gap["before"]) for gap in lost(taking)] == [(2, None)]


def test_a_gap_that_was_not_committed_is_told_again(taking: Taking, stream: StreamQueue) -> None:
    stream.send([body(1)])
    connector = taking.connections.get("bus")
    feed = connector.consume()
    stream.redis.xtrim(stream.name, maxlen=0, approximate=False)
    told = feed.take(0.01)
    feed.close()
    feed = connector.consume()
    try:
        assert [record.topic for record in told] == ["gap"]
        assert feed.take(0.01) == told
        assert feed.take(0.01) == [], "nothing is read past it"
        feed.acknowledge()
        assert feed.take(0.01) == []
    finally:
        feed.close()


def test_what_was_trimmed_while_it_was_pending_is_told_as_a_gap_with_its_id(
    taking: Taking, stream: StreamQueue
) -> None:
    stream.send([body(1), body(2)])
    stream.redis.xgroup_create(stream.name, stream.group, "0")
    [[_, [[first, _], *_]]] = stream.redis.xreadgroup(stream.group, "who-died", {stream.name: ">"})
    stream.redis.xtrim(stream.name, maxlen=1, approximate=False)
    with taking.running():
        until(lambda: taking.messages() == ["sale-2"] and taking.cases() and stream.left() == 0, "the other one")
    assert [gap["entry"] for gap in lost(taking)] == [first.decode()]


def test_what_a_stream_lost_before_the_group_was_there_is_no_gap(taking: Taking, stream: StreamQueue) -> None:
    stream.send([body(number) for number in range(5)])
    stream.redis.xtrim(stream.name, maxlen=2, approximate=False)
    with taking.running():
        until(lambda: taking.messages() == ids(range(3, 5)) and stream.left() == 0, "those that are there")
    assert taking.cases() == []


def test_while_more_waits_than_is_held_nothing_is_given_beyond_it(
    make: Callable[..., Taking], stream: StreamQueue
) -> None:
    taking = make(options={**stream.options, "prefetch": 10})
    stream.send([body(number) for number in range(35)])
    feed = taking.connections.get("bus").consume()
    try:
        assert [len(feed.take(0.01)), len(feed.take(0.01))] == [10, 0]
        feed.acknowledge()
        assert len(feed.take(0.01)) == 10
    finally:
        feed.close()
    assert stream.left() == 25


def test_a_key_that_is_no_stream_is_named_and_reading_begins_when_it_is_gone(
    taking: Taking, stream: StreamQueue
) -> None:
    stream.redis.lpush(stream.name, "something else")
    with taking.running():
        until(lambda: (state := taking.state()) and state.last_error, "the trouble")
        assert f"the key '{stream.name}' at {stream.endpoint} is a list" in taking.state().last_error
        stream.redis.delete(stream.name)
        stream.send([body(1)])
        until(lambda: taking.messages() == ["sale-1"], "the message, when the key is gone")
