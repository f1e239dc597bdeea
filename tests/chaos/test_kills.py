"""kill -9 of the plane and its workers at random instants: nothing lost, nothing twice, and every level at its last value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from controlplane.store import open_store
from controlplane.store import tables as t
from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import by_api, season
from tests.chaos.plane import Plane
from tests.chaos.processes import free_port
from tests.chaos.run import survive
from tests.chaos.services import PostgreSQL, RabbitMQ

pytestmark = pytest.mark.chaos
LEASE = {"TRUEUP_LEASE": "3"}
"""Short, so that what a killed process held goes on before the run is over."""
SIZES = [
    (300, 10),
    pytest.param(20_000, 200, marks=[pytest.mark.chaos_long, pytest.mark.timeout(4 * 3600)]),
]  # fmt: skip
"""Documents, kills."""


@contextmanager
def opened(plane: Plane) -> Iterator[Plane]:
    """Start a plane, and end it."""
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


@pytest.fixture
def database(private_postgresql: PostgreSQL) -> Iterator[str]:
    """The address of an empty database."""
    name = f"kills_{free_port()}"
    yield private_postgresql.make_database(name)
    private_postgresql.drop_database(name)


def said_repeats(database_url: str) -> Counter[str]:
    """How often the plane says, of each document, that it may have written it again where nothing protects it.

    A `repeat` that was recorded counts, and a try whose process was killed before it could record it: a number that is
    missing among the attempts of the delivery.
    """
    store = open_store(database_url)
    d, a = t.delivery.c, t.attempt.c
    with store.read() as connection:
        owed = connection.execute(select(d.id, d.subject, d.attempts).where(d.target == "unguarded")).all()
        recorded = connection.execute(select(a.delivery_id, a.kind).where(a.system == "unguarded")).all()
    store.close()
    kinds = Counter((row.delivery_id, row.kind) for row in recorded)
    tries = Counter(row.delivery_id for row in recorded)
    found = Counter[str]()
    for row in owed:
        unrecorded = row.attempts - tries[row.id]
        first = not kinds[row.id, "write"]  # then the first of those that were lost was no repeat of anything
        found[row.subject] = kinds[row.id, "repeat"] + unrecorded - first
    return found


def hold_to_the_laws(plane: Plane, depot: DepotProcess, database_url: str, documents: int, kills: int) -> None:
    """Run a season with kills and judge it."""
    events = season(seed=documents + 1, documents=documents, keys=max(4, documents // 100), updates=6)
    outcome = survive(
        plane, depot, events, by_api(plane.token), seed=11, kills=kills, many=8, ahead=max(60, documents // kills)
    )  # fmt: skip
    assert outcome.verdict.fine, str(outcome.verdict)
    assert outcome.acknowledged == len(events)
    assert outcome.kills >= kills
    said = said_repeats(database_url)
    hidden = {ref: (more, said[ref]) for ref, more in outcome.verdict.repeated.items() if more > said[ref]}
    assert not hidden, f"repeated more often than the plane says (journal, plane): {hidden}"


@pytest.mark.parametrize(("documents", "kills"), SIZES)
def test_a_plane_on_sqlite_is_killed_again_and_again(
    tmp_path: Path, plugin_folder: Path, depot: DepotProcess, documents: int, kills: int
) -> None:
    with opened(Plane(tmp_path / "home", plugin_folder, depot.port, environment=LEASE)) as plane:
        hold_to_the_laws(plane, depot, f"sqlite:///{plane.home / 'plane.sqlite'}", documents, kills)


@pytest.mark.parametrize(("documents", "kills"), SIZES)
def test_a_plane_on_postgresql_is_killed_again_and_again(
    tmp_path: Path, plugin_folder: Path, depot: DepotProcess, database: str, documents: int, kills: int
) -> None:
    with opened(Plane(tmp_path / "home", plugin_folder, depot.port, database_url=database, environment=LEASE)) as plane:
        hold_to_the_laws(plane, depot, database, documents, kills)


@pytest.mark.parametrize(("documents", "kills"), SIZES)
def test_a_plane_and_its_celery_workers_are_killed_again_and_again(
    tmp_path: Path,
    plugin_folder: Path,
    depot: DepotProcess,
    database: str,
    private_rabbitmq: RabbitMQ,
    documents: int,
    kills: int,
) -> None:
    plane = Plane(
        tmp_path / "home", plugin_folder, depot.port, database_url=database, broker_url=private_rabbitmq.url, workers=2,
        environment=LEASE,
    )  # fmt: skip
    with opened(plane):
        hold_to_the_laws(plane, depot, database, documents, kills)
