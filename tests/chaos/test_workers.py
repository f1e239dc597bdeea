"""`trueup worker` as a process beside its plane: how it ends, what it serves, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from controlplane.clock import SystemClock
from controlplane.registry import revisions
from controlplane.store import open_store
from controlplane.store import tables as t
from rules.policy.kinds import API_VERSION, KINDS
from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import Event, Feed, by_api, receipt
from tests.chaos.judge import judge
from tests.chaos.plane import CLI, Plane
from tests.chaos.processes import ROOT, Process, free_port, wait_until
from tests.chaos.services import PostgreSQL, RabbitMQ
from tests.controlplane.telemetry.collector import Collector, collecting

pytestmark = pytest.mark.chaos
DOCUMENTS = 60
INLETS = frozenset({"keyed", "readable"})
KILLED = 128 + signal.SIGTERM


class Shift:
    """A plane on Celery with one worker, and what was posted to it."""

    def __init__(self, plane: Plane, depot: DepotProcess, database: str) -> None:
        self.plane, self.depot, self.database = plane, depot, database
        self.events: list[Event] = []
        self._feeds: list[Feed] = []

    @property
    def worker(self) -> Process:
        return self.plane.workers[0]

    def post(self, count: int = DOCUMENTS) -> None:
        """Post documents; returns when they are acknowledged."""
        new = [receipt(number, number) for number in range(len(self.events), len(self.events) + count)]
        feed = Feed(self.plane.url, new, by_api(self.plane.token), seed=1, many=5)
        feed.start()
        self.plane.wait_until(lambda: feed.done, "everything is acknowledged")
        self.events += new
        self._feeds.append(feed)

    def arrived(self, inlet: str = "keyed") -> int:
        """How many documents took effect at an inlet."""
        return sum(1 for effect in self.depot.journal.effects() if effect.inlet == inlet)

    def count(self, *states: str, target: str = "keyed") -> int:
        """Deliveries to a target in some states."""
        store, d = open_store(self.database), t.delivery.c
        with store.read() as connection:
            mine = select(func.count()).where(d.target == target, d.state.in_(states))
            found = int(connection.execute(mine).scalar_one())
        store.close()
        return found

    def ends(self, code: int) -> None:
        """The worker ends with this code."""
        popen = self.worker._popen
        assert popen is not None
        assert popen.wait(timeout=60) == code, self.worker.tail()

    def holds_to_the_laws(self) -> None:
        """Wait until nothing is owed, and judge."""
        self.plane.wait_until(self.plane.quiet, "nothing is owed")
        self.depot.settle()
        acknowledged = [event for feed in self._feeds for event in feed.acknowledged]
        verdict = judge(self.events, acknowledged, self.depot.journal, INLETS)
        assert verdict.fine, str(verdict)
        assert len(acknowledged) == len(self.events)

    def told(self) -> list[dict[str, object]]:
        """What the worker has logged, each line read as JSON, leaving out what Celery says on stdout, not in the log."""
        lines = self.worker.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line and not line.startswith("worker: ")]


@pytest.fixture
def database(private_postgresql: PostgreSQL) -> Iterator[str]:
    """The address of an empty database."""
    name = f"workers_{free_port()}"
    yield private_postgresql.make_database(name)
    private_postgresql.drop_database(name)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where plane and worker send their spans."""
    with collecting() as found:
        yield found


@pytest.fixture
def shift(
    tmp_path: Path,
    plugin_folder: Path,
    depot: DepotProcess,
    database: str,
    private_rabbitmq: RabbitMQ,
    collector: Collector,
) -> Iterator[Shift]:
    """A plane on Celery and a worker of it that has begun to work."""
    prefix = f"workers-{free_port()}"
    plane = Plane(
        tmp_path / "home", plugin_folder, depot.port, database_url=database, broker_url=private_rabbitmq.url, workers=1,
        environment={
            "TRUEUP_LEASE": "3", "TRUEUP_QUEUE_PREFIX": prefix, "TRUEUP_TRACES": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
    )  # fmt: skip
    try:
        plane.start()
        shift = Shift(plane, depot, database)
        plane.workers[0].wait_until(lambda: "worker started" in plane.workers[0].tail(50), "started")
        yield shift
    finally:
        plane.close()


@contextmanager
def hanging(depot: DepotProcess) -> Iterator[None]:
    """A target that takes connections and does not answer."""
    depot.process.hold()
    try:
        yield
    finally:
        depot.process.let_go()


def test_sigterm_finishes_what_is_under_way_and_claims_nothing_more(shift: Shift) -> None:
    shift.post()
    wait_until(lambda: shift.arrived() >= 5, "some have arrived")
    shift.worker.stop()
    shift.ends(0)
    assert shift.count("sending") == 0, "what was on the wire is recorded, and nothing is held"
    left = shift.count("pending", "unknown")
    shift.post(20)
    wait_until(lambda: shift.count("pending", "unknown") >= left + 20, "the plane takes more, which nobody delivers")
    events = {str(line["event"]) for line in shift.told()}
    assert {"worker stops: what is under way is finished first", "worker stopped"} <= events
    shift.plane.start(shift.worker)
    shift.holds_to_the_laws()


def test_the_spans_of_a_message_lead_from_its_intake_by_way_of_the_worker_to_each_target(
    shift: Shift, collector: Collector
) -> None:
    shift.post(1)
    shift.plane.wait_until(shift.plane.quiet, "nothing is owed")
    wait_until(lambda: sum(span.name == "deliver" for span in collector.spans) >= 3, "the spans of the deliveries")
    delivered = [span for span in collector.spans if span.name == "deliver"]
    assert {span.attributes["trueup.target"] for span in delivered} == {"keyed", "readable", "unguarded"}
    [trace] = {span.trace_id for span in delivered}
    spans = {span.span_id: span for span in collector.of(trace)}
    for span in delivered:
        names = [span.name]
        while spans[span.span_id].parent in spans:
            span = spans[span.parent]
            names.append(span.name)
        assert names == ["deliver", "route", "process", "accept"]


def test_a_second_sigterm_ends_it_at_once_and_nothing_is_lost(shift: Shift) -> None:
    with hanging(shift.depot):
        shift.post()
        wait_until(lambda: shift.count("sending") > 0, "requests are on the wire")
        popen = shift.worker._popen
        assert popen is not None
        popen.send_signal(signal.SIGTERM)
        shift.worker.wait_until(lambda: "finished first" in shift.worker.tail(50), "has heard the first")
        popen.send_signal(signal.SIGTERM)
        shift.ends(KILLED)
    shift.plane.start(shift.worker)
    shift.holds_to_the_laws()


def test_another_worker_goes_on_when_one_is_killed(shift: Shift, tmp_path: Path) -> None:
    with hanging(shift.depot):
        shift.post()
        wait_until(lambda: shift.count("sending") > 0, "requests are on the wire")
        shift.worker.kill9()
    other = Process("other", shift.worker.command, tmp_path / "other.out", shift.worker.environment)
    other.start()
    try:
        shift.holds_to_the_laws()
    finally:
        other.kill9()


def test_a_target_that_policy_adds_is_served_without_a_restart(shift: Shift) -> None:
    shift.post(5)
    shift.plane.wait_until(shift.plane.quiet, "nothing is owed")
    store, clock = open_store(shift.database), SystemClock()
    with store.write() as connection:
        documents = [
            changed(revisions.current(connection, "System", "keyed"), name="another"),
            changed(
                revisions.current(connection, "Flow", "documents"),
                targets=[{"system": "another", "entity": "keyed_doc"}],
            ),
        ]
        revisions.write(connection, clock, documents, author="test", origin="test", reason="test")
    store.close()
    shift.post(5)
    wait_until(lambda: shift.count("delivered", target="another") == 5, "the new target is served")
    assert any(line["event"] == "takes tasks for a new target" for line in shift.told())


def changed(row: object, *, name: str = "", **spec: object) -> object:
    """A policy in force with parts of it changed."""
    document = dict(row["document"])  # type: ignore[index]
    document["apiVersion"] = API_VERSION
    document["metadata"] = {**document["metadata"], **({"name": name} if name else {})}
    document["spec"] = {**document["spec"], **spec}
    return KINDS[document["kind"]].model_validate(document)


def test_a_worker_for_some_targets_leaves_the_others_alone(shift: Shift, tmp_path: Path) -> None:
    shift.worker.stop()
    shift.ends(0)
    command = [*shift.worker.command, "--targets", "keyed"]
    some = Process("some", command, tmp_path / "some.out", shift.worker.environment)
    some.start()
    try:
        shift.post(10)
        wait_until(lambda: shift.arrived() == 10, "its own target is served")
        some.wait_until(lambda: shift.count("delivered") == 10, "that is recorded")
        assert shift.count("pending", target="readable") == 10
        assert shift.arrived("readable") == 0
    finally:
        some.kill9()
    shift.plane.start(shift.worker)
    shift.holds_to_the_laws()


def refused(shift: Shift, url: str) -> subprocess.CompletedProcess[str]:
    """Run a worker with another broker's address to its end."""
    environment: dict[str, str] = {**shift.worker.environment, "TRUEUP_BROKER_URL": url}
    arguments: Sequence[str] = [sys.executable, "-c", CLI, "worker"]
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False)


def test_a_login_that_the_broker_refuses_is_told_with_what_to_correct_and_without_the_password(
    shift: Shift, private_rabbitmq: RabbitMQ
) -> None:
    url = httpx.URL(private_rabbitmq.url)
    wrong = f"{url.scheme}://nobody:s3cret-of-nobody@{url.host}:{url.port}//"
    done = refused(shift, wrong)
    assert done.returncode == 2
    assert "TRUEUP_BROKER_URL" in done.stderr
    assert "correct user, password or virtual host" in " ".join(done.stderr.split())
    assert "s3cret-of-nobody" not in done.stderr + done.stdout
