"""Celery over a real RabbitMQ and PostgreSQL: a task says only where to look, so losing or doubling it changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from kombu.exceptions import OperationalError

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.sync.engines import celery as engine
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.test_loop import SKU

BROKER = os.environ.get("TRUEUP_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")


@pytest.fixture
def app() -> Iterator[Celery]:
    """A Celery application on the broker; its queues are emptied before and removed after."""
    app = engine.celery_app(BROKER)
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except (OperationalError, OSError) as error:
        reason = "no RabbitMQ answers: start one, or set TRUEUP_TEST_RABBITMQ"
        if os.environ.get("CI", "").lower() == "true":
            raise RuntimeError(reason) from error
        pytest.skip(reason)
    yield app
    with app.connection_for_write() as connection:
        for target in ("erp", "wms"):
            connection.default_channel.queue_delete(engine.queue_of(target))
    app.close()


def test_workers_deliver_each_document_once_though_tasks_are_lost_and_doubled(
    postgresql_store: Store, clock: ManualClock, app: Celery
) -> None:
    house = House(postgresql_store, clock)
    for number in range(20):
        house.order(f"#{number}", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    engine.register(app, house.sync)
    queues = [engine.queue_of(target) for target in ("erp", "wms")]
    app.conf.task_queues = None
    with start_worker(app, concurrency=2, pool="threads", queues=queues, perform_ping_check=False, shutdown_timeout=30):
        results = [engine.enqueue(app, target) for target in ("erp", "wms", "wms", "erp", "wms")]
        assert len(results) == 5
        wait_until(house, app)
    assert sorted(house.wms.effects.values()) == [1] * 20
    assert sorted(house.erp.effects.values()) == [1] * 20


def wait_until(house: House, app: Celery) -> None:
    """Wait, bounded, until nothing is owed to either target; ask again meanwhile, as the plane does."""
    seen = 0
    for _ in range(60):
        if sum(house.wms.effects.values()) >= 20 and sum(house.erp.effects.values()) >= 20:
            return
        seen = house.store.wait_for_change(seen, 0.5)
        for target in ("erp", "wms"):
            engine.enqueue(app, target)
