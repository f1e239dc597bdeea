"""Celery over a real RabbitMQ and a real Redis: a task says only where to look, so losing or doubling it changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from celery.contrib.testing.worker import start_worker
from kombu import Connection, Queue
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Write
from controlplane.errors import SettingsError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines.celery import CeleryEngine, Sender, is_redis, queue_of
from controlplane.sync.engines.reprocess import Request
from controlplane.sync.engines.workers import Lasting, OpenLanes, Targets, register
from rules.outcomes import Outcome
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.test_loop import SKU
from tests.integration.brokers import Broker, wired
from tests.waiting import until

ORDERS = 20
TARGETS = ("erp", "wms")


@pytest.fixture
def house(postgresql_store: Store, clock: ManualClock) -> House:
    """A retailer with orders that are owed to its ERP and its warehouse."""
    house = House(postgresql_store, clock)
    for number in range(ORDERS):
        house.order(f"#{number}", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    return house


@contextmanager
def a_worker(broker: Broker, house: House, shards: int = 2) -> Iterator[None]:
    """A worker of this process: the one that `trueup worker` runs, in threads."""
    app = broker.app
    lanes, targets = OpenLanes(house.sync, shards), Targets(app, house.sync)
    register(app, lanes)
    targets.declare()
    app.conf.worker_consumer = f"{Lasting.__module__}:{Lasting.__name__}"
    with start_worker(app, concurrency=8, pool="threads", perform_ping_check=False, shutdown_timeout=60):
        yield
        lanes.stop()
        until(lambda: lanes.count == 0, "the end of the last lane")
    lanes.close()


def states(house: House, target: str) -> dict[str, int]:
    """How many deliveries to a target are in each state."""
    d = t.delivery.c
    with house.store.read() as connection:
        query = select(d.state, func.count()).where(d.target == target).group_by(d.state)
        return {str(row[0]): int(row[1]) for row in connection.execute(query)}


def delivered(house: House) -> bool:
    """Whether all orders are at both targets."""
    return all(sum(vendor.effects.values()) >= ORDERS for vendor in (house.erp, house.wms))


def test_losing_every_task_loses_nothing_and_doubling_every_task_doubles_nothing(broker: Broker, house: House) -> None:
    sender = Sender(broker.app, shards=2)
    assert [sender.ask(target) for target in TARGETS] == [2, 2]
    assert [broker.lose(target) for target in TARGETS] == [2, 2]
    assert not delivered(house)
    assert [sender.ask(target) for target in TARGETS] == [2, 2]
    assert [broker.double(target) for target in TARGETS] == [2, 2]
    assert [broker.depth(target) for target in TARGETS] == [4, 4]
    with a_worker(broker, house):
        until(lambda: delivered(house) and not any(broker.depth(target) for target in TARGETS), "the last delivery")
    assert sorted(house.wms.effects.values()) == [1] * ORDERS
    assert sorted(house.erp.effects.values()) == [1] * ORDERS
    sender.close()


def test_the_plane_asks_by_itself_until_nothing_is_owed_though_tasks_get_lost(broker: Broker, house: House) -> None:
    engine = CeleryEngine(house.sync, broker.url, broker.prefix)
    engine.start()
    try:
        until(lambda: broker.lose("wms"), "the first task")
        with a_worker(broker, house):
            until(lambda: delivered(house), "the last delivery")
    finally:
        engine.stop()
    assert sorted(house.wms.effects.values()) == [1] * ORDERS


def test_what_is_replayed_from_the_ledger_is_delivered_by_the_workers(broker: Broker, house: House) -> None:
    house.wms.faults.append("rejected")
    engine = CeleryEngine(house.sync, broker.url, broker.prefix)

    def gone_on() -> bool:
        house.clock.advance(0.05)  # a replay has its share of each second
        house.sync.reprocessing.advance()
        return delivered(house)

    engine.start()
    try:
        with a_worker(broker, house):
            until(
                lambda: states(house, "wms") == {"delivered": ORDERS - 1, "quarantined": 1},
                "all but the one that was refused",
            )
            since = house.clock.now() - timedelta(days=1)
            house.clock.advance(1)
            replay = Request(flow="orders", since=since, until=house.clock.now(), reason="outage")
            house.sync.reprocessing.start(replay, "olga")
            until(gone_on, "the last delivery")
    finally:
        engine.stop()
    assert sorted(house.wms.effects.values()) == [1] * ORDERS
    assert sorted(house.erp.effects.values()) == [1] * ORDERS


def test_tasks_do_not_pile_up_while_no_worker_takes_them(broker: Broker, house: House) -> None:
    sender = Sender(broker.app, shards=3)
    assert [sender.ask("wms") for _ in range(4)] == [3, 0, 0, 0]
    assert broker.depth("wms") == 3
    sender.close()


def test_on_rabbitmq_queues_are_replicated_and_tasks_survive_a_restart(rabbitmq: Broker) -> None:
    Sender(rabbitmq.app, shards=1).ask("wms")
    with Connection(rabbitmq.url) as connection:
        name = queue_of("wms", rabbitmq.prefix)
        quorum = Queue(name, queue_arguments={"x-queue-type": "quorum"})(connection.channel())
        assert quorum.queue_declare().message_count == 1
        task = quorum.get()
        assert task.properties["delivery_mode"] == 2
        assert task.headers["eta"] is None
        assert task.headers["expires"] is None


def test_a_queue_of_another_type_in_our_place_is_explained(rabbitmq: Broker, house: House) -> None:
    rabbitmq.squat("wms")
    told = rf"'{queue_of('wms', rabbitmq.prefix)}' is there already and is no quorum queue .*rabbitmqctl delete_queue"
    sender = Sender(rabbitmq.app, shards=2)
    with pytest.raises(SettingsError, match=told):
        sender.ask("wms")
    assert sender.ask("erp") == 2, "and the others are asked for"
    with pytest.raises(SettingsError, match=told):
        Targets(rabbitmq.app, house.sync).declare()


def test_the_plane_goes_on_while_the_broker_is_away_and_deliveries_when_it_is_back(
    broker: Broker, house: House
) -> None:
    with wired(broker.url, 6379 if is_redis(broker.url) else 5672) as (wire, address):
        engine = CeleryEngine(house.sync, address, broker.prefix)
        engine.start()
        try:
            house.order("#later", SKU, 1)
            until(lambda: house.sync.backlog() == 0, "the order's way through the plane")
            assert broker.depth("wms") == 0
            wire.mend()
            with a_worker(broker, house):
                until(lambda: house.wms.effects["order", "#later"] == 1 and delivered(house), "the last delivery")
                wire.cut()
                house.order("#much later", SKU, 1)
                until(lambda: house.sync.backlog() == 0, "the order's way through the plane")
                wire.mend()
                until(lambda: house.wms.effects["order", "#much later"] == 1, "the delivery")
        finally:
            engine.stop()
    assert set(house.wms.effects.values()) == {1}


# --- the lanes of one worker ---


class Slow:
    """Holds up the writes to a vendor of the house until it is told to let them go."""

    def __init__(self, house: House) -> None:
        self.let_go, self.under_way = threading.Event(), threading.Semaphore(0)
        self._inner, house.wms = house.wms, self  # type: ignore[assignment]

    def write(self, request: Write) -> Outcome:
        """Say that a write has begun, and wait."""
        self.under_way.release()
        self.let_go.wait(60)
        return self._inner.write(request)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_a_target_takes_no_more_of_a_worker_than_its_places_and_what_comes_meanwhile_is_not_forgotten(
    house: House,
) -> None:
    slow, lanes = Slow(house), OpenLanes(house.sync, shards=1)
    with ThreadPoolExecutor(4) as tasks:
        first = tasks.submit(lanes.deliver, "wms")
        assert slow.under_way.acquire(timeout=60)
        assert lanes.deliver("wms") == 0, "the target's only place is taken"
        assert lanes.deliver("erp") == ORDERS, "another target has places of its own"
        house.order("#meanwhile", SKU, 1)
        while house.sync.translate() or house.sync.process():
            pass
        slow.let_go.set()
        assert first.result(60) == ORDERS + 1
    lanes.close()


def test_a_worker_that_stops_records_what_is_under_way_and_claims_nothing_more(house: House) -> None:
    slow, lanes = Slow(house), OpenLanes(house.sync, shards=1)
    with ThreadPoolExecutor(2) as tasks:
        task = tasks.submit(lanes.deliver, "wms")
        assert slow.under_way.acquire(timeout=60)
        lanes.stop()
        slow.let_go.set()
        counted = task.result(60)
    concurrency = house.sync.delivering.concurrency("wms")
    assert 1 <= counted <= concurrency < ORDERS
    assert sum(slow.effects.values()) == counted  # type: ignore[call-overload]
    assert lanes.deliver("wms") == 0
    lanes.close()
