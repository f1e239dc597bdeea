"""A plane that runs, one that does not, and what only looks like one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from rules.ids import new_id
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.doctor.conftest import Look, the
from tests.web import a_plane, served


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def beat(store: Store, clock: ManualClock, ahead: timedelta = timedelta()) -> None:
    """The ticker runs something."""
    at = clock.now() + ahead
    row = {"id": new_id(at), "schedule": "probe:queues", "scheduled_for": at, "started_at": at, "state": "done"}
    with store.write() as connection:
        connection.execute(t.run.insert().values(**row))


def test_nothing_behind_the_planes_port_is_a_warning(look: Look, store: Store) -> None:
    answers = look()
    assert the(answers, "plane")[0] == "warning"
    assert the(answers, "ticker") == (
        "warning",
        "has run nothing yet -> restart the plane; look at plane.log if it stops again",
    )


def test_a_plane_that_runs_is_asked_whether_it_is_ready(look: Look, home: Path, clock: ManualClock) -> None:
    with a_plane(home, clock) as plane, served(plane) as url:
        status, told = the(look(port=port_of(url)), "plane")
        assert (status, "ticker: has run nothing yet" in told) == ("wrong", True)
        assert the(look(port=port_of(url)), "ticker")[0] == "wrong"
        beat(plane.store, clock)
        assert the(look(port=port_of(url)), "plane") == ("ok", f"runs at {url} and is ready -> ")
        assert the(look(port=port_of(url)), "ticker")[0] == "ok"
        clock.advance(600)
        assert the(look(port=port_of(url)), "ticker")[0] == "wrong"


def test_a_plane_that_runs_on_another_database_is_told(
    look: Look, home: Path, tmp_path: Path, clock: ManualClock
) -> None:
    with a_plane(home, clock) as plane, served(plane) as url:
        status, told = the(look(port=port_of(url), home=tmp_path), "database")
    assert (status, "it uses another" in told) == ("wrong", True)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - the doctor must find its way from it
def test_something_else_behind_the_planes_port_is_wrong(look: Look, bad_server: BadServer, host: str) -> None:
    bad_server.script(Habit(200, b"<html>"))
    status, told = the(look(host=host, port=port_of(bad_server.url)), "plane")
    assert (status, "is no plane" in told, "TRUEUP_PORT" in told) == ("wrong", True, True)


def test_a_plane_that_hangs_is_wrong(look: Look, bad_server: BadServer) -> None:
    bad_server.script(Habit(hang=True))
    status, told = the(look(port=port_of(bad_server.url), seconds=1.0), "plane")
    assert (status, "does not answer (ReadTimeout)" in told) == ("wrong", True)


def test_a_row_from_the_future_is_wrong_and_names_its_table(look: Look, store: Store, clock: ManualClock) -> None:
    beat(store, clock, timedelta(seconds=30))
    assert the(look(), "clock")[0] == "ok"
    beat(store, clock, timedelta(hours=3))
    status, told = the(look(), "clock", "run.started_at")
    assert (status, "3.0 h ahead of this machine's clock" in told) == ("wrong", True)


def test_a_rule_that_could_not_be_judged_is_named_and_so_is_judging_that_failed(
    look: Look, store: Store, clock: ManualClock
) -> None:
    assert the(look(), "judging") == ("ok", "nothing was judged yet -> ")
    judge(store, clock, "done", {"result": {"broken": ["service_level/stock-freshness"]}})
    assert the(look(), "judging", "service_level/stock-freshness")[0] == "wrong"
    clock.advance(60)
    judge(store, clock, "failed", {"error": "OverflowError('date value out of range')"})
    status, told = the(look(), "judging")
    assert (status, "nobody is told of anything: OverflowError" in told) == ("wrong", True)
    clock.advance(60)
    judge(store, clock, "done", {"result": {"broken": []}})
    assert the(look(), "judging")[0] == "ok"


def judge(store: Store, clock: ManualClock, state: str, detail: dict[str, object]) -> None:
    """The ticker has rules judged."""
    at = clock.now()
    row = {"id": new_id(at), "schedule": "evaluate", "scheduled_for": at, "started_at": at, "state": state}
    with store.write() as connection:
        connection.execute(t.run.insert().values(**row, detail=detail))
