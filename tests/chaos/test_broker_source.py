"""A broker that messages are taken from is stopped or killed in the middle: what it kept comes in, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.store import Store
from tests.chaos.services import RabbitMQ, Redis, Service
from tests.integration.sources import SourceQueue, Taking, body
from tests.waiting import until

pytestmark = pytest.mark.chaos
EACH = 300


@pytest.fixture(params=["rabbitmq", "redis"])
def service(request: pytest.FixtureRequest) -> RabbitMQ | Redis:
    """A broker of this run's own."""
    return request.getfixturevalue(f"private_{request.param}")  # type: ignore[no-any-return]


@pytest.fixture
def queue(service: Service) -> Iterator[SourceQueue]:
    """A queue at it whose place is on disk."""
    queue = SourceQueue(service.url)
    if not queue.is_redis:
        with queue.channel() as channel:
            queue.declare(channel)
        service.restart()
    yield queue
    queue.remove()


@pytest.mark.parametrize("hard", [False, True], ids=["stopped", "killed"])
def test_a_broker_is_restarted_while_messages_are_taken_from_it(
    service: Service, queue: SourceQueue, sqlite_store: Store, tmp_path: Path, hard: bool
) -> None:
    taking = Taking(sqlite_store, tmp_path / "home", queue, options={"queue": queue.name, "prefetch": 5})
    with taking.running():
        queue.send([body(number) for number in range(EACH)])
        until(lambda: taking.bodies(), "the first of them")
        service.kill9() if hard else service.stop()
        until(lambda: taking.state().consecutive_failures > 0, "the trouble")
        assert "is not reached" in taking.state().last_error
        service.start()
        until(lambda: len(taking.messages()) == EACH, "all of them")
        queue.send([body(number) for number in range(EACH, 2 * EACH)])
        until(lambda: len(taking.messages()) == 2 * EACH, "what came afterwards")
        until(lambda: queue.left() == 0, "the last acknowledgement")
    taking.close()
    assert taking.messages() == [f"sale-{number}" for number in range(2 * EACH)]
    assert taking.state().consecutive_failures == 0
