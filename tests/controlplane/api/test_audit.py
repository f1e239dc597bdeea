"""The action log over real HTTP and from the command line: who may read it, and what an export is worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from controlplane.access import create_account
from controlplane.audit.commands import app
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ForbiddenError
from controlplane.jobs import Ticker
from controlplane.wiring import Plane
from tests.conftest import START
from tests.web import PASSWORD, a_plane, found_by_the_console, signed_in

AUDIT = "/api/v1/audit"
ENV = {"TRUEUP_HOST": "127.0.0.1"}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A plane with an auditor; making its people is what its log begins with."""
    with a_plane(tmp_path / "home", ManualClock(START)) as found:
        create_account(found.store, found.clock, "paula", PASSWORD, ["auditor"], actor="test", team="audit")
        yield found


@pytest.fixture
def paula(url: str) -> Iterator[httpx.Client]:
    """An auditor."""
    with closing(signed_in(url, "paula")) as client:
        yield client


@pytest.fixture
def ours(url: str, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line speaks to this plane."""
    found_by_the_console(plane, url, monkeypatch)


def test_actions_are_read_page_by_page_and_narrowed(paula: httpx.Client) -> None:
    first = paula.get(f"{AUDIT}/actions", params={"limit": 3}).json()
    numbers = [one["seq"] for one in first["actions"]]
    assert numbers == list(range(numbers[0], numbers[0] - 3, -1))
    second = paula.get(f"{AUDIT}/actions", params={"limit": 3, "cursor": first["next"]}).json()
    assert second["actions"][0]["seq"] == numbers[-1] - 1
    everything = paula.get(f"{AUDIT}/actions", params={"limit": 1000}).json()
    assert (len(everything["actions"]), everything["next"]) == (numbers[0], None)
    mine = paula.get(f"{AUDIT}/actions", params={"actor": "paula"}).json()["actions"]
    assert {one["action"] for one in mine} == {"account.sign_in"}
    assert {"actor", "action", "subject", "reason", "before", "after", "at", "hash"} <= mine[0].keys()


def test_a_cursor_of_another_list_is_refused_with_the_remedy(paula: httpx.Client) -> None:
    other = paula.get("/api/v1/audit/actions", params={"limit": 1}).json()["next"]
    answer = paula.get(f"{AUDIT}/checkpoints", params={"cursor": other})
    assert (answer.status_code, "give `next` of the part before" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize("name", ["vic", "olga", "ada", "ben"])
@pytest.mark.parametrize("path", ["actions", "checkpoints", "export"])
def test_who_is_neither_auditor_nor_admin_reads_nothing_of_it(url: str, name: str, path: str) -> None:
    with closing(signed_in(url, name)) as client:
        answer = client.get(f"{AUDIT}/{path}")
        assert answer.status_code == 403
        assert "audit.view" in answer.json()["detail"]


def test_the_ticker_anchors_what_was_done(plane: Plane, paula: httpx.Client) -> None:
    ticker = Ticker(plane)
    ticker.run_due()
    told = paula.get(f"{AUDIT}/checkpoints").json()
    [one] = told["checkpoints"]
    assert one["written_to"] == told["places"] == [str(plane.settings.home.resolve() / "anchors")]
    plane.clock.advance(61)  # type: ignore[attr-defined]
    ticker.run_due()
    assert len(paula.get(f"{AUDIT}/checkpoints").json()["checkpoints"]) == 1, "nobody has done anything since"
    ticker.stop()


def test_an_export_from_the_command_line_is_checked_without_a_plane(plane: Plane, ours: None, tmp_path: Path) -> None:
    plane.anchors.advance()
    file = tmp_path / "log.ndjson"
    made = CliRunner().invoke(app, ["export", str(file)], env=ENV)
    assert made.exit_code == 0, made.output
    [place] = plane.anchors.places
    checked = CliRunner().invoke(app, ["verify", str(file), "--anchors", place, "--json"])
    assert checked.exit_code == 0, checked.output
    told = json.loads(checked.output)
    assert (told["whole"], told["problems"], told["anchored_to"], told["not_anchored"]) == (
        True,
        [],
        told["actions"],
        None,
    )
    again = CliRunner().invoke(app, ["export", str(file)], env=ENV)
    assert isinstance(again.exception, BadInputError)
    assert "is there already" in str(again.exception)


def test_what_was_done_to_the_file_is_told_with_the_remedy(plane: Plane, ours: None, tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    CliRunner().invoke(app, ["export", str(file)], env=ENV)
    lines = file.read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace('"actor":"', '"actor":"not ')
    file.write_text("".join(lines))
    checked = CliRunner().invoke(app, ["verify", str(file)])
    assert checked.exit_code == 1
    assert "wrong: action 3: was changed after it was written; compare it with a backup" in checked.output
    assert "not anchored yet: actions 1 to" in checked.output


def test_a_place_without_a_checkpoint_is_not_taken_for_agreement(plane: Plane, ours: None, tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    CliRunner().invoke(app, ["export", str(file)], env=ENV)
    checked = CliRunner().invoke(app, ["verify", str(file), "--anchors", str(tmp_path / "nothing")])
    assert checked.exit_code == 1
    assert "holds no checkpoint of the installation" in checked.output


def test_a_token_without_the_right_exports_nothing(plane: Plane, ours: None, tmp_path: Path) -> None:
    with plane.store.write() as conn:
        conn.execute(text("UPDATE account SET roles = '[\"viewer\"]' WHERE name = 'admin'"))
    made = CliRunner().invoke(app, ["export", str(tmp_path / "log.ndjson")], env=ENV)
    assert isinstance(made.exception, ForbiddenError)
    assert [path.name for path in tmp_path.iterdir()] == ["home"], "nothing half written is left behind"
