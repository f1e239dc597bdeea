"""What tests with brokers may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.brokers import RABBITMQ, REDIS, Broker


@pytest.fixture(params=["rabbitmq", "redis"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Each broker, with queues of the test's own."""
    broker = Broker(RABBITMQ if request.param == "rabbitmq" else REDIS)
    yield broker
    broker.close()


@pytest.fixture
def rabbitmq() -> Iterator[Broker]:
    """RabbitMQ, with queues of the test's own."""
    broker = Broker(RABBITMQ)
    yield broker
    broker.close()
