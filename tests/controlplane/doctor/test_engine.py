"""Brokers and workers: the RabbitMQ of the tests, and a Redis of the test's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.contrib.testing.worker import start_worker
from sqlalchemy.engine import make_url

from controlplane.clock import ManualClock
from controlplane.doctor.broker import Broker
from controlplane.doctor.engine import judge
from controlplane.registry.packs import install
from controlplane.store import Store
from controlplane.sync.engines.celery import celery_app, queue_of
from tests.conftest import POSTGRES
from tests.controlplane.doctor.conftest import Look, of, the
from tests.controlplane.doctor.servers import accepts, free_port, redis
from tests.controlplane.health.kit import sandbox_pack

BROKER = os.environ.get("TRUEUP_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
CELERY = {"engine": "celery", "database_url": POSTGRES, "seconds": 2.0}


@pytest.fixture
def rabbitmq() -> str:
    """The address of the RabbitMQ of the tests."""
    address = make_url(BROKER)
    if not accepts(address.port or 5672):
        reason = "no RabbitMQ answers: start one, or set TRUEUP_TEST_RABBITMQ"
        if os.environ.get("CI", "").lower() == "true":
            raise RuntimeError(reason)
        pytest.skip(reason)
    return BROKER


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[str]:
    """A Redis that forgets and evicts, with a password; host and port."""
    with redis(
        tmp_path, "--appendonly", "no", "--maxmemory-policy", "allkeys-lru", "--requirepass", "open-sesame"
    ) as address:
        yield address


def test_no_broker_is_asked_for_when_the_planes_own_threads_do_the_work(look: Look) -> None:
    answers = look(broker_url=f"amqp://guest:guest@127.0.0.1:{free_port()}//")
    assert the(answers, "broker")[0] == "ok"
    assert of(answers, "workers") == []


def test_a_rabbitmq_that_answers_tells_its_version(look: Look, rabbitmq: str) -> None:
    status, told = the(look(**CELERY, broker_url=rabbitmq), "broker")
    assert status == "ok"
    assert "has quorum queues" in told


def test_a_wrong_password_at_the_broker_is_wrong_and_is_not_shown(look: Look, rabbitmq: str) -> None:
    address = make_url(rabbitmq).set(password="not-the-password").render_as_string(hide_password=False)
    answers = look(**CELERY, broker_url=address)
    status, told = the(answers, "broker")
    assert (status, "ACCESS_REFUSED" in told, "TRUEUP_BROKER_URL" in told) == ("wrong", True, True)
    assert "not looked at: the broker does not answer" in the(answers, "workers")[1]
    assert "not-the-password" not in str(answers)


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_with_nothing_behind_its_port_is_wrong(look: Look, scheme: str) -> None:
    status, told = the(look(**CELERY, broker_url=f"{scheme}://:pw@127.0.0.1:{free_port()}/0"), "broker")
    assert (status, "refused" in told) == ("wrong", True)


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_that_takes_connections_and_says_nothing_is_not_waited_for(look: Look, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}://:pw@127.0.0.1:{silent.getsockname()[1]}/0"
        status, told = the(look(**CELERY | {"seconds": 0.5}, broker_url=address), "broker")
    assert (status, "imed out" in told or "imeout" in told) == ("wrong", True), told


def test_a_redis_that_evicts_is_wrong_and_one_that_forgets_is_a_warning(look: Look, private_redis: str) -> None:
    answers = look(**CELERY, broker_url=f"redis://:open-sesame@{private_redis}/0")
    assert the(answers, "broker", "")[0] == "ok"
    assert the(answers, "broker", "eviction")[0] == "wrong"
    assert the(answers, "broker", "appendonly")[0] == "warning"
    assert the(answers, "workers")[0] == "wrong", "nobody works"


def test_a_redis_with_another_password_is_wrong(look: Look, private_redis: str) -> None:
    answers = look(**CELERY, broker_url=f"redis://:simsalabim@{private_redis}/0")
    assert the(answers, "broker")[0] == "wrong"
    assert "simsalabim" not in str(answers)


def test_a_system_that_no_worker_takes_from_is_named(
    look: Look, private_redis: str, postgresql_store: Store, clock: ManualClock
) -> None:
    install(postgresql_store, clock, sandbox_pack(), "sandbox")
    broker = f"redis://:open-sesame@{private_redis}/0"
    app = celery_app(broker)
    queues = [queue_of(target) for target in ("erp", "wms", "shop")]
    with start_worker(app, pool="solo", queues=queues, perform_ping_check=False, shutdown_timeout=30):
        address = postgresql_store.engine.url.render_as_string(hide_password=False)
        answers = look(engine="celery", database_url=address, broker_url=broker)
    assert the(answers, "workers", "")[0] == "ok"
    status, told = the(answers, "workers", "pager")
    assert (status, f"no worker takes from {queue_of('pager')}" in told) == ("wrong", True)
    assert len(of(answers, "workers")) == 2
    app.close()


@pytest.mark.parametrize(
    ("version", "status"), [("3.7.28", "wrong"), ("3.8.0", "ok"), ("4.1.0-rc.1", "ok"), ("unknown", "warning")]
)
def test_a_rabbitmq_without_quorum_queues_is_wrong(version: str, status: str) -> None:
    assert [answer.status for answer in judge(Broker("amqp", version))] == [status]


def test_a_broker_that_trueup_is_not_tested_with_is_a_warning() -> None:
    assert [answer.status for answer in judge(Broker("sqs", "unknown"))] == ["warning"]
