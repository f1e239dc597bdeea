"""The sign-in page and its provider over HTTP: what the browser keeps, what it is told, and that accounts here work all the same."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from itsdangerous import URLSafeSerializer
from sqlalchemy import select

from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.controlplane.access.provider import CLIENT, SECRET, TinyProvider, tiny_provider
from tests.web import a_plane, served, signed_in

ROLES = {"editors": {"roles": ["editor"], "team": "platform"}, "deciders": {"roles": ["approver"]}}
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def provider(clock: ManualClock) -> Iterator[TinyProvider]:
    with tiny_provider(clock) as made:
        made.claims = {"groups": ["editors"], "preferred_username": "ada"}
        yield made


@contextmanager
def plane_of(home: Path, clock: ManualClock, issuer: str, **given: str) -> Iterator[Plane]:
    secrets = home / "sandbox" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "oidc").write_text(SECRET)
    whole = {
        "oidc_issuer": issuer, "oidc_client_id": CLIENT, "oidc_client_secret": "file:oidc", "oidc_name": "Company",
        "oidc_roles": json.dumps(ROLES), **given,
    }  # fmt: skip
    with a_plane(home, clock, **whole) as plane:
        yield plane


@pytest.fixture
def plane(tmp_path: Path, clock: ManualClock, provider: TinyProvider) -> Iterator[Plane]:
    with plane_of(tmp_path, clock, provider.url) as found:
        yield found


@pytest.fixture
def browser(plane: Plane) -> Iterator[httpx.Client]:
    with served(plane) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def come_back(
    browser: httpx.Client, provider: TinyProvider, start: str = "/login/oidc", **changed: str
) -> httpx.Response:
    """Begin at an address of ours, be sent on by the provider, and arrive; some of what it says may be changed on the way."""
    sent = browser.get(start)
    assert sent.status_code == 302, sent.text
    return browser.get("/login/oidc/callback", params=provider.sign_in(sent.headers["location"]) | changed)


def log_of(plane: Plane) -> list[tuple[str, str, str]]:
    with plane.store.read() as conn:
        assert verify(conn) == []
        rows = conn.execute(select(t.action.c.actor, t.action.c.action, t.action.c.reason).order_by(t.action.c.seq))
        return [(row.actor, row.action, row.reason) for row in rows if row.actor not in {"genesis", "setup"}]


def test_the_page_offers_the_provider_by_a_link_that_goes_on_to_where_one_wanted(
    browser: httpx.Client, provider: TinyProvider
) -> None:
    page = browser.get("/login", params={"next": "/policies?kind=Flow"})
    assert '<a class="provider" href="/login/oidc?next=%2Fpolicies%3Fkind%3DFlow">Sign in with Company</a>' in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"], (
        "a form that led to the provider would be stopped"
    )
    answer = come_back(browser, provider, "/login/oidc?next=/policies%3Fkind%3DFlow")
    assert (answer.status_code, answer.headers["location"]) == (303, "/policies?kind=Flow")
    me = browser.get("/api/v1/me").json()
    assert (me["name"], me["roles"], me["team"]) == ("ada@127.0.0.1", ["editor"], "platform")


def test_what_the_browser_keeps_meanwhile_is_out_of_reach_of_scripts_and_gone_afterwards(
    browser: httpx.Client, provider: TinyProvider
) -> None:
    sent = browser.get("/login/oidc")
    [cookie] = sent.headers.get_list("set-cookie")
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/login/oidc", "Max-Age=600"))
    assert "Secure" not in cookie
    browser.get("/login/oidc/callback", params=provider.sign_in(sent.headers["location"]))
    assert "trueup_sign_in" not in browser.cookies


def test_behind_tls_every_cookie_of_a_sign_in_is_secure(
    tmp_path: Path, clock: ManualClock, provider: TinyProvider
) -> None:
    with (
        plane_of(tmp_path, clock, provider.url, public_url="https://trueup.example") as plane,
        served(plane) as url,
        httpx.Client(base_url=url, trust_env=False) as browser,
    ):
        sent = browser.get("/login/oidc")
        asked = parse_qs(urlsplit(sent.headers["location"]).query)
        assert asked["redirect_uri"] == ["https://trueup.example/login/oidc/callback"]
        kept = sent.headers["set-cookie"].partition(";")[0]
        answer = browser.get(
            "/login/oidc/callback", params=provider.sign_in(sent.headers["location"]), headers={"Cookie": kept}
        )
        cookies = [*sent.headers.get_list("set-cookie"), *answer.headers.get_list("set-cookie")]
        assert [one for one in cookies if "Secure" not in one and "Max-Age=0" not in one] == []


def test_an_answer_to_nothing_that_this_browser_began_lets_nobody_in(
    plane: Plane, browser: httpx.Client, provider: TinyProvider
) -> None:
    other = httpx.Client(base_url=browser.base_url, trust_env=False)
    stolen = provider.sign_in(other.get("/login/oidc").headers["location"])
    answer = browser.get("/login/oidc/callback", params=stolen)
    assert (answer.status_code, "begun no sign-in" in answer.text) == (400, True)
    assert log_of(plane) == [], "anybody could fill the log"
    browser.get("/login/oidc")
    answer = browser.get("/login/oidc/callback", params=stolen)
    assert (answer.status_code, "not the answer to the sign-in" in answer.text) == (403, True)
    assert browser.get("/api/v1/me").status_code == 401
    assert provider.exchanges == []
    assert [entry[:2] for entry in log_of(plane)] == [("nobody", "account.sign_in_refused")]


HALF = base64.b64encode(b'{"state": "\\ud800", "nonce": "", "verifier": "", "next": ""}').decode()


@pytest.mark.parametrize("kept", ["", "nonsense", "bnVsbA==", "W10=", "e30=", HALF])
def test_a_cookie_that_is_none_of_ours_is_no_sign_in(browser: httpx.Client, kept: str) -> None:
    answer = browser.get("/login/oidc/callback", params={"state": ""}, headers={"Cookie": f"trueup_sign_in={kept}"})
    assert answer.status_code == 400


@pytest.mark.parametrize("known", [True, False], ids=["whose nonce leaked", "of which only the code leaked"])
def test_a_code_of_anothers_sign_in_is_of_no_use_with_a_cookie_that_one_writes_oneself(
    browser: httpx.Client, provider: TinyProvider, known: bool
) -> None:
    """The provider holds nobody to PKCE: the nonce alone stands between a stolen code and another's session."""
    address = browser.get("/login/oidc").headers["location"]
    stolen = provider.sign_in(address)
    told = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()} if known else {}
    begun = {
        "state": told.get("state", ""),
        "nonce": told.get("nonce", ""),
        "verifier": "",
        "next": "/",
        "again": False,
    }
    written = [
        base64.urlsafe_b64encode(json.dumps(begun).encode()).decode(),
        str(URLSafeSerializer("guessed", salt="sign-in under way").dumps([begun, START.timestamp()])),
    ]
    for kept in written:
        with httpx.Client(
            base_url=browser.base_url, trust_env=False, headers={"Cookie": f"trueup_sign_in={kept}"}
        ) as thief:
            answer = thief.get("/login/oidc/callback", params={**stolen, "state": begun["state"]})
            assert (answer.status_code, "trueup_session" in thief.cookies) == (400, False)
    assert provider.exchanges == []


def test_a_sign_in_is_over_after_ten_minutes_whatever_the_browser_keeps(
    browser: httpx.Client, provider: TinyProvider, clock: ManualClock
) -> None:
    sent = browser.get("/login/oidc")
    answer = provider.sign_in(sent.headers["location"])
    clock.advance(601)
    assert browser.get("/login/oidc/callback", params=answer).status_code == 400
    assert provider.exchanges == []


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_the_way_back_never_leads_to_another_site(browser: httpx.Client, provider: TinyProvider, target: str) -> None:
    answer = come_back(browser, provider, str(httpx.URL("/login/oidc", params={"next": target})))
    assert answer.headers["location"] == "/"


def test_a_new_session_takes_the_place_of_the_one_there_was(browser: httpx.Client, provider: TinyProvider) -> None:
    come_back(browser, provider)
    first = browser.cookies["trueup_session"]
    come_back(browser, provider)
    assert browser.cookies["trueup_session"] != first
    assert (
        httpx.get(f"{browser.base_url}/api/v1/me", cookies={"trueup_session": first}, trust_env=False).status_code
        == 401
    )


def test_who_is_refused_is_told_why_and_the_log_too(
    plane: Plane, browser: httpx.Client, provider: TinyProvider
) -> None:
    come_back(browser, provider)
    browser.cookies.clear()
    provider.claims["groups"] = ["<b>others</b>"]
    refused = come_back(browser, provider)
    assert (refused.status_code, "none of the groups there gives a role here" in refused.text) == (403, True)
    assert "trueup_session" not in browser.cookies
    denied = come_back(browser, provider, code="", error="access_denied", error_description="<script>")
    assert denied.status_code == 403
    provider.claims["aud"] = "another"
    assert "the ID token of Company is refused" in come_back(browser, provider).text
    told = log_of(plane)
    assert [entry[:2] for entry in told[:4]] == [
        ("ada@127.0.0.1", "account.create"), ("ada@127.0.0.1", "account.sign_in"),
        ("ada@127.0.0.1", "account.roles"), ("ada@127.0.0.1", "account.sign_in_refused"),
    ]  # fmt: skip
    assert [entry[:2] for entry in told[4:]] == [("nobody", "account.sign_in_refused")] * 2


def test_what_a_provider_says_is_shown_as_text(browser: httpx.Client) -> None:
    state = parse_qs(urlsplit(browser.get("/login/oidc").headers["location"]).query)["state"][0]
    said = {"state": state, "error": "access_denied", "error_description": "<script>alert(1)</script>"}
    answer = browser.get("/login/oidc/callback", params=said)
    assert "access_denied &lt;script&gt;" in answer.text


def test_while_the_provider_is_down_accounts_of_the_plane_work(
    plane: Plane, browser: httpx.Client, provider: TinyProvider
) -> None:
    provider.broken = True
    answer = browser.get("/login/oidc")
    assert (answer.status_code, "Company cannot be used now" in answer.text) == (503, True)
    assert "or sign in with an account of this plane" in answer.text
    assert signed_in(str(browser.base_url), "ben").get("/api/v1/me").json()["name"] == "ben"


def test_proving_anew_goes_to_the_provider_and_back(
    plane: Plane, browser: httpx.Client, provider: TinyProvider, clock: ManualClock
) -> None:
    provider.claims |= {"auth_time": int(START.timestamp())}
    come_back(browser, provider)
    clock.advance(901)
    stale = come_back(browser, provider, "/login/again?next=/policies")
    assert (stale.status_code, "did not give the proof that was asked for" in stale.text) == (403, True)
    assert browser.get("/api/v1/me").status_code == 200, "the session that there was goes on"
    provider.claims |= {"auth_time": int(clock.now().timestamp())}
    assert come_back(browser, provider, "/login/again?next=/policies").headers["location"] == "/policies"
    assert browser.get("/login/again?next=/policies").headers["location"] == "/policies", "there is nothing to prove"


def test_whoever_signs_out_may_sign_out_at_the_provider_too(browser: httpx.Client, provider: TinyProvider) -> None:
    provider.metadata = {"end_session_endpoint": f"{provider.url}/end"}
    come_back(browser, provider)
    left = browser.post("/logout", data={"csrf_token": browser.cookies["_csrf_token"]}, follow_redirects=True)
    assert '<a href="/login/oidc/leave">Sign out of Company too</a>' in left.text
    assert browser.get("/api/v1/me").status_code == 401
    assert browser.get("/login/oidc/leave").headers["location"].startswith(f"{provider.url}/end?client_id={CLIENT}")
