"""A worker hangs past its lease and wakes up; its request is on the wire; and commits land out of the order of their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, select

from controlplane import plugins
from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Draft, Record
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.settings import Settings
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.sync.delivery import Sent
from controlplane.sync.engines import Sync
from controlplane.sync.intake import take
from controlplane.sync.ledger import append
from tests.chaos.depot.journal import DOCUMENTS
from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import Event, by_api, level, receipt
from tests.chaos.judge import judge
from tests.chaos.plane import PACK, Plane
from tests.chaos.processes import free_port
from tests.chaos.services import PostgreSQL, RabbitMQ
from tests.conftest import START
from tests.controlplane.sync.kit import PLAIN

pytestmark = pytest.mark.chaos
LEASE = 30
CONCURRENCY = 8
"""Requests at once to a system, as the pack says."""


class Workers:
    """Two workers over one store whose clock stands still, and a real depot behind real HTTP."""

    def __init__(self, store: Store, folder: Path, depot: DepotProcess) -> None:
        self.store, self.clock, self.depot = store, ManualClock(START, pace=1.0), depot
        self.registry = Registry(store, self.clock)
        load_genesis(store, self.clock, self.registry, PACK)
        settings = Settings(home=folder, port=free_port(), sandbox_port=depot.port)
        self._connections = [Connections(self.registry, settings, self.clock) for _ in range(2)]
        self.first, self.second = (Sync(store, self.clock, self.registry, one) for one in self._connections)
        self.clock.advance(60)

    def close(self) -> None:
        """Close the connections to the depot."""
        for one in self._connections:
            one.close()

    def accept(self, *events: Event) -> None:
        """Have events accepted and processed."""
        for event in events:
            assert self.first.acceptor.accept(event.body, batch=False).accepted
        while self.first.process():
            pass

    def hang(self, target: str) -> list[Sent]:
        """Let the first worker claim what is due and send it, and hang before it records; return what it knows."""
        requests = self.first.delivering.turn(target, [], 10).requests
        assert requests
        return [sent for request in requests for sent in self.first.delivering.send(target, request)]

    def go_on(self) -> None:
        """Let the second worker do all there is until nothing waits for time to pass any more."""
        for _ in range(30):
            self.second.drain()
            if (due := self.second.next_due()) is None:
                return
            self.clock.move_to(due)
        raise AssertionError("something is still owed after thirty waits")

    def wake_up(self, target: str, sents: Sequence[Sent]) -> int:
        """Let the first worker record what it knows; return how many of its results counted."""
        return self.first.delivering.turn(target, sents, 0).counted

    def states(self, target: str) -> list[str]:
        """The states of the deliveries to a target, oldest first."""
        d = t.delivery.c
        with self.store.read() as connection:
            return list(connection.execute(select(d.state).where(d.target == target).order_by(d.id)).scalars())


@pytest.fixture
def workers(
    store: Store, tmp_path: Path, depot: DepotProcess, plugin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workers]:
    """Workers whose connector is found by its entry point."""
    monkeypatch.syspath_prepend(str(plugin_folder))
    plugins.registered.cache_clear()
    workers = Workers(store, tmp_path, depot)
    yield workers
    workers.close()
    plugins.registered.cache_clear()


@pytest.mark.parametrize(
    ("target", "inlet", "fault", "told"),
    [
        ("keyed", "keyed", "late_effect", {"ms": 1500}),
        ("keyed", "keyed", "effect_then_reset", {}),
        ("readable", "readable", "effect_then_reset", {}),
        ("readable", "readable", "reset", {}),
    ],
)
def test_a_fenced_workers_request_on_the_wire_has_no_second_effect(
    workers: Workers, target: str, inlet: str, fault: str, told: dict[str, object]
) -> None:
    workers.depot.order(fault, inlet=inlet, **told)
    workers.accept(receipt(1, 1))
    sents = workers.hang(target)
    workers.clock.advance(LEASE + 1)
    assert workers.second.recover() == 1
    workers.go_on()
    workers.depot.settle()  # what was on the wire has landed, after the second worker's write where it was late
    assert workers.wake_up(target, sents) == 0
    workers.go_on()
    assert len(workers.depot.journal.effects(inlet)) == 1
    assert workers.states(target) == ["delivered"]


@pytest.mark.parametrize(("fault", "told"), [("effect_after_lookup", {}), ("late_effect", {"ms": 1500})])
def test_a_fenced_workers_level_that_lands_late_does_not_undo_the_last_one(
    workers: Workers, fault: str, told: dict[str, object]
) -> None:
    workers.depot.order(fault, inlet="conditional", **told)
    workers.accept(level("A", 5, 1))
    sents = workers.hang("conditional")
    workers.clock.advance(LEASE + 1)
    assert workers.second.recover() == 1
    workers.accept(level("A", 3, 2))
    workers.go_on()
    workers.accept(level("A", 5, 3))
    workers.go_on()
    workers.depot.settle()
    assert workers.wake_up("conditional", sents) == 0
    events = [level("A", 5, 1), level("A", 3, 2), level("A", 5, 3)]
    verdict = judge(events, events, workers.depot.journal, {"conditional", "state"})
    assert verdict.fine, str(verdict)


def test_a_worker_that_wakes_up_after_its_lease_puts_nothing_on_the_wire(workers: Workers) -> None:
    workers.accept(receipt(1, 1))
    requests = workers.first.delivering.turn("keyed", [], 10).requests
    workers.clock.advance(LEASE + 1)
    assert [workers.first.delivering.send("keyed", request) for request in requests] == [[]]
    assert workers.depot.journal.requests("keyed") == []


def test_a_worker_that_is_stopped_past_its_lease_with_requests_on_the_wire_is_fenced_off_when_it_goes_on(
    tmp_path: Path,
    plugin_folder: Path,
    depot: DepotProcess,
    private_postgresql: PostgreSQL,
    private_rabbitmq: RabbitMQ,
) -> None:
    name = f"hang_{free_port()}"
    # a process that is stopped in the middle of a transaction holds its locks until PostgreSQL ends it
    url = private_postgresql.make_database(name) + "?options=-c%20idle_in_transaction_session_timeout=3s"
    plane = Plane(
        tmp_path / "home", plugin_folder, depot.port, database_url=url, broker_url=private_rabbitmq.url, workers=2,
        environment={"TRUEUP_LEASE": "3"},
    )  # fmt: skip
    hung, other = plane.workers
    events = [receipt(number, number) for number in range(20)]
    held = {event.subject for event in events[1:]}
    store = open_store(url)
    try:
        plane.start(plane.process)
        for ref in held:
            depot.order("slow", inlet="readable", ref=ref, ms=1500)
        plane.start(hung)
        with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as client:
            assert by_api(plane.token)(client, events).status_code == 202
        # as many as policy lets run at once, all of them with the depot: no other is claimed before one of them ends
        plane.wait_until(lambda: depot.struck() >= CONCURRENCY, "the requests are on the wire", 120)
        hung.hold()
        plane.start(other)
        refs = {event.subject for event in events}
        plane.wait_until(
            lambda: all({one.ref for one in depot.journal.effects(inlet)} == refs for inlet in DOCUMENTS), "all arrive", 180
        )  # fmt: skip
        d = t.delivery.c
        taken = select(d.id).where(d.target == "readable", d.fence > 1).limit(1)

        def taken_over() -> bool:
            with store.read() as connection:
                return connection.execute(taken).first() is not None

        plane.wait_until(taken_over, "something is taken from the worker that hangs", 60)
        hung.let_go()
        plane.wait_until(plane.quiet, "nothing is owed", 120)
        depot.settle()
        verdict = judge(events, events, depot.journal, frozenset(DOCUMENTS))
        assert verdict.fine, str(verdict)
    finally:
        hung.let_go() if hung.alive else None
        plane.close()
        store.close()
        private_postgresql.drop_database(name)


# --- commits that land out of the order of their ids ---


def draft_of(event: Event) -> Draft:
    """Return an event as a connector reads it."""
    return Draft(event.type, event.subject, event.id, event.time, event.data)


@pytest.fixture
def together(postgresql_store: Store, workers: Workers) -> Workers:
    """Workers on PostgreSQL, where transactions run beside each other."""
    assert workers.store is postgresql_store
    return workers


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
@pytest.mark.parametrize("many", [1, 3], ids=["one is late", "three are late"])
def test_a_message_that_is_committed_after_a_later_one_was_processed_is_not_lost(together: Workers, many: int) -> None:
    early, late = [receipt(number, number) for number in range(many)], receipt(9, 9)
    version = together.registry.snapshot().version

    def add(connection: Connection, event: Event) -> str:
        identity = append(
            connection, together.clock, draft_of(event), source="feed", registry_version=version, trace_id="0" * 32
        )
        assert identity
        return identity

    with together.store.write() as slow:
        ids = [add(slow, event) for event in early]
        with together.store.write() as quick:
            last = add(quick, late)
        assert max(ids) < last
        together.go_on()
        assert [one.ref for one in together.depot.journal.effects("keyed")] == [late.subject]
    together.go_on()
    verdict = judge([*early, late], [*early, late], together.depot.journal, frozenset(DOCUMENTS))
    assert verdict.fine, str(verdict)


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_record_that_is_committed_after_a_later_one_was_translated_is_not_lost(together: Workers) -> None:
    early, late = receipt(1, 1), receipt(2, 2)
    with together.store.write() as slow:
        assert take(slow, together.clock, "feed", "webhook", [Record(early.type, early.id, early.body)], PLAIN) == 1
        with together.store.write() as quick:
            assert take(quick, together.clock, "feed", "webhook", [Record(late.type, late.id, late.body)], PLAIN) == 1
        together.go_on()
        assert [one.ref for one in together.depot.journal.effects("keyed")] == [late.subject]
    together.go_on()
    verdict = judge([early, late], [early, late], together.depot.journal, frozenset(DOCUMENTS))
    assert verdict.fine, str(verdict)


@pytest.mark.parametrize(
    ("behind", "seconds"), [("", "30s"), ("?options=-c%20idle_in_transaction_session_timeout=7s", "7s")]
)
def test_a_transaction_whose_process_hangs_is_ended_by_postgresql(
    private_postgresql: PostgreSQL, behind: str, seconds: str
) -> None:
    store = open_store(private_postgresql.url + behind)
    with store.read() as connection:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == seconds
    store.close()
