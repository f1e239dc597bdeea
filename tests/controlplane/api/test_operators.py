"""What operators see and do, over real HTTP, and by `trueup sync`, which speaks to the same API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from controlplane import access
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from controlplane.store import tables as t
from controlplane.sync.commands import app
from controlplane.wiring import Plane
from tests.conftest import START
from tests.controlplane.sync.backlog import Still, orders, waiting
from tests.web import a_plane, found_by_the_console, signed_in

SINCE = (START - timedelta(days=1)).isoformat()


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A plane in which three orders were accepted and routed, and none was sent; nothing runs by itself."""
    clock: ManualClock = Still(START)
    with a_plane(tmp_path, clock) as found:
        orders(found, 3)  # type: ignore[arg-type]
        found.sync.process()
        clock.advance(1)
        yield found


@pytest.fixture
def console(plane: Plane, url: str, monkeypatch: pytest.MonkeyPatch) -> Plane:
    """The plane that the command line finds, as the operator olga."""
    found_by_the_console(plane, url, monkeypatch, "olga")
    return plane


def run(*arguments: str) -> str:
    """Run `trueup sync`; what the plane refuses is raised. Returns what it printed."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def table(text: str) -> list[dict[str, str]]:
    """Rows of a table as it goes into a pipe."""
    header, *lines = (line.split("\t") for line in text.splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


def actions(plane: Plane) -> list[tuple[str, str]]:
    """What olga did, but for signing in."""
    a = t.action.c
    with plane.store.read() as connection:
        query = select(a.actor, a.action).where(a.actor == "olga", a.action != "account.sign_in").order_by(a.seq)
        return [(row.actor, row.action) for row in connection.execute(query)]


# --- over HTTP ---


def test_a_flow_is_paused_seen_as_the_reason_and_resumed(plane: Plane, olga: httpx.Client) -> None:
    assert olga.post("/api/v1/flows/orders/pause", json={"reason": "wrong prices"}).json() == {
        "flow": "orders", "paused": True,
    }  # fmt: skip
    page = olga.get("/api/v1/retrying").json()
    assert {(held["system"], held["flow"], held["reason"], held["count"]) for held in page["counts"]} == {
        ("erp", "orders", "paused_flow", 3), ("wms", "orders", "paused_flow", 3),
    }  # fmt: skip
    assert olga.post("/api/v1/flows/orders/pause", json={"reason": "again"}).status_code == 409
    assert olga.post("/api/v1/flows/orders/run", json={}).status_code == 409
    assert olga.post("/api/v1/flows/orders/resume").json() == {"flow": "orders", "paused": False}
    assert olga.get("/api/v1/retrying").json()["counts"] == []
    assert actions(plane) == [("olga", "flow.pause"), ("olga", "flow.resume")]


def test_what_waits_is_paged_over_http(plane: Plane, olga: httpx.Client) -> None:
    waiting(plane, "erp", 5, due=60)  # type: ignore[arg-type]
    first = olga.get("/api/v1/retrying", params={"system": "erp", "limit": 3}).json()
    rest = olga.get("/api/v1/retrying", params={"system": "erp", "limit": 3, "cursor": first["next"]}).json()
    assert (len(first["deliveries"]), len(rest["deliveries"]), rest["next"]) == (3, 2, None)
    assert first["deliveries"][0]["next_try"] == (plane.clock.now() + timedelta(seconds=60)).isoformat()
    assert olga.get("/api/v1/retrying", params={"cursor": "nothing"}).status_code == 422


def test_deliveries_flows_and_systems_are_run_now(plane: Plane, olga: httpx.Client) -> None:
    one, *_ = waiting(plane, "erp", 5, due=60)  # type: ignore[arg-type]
    assert olga.post(f"/api/v1/deliveries/{one}/run").json() == {"delivery": one, "due": True}
    assert olga.post("/api/v1/flows/orders/run").json() == {"flow": "orders", "released": 4, "more": False}
    assert olga.post("/api/v1/systems/erp/run").json() == {
        "system": "erp", "asked_again": False, "blocked_until": None,
    }  # fmt: skip
    assert actions(plane) == [("olga", "delivery.run"), ("olga", "flow.run"), ("olga", "system.run")]


def test_a_replay_is_shown_first_then_started_followed_and_cancelled(plane: Plane, olga: httpx.Client) -> None:
    asked = {"flow": "orders", "since": SINCE, "reason": "the ERP lost a day"}
    shown = olga.post("/api/v1/replays", json={**asked, "dry_run": True})
    assert shown.status_code == 200
    assert shown.json() == {
        "looked_at": 3, "complete": True, "keys": [],
        "counts": {"erp": {"under_way": 3}, "wms": {"under_way": 3}},
    }  # fmt: skip
    assert olga.get("/api/v1/replays").json() == {"replays": [], "next": None}
    made = olga.post("/api/v1/replays", json={**asked, "rate": 5, "target": "erp"})
    assert made.status_code == 201
    replay = made.json()
    assert {name: replay[name] for name in ("state", "rate", "target", "asked_by", "reason", "counts")} == {
        "state": "running", "rate": 5.0, "target": "erp", "asked_by": "olga", "reason": "the ERP lost a day",
        "counts": {},
    }  # fmt: skip
    assert olga.post("/api/v1/replays", json=asked).status_code == 409
    plane.sync.reprocessing.advance()
    followed = olga.get(f"/api/v1/replays/{replay['id']}").json()
    assert (followed["state"], followed["counts"], followed["waits_for"]) == ("done", {"erp": {"under_way": 3}}, [])
    again = olga.post("/api/v1/replays", json=asked).json()["id"]
    assert olga.post(f"/api/v1/replays/{again}/cancel", json={"reason": "no"}).json()["state"] == "cancelled"
    assert [one["state"] for one in olga.get("/api/v1/replays").json()["replays"]] == ["cancelled", "done"]


WRONG: tuple[tuple[dict[str, Any], int, str], ...] = (
    ({"flow": "nothing"}, 404, "no flow 'nothing'"),
    ({"flow": 5}, 422, "`flow`: Input should be a valid string"),
    ({"since": "yesterday"}, 422, "'yesterday' is no instant with its zone"),
    ({"since": "2026-03-01T00:00:00"}, 422, "is no instant with its zone"),
    ({"until": 7}, 422, "`until`: 7 is no instant with its zone"),
    ({"until": SINCE}, 422, "give `since` before `until`"),
    ({"reason": "  "}, 422, "`reason`: "),
    ({"rate": "fast"}, 422, "`rate`: Input should be a valid number"),
    ({"rate": True}, 422, "`rate`: Input should be a valid number"),
    ({"rate": 0}, 422, "`rate`: Input should be greater than or equal to 0.001"),
    ({"force": "yes"}, 422, "`force`: Input should be a valid boolean"),
    ({"dry_run": "yes"}, 422, "`dry_run`: Input should be a valid boolean"),
    ({"subject": ""}, 422, "`subject`: String should have at least 1 character"),
    ({"target": "pager"}, 422, "has no target 'pager'; it has: erp, wms"),
)


def test_a_replay_that_makes_no_sense_is_refused_and_nothing_is_begun(plane: Plane, olga: httpx.Client) -> None:
    for wrong, status, told in WRONG:
        answer = olga.post("/api/v1/replays", json={"flow": "orders", "since": SINCE, "reason": "outage", **wrong})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), wrong
        assert told in answer.json()["detail"]
    assert plane.sync.reprocessing.running() == []


def test_who_may_only_look_sees_what_waits_and_does_nothing_about_it(plane: Plane, url: str) -> None:
    vic = signed_in(url, "vic")
    assert vic.get("/api/v1/retrying").status_code == 200
    asked = {"flow": "orders", "since": SINCE, "reason": "outage"}
    for path, given in (
        ("systems/erp/pause", {"reason": "x"}), ("systems/erp/resume", {}), ("systems/erp/run", {}),
        ("flows/orders/pause", {"reason": "x"}), ("flows/orders/resume", {}), ("flows/orders/run", {}),
        ("deliveries/x/run", {}), ("replays", asked), ("replays", {**asked, "dry_run": True}), ("replays/x/cancel", {}),
    ):  # fmt: skip
        answer = vic.post(f"/api/v1/{path}", json=given)
        assert answer.status_code == 403, path
        assert "sync." in answer.json()["detail"]
    assert actions(plane) == []


# --- on the command line ---


def test_the_console_pauses_says_why_nothing_moves_and_resumes(console: Plane) -> None:
    assert run("pause", "--system", "erp", "--reason", "stocktaking") == "erp is paused\n"
    assert run("pause", "--flow", "orders", "--reason", "wrong prices") == "orders is paused\n"
    stand, held = run("status").split("system\tflow")
    erp = next(row for row in table(stand) if row["system"] == "erp")
    assert erp["paused since"] == console.clock.now().isoformat()
    assert "erp\torders\tpaused_flow\t3" in held
    assert run("resume", "--flow", "orders") == "orders goes on\n"
    found = table(run("retrying", "--system", "erp"))
    assert {row["reason"] for row in found} == {"paused_system"}
    assert [row["what"] for row in found] == [f"sales_order #{number:03}" for number in range(3)]
    assert run("resume", "--system", "erp") == "erp goes on\n"
    assert run("retrying") == "nothing waits\n"
    assert [action for _, action in actions(console)] == ["system.pause", "flow.pause", "flow.resume", "system.resume"]


def test_the_console_runs_now(console: Plane) -> None:
    one, *_ = waiting(console, "erp", 3, due=60)  # type: ignore[arg-type]
    assert run("run", "--delivery", one) == f"{one} is due now\n"
    assert run("run", "--flow", "orders") == "2 deliveries are due now\n"
    assert run("run", "--system", "erp") == "erp is due now\n"
    with pytest.raises(BadInputError, match="give one of --system, --flow and --delivery"):
        run("run")
    with pytest.raises(BadInputError, match="give one of --system, --flow and --delivery"):
        run("run", "--flow", "orders", "--system", "erp")


def test_the_console_shows_a_replay_first_then_starts_lists_and_cancels_it(console: Plane) -> None:
    asked = ("replay", "orders", "--since", SINCE, "--reason", "outage")
    assert table(run(*asked, "--dry-run").removesuffix("nothing would be sent\n")) == [
        {"target": "erp", "outcome": "under_way", "count": "3"}, {"target": "wms", "outcome": "under_way", "count": "3"},
    ]  # fmt: skip
    assert " is running, at 20 a second" in run(*asked)
    console.sync.reprocessing.advance()
    [listed] = table(run("replays"))
    assert (listed["state"], listed["what became"]) == ("done", "erp: 3 under_way, wms: 3 under_way")
    again = json.loads(run(*asked, "--json"))["id"]
    assert [row["state"] for row in table(run("replays", "--cancel", again))] == ["cancelled", "done"]


def test_the_console_repeats_what_the_plane_refuses(console: Plane) -> None:
    with pytest.raises(NotFoundError, match="no system 'nothing' in the registry; there are: "):
        run("pause", "--system", "nothing", "--reason", "x")
    with pytest.raises(ConflictError, match="the flow 'orders' is not paused"):
        run("resume", "--flow", "orders")
    with pytest.raises(BadInputError, match="'yesterday' is no instant with its zone"):
        run("replay", "orders", "--since", "yesterday", "--reason", "x")
    (console.settings.home / "cli-token").unlink()
    access.ensure_cli_token(console.store, console.clock, console.settings.home / "cli-token", "vic")
    with pytest.raises(ForbiddenError, match=r"it takes the right 'sync\.pause'"):
        run("pause", "--system", "erp", "--reason", "x")


def test_a_name_with_odd_characters_stays_one_name(console: Plane) -> None:
    with pytest.raises(NotFoundError, match=r"no system 'a/b' in the registry|there is no POST"):
        run("pause", "--system", "a/b", "--reason", "x")
