"""/api/v1/ledger over real HTTP, and `trueup ledger` beside a plane that runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import httpx
import pytest
from sqlalchemy import insert, select
from typer.testing import CliRunner

from controlplane.clock import ManualClock
from controlplane.jobs import Ticker
from controlplane.jobs.commands import app
from controlplane.store import open_store
from controlplane.store import tables as t
from controlplane.store.owner import only_one
from controlplane.wiring import Plane
from tests.conftest import START
from tests.controlplane.sync.archive.kit import LONG, archiver, history, house_of
from tests.web import a_plane, found_by_the_console, signed_in

LEDGER = "/api/v1/ledger"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with a_plane(tmp_path / "home", ManualClock(START)) as found:
        yield found


def test_retention_is_shown_and_kept_on_request(plane: Plane, olga: httpx.Client) -> None:
    scopes = olga.get(f"{LEDGER}/retention").json()["scopes"]
    assert {"finance", "returns"} <= {one["domain"] for one in scopes if one["kind"] == "attempts"}
    ticker = Ticker(plane)
    ticker.run_due()
    plane.clock.advance(1)  # type: ignore[attr-defined]
    asked = olga.post(f"{LEDGER}/archive", json={})
    assert asked.status_code == 202
    run = asked.json()["run"]
    assert olga.get(f"{LEDGER}/runs/{run}").json()["state"] == "requested"
    ticker.run_due()
    ticker.run_due()
    ticker.stop()
    assert olga.get(f"{LEDGER}/runs/{run}").json()["state"] == "done"
    assert olga.get(f"{LEDGER}/parts", params={"limit": 5}).json() == {"parts": [], "next": None}, "nothing was old"


def test_who_may_only_look_moves_nothing(url: str) -> None:
    with closing(signed_in(url, "vic")) as client:
        assert client.get(f"{LEDGER}/retention").status_code == 200
        for path, body in (("archive", {}), ("restore", {"uri": "file:///x"})):
            refused = client.post(f"{LEDGER}/{path}", json=body)
            assert refused.status_code == 403, refused.text


def test_what_is_not_there_and_what_makes_no_sense_is_refused(olga: httpx.Client) -> None:
    assert olga.get(f"{LEDGER}/runs/none").status_code == 404
    missing = olga.post(f"{LEDGER}/restore", json={"uri": "file:///nowhere"})
    assert missing.status_code == 422
    assert "file:///nowhere lies in no archive" in missing.json()["detail"]
    for wrong in ({}, {"uri": "file:///x", "since": "yesterday"}, {"uri": "file:///x", "keep": "a while"}):
        refused = olga.post(f"{LEDGER}/restore", json=wrong)
        assert refused.status_code == 422, refused.text


def test_restore_at_a_running_plane_tells_its_own_part(
    plane: Plane, url: str, olga: httpx.Client, monkeypatch: pytest.MonkeyPatch, sqlite_template: Path, tmp_path: Path
) -> None:
    """Two parts of another plane, of which somebody asked for one and the command line asks for the other."""
    shutil.copy(sqlite_template, tmp_path / "other.sqlite")
    with closing(open_store(f"sqlite:///{tmp_path / 'other.sqlite'}")) as store:
        house = house_of(store, ManualClock(START), tmp_path, archive=f"file://{tmp_path}/archive")
        history(house)
        house.clock.advance(LONG.total_seconds())
        archiver(house).run()
        with store.read() as connection:
            parts = [row for row in connection.execute(select(t.archive)).mappings() if row["uri"]]
    with plane.store.write() as connection:
        connection.execute(insert(t.archive), [dict(part) for part in parts])
    mine, other = parts[-1], parts[0]
    assert olga.post(f"{LEDGER}/restore", json={"uri": other["uri"]}).status_code == 202
    found_by_the_console(plane, url, monkeypatch)
    ticker, done = Ticker(plane), []
    with only_one(plane.settings):
        asking = Thread(
            target=lambda: done.append(CliRunner().invoke(app, ["restore", mine["uri"], "--json"])), daemon=True
        )
        asking.start()
        while asking.is_alive():
            ticker.run_due()
            asking.join(0.05)
    ticker.stop()
    assert done[0].exit_code == 0, done[0].output
    said = done[0].output[done[0].output.index('{\n  "part"') :]  # the plane in this process logs beside it
    told, _ = json.JSONDecoder().raw_decode(said)
    assert (told["part"], told["state"], told["rows"], told["there"]) == (mine["id"], "done", mine["tables"], 0)
    assert olga.get(f"{LEDGER}/parts/{other['id']}").json()["restored"]["rows"] == other["tables"]
    assert olga.get(f"{LEDGER}/parts/none").status_code == 404


def test_the_command_line_asks_the_plane_that_owns_the_store(
    plane: Plane, url: str, olga: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`held` says that a plane owns the home: the command then speaks to it, and opens nothing."""
    found_by_the_console(plane, url, monkeypatch)
    with only_one(plane.settings):
        done = CliRunner().invoke(app, ["archive", "--json"])
    assert done.exit_code == 0, done.output
    assert done.output.count('"kind"') == len(olga.get(f"{LEDGER}/retention").json()["scopes"])
