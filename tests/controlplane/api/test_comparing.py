"""What people do about findings over HTTP and by the command line: accept, reopen, ask for healing and agree, read keys again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from controlplane.clock import ManualClock
from controlplane.jobs import comparisons
from controlplane.jobs.finding_commands import app
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.conftest import START
from tests.dashboards.seed import Seed
from tests.web import a_plane, found_by_the_console, signed_in

NAME = "stock-three-way"


@pytest.fixture
def plane(tmp_path: Any) -> Iterator[Plane]:
    with a_plane(tmp_path, ManualClock(START)) as found:
        yield found


@pytest.fixture
def finding(plane: Plane) -> str:
    seed = Seed(plane)
    seed.everything()
    with plane.store.write() as conn:
        conn.execute(update(t.finding).values(state="open"))
    return seed.ids["finding"]


def read(client: httpx.Client, finding: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/findings/{finding}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_finding_is_accepted_with_a_note_and_reopened(olga: httpx.Client, plane: Plane, finding: str) -> None:
    assert olga.post(f"/api/v1/findings/{finding}/accept", json={"reason": ""}).status_code == 422
    made = olga.post(f"/api/v1/findings/{finding}/accept", json={"reason": "counted by hand"})
    assert (made.status_code, made.json()["state"]) == (200, "accepted")
    told = read(olga, finding)
    assert (told["finding"]["accepted_by"], told["finding"]["note"]) == ("olga", "counted by hand")
    assert [(step["kind"], step["actor"]) for step in told["steps"]] == [("accepted", "olga")]
    assert olga.post(f"/api/v1/findings/{finding}/accept", json={"reason": "x"}).status_code == 409
    assert olga.post(f"/api/v1/findings/{finding}/reopen", json={}).status_code == 200
    assert read(olga, finding)["finding"]["state"] == "open"
    with plane.store.read() as conn:
        done = conn.execute(
            select(t.action.c.action, t.action.c.actor).where(t.action.c.subject == f"finding/{finding}")
        )
        assert [tuple(row) for row in done] == [("finding.accept", "olga"), ("finding.reopen", "olga")]


def test_healing_beyond_the_limits_takes_two_people(olga: httpx.Client, url: str, plane: Plane, finding: str) -> None:
    asked = olga.post(f"/api/v1/findings/{finding}/heal", json={"reason": "the shop sells what is not there"})
    assert (asked.status_code, asked.json()["state"]) == (200, "waiting")
    own = olga.post(f"/api/v1/findings/{finding}/heal/approve", json={})
    assert own.status_code == 403
    assert "another person" in own.text
    with closing(signed_in(url, "wim")) as wim:
        agreed = wim.post(f"/api/v1/findings/{finding}/heal/approve", json={})
        assert agreed.status_code == 200, agreed.text
        assert wim.post(f"/api/v1/findings/{finding}/accept", json={"reason": "x"}).status_code == 403
    [heal] = read(olga, finding)["heals"]
    assert (heal["state"], heal["asked_by"], heal["approved_by"]) == ("approved", "olga", "wim")
    with plane.store.read() as conn:
        run = conn.execute(select(t.comparison_run).where(t.comparison_run.c.state == "requested")).one()
    assert (run.subjects, run.trigger) == (["TEE-005@WH1"], "wim")


def test_a_preview_of_healing_says_from_what_to_what_and_why_not(olga: httpx.Client, finding: str) -> None:
    [told] = olga.get(f"/api/v1/comparisons/{NAME}/healing").json()["decisions"]
    assert (told["finding"], told["from"], told["to"], told["units"], told["heals"]) == (finding, 50, [19], 31, True)
    assert olga.get("/api/v1/comparisons/nothing/healing").status_code == 404


def test_a_run_over_some_keys_is_asked_for_and_done_by_name(olga: httpx.Client, plane: Plane) -> None:
    path = f"/api/v1/comparisons/{NAME}/targeted-runs"
    assert olga.post(path, json={"subjects": []}).status_code == 422
    assert olga.post("/api/v1/comparisons/nothing/targeted-runs", json={"subjects": ["A"]}).status_code == 404
    assert olga.post(path, json={"subjects": ["A", "B@WH1"]}).status_code == 202
    assert olga.post(f"/api/v1/comparisons/{NAME}/runs").status_code == 202
    answer = comparisons.run_asked(plane, NAME)
    assert len(answer["runs"]) == 2
    with plane.store.read() as conn:
        c = t.comparison_run.c
        done = conn.execute(select(c.trigger, c.subjects, c.state).order_by(c.id)).all()
    # nothing answers at the addresses of the pack, so each says so and concludes nothing
    assert [tuple(row) for row in done] == [("olga", ["A", "B@WH1"], "failed"), ("olga", None, "failed")]


def test_the_command_line_does_the_same(plane: Plane, url: str, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found_by_the_console(plane, url, monkeypatch)

    def run(*words: str) -> str:
        answer = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "TEE-005@WH1" in run("list")
    assert run("preview", NAME).splitlines()[1].split("\t")[:4] == [finding, "TEE-005@WH1", "shop", "changed_at_target"]
    assert "accepted" in run("accept", finding, "--note", "until Monday")
    assert finding in run("list", "--state", "accepted")
    assert "open" in run("reopen", finding)
    assert "another person" in run("heal", finding, "--reason", "it oversells")
    assert "is requested" in run("run", NAME, "--subject", "TEE-005")
