"""How often one caller may ask: told in headers, refused with 429 and a time to wait, and never in the way of what is taken in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from controlplane.access import issue_token
from controlplane.api import rates
from controlplane.api.serving import behind, serving
from controlplane.app import COUNTED, INTAKE, create_app
from controlplane.client import Person, PlaneClient
from controlplane.errors import OverloadedError, SettingsError
from controlplane.settings import load_settings
from controlplane.wiring import Plane
from tests.controlplane.api.test_messages import event, hooked
from tests.web import PASSWORD, a_plane, found_by_the_console, free_port, served, signed_in

REDIS = os.environ.get("TRUEUP_TEST_REDIS", "redis://127.0.0.1:6379/0")


@contextmanager
def limited(home: Path, **given: Any) -> Iterator[tuple[Plane, str]]:
    with a_plane(home, **given) as plane, served(plane) as url:
        yield plane, url


def bearer(plane: Plane, url: str, name: str) -> httpx.Client:
    """A program of somebody."""
    token = issue_token(plane.store, plane.clock, name, "a program", actor="test")
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)


def test_who_asks_too_often_is_told_so_and_when_to_go_on(tmp_path: Path) -> None:
    with limited(tmp_path, rate_asking="3 per hour") as (_, url):
        vic = signed_in(url, "vic")
        for left in (2, 1, 0):
            answer = vic.get("/api/v1/me")
            assert answer.status_code == 200
            assert answer.headers["RateLimit-Policy"] == '"asking";q=3;w=3600'
            assert answer.headers["RateLimit"].startswith(f'"asking";r={left};t=')
        refused = vic.get("/api/v1/messages")
        assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
        assert refused.json()["type"] == "urn:trueup:toooften"
        assert "'vic' asks too often: 3 in 3600 s is the limit" in refused.json()["detail"]
        wait = int(refused.headers["Retry-After"])
        assert 0 < wait <= 3600
        assert refused.headers["RateLimit"] == f'"asking";r=0;t={wait}'


def test_each_token_and_each_account_is_counted_apart(tmp_path: Path) -> None:
    with limited(tmp_path, rate_asking="1 per hour") as (plane, url):
        callers = [signed_in(url, "vic"), signed_in(url, "olga"), bearer(plane, url, "vic"), bearer(plane, url, "vic")]
        assert [one.get("/api/v1/me").status_code for one in callers] == [200] * 4
        assert [one.get("/api/v1/me").status_code for one in [*callers, signed_in(url, "vic")]] == [429] * 5


def test_the_nearest_of_several_limits_counts(tmp_path: Path) -> None:
    with limited(tmp_path, rate_asking="100 per minute; 2 per hour") as (_, url):
        vic = signed_in(url, "vic")
        answers = [vic.get("/api/v1/me") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"asking";q=2;w=3600'}


def test_what_is_taken_in_and_what_watches_goes_on_when_all_limits_are_spent(tmp_path: Path) -> None:
    tight = {"rate_asking": "1 per hour", "rate_sign_in": "9 per hour", "rate_refused": "1 per hour"}
    with limited(tmp_path, **tight) as (plane, url):
        program, nobody = bearer(plane, url, "olga"), httpx.Client(base_url=url, trust_env=False)
        for client in (program, nobody):
            for _ in range(2):
                client.get("/api/v1/me")
        assert (program.get("/api/v1/me").status_code, nobody.get("/api/v1/me").status_code) == (429, 429)
        for number in range(20):
            answer = program.post("/api/v1/messages", json=event(number))
            assert (answer.status_code, "RateLimit" in answer.headers) == (202, False), answer.text
            assert hooked(nobody, plane, number).status_code == 200
            assert nobody.get("/healthz").status_code == 200
            assert program.get("/metrics").status_code == 200
        ready = nobody.get("/readyz").status_code
        assert ready in (200, 503)


def test_nothing_of_it_runs_on_the_way_of_what_is_taken_in(tmp_path: Path) -> None:
    with a_plane(tmp_path) as plane:
        app = create_app(plane, mounts=[])
        ours = {rates.count_caller, rates.count_tries}
        counted = {name for name, asked in app.before_request_funcs.items() if ours & set(asked)}
        assert counted == {one.name for one in COUNTED} | {"login"}
        assert not counted & {one.name for one in INTAKE}
        assert not ours & set(app.before_request_funcs[None])


def test_signing_in_is_tried_so_often_from_an_address_and_no_more(tmp_path: Path) -> None:
    with limited(tmp_path, rate_sign_in="3 per hour") as (_, url):
        client = httpx.Client(base_url=url, trust_env=False)
        tries = [client.post("/login", data={"name": f"n{n}", "password": "guess"}) for n in range(4)]
        assert [answer.status_code for answer in tries] == [401, 401, 401, 429]
        assert int(tries[-1].headers["Retry-After"]) > 0
        right = client.post("/login", data={"name": "vic", "password": PASSWORD})
        assert (right.status_code, right.json()["type"]) == (429, "urn:trueup:toooften")
        assert client.get("/login").status_code == 200


def test_who_asks_without_a_valid_token_is_refused_for_longer_and_longer_and_others_are_not(tmp_path: Path) -> None:
    with limited(tmp_path, rate_refused="2 per hour") as (plane, url):
        guess = {"Authorization": f"Bearer tru_{'0' * 12}_{'a' * 43}"}
        answers = [httpx.get(f"{url}/api/v1/me", headers=guess, trust_env=False).status_code for _ in range(3)]
        assert answers == [401, 401, 429]
        assert bearer(plane, url, "vic").get("/api/v1/me").status_code == 200, (
            "the same address, with a token that is valid"
        )


def test_the_command_line_says_when_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with limited(tmp_path, rate_asking="1 per hour", rate_sign_in="1 per hour") as (plane, url):
        found_by_the_console(plane, url, monkeypatch)
        assert PlaneClient().get("me")["name"] == "admin"
        with pytest.raises(OverloadedError, match="'admin' asks too often") as told:
            PlaneClient().get("me")
        assert told.value.retry_after > 0
        PlaneClient(person=Person("vic", PASSWORD)).get("me")
        with pytest.raises(OverloadedError, match="too many tries to sign in"):
            PlaneClient(person=Person("vic", PASSWORD)).get("me")


def test_the_address_is_that_of_the_connection_unless_proxies_are_named(tmp_path: Path) -> None:
    def status(url: str, told: str) -> int:
        form = {"name": "nobody", "password": "guess"}
        return httpx.post(f"{url}/login", data=form, headers={"X-Forwarded-For": told}, trust_env=False).status_code

    with a_plane(tmp_path, rate_sign_in="1 per hour") as plane:
        for proxies, wanted in ((0, [401, 429, 429]), (1, [401, 401, 429])):
            app, where = create_app(plane, mounts=[]), {"host": "127.0.0.1", "port": 0}
            with serving(app, "web", **where, **behind(proxies)) as port:
                url = f"http://127.0.0.1:{port}"
                told = [status(url, one) for one in ("10.0.0.1", "10.0.0.2", "6.6.6.6, 10.0.0.2")]
                assert told == wanted


def test_of_an_ipv6_address_the_half_counts_that_its_holder_cannot_choose(tmp_path: Path) -> None:
    told = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "10.0.0.7", "10.0.0.7"]
    with a_plane(tmp_path, rate_sign_in="1 per hour") as plane:
        app, where = create_app(plane, mounts=[]), {"host": "127.0.0.1", "port": 0}
        with serving(app, "web", **where, **behind(1)) as port:
            form = {"name": "nobody", "password": "guess"}
            asked = [
                httpx.post(
                    f"http://127.0.0.1:{port}/login", data=form, headers={"X-Forwarded-For": one}, trust_env=False
                )
                for one in told
            ]
    assert [answer.status_code for answer in asked] == [401, 429, 401, 401, 429]


def test_several_processes_count_together_in_redis(tmp_path: Path) -> None:
    redis = pytest.importorskip("redis")
    try:
        redis.Redis.from_url(REDIS).ping()
    except redis.exceptions.ConnectionError:
        pytest.skip("no Redis answers; set TRUEUP_TEST_REDIS")
    told = {"rate_asking": "2 per hour", "rate_store": REDIS}
    with a_plane(tmp_path, **told) as plane, served(plane) as one, served(plane) as other:
        program = bearer(plane, one, "vic")
        statuses = [program.get(f"{url}/api/v1/me").status_code for url in (one, other, one, other)]
        assert statuses == [200, 200, 429, 429]


def test_a_store_that_does_not_answer_lets_everybody_in_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    with limited(tmp_path, rate_asking="1 per hour", rate_store=f"redis://127.0.0.1:{free_port()}/0") as (_, url):
        vic = signed_in(url, "vic")
        with capture_logs() as logs:
            assert [vic.get("/api/v1/me").status_code for _ in range(3)] == [200] * 3
        assert "nobody is counted" in logs[0]["error"]


@pytest.mark.parametrize("wrong", ["often", "0 per minute", "5 per fortnight", "5/minute,"])
def test_a_rate_that_is_none_is_named_before_anything_starts(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"TRUEUP_RATE_ASKING.*give for instance 3000 per minute"):
        load_settings(rate_asking=wrong)


def test_limits_can_be_left_out(tmp_path: Path) -> None:
    with limited(tmp_path / uuid4().hex, rate_asking="", rate_sign_in="", rate_refused="") as (_, url):
        answer = signed_in(url, "vic").get("/api/v1/me")
        assert (answer.status_code, "RateLimit" in answer.headers) == (200, False)
