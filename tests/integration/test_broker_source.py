"""Canonical messages off a real RabbitMQ and a real Redis: acknowledged when committed, never lost, accepted once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import pytest
from sqlalchemy import event as engine_event
from sqlalchemy.exc import OperationalError

from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.engines.consuming import Consumers
from tests.controlplane.sync.kit import PLAIN
from tests.integration.brokers import RABBITMQ, REDIS, there
from tests.integration.sources import SourceQueue, Taking, body, event
from tests.waiting import until

ROOT = Path(__file__).parents[2]
Make = Callable[..., Taking]


@pytest.fixture(params=["rabbitmq", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """Each broker of this machine."""
    found = RABBITMQ if request.param == "rabbitmq" else REDIS
    there(found)
    return found


@pytest.fixture
def queue(url: str) -> Iterator[SourceQueue]:
    """A queue of the test's own."""
    queue = SourceQueue(url)
    yield queue
    queue.remove()


@pytest.fixture
def make(sqlite_store: Store, tmp_path: Path, queue: SourceQueue) -> Iterator[Make]:
    """Make the rooms that take from the queue, by default over SQLite."""
    made: list[Taking] = []

    def make(store: Store = sqlite_store, **given: object) -> Taking:
        made.append(Taking(store, tmp_path / "home", queue, **given))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for taking in made:
        taking.close()


def ids(numbers: range) -> list[str]:
    """The event ids of sales."""
    return [f"sale-{number}" for number in numbers]


def test_what_is_sent_is_in_the_ledger_as_it_came_and_in_its_order_and_gone_from_the_queue(
    make: Make, store: Store, queue: SourceQueue
) -> None:
    taking = make(store)
    sent = [body(number) for number in range(120)]
    queue.send(sent[:60])
    with taking.running():
        until(lambda: len(taking.messages()) == 60, "what waited before")
        queue.send(sent[60:])
        until(lambda: len(taking.messages()) == 120, "what came meanwhile")
    assert taking.messages() == ids(range(120))
    assert taking.bodies() == sent
    assert queue.left() == 0
    state = taking.state()
    assert state.last_ok_at is not None
    assert (state.consecutive_failures, state.last_error) == (0, None)


def test_the_same_fact_is_accepted_once_in_the_same_bytes_in_others_and_by_the_api(
    make: Make, queue: SourceQueue
) -> None:
    taking = make()
    said = event(1)
    same = json.dumps(said).encode()
    taking.sync.acceptor.accept(json.dumps(event(2)).encode(), batch=False)
    with taking.running():
        queue.send([same, same, json.dumps(said, indent=1).encode(), body(2), body(3)])
        until(lambda: len(taking.messages()) == 3 and taking.sync.backlog() == 0, "three facts")
        queue.send([same, body(4)])
        until(lambda: len(taking.messages()) == 4, "the fourth")
    assert taking.messages() == ["sale-2", "sale-1", "sale-3", "sale-4"]
    assert (queue.left(), taking.cases()) == (0, [])


def test_one_that_cannot_be_read_waits_in_quarantine_whole_and_499_beside_it_go_on(
    make: Make, queue: SourceQueue
) -> None:
    taking = make()
    poison = b'{"id": "sale-250", "data": \xff'
    sent = [body(number) for number in range(500)]
    sent[250] = poison
    queue.send(sent)
    with taking.running():
        until(lambda: len(taking.messages()) == 499 and taking.cases(), "the good ones, and the bad one's case")
    assert queue.left() == 0
    assert set(taking.messages()) == set(ids(range(500))) - {"sale-250"}
    assert poison in taking.bodies()
    [case] = taking.cases()
    assert (case["system"], case["owner"], case["state"]) == ("bus", "warehouse-ops", "waiting")
    assert "not UTF-8" in case["reason"]
    assert case["record"]["body"] == poison.decode(errors="replace")


ODD = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b'{"id": "\\u0000"}',
    b'{"id": "\\ud800"}',
    b"[" * 100_000,
    b"1" * 5000,
    "\u2028".encode(),
]


def test_nothing_that_a_queue_may_hold_is_lost_or_stops_what_is_behind_it(
    make: Make, store: Store, queue: SourceQueue
) -> None:
    taking = make(store)
    queue.send([*ODD, body(1)])
    with taking.running():
        until(
            lambda: taking.messages() == ["sale-1"] and len(taking.cases()) == len(ODD), "the good one, and the cases"
        )
    assert taking.bodies() == [*ODD, taking.bodies()[-1]]
    assert queue.left() == 0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"source": "nobody"}, "source 'nobody' is no System"),
        ({"type": "order.placed"}, "no flow takes 'order.placed' from 'tills'; it takes: sale.recorded"),
        ({"data": {"ref": "R1"}}, "sale.recorded breaks its schema"),
        ({"time": "2026-03-02T09:00:00"}, "has no zone"),
        ({"colour": "red"}, "the attribute 'colour' is not taken"),
    ],
)
def test_what_the_api_would_refuse_waits_for_a_person_who_corrects_and_replays_it(
    make: Make, queue: SourceQueue, changed: dict[str, object], reason: str
) -> None:
    taking = make()
    with taking.running():
        queue.send([body(1, **changed), body(2)])
        until(lambda: taking.messages() == ["sale-2"] and taking.cases(), "the good one, and the bad one's case")
        [case] = taking.cases()
        assert reason in case["reason"]
        record = case["record"] | {"body": event(1)}
        with taking.store.write() as connection:
            if quarantine.correct(connection, taking.clock, case["id"], record, "olga", PLAIN).needs_approval:
                quarantine.approve(connection, taking.clock, case["id"], "ben")
        made = taking.sync.replay(case["id"], "olga")
        assert made["already_known"] == 0
    assert sorted(taking.messages()) == ["sale-1", "sale-2"]
    assert queue.left() == 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_between_commit_and_acknowledgement_nothing_is_lost_and_nothing_is_accepted_twice(
    make: Make, database: str, request: pytest.FixtureRequest, queue: SourceQueue, url: str, tmp_path: Path
) -> None:
    store: Store = request.getfixturevalue(f"{database}_store")
    address = store.engine.url.render_as_string(hide_password=False)
    queue.send([body(number) for number in range(400)])
    for commits in (1, 3) if database == "sqlite" else (2,):  # on PostgreSQL a lease has to run out first
        command = [sys.executable, "-m", "tests.integration.dying", address, str(tmp_path / "home"), url, queue.name]
        done = subprocess.run([*command, str(commits)], cwd=ROOT, timeout=120, check=False, env=_without_settings())
        assert done.returncode == -signal.SIGKILL
    taking = make(store)
    known = len(taking.bodies())
    assert known > 0, "what was committed before the kill is there"
    until(lambda: known + queue.left() > 400, "what was committed and not acknowledged, at the broker again")
    with taking.running():
        until(lambda: len(taking.messages()) == 400 and queue.left() == 0, "all of them")
    assert taking.messages() == ids(range(400))
    assert len(taking.bodies()) == 400


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}


def test_while_more_waits_than_was_set_nothing_is_acknowledged_and_then_it_goes_on(
    make: Make, queue: SourceQueue
) -> None:
    taking = make(limit=20, options={"queue": queue.name, "prefetch": 10})
    queue.send([body(number) for number in range(60)])
    consumers = Consumers(taking.sync)  # and nobody who processes
    consumers.start()
    try:
        until(lambda: len(taking.bodies()) >= 20, "as many as may wait")
    finally:
        consumers.stop()
    taken = len(taking.bodies())
    assert taken < 60
    until(lambda: queue.left() == 60 - taken, "the others, at the broker")
    with taking.running():
        until(lambda: len(taking.messages()) == 60, "all of them")
    assert taking.messages() == ids(range(60))
    assert queue.left() == 0


def test_while_the_disk_is_full_nothing_is_acknowledged_and_it_goes_on_when_there_is_room(
    make: Make, queue: SourceQueue
) -> None:
    taking = make(options={"queue": queue.name, "prefetch": 10})
    room = {"pages": 0}

    def limit(connection: object, _record: object) -> None:
        """Have SQLite find no room behind so many pages."""
        connection.execute(f"PRAGMA max_page_count={room['pages'] or 2**30}")  # type: ignore[attr-defined]

    engine_event.listen(taking.store.engine, "connect", limit)
    with taking.store.read() as connection:
        room["pages"] = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 100
    taking.store.close()
    sent = [body(number) for number in range(2000)]
    queue.send(sent)
    consumers = Consumers(taking.sync)
    consumers.start()
    try:
        until(lambda: _is_full(taking.store), "the store that is full")
        left = queue.left()
        taken = len(taking.bodies())  # looked at afterwards: what was acknowledged by then is committed
        assert 0 < taken < 2000
        assert left >= 2000 - taken - 10, "ten are held at most, and are the broker's still"
        room["pages"] = 0
        taking.store.close()
        until(lambda: len(taking.bodies()) == 2000 and queue.left() == 0, "all of them, without a restart")
    finally:
        consumers.stop()
    assert taking.bodies() == sent


def _is_full(store: Store) -> bool:
    """Whether not even a few pages can be written."""
    try:
        with store.write() as connection:
            connection.execute(t.flow_state.insert().values(flow="x" * 5_000, paused_for=0))
            connection.rollback()
    except OperationalError as error:
        return "full" in str(error.orig)
    return False


def test_a_broker_that_is_away_or_refuses_us_is_named_and_everything_goes_on_by_itself(
    make: Make, queue: SourceQueue
) -> None:
    taking = make(endpoint=f"{queue.endpoint.partition('//')[0]}//127.0.0.1:1/0")
    with taking.running():
        until(lambda: (state := taking.state()) and state.consecutive_failures > 1, "the trouble")
        assert "127.0.0.1:1" in taking.state().last_error
        assert "is not reached" in taking.state().last_error
        nowhere = "9999" if queue.is_redis else "no-such-host"
        taking.govern(endpoint=queue.endpoint.removesuffix(queue.place) + nowhere)
        wrong = "the number of the database" if queue.is_redis else "the virtual host in the endpoint"
        until(lambda: wrong in (taking.state().last_error or ""), "the wrong place, named")
        _write_secret(taking, "not-the-password")
        taking.govern(secrets={"user": "file:who", "password": "file:pass"})
        until(lambda: "secrets user and password" in taking.state().last_error, "the refused login, named")
        assert "not-the-password" not in taking.state().last_error
        taking.govern()
        queue.send([body(1)])
        until(lambda: taking.messages() == ["sale-1"], "the message")
    assert taking.state().consecutive_failures == 0


def _write_secret(taking: Taking, password: str) -> None:
    folder = Settings(home=taking.home).secrets
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "who").write_text("somebody")
    (folder / "pass").write_text(password)


def test_a_queue_that_policy_takes_out_is_left_alone_and_another_is_taken_from(make: Make, queue: SourceQueue) -> None:
    taking, other = make(), SourceQueue(RABBITMQ)
    other.__dict__ |= queue.__dict__ | {"name": f"{queue.name}-other"}
    with taking.running():
        queue.send([body(1)])
        until(lambda: taking.messages() == ["sale-1"], "the first")
        taking.govern(options={"queue": other.name})
        other.send([body(2)])
        until(lambda: taking.messages() == ["sale-1", "sale-2"], "the one in the other queue")
        queue.send([body(3)])
        other.send([body(4)])
        until(lambda: len(taking.messages()) == 3, "one more")
    assert taking.messages() == ["sale-1", "sale-2", "sale-4"]
    assert queue.left() == 1
    other.remove()


def test_of_two_planes_one_takes_and_the_other_goes_on_when_it_stops(
    make: Make, postgresql_store: Store, queue: SourceQueue
) -> None:
    one, two = make(postgresql_store), make(postgresql_store)
    with two.running():
        with one.running():
            queue.send([body(number) for number in range(200)])
            until(lambda: len(one.messages()) == 200, "what came while both ran")
            assert one.messages() == ids(range(200)), "in order: one took them all"
        queue.send([body(number) for number in range(200, 210)])
        until(lambda: len(two.messages()) == 210, "what came when one had stopped")
    assert queue.left() == 0


# --- what there is at the broker ---


@pytest.fixture
def rabbit() -> Iterator[SourceQueue]:
    """A queue of RabbitMQ."""
    there(RABBITMQ)
    queue = SourceQueue(RABBITMQ)
    yield queue
    queue.remove()


@pytest.fixture
def take_from(sqlite_store: Store, tmp_path: Path) -> Iterator[Callable[[SourceQueue], Taking]]:
    """Make the rooms that take from a queue."""
    made: list[Taking] = []

    def take_from(queue: SourceQueue) -> Taking:
        made.append(Taking(sqlite_store, tmp_path / "home", queue))
        return made[-1]

    yield take_from
    for taking in made:
        taking.close()


def test_a_queue_that_is_not_there_is_declared_and_replicated(
    take_from: Callable[[SourceQueue], Taking], rabbit: SourceQueue
) -> None:
    taking = take_from(rabbit)
    with taking.running():
        until(taking.state, "the first note")
        with rabbit.channel() as channel:
            assert channel.queue_declare(rabbit.name, passive=True).consumer_count == 1
            rabbit.declare(channel)  # raises when it is of another type
        rabbit.send([body(1)])
        until(lambda: taking.messages() == ["sale-1"], "the message")


@pytest.mark.parametrize("durable", [True, False])
def test_a_queue_of_another_type_is_used_as_it_is(
    take_from: Callable[[SourceQueue], Taking], rabbit: SourceQueue, durable: bool
) -> None:
    taking = take_from(rabbit)
    with rabbit.channel() as channel:
        channel.queue_declare(rabbit.name, durable=durable, auto_delete=False)
        with taking.running():
            channel.basic_publish(amqp.Message(body(1)), routing_key=rabbit.name)
            until(lambda: taking.messages() == ["sale-1"], "the message")
    assert taking.state().last_error is None


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"durable": True, "arguments": {"x-queue-type": "stream"}}, "is a stream, from which nothing is taken off"),
        ({"exclusive": True}, "for another connection alone"),
    ],
    ids=["stream", "exclusive"],
)
def test_a_queue_that_cannot_be_used_is_named_with_what_to_do(
    take_from: Callable[[SourceQueue], Taking], rabbit: SourceQueue, made: dict[str, object], told: str
) -> None:
    taking = take_from(rabbit)
    with rabbit.channel() as channel:
        channel.queue_declare(rabbit.name, auto_delete=False, **made)
        with taking.running():
            until(lambda: (state := taking.state()) and state.last_error, "the trouble")
        channel.queue_delete(rabbit.name)
    assert told in taking.state().last_error
    assert rabbit.name in taking.state().last_error


def test_a_key_of_redis_that_is_no_list_is_named(take_from: Callable[[SourceQueue], Taking]) -> None:
    there(REDIS)
    queue = SourceQueue(REDIS)
    queue.redis.set(queue.name, "something else")
    taking = take_from(queue)
    with taking.running():
        until(lambda: (state := taking.state()) and state.last_error, "the trouble")
        assert f"the key '{queue.name}'" in taking.state().last_error
        queue.redis.delete(queue.name)
        queue.send([body(1)])
        until(lambda: taking.messages() == ["sale-1"], "the message, when the key is gone")
    queue.remove()


def test_what_a_consumer_of_redis_left_behind_is_taken_first(take_from: Callable[[SourceQueue], Taking]) -> None:
    there(REDIS)
    queue = SourceQueue(REDIS)
    queue.send([body(3), body(4)])
    queue.redis.lpush(f"{queue.name}:processing", body(1), body(2))
    taking = take_from(queue)
    with taking.running():
        until(lambda: len(taking.messages()) == 4, "all of them")
    assert taking.messages() == ids(range(1, 5))
    assert queue.left() == 0
    queue.remove()
