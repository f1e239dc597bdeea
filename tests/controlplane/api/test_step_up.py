"""Proving anew who one is before a vote, and before what puts a change in force: with a password here.

By the provider: tests/integration/test_oidc.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from controlplane.access import issue_token
from controlplane.clock import ManualClock
from controlplane.registry.decision_commands import app as change
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.web import PASSWORD, a_plane, found_by_the_console, proved_anew, served, signed_in

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REQUESTS = "/api/v1/change-requests"
APPROVE = {"decision": "approve"}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with a_plane(tmp_path, ManualClock(START)) as found:
        yield found


@pytest.fixture
def url(plane: Plane) -> Iterator[str]:
    with served(plane) as found:
        yield found


@pytest.fixture
def request_of_ada(url: str) -> str:
    """Where a change that is in review is voted on."""
    ada = signed_in(url, "ada")
    document = ada.get("/api/v1/policies/RetryPolicy/default").json()["policy"]["document"]
    asked = {**document, "spec": {**document["spec"], "cap": "4m"}}
    told = {"kind": "RetryPolicy", "name": "default", "document": asked, "title": "Less"}
    made = f"{REQUESTS}/{ada.post(REQUESTS, json=told).json()['id']}"
    assert ada.post(f"{made}/submit").json()["state"] == "in_review"
    return f"{made}/vote"


def wait(plane: Plane, seconds: float) -> None:
    assert isinstance(plane.clock, ManualClock)
    plane.clock.advance(seconds)


def test_a_vote_takes_a_proof_of_the_last_quarter_of_an_hour(plane: Plane, url: str, request_of_ada: str) -> None:
    ben = signed_in(url, "ben")
    wait(plane, 901)
    refused = ben.post(request_of_ada, json=APPROVE)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    problem = refused.json()
    assert {name: problem[name] for name in ("type", "step_up", "max_age", "acr_values")} == {
        "type": "urn:trueup:stepup", "step_up": "/login/again", "max_age": 900, "acr_values": [],
    }  # fmt: skip
    assert "'ben' has not proved within the last 15m who it is" in problem["detail"]
    assert ben.post(request_of_ada, json={"decision": "reject"}).json()["type"] == "urn:trueup:stepup"
    proved_anew(ben)
    wait(plane, 900)
    assert ben.post(request_of_ada, json=APPROVE).json()["state"] == "approved"


@pytest.mark.parametrize(
    ("deed", "asked"),
    [("apply", {}), ("schedule", {"at": "2026-03-04T09:00:00Z"}), ("break-glass", {"hours": 1, "reason": "now"})],
)
def test_applying_scheduling_and_break_glass_take_a_proof_as_a_vote_does(
    plane: Plane, url: str, request_of_ada: str, deed: str, asked: dict[str, object]
) -> None:
    request, ada = request_of_ada.removesuffix("/vote"), signed_in(url, "ada")
    assert signed_in(url, "ben").post(request_of_ada, json=APPROVE).json()["state"] == "approved"
    if deed == "break-glass":
        made = ada.get(request).json()
        told = {"kind": "RetryPolicy", "name": "default", "document": made["document"], "title": "At once"}
        request = f"{REQUESTS}/{ada.post(REQUESTS, json=told).json()['id']}"
    token = issue_token(plane.store, plane.clock, "ada", "a robot", actor="test")
    robot = {"Authorization": f"Bearer {token}"}
    by_token = httpx.post(f"{url}{request}/{deed}", json=asked, headers=robot, trust_env=False)
    assert (by_token.status_code, by_token.json()["type"]) == (403, "urn:trueup:stepup")
    wait(plane, 901)
    refused = ada.post(f"{request}/{deed}", json=asked)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:trueup:stepup")
    proved_anew(ada)
    done = ada.post(f"{request}/{deed}", json=asked)
    assert done.json()["state"] == ("scheduled" if deed == "schedule" else "effective"), done.text


def test_the_review_of_a_break_glass_is_a_persons_and_takes_a_proof(
    plane: Plane, url: str, request_of_ada: str
) -> None:
    ada, ben = signed_in(url, "ada"), signed_in(url, "ben")
    document = ada.get(request_of_ada.removesuffix("/vote")).json()["document"]
    told = {"kind": "RetryPolicy", "name": "default", "document": document, "title": "At once"}
    request = f"{REQUESTS}/{ada.post(REQUESTS, json=told).json()['id']}"
    assert ada.post(f"{request}/break-glass", json={"hours": 1, "reason": "now"}).json()["state"] == "effective"
    robot = {"Authorization": f"Bearer {issue_token(plane.store, plane.clock, 'ben', 'a robot', actor='test')}"}
    seen = {"comment": "looked at"}
    by_token = httpx.post(f"{url}{request}/review", json=seen, headers=robot, trust_env=False)
    assert (by_token.status_code, by_token.json()["type"]) == (403, "urn:trueup:stepup")
    wait(plane, 901)
    assert ben.post(f"{request}/review", json=seen).json()["type"] == "urn:trueup:stepup"
    proved_anew(ben)
    assert ben.post(f"{request}/review", json=seen).json()["reviewed_by"] == "ben"


def test_the_command_line_gives_the_proof_by_the_password_of_who_decides(
    plane: Plane, url: str, request_of_ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_by_the_console(plane, url, monkeypatch)
    monkeypatch.setenv("TRUEUP_PASSWORD", PASSWORD)
    request = request_of_ada.split("/")[-2]
    run = CliRunner()
    assert run.invoke(change, ["approve", request, "--as", "ben"]).exit_code == 0
    done = run.invoke(change, ["apply", request, "--as", "ada"])
    assert (done.exit_code, done.output) == (0, f"change request {request} is effective\n")


def test_who_may_not_vote_is_told_that_and_not_asked_for_a_proof(plane: Plane, url: str, request_of_ada: str) -> None:
    vic = signed_in(url, "vic")
    wait(plane, 901)
    assert vic.post(request_of_ada, json=APPROVE).json()["type"] == "urn:trueup:forbidden"


def test_a_service_token_decides_nothing(plane: Plane, url: str, request_of_ada: str) -> None:
    token = issue_token(plane.store, plane.clock, "ben", "a robot", actor="test")
    headers = {"Authorization": f"Bearer {token}"}
    refused = httpx.post(f"{url}{request_of_ada}", json=APPROVE, headers=headers, trust_env=False)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:trueup:stepup")
    assert "'ben' came by a service token" in refused.json()["detail"]
    assert httpx.get(f"{url}/login/again", headers=headers, trust_env=False).status_code == 404


def test_the_password_given_again_makes_another_session_and_leads_back(plane: Plane, url: str) -> None:
    ben = signed_in(url, "ben")
    before = ben.cookies["trueup_session"]
    back = {"next": "/policies?request=1"}
    assert ben.get("/login/again", params=back).headers["location"] == back["next"], "there is nothing to prove"
    wait(plane, 901)
    form = ben.get("/login/again", params=back)
    assert 'value="ben"' in form.text
    assert "readonly" in form.text
    given = {**back, "csrf_token": ben.cookies["_csrf_token"]}
    assert ben.post("/login/again", data={**given, "password": "wrong password"}).status_code == 401
    assert (
        ben.post("/login/again", data={**back, "password": PASSWORD}, headers={"X-CSRFToken": "x"}).status_code == 403
    )
    answer = ben.post("/login/again", data={**given, "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/policies?request=1")
    assert ben.cookies["trueup_session"] != before
    assert httpx.get(f"{url}/api/v1/me", cookies={"trueup_session": before}, trust_env=False).status_code == 401
    assert ben.get("/api/v1/me").json()["name"] == "ben"


def test_signing_in_over_a_session_ends_that_one(plane: Plane, url: str) -> None:
    client = signed_in(url, "ben")
    client.post("/login", data={"name": "wim", "password": PASSWORD})
    with plane.store.read() as conn:
        rows = conn.execute(select(t.login_session.c.account, t.login_session.c.revoked_at)).all()
    assert {row.account: row.revoked_at is None for row in rows} == {"ben": False, "wim": True}


def test_without_a_provider_its_addresses_say_so(url: str) -> None:
    for path in ("/login/oidc", "/login/oidc/leave"):
        answer = httpx.get(f"{url}{path}", trust_env=False)
        assert (answer.status_code, "TRUEUP_OIDC_ISSUER" in answer.json()["detail"]) == (404, True)
    assert "Sign in with" not in httpx.get(f"{url}/login", trust_env=False).text
