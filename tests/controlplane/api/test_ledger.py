"""/api/v1/ledger over real HTTP, and `trueup ledger` beside a plane that runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from controlplane.clock import ManualClock
from controlplane.jobs import Ticker
from controlplane.jobs.commands import app
from controlplane.wiring import Plane
from tests.conftest import START
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


def test_the_command_line_asks_the_plane_that_owns_the_store(
    plane: Plane, url: str, olga: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`held` says that a plane owns the home: the command then speaks to it, and opens nothing."""
    from controlplane.store.owner import only_one

    found_by_the_console(plane, url, monkeypatch)
    with only_one(plane.settings):
        done = CliRunner().invoke(app, ["archive", "--json"])
    assert done.exit_code == 0, done.output
    assert done.output.count('"kind"') == len(olga.get(f"{LEDGER}/retention").json()["scopes"])
