"""Accounts and service tokens, over the API and the command line."""

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

from controlplane.access import check_token, issue_token
from controlplane.access.commands import app
from controlplane.client import PlaneClient
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, TrueupError
from controlplane.registry import revisions
from controlplane.registry.revisions import dump
from controlplane.store import tables as t
from controlplane.wiring import Plane
from rules.policy.kinds import System
from tests.conftest import START
from tests.web import PASSWORD, a_plane, found_by_the_console, served, signed_in


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with a_plane(tmp_path / "home", ManualClock(START)) as found:
        yield found


@pytest.fixture
def url(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TRUEUP_NEW_PASSWORD", PASSWORD)
    with served(plane) as found:
        found_by_the_console(plane, found, monkeypatch)
        yield found


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def bearer(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token.strip()}"})


def log(plane: Plane) -> list[tuple[str, str, str]]:
    with plane.store.read() as conn:
        return [
            (row.actor, row.action, row.subject)
            for row in conn.execute(select(t.action).order_by(t.action.c.seq))
            if row.actor == "admin"
        ]


def test_an_account_lives_from_its_making_to_its_end(plane: Plane, url: str) -> None:
    run("create", "zoe", "--role", "viewer")
    client = signed_in(url, "zoe")
    assert client.get("/api/v1/me").json()["roles"] == ["viewer"]
    run("roles", "zoe", "--role", "operator", "--role", "auditor", "--team", "store-ops")
    assert client.get("/api/v1/me").json() | {"rights": []} == {
        "name": "zoe", "roles": ["auditor", "operator"], "rights": [], "team": "store-ops", "reach": None
    }  # fmt: skip
    run("password", "zoe")
    assert client.get("/api/v1/me").status_code == 401, "its sessions are over"
    run("disable", "zoe")
    assert "zoe\tauditor,operator\tstore-ops\t-\ttrue\t-" in run("accounts")
    assert httpx.post(f"{url}/login", data={"name": "zoe", "password": PASSWORD}).status_code == 401
    run("enable", "zoe")
    assert signed_in(url, "zoe").get("/api/v1/me").status_code == 200
    assert [action for _, action, subject in log(plane) if subject == "account/zoe"] == [
        "account.create", "account.roles", "account.set_password", "account.disable", "account.enable",
    ]  # fmt: skip
    assert PASSWORD not in json.dumps([dict(zip("abc", row, strict=True)) for row in log(plane)])


def test_an_admin_changes_no_roles_of_his_own_and_does_not_shut_himself_out(url: str) -> None:
    with pytest.raises(ForbiddenError, match="'admin' cannot change his own roles"):
        run("roles", "admin", "--role", "approver")
    with pytest.raises(ForbiddenError, match="'admin' cannot disable his own account"):
        run("disable", "admin")


def test_what_is_wrong_is_told(url: str) -> None:
    with pytest.raises(BadInputError, match="roles"):
        run("create", "zoe", "--role", "king")
    with pytest.raises(ConflictError, match="there is an account 'ada' already"):
        run("create", "ada", "--role", "viewer")
    with pytest.raises(BadInputError, match=r"'vic' has no right 'sync.pause' that a token could have; it has: view"):
        run("issue", "--account", "vic", "--purpose", "x", "--scope", "sync.pause")


def test_a_token_is_shown_once_confined_to_its_scopes_and_ends(plane: Plane, url: str) -> None:
    token = run("issue", "--account", "olga", "--purpose", "till upload", "--scope", "messages.accept", "--days", "30")
    client = bearer(url, token)
    assert client.get("/api/v1/me").json()["rights"] == ["messages.accept", "view"]
    refused = client.post("/api/v1/systems/shop/pause", json={"reason": "x"})
    assert refused.status_code == 403
    assert "it takes the scope 'sync.pause'; issue one that has it" in refused.json()["detail"]
    [shown] = [one for one in json.loads(run("tokens", "--json")) if one["purpose"] == "till upload"]
    assert shown["scopes"] == ["messages.accept", "view"]
    assert shown["last_used_at"] is not None
    assert token.strip().split("_", 2)[2] not in run("tokens", "--json")
    assert isinstance(plane.clock, ManualClock)
    plane.clock.advance(timedelta(days=31).total_seconds())
    assert client.get("/api/v1/me").status_code == 401
    other = run("issue", "--account", "olga", "--purpose", "other")
    assert bearer(url, other).get("/api/v1/me").status_code == 200
    run("revoke", other.split("_")[1])
    assert bearer(url, other).get("/api/v1/me").status_code == 401


def test_the_last_use_is_kept_to_the_minute_and_costs_no_write_each_time(plane: Plane) -> None:
    token = issue_token(plane.store, plane.clock, "olga", "p", actor="test")
    assert isinstance(plane.clock, ManualClock)

    def used() -> Any:
        assert check_token(plane.store, plane.clock, token) is not None
        with plane.store.read() as conn:
            return conn.execute(select(t.service_token.c.last_used_at)).scalar_one()

    first = used()
    assert first == plane.clock.now()
    plane.clock.advance(30)
    assert used() == first
    plane.clock.advance(31)
    assert used() == plane.clock.now()


def test_nobody_but_an_admin_sees_or_changes_any_of_it(url: str) -> None:
    for name in ("ada", "ben", "olga", "vic"):
        client = signed_in(url, name)
        assert client.get("/api/v1/accounts").status_code == 403
        assert client.post("/api/v1/tokens", json={"account": "admin", "purpose": "x"}).status_code == 403


def test_an_account_is_confined_to_what_some_policy_knows(plane: Plane, url: str) -> None:
    put_brand(plane)
    run("create", "nora", "--role", "viewer", "--role", "auditor", "--brand", "north", "--domain", "orders")
    me = signed_in(url, "nora").get("/api/v1/me").json()
    assert me["reach"] == {"brands": ["north"], "domains": ["orders"]}
    assert me["rights"] == ["view"], "the action log is about the whole installation"
    assert "nora\tauditor,viewer\t-\tbrands=north;domains=orders\tfalse\t-" in run("accounts")
    refused = signed_in(url, "nora").get("/api/v1/audit/actions")
    assert "the account reaches brands north; domains orders" in refused.json()["detail"]
    admin = PlaneClient()
    with pytest.raises(TrueupError, match="no policy knows the brand 'nroth'; there are: north"):
        admin.post("accounts", {"name": "x", "password": PASSWORD, "roles": [], "reach": {"brands": ["nroth"]}})
    run("roles", "nora", "--role", "viewer")
    assert signed_in(url, "nora").get("/api/v1/me").json()["reach"] is None


def test_a_token_reaches_no_further_than_its_account(plane: Plane, url: str) -> None:
    put_brand(plane)
    run("create", "nora", "--role", "viewer", "--brand", "north")
    token = run("issue", "--account", "nora", "--purpose", "p", "--domain", "orders", "--brand", "north").strip()
    assert bearer(url, token).get("/api/v1/me").json()["reach"] == {"brands": ["north"], "domains": ["orders"]}
    assert bearer(url, run("issue", "--account", "nora", "--purpose", "p").strip()).get("/api/v1/me").json()[
        "reach"
    ] == {"brands": ["north"]}
    with pytest.raises(TrueupError, match="cannot reach domains orders: the account reaches brands north"):
        PlaneClient().post("tokens", {"account": "nora", "purpose": "p", "reach": {"domains": ["orders"]}})
    run("roles", "nora", "--role", "viewer", "--domain", "finance")
    assert bearer(url, token).get("/api/v1/me").json()["reach"] == {"brands": ["north"], "domains": []}


def put_brand(plane: Plane) -> None:
    """Let the shop be of a brand."""
    document = dump(plane.registry.snapshot().systems["shop"])
    document["spec"]["brand"] = "north"
    with plane.store.write() as conn:
        revisions.write(conn, plane.clock, [System.model_validate(document)], author="x", origin="genesis", reason="x")
