"""Private services start, are stopped, killed and restarted, and keep what they have promised to keep."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from kombu import Connection, Exchange, Queue

from tests.chaos.conftest import given
from tests.chaos.processes import ROOT, Process, free_port, listens, wait_until
from tests.chaos.reaper import started_at
from tests.chaos.services import MissingError, PostgreSQL, RabbitMQ, Redis, find
from tests.chaos.wire import Wire

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("hard", [False, True], ids=["stopped", "killed"])
def test_postgresql_keeps_what_was_committed_and_nothing_else(private_postgresql: PostgreSQL, hard: bool) -> None:
    name = f"kept_{free_port()}"
    private_postgresql.make_database(name)
    with private_postgresql.connect(name) as session:
        session.execute("CREATE TABLE row (n int)")
        session.execute("INSERT INTO row VALUES (1)")
        session.execute("BEGIN")
        session.execute("INSERT INTO row VALUES (2)")
        private_postgresql.restart(hard=hard)
        with pytest.raises(psycopg.OperationalError):
            session.execute("COMMIT")
    with private_postgresql.connect(name) as session:
        assert session.execute("SELECT n FROM row").fetchall() == [(1,)]
    private_postgresql.drop_database(name)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_postgresql_runs_with_durability_on(private_postgresql: PostgreSQL, setting: str) -> None:
    with private_postgresql.connect() as session:
        assert session.execute(f"SHOW {setting}").fetchone() == ("on",)


@pytest.mark.parametrize("hard", [False, True], ids=["stopped", "killed"])
def test_redis_keeps_what_it_answered_for(private_redis: Redis, hard: bool) -> None:
    private_redis.tell("SET", "answered", "for")
    private_redis.restart(hard=hard)
    assert private_redis.tell("GET", "answered") == b"$3\r\nfor\r\n"
    assert private_redis.tell("CONFIG", "GET", "appendfsync").endswith(b"always\r\n")


@pytest.mark.parametrize("hard", [False, True], ids=["stopped", "killed"])
def test_rabbitmq_keeps_what_a_quorum_queue_has_confirmed(private_rabbitmq: RabbitMQ, hard: bool) -> None:
    queue = Queue(f"kept-{hard}", Exchange(""), durable=True, queue_arguments={"x-queue-type": "quorum"})
    with Connection(private_rabbitmq.url) as connection:
        queue(connection.default_channel).declare()
    private_rabbitmq.restart()
    with Connection(private_rabbitmq.url, transport_options={"confirm_publish": True}) as connection:
        connection.Producer().publish({"n": 1}, routing_key=queue.name, delivery_mode=2)
    private_rabbitmq.restart(hard=hard)
    with Connection(private_rabbitmq.url) as connection:
        bound = queue(connection.default_channel)
        found = bound.get(no_ack=True)
        assert found is not None
        assert found.payload == {"n": 1}
        bound.delete()


def test_a_service_that_is_closed_leaves_no_process_and_no_folder(private_redis: Redis) -> None:
    another = Redis()
    another.start()
    pid = another.process.pid
    another.close()
    assert (started_at(pid), another.folder.exists(), listens(another.port)) == (None, False, False)
    assert private_redis.ready(), "the other instance was not touched"


def test_a_program_that_is_not_installed_is_named_with_what_to_install() -> None:
    with pytest.raises(MissingError, match="apt-get install nonsense-server"):
        find("trueup-nonsense", ("usr/lib/trueup-nonsense/*/bin/x",), "nonsense-server")


class Absent(Redis):
    """A service whose program is nowhere."""

    def __init__(self) -> None:
        raise MissingError("redis-server is not installed: apt-get install redis-server")


def test_a_missing_program_is_a_skip_that_names_the_remedy_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"):
        next(given(Absent))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(MissingError, match="apt-get install redis-server"):
        next(given(Absent))


# --- processes ---

SLEEPER = "import subprocess, sys; subprocess.Popen(['sleep', '600']); subprocess.run(['sleep', '600'])"


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Process]:
    """A process with two children that all sleep."""
    process = Process("sleeper", [sys.executable, "-c", SLEEPER], tmp_path / "log")
    process.start()
    yield process
    process.kill9()


def children(process: Process) -> list[str]:
    """The programs that a process runs, by the state that the kernel gives them."""
    told = subprocess.run(
        ["ps", "-o", "stat=,comm=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    return [f"{line.split()[1]} {line[0]}" for line in told.stdout.splitlines()]


def test_a_kill_takes_the_children_with_it(family: Process) -> None:
    wait_until(lambda: len(children(family)) == 2, "both children run")
    family.kill9()
    assert not family.alive
    assert children(family) == []


def test_a_process_that_is_held_stands_still_with_its_children_until_it_is_let_go(family: Process) -> None:
    wait_until(lambda: children(family) == ["sleep S", "sleep S"], "both children sleep")
    family.hold()
    wait_until(lambda: children(family) == ["sleep T", "sleep T"], "both children stand still")
    family.let_go()
    wait_until(lambda: children(family) == ["sleep S", "sleep S"], "both children go on")


def test_a_process_that_ends_is_said_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = Process("failing", [sys.executable, "-c", "print('no such port', flush=True)"], tmp_path / "log")
    process.start()
    with pytest.raises(AssertionError, match=r"failing ended before it answers\nno such port"):
        process.wait_until(lambda: False, "it answers")


def test_what_a_killed_test_run_has_started_is_ended_for_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.chaos.processes import Process\n"
        "one = Process('sleeper', ['sleep', '600'], Path(sys.argv[1]) / 'log'); one.start()\n"
        "print(one.pid, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    run.kill()
    run.wait()
    run.stdout.close()
    wait_until(lambda: started_at(pid) is None, "the sleeper is gone")


# --- the wire ---


@pytest.fixture
def wire(private_postgresql: PostgreSQL) -> Iterator[Wire]:
    """A wire to the private PostgreSQL."""
    wire = Wire(private_postgresql.port)
    yield wire
    wire.close()


@pytest.fixture
def table(private_postgresql: PostgreSQL) -> Iterator[Callable[[], int]]:
    """A table `cut`; tells how many rows it has, past the wire."""
    with private_postgresql.connect() as session:
        session.execute("CREATE TABLE cut (n int)")
        yield lambda: session.execute("SELECT count(*) FROM cut").fetchall()[0][0]
        session.execute("DROP TABLE cut")


def through(wire: Wire) -> psycopg.Connection:
    """A session through the wire."""
    return psycopg.connect(f"host=127.0.0.1 port={wire.port} user=postgres dbname=postgres")


def test_a_connection_that_is_cut_after_the_commit_left_has_committed_without_an_answer(
    wire: Wire, table: Callable[[], int]
) -> None:
    wire.cut_when(b"COMMIT", "after")
    session = through(wire)
    session.execute("INSERT INTO cut VALUES (1)")
    with pytest.raises(psycopg.OperationalError):
        session.commit()
    wait_until(lambda: table() == 1, "the server has committed")
    assert wire.cut_so_far == 1


def test_a_connection_that_is_cut_before_the_commit_arrives_has_not_committed(
    wire: Wire, private_postgresql: PostgreSQL, table: Callable[[], int]
) -> None:
    wire.cut_when(b"COMMIT", "before")
    session = through(wire)
    session.execute("INSERT INTO cut VALUES (1)")
    with pytest.raises(psycopg.OperationalError):
        session.commit()
    with private_postgresql.connect() as other:
        others = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO cut%'"
        wait_until(lambda: other.execute(others).fetchone() == (0,), "the server has given up the session")
    assert table() == 0


def test_the_next_connection_after_a_cut_is_whole(wire: Wire, table: Callable[[], int]) -> None:
    session = through(wire)
    assert wire.cut() == 1
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    with through(wire) as again:
        again.execute("INSERT INTO cut VALUES (1)")
    assert table() == 1
