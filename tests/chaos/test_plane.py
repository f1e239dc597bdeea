"""The kit itself: a plane is started, fed, killed and started again, and loses nothing by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import Event, Feed, RefusedError, by_api, by_webhook, level, season
from tests.chaos.plane import Plane
from tests.chaos.processes import wait_until
from tests.chaos.run import survive

pytestmark = pytest.mark.chaos


@pytest.fixture
def plane(tmp_path: Path, plugin_folder: Path, depot: DepotProcess) -> Iterator[Plane]:
    """A plane on SQLite that writes to the depot."""
    plane = Plane(tmp_path / "home", plugin_folder, depot.port)
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


@pytest.mark.parametrize(
    ("documents", "kills"),
    [(30, 2), pytest.param(400, 20, marks=[pytest.mark.chaos_long, pytest.mark.timeout(1800)])],
)
def test_a_plane_that_is_killed_at_random_goes_on_where_it_was(
    plane: Plane, depot: DepotProcess, documents: int, kills: int
) -> None:
    events = season(seed=5, documents=documents, keys=2, updates=4)
    outcome = survive(plane, depot, events, by_api(plane.token), seed=5, kills=kills, many=5, ahead=10)
    assert outcome.verdict.fine, str(outcome.verdict)
    assert outcome.acknowledged == len(events)
    assert outcome.kills >= kills


def test_a_feed_repeats_what_was_not_acknowledged_until_the_plane_is_there(plane: Plane) -> None:
    plane.process.kill9()
    feed = Feed(plane.url, [level("A", 5, 0)], by_webhook, seed=1)
    feed.start()
    plane.start()
    wait_until(lambda: feed.done, "the feed is done")
    assert len(feed.acknowledged) == 1


def test_a_feed_stops_at_what_the_plane_will_never_take(plane: Plane) -> None:
    nothing = Event("", "", "", level("A", 5, 0).time, {})
    feed = Feed(plane.url, [nothing], by_api("no token"), seed=1)
    feed.start()
    with pytest.raises(RefusedError, match="401"):
        wait_until(lambda: feed.done, "the feed is done")
