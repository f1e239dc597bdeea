"""What the chaos tests are given: private services, a depot, and the depot's connector on a path of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import plugin
from tests.chaos.depot.process import DepotProcess
from tests.chaos.services import Kind, MissingError, PostgreSQL, RabbitMQ, Redis, running


def given(kind: type[Kind]) -> Iterator[Kind]:
    """Give a running service; without its program skip the test, and fail where CI=true."""
    try:
        with running(kind) as service:
            yield service
    except MissingError as error:
        if os.environ.get("CI", "").lower() == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def private_postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL cluster of this run's own; it may be killed and restarted at will."""
    yield from given(PostgreSQL)


@pytest.fixture(scope="session")
def private_redis() -> Iterator[Redis]:
    """A Redis of this run's own."""
    yield from given(Redis)


@pytest.fixture(scope="session")
def private_rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node of this run's own."""
    yield from given(RabbitMQ)


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that holds the depot's connector as an installed package."""
    return plugin.install(tmp_path_factory.mktemp("plugins"))


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[DepotProcess]:
    """A depot with an empty journal."""
    depot = DepotProcess(tmp_path / "depot", seed=7)
    try:
        depot.start()
        yield depot
    finally:
        depot.close()
