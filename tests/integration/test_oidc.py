"""Signing in at a real OpenID provider (npm oidc-provider), over HTTP and in a real browser.

Brings the provider up with the script beside the repository, or where TRUEUP_SHARED says; it needs node and npm.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright
from sqlalchemy import select

from controlplane.audit import verify
from controlplane.store import tables as t
from controlplane.wiring import Plane
from dashboards.app import mount
from tests.dashboards.chromium import CHROMIUM, MARKS
from tests.web import a_plane, free_port, served

SHARED = Path(os.environ.get("TRUEUP_SHARED") or Path(__file__).parents[2].parent / "shared")
SCRIPT = SHARED / "real" / "oidc_up.sh"
REQUESTS = "/api/v1/change-requests"
ROLES = {
    "sync-admins": {"roles": ["editor"], "team": "integration-platform"},
    "sync-viewers": {"roles": ["approver"], "team": "finance-systems"},
}


@pytest.fixture(scope="module")
def plane_port() -> int:
    """Known before anything runs: the provider sends people back to one address only."""
    return free_port()


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory, plane_port: int) -> Iterator[str]:
    """A provider at which anybody signs in with any password; ada and vic have a group each."""
    if not SCRIPT.exists():
        pytest.skip(f"no OpenID provider: set TRUEUP_SHARED to the folder with real/{SCRIPT.name}")
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {missing[0]} to run an OpenID provider with: apt-get install nodejs npm")
    work, port = tmp_path_factory.mktemp("oidc"), free_port()
    back = f"http://127.0.0.1:{plane_port}/login/oidc/callback"
    environment = os.environ | {"OIDC_PORT": str(port), "OIDC_REDIRECT": back}
    up = subprocess.run(["bash", SCRIPT, "up", work], env=environment, capture_output=True, text=True, timeout=200)
    try:
        if up.returncode:
            pytest.skip(
                f"the OpenID provider could not be brought up (is npm's registry reachable?): {up.stderr[-300:]}"
            )
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run(["bash", SCRIPT, "down", work], env=environment, check=False, timeout=60)


@pytest.fixture
def plane(tmp_path: Path, issuer: str, plane_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plane]:
    monkeypatch.setenv("TEST_OIDC_SECRET", "sync-console-secret")
    given = {
        "port": plane_port, "oidc_issuer": issuer, "oidc_client_id": "sync-console",
        "oidc_client_secret": "env:TEST_OIDC_SECRET", "oidc_name": "Company", "oidc_scopes": "openid profile groups",
        "oidc_roles": json.dumps(ROLES), "approver_wait": 0,
    }  # fmt: skip
    with a_plane(tmp_path, **given) as found:
        yield found


@pytest.fixture
def url(plane: Plane, plane_port: int) -> Iterator[str]:
    with served(plane, [mount], plane_port) as found:
        yield found


class Browser(httpx.Client):
    """Somebody at a browser: follows redirections, and fills in the provider's pages."""

    def __init__(self, url: str, who: str) -> None:
        super().__init__(base_url=url, trust_env=False, follow_redirects=True)
        self.who = who

    def walk(self, path: str) -> httpx.Response:
        """Open a page of the plane that leads to the provider, and go on until the plane answers again."""
        self.asked: list[str] = []
        page = self.get(path)
        while page.url.port != self.base_url.port:
            page = self._fill_in(page)
        if "_csrf_token" in self.cookies:
            self.headers["X-CSRFToken"] = self.cookies["_csrf_token"]
        return page

    def _fill_in(self, page: httpx.Response) -> httpx.Response:
        form = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        assert form is not None, page.text
        hidden = r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"'
        fields = dict(re.findall(hidden, page.text))
        self.asked.append(fields["prompt"])
        if 'name="login"' in page.text:
            fields |= {"login": self.who, "password": "any"}
        return self.post(page.url.join(html.unescape(form[1])), data=fields)


def done(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def in_review(ada: httpx.Client) -> str:
    """Let ada ask for a change that tightens a promise; return its id."""
    document = done(ada.get("/api/v1/policies/RetryPolicy/default"))["policy"]["document"]
    asked = {**document, "spec": {**document["spec"], "cap": "4m"}}
    told = {"kind": "RetryPolicy", "name": "default", "document": asked, "title": "Wait less"}
    made = str(done(ada.post(REQUESTS, json=told))["id"])
    assert done(ada.post(f"{REQUESTS}/{made}/submit"))["state"] == "in_review"
    return made


def test_from_signing_in_over_a_change_that_another_approves_to_signing_out(plane: Plane, url: str) -> None:
    ada, vic = Browser(url, "ada"), Browser(url, "vic")
    assert "Sign in with Company" in ada.get("/login").text
    ada.walk("/login/oidc")
    assert {key: done(ada.get("/api/v1/me"))[key] for key in ("name", "roles", "team")} == {
        "name": "ada@127.0.0.1", "roles": ["editor"], "team": "integration-platform",
    }  # fmt: skip
    request = in_review(ada)
    vic.walk("/login/oidc")
    vote = f"{REQUESTS}/{request}/vote"
    refused = vic.post(vote, json={"decision": "approve"})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:trueup:stepup"), "the provider told no auth_time"
    before = vic.cookies["trueup_session"]
    back = vic.walk(f"{refused.json()['step_up']}?next=/policies?request={request}")
    assert vic.asked[0] == "login", "the provider knew the browser, and asked all the same"
    assert (back.url.path, back.url.params["request"]) == ("/policies", request)
    assert vic.cookies["trueup_session"] != before
    assert done(vic.post(vote, json={"decision": "approve"}))["state"] == "approved"
    ada.walk(f"/login/again?next=/policies?request={request}")
    assert done(ada.post(f"{REQUESTS}/{request}/apply"))["state"] == "effective"
    left = vic.post("/logout", data={"csrf_token": vic.cookies["_csrf_token"]})
    assert "Sign out of Company too" in left.text
    assert vic.get("/api/v1/me").status_code == 401
    assert "/session/end" in str(vic.get("/login/oidc/leave").url)
    with plane.store.read() as conn:
        assert verify(conn) == []
        told = conn.execute(select(t.action.c.actor, t.action.c.action).order_by(t.action.c.seq)).all()
    assert [one.action for one in told if one.actor == "vic@127.0.0.1"] == [
        "account.create", "account.sign_in", "access.refuse", "account.sign_in", "session.end",
        "change_request.approve", "session.end",
    ]  # fmt: skip


def test_whom_no_group_gives_a_role_is_told_so_and_has_no_session(plane: Plane, url: str) -> None:
    eve = Browser(url, "eve")
    page = eve.walk("/login/oidc")
    assert page.status_code == 403
    assert "none of the groups there gives a role here" in page.text
    assert "trueup_session" not in eve.cookies
    with plane.store.read() as conn:
        assert conn.execute(select(t.account.c.name).where(t.account.c.issuer.is_not(None))).all() == []
        newest = conn.execute(select(t.action.c.action).order_by(t.action.c.seq.desc()).limit(1)).scalar_one()
    assert newest == "account.sign_in_refused"


@contextmanager
def visited(url: str) -> Iterator[Page]:
    """A page in Chromium; an error in the console of a page of the plane fails the test. The provider's ask for fonts, and get none."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page, wrong = chromium.new_page(), list[str]()
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        page.on("console", lambda told: wrong.append(told.text) if _is_error_of(told, url) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        yield page
        chromium.close()
        assert wrong == []


def _is_error_of(told: ConsoleMessage, url: str) -> bool:
    return told.type == "error" and str(told.location["url"]).startswith(url)


def through_the_provider(page: Page, who: str) -> None:
    """Sign in on the provider's page."""
    page.get_by_placeholder("Enter any login").fill(who)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()


@pytest.mark.browser
@MARKS[1]
def test_a_browser_approves_after_being_led_to_the_provider_and_back(plane: Plane, url: str) -> None:
    ada = Browser(url, "ada")
    ada.walk("/login/oidc")
    request = in_review(ada)
    with visited(url) as page:
        page.goto(f"{url}/policies?request={request}")
        page.get_by_role("link", name="Sign in with Company").click()
        through_the_provider(page, "vic")
        page.get_by_role("button", name="Continue").click()  # it asks once whether this plane may know who it is
        expect(page.locator(".tu-who")).to_have_text("vic@127.0.0.1")
        page.get_by_role("button", name="Approve").click()
        expect(page.locator("#request-answer")).to_contain_text("has not proved within the last 15m who it is")
        page.get_by_role("link", name="Prove that it is you").click()
        through_the_provider(page, "vic")
        page.get_by_role("button", name="Approve").click()
        expect(page.locator("#request-one")).to_contain_text("vic@127.0.0.1: approve")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign out of Company too")).to_be_visible()
