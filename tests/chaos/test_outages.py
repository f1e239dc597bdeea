"""The services that the plane rests on go away under load: restarted in order or killed, or cut off in the middle of a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from tests.chaos.depot.journal import Arrivals
from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import by_api, season
from tests.chaos.plane import Plane
from tests.chaos.processes import free_port
from tests.chaos.run import Outcome, endure
from tests.chaos.services import PostgreSQL, RabbitMQ, Redis
from tests.chaos.wire import Wire

pytestmark = pytest.mark.chaos
DOCUMENTS = 60


@pytest.fixture
def database(private_postgresql: PostgreSQL) -> Iterator[str]:
    """The name of an empty database."""
    name = f"outage_{free_port()}"
    private_postgresql.make_database(name)
    yield name
    private_postgresql.drop_database(name)


@pytest.fixture
def wire(private_postgresql: PostgreSQL) -> Iterator[Wire]:
    """A wire to PostgreSQL."""
    wire = Wire(private_postgresql.port)
    yield wire
    wire.close()


@contextmanager
def opened(
    folder: Path, plugins: Path, depot: DepotProcess, database_url: str, broker_url: str = ""
) -> Iterator[Plane]:
    """A plane on PostgreSQL that runs; with a broker, on Celery with one worker."""
    plane = Plane(
        folder / "home", plugins, depot.port, database_url=database_url, broker_url=broker_url,
        workers=1 if broker_url else 0, environment={"TRUEUP_LEASE": "3"},
    )  # fmt: skip
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


def through(plane: Plane, depot: DepotProcess, troubles: Sequence[Callable[[], object]]) -> Outcome:
    """Post a season, make each trouble at a point of its own of the way, and hold the outcome to the laws."""
    events = season(seed=3, documents=DOCUMENTS, keys=4, updates=6)
    progress = Arrivals(depot.journal, "keyed")

    def trouble() -> None:
        for number, make in enumerate(troubles, 1):
            point = number * DOCUMENTS // (len(troubles) + 1)
            plane.wait_until(lambda point=point: progress() >= point, f"{point} documents have arrived", 120)  # type: ignore[misc]
            make()

    outcome = endure(
        plane, depot, events, by_api(plane.token), seed=3, trouble=trouble, progress=progress, many=4, ahead=12
    )
    assert outcome.verdict.fine, str(outcome.verdict)
    assert outcome.acknowledged == len(events)
    assert all(process.alive for process in plane.processes), "nothing of the plane had to be started again"
    return outcome


def test_postgresql_is_restarted_and_killed_under_load(
    tmp_path: Path, plugin_folder: Path, depot: DepotProcess, private_postgresql: PostgreSQL, database: str
) -> None:
    with opened(tmp_path, plugin_folder, depot, private_postgresql.url_of(database)) as plane:
        through(plane, depot, [private_postgresql.restart, lambda: private_postgresql.restart(hard=True)])


def test_rabbitmq_is_restarted_and_killed_under_load(
    tmp_path: Path,
    plugin_folder: Path,
    depot: DepotProcess,
    private_postgresql: PostgreSQL,
    private_rabbitmq: RabbitMQ,
    database: str,
) -> None:
    url = private_postgresql.url_of(database)
    with opened(tmp_path, plugin_folder, depot, url, private_rabbitmq.url) as plane:
        # in order first: a quorum queue of this version outlasts a kill only when it was on disk before
        through(plane, depot, [private_rabbitmq.restart, lambda: private_rabbitmq.restart(hard=True)])


def test_redis_as_celerys_broker_is_restarted_and_killed_under_load(
    tmp_path: Path,
    plugin_folder: Path,
    depot: DepotProcess,
    private_postgresql: PostgreSQL,
    private_redis: Redis,
    database: str,
) -> None:
    url = private_postgresql.url_of(database)
    with opened(tmp_path, plugin_folder, depot, url, private_redis.url) as plane:
        through(plane, depot, [private_redis.restart, lambda: private_redis.restart(hard=True)])


COMMITS = {"accept": b'"source":"feed"', "record": b'"kind":"write"'}
"""What only the transactions of accepting, and of recording, send to the database."""


def test_the_connection_is_cut_in_the_middle_of_commits(
    tmp_path: Path, plugin_folder: Path, depot: DepotProcess, private_postgresql: PostgreSQL, database: str, wire: Wire
) -> None:
    def cut(step: str, when: Literal["before", "after"]) -> Callable[[], None]:
        def order_and_wait() -> None:
            goal = wire.cut_so_far + 2
            wire.cut_when(b"COMMIT", when, times=2, within=COMMITS[step])
            plane.wait_until(lambda: wire.cut_so_far >= goal, f"two commits of {step} are cut {when} they arrive", 120)

        return order_and_wait

    with opened(tmp_path, plugin_folder, depot, private_postgresql.url_of(database, wire.port)) as plane:
        through(
            plane,
            depot,
            [cut("accept", "before"), cut("accept", "after"), cut("record", "before"), cut("record", "after")],
        )
    assert wire.cut_so_far == 8
