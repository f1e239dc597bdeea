"""Whoever makes, resets or promotes an account does not vote by it: not for a day, and never on his own proposal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane import access
from controlplane.access import Actor, find_actor
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ForbiddenError
from controlplane.registry.changes import Changes
from controlplane.wiring import Plane
from tests.conftest import START
from tests.controlplane.registry.common import policy
from tests.web import PASSWORD, a_plane, served, signed_in

TEAM = "integration-platform"
EVA = {"name": "eva", "password": PASSWORD, "roles": ["approver"], "team": TEAM}
REQUESTS = "/api/v1/change-requests"
APPROVE = {"decision": "approve"}
HOURS = 3600.0


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with a_plane(tmp_path, ManualClock(START)) as found:
        access.create_account(found.store, found.clock, "root", PASSWORD, ["admin"], actor="setup")
        yield found


@pytest.fixture
def url(plane: Plane) -> Iterator[str]:
    with served(plane) as found:
        yield found


def done(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()
    return told


def proposed(client: httpx.Client, cap: str = "4m") -> str:
    document = done(client.get("/api/v1/policies/RetryPolicy/default"))["policy"]["document"]
    asked = {**document, "spec": {**document["spec"], "cap": cap}}
    told = {"kind": "RetryPolicy", "name": "default", "document": asked, "title": "Another cap"}
    made = f"{REQUESTS}/{done(client.post(REQUESTS, json=told))['id']}"
    assert done(client.post(f"{made}/submit"))["state"] == "in_review"
    return made


def later(plane: Plane, hours: float) -> None:
    assert isinstance(plane.clock, ManualClock)
    plane.clock.advance(hours * HOURS)


def test_an_admin_who_makes_an_approver_does_not_vote_by_it_the_same_day(plane: Plane, url: str) -> None:
    made = proposed(signed_in(url, "ada"))
    done(signed_in(url, "root").post("/api/v1/accounts", json=EVA))
    refused = signed_in(url, "eva").post(f"{made}/vote", json=APPROVE)
    assert refused.status_code == 403
    assert (
        "'eva' cannot vote until 2026-03-03T09:00+00:00: 'root' made that account within the last 1d"
        in refused.json()["detail"]
    )
    assert signed_in(url, "eva").post(f"{made}/vote", json={"decision": "reject"}).status_code == 403
    later(plane, 24.01)
    eva = signed_in(url, "eva")
    done(signed_in(url, "ada").post(f"{made}/simulate"))
    assert done(eva.post(f"{made}/vote", json=APPROVE))["votes"]


@pytest.mark.parametrize(
    ("path", "asked", "what"),
    [
        ("ben/password", {"password": PASSWORD}, "gave another password to"),
        ("olga/roles", {"roles": ["approver"], "team": TEAM}, "gave the right to approve to"),
        ("ben/roles", {"roles": ["approver"], "team": TEAM}, "gave the right to approve to"),
        ("ben/enable", {}, "let in again"),
    ],
)  # fmt: skip
def test_what_else_an_admin_does_to_an_approver_counts_alike(
    plane: Plane, url: str, path: str, asked: dict[str, Any], what: str
) -> None:
    made = proposed(signed_in(url, "ada"))
    done(signed_in(url, "root").post(f"/api/v1/accounts/{path}", json=asked or None))
    name = path.partition("/")[0]
    client = signed_in(url, name)
    refused = client.post(f"{made}/vote", json=APPROVE)
    assert (refused.status_code, f"'root' {what} that account" in refused.json()["detail"]) == (403, True), refused.text


def test_roles_that_give_no_more_than_there_was_cost_nobody_his_vote(plane: Plane, url: str) -> None:
    made = proposed(signed_in(url, "ada"))
    asked = {"roles": ["approver", "viewer"], "team": "finance-systems"}
    done(signed_in(url, "root").post("/api/v1/accounts/ben/roles", json=asked))
    done(signed_in(url, "ben").post(f"{made}/vote", json=APPROVE))


def test_who_made_an_account_is_never_approved_by_it(plane: Plane, url: str) -> None:
    done(signed_in(url, "root").post("/api/v1/accounts", json=EVA))
    later(plane, 24 * 40)
    made = proposed(signed_in(url, "root"))
    refused = signed_in(url, "eva").post(f"{made}/vote", json=APPROVE)
    assert refused.status_code == 403
    assert "does not count: 'root', who made that account, wrote, edited or scheduled this" in refused.json()["detail"]
    of_ada = proposed(signed_in(url, "ada"), "3m")
    done(signed_in(url, "eva").post(f"{of_ada}/vote", json=APPROVE))


def test_a_vote_that_an_account_gave_after_it_was_reset_does_not_count_when_it_is_applied(
    plane: Plane, url: str
) -> None:
    """It was counted under a shorter wait: what counts is the wait of who applies it."""
    ada = actor(plane, "ada")
    trusting = Changes(plane.registry, wait=timedelta(0))
    document = policy(trusting, cap="4m")
    made = trusting.submit(trusting.open("RetryPolicy", "default", document, "Less", "", ada).id, ada)
    access.set_password(plane.store, plane.clock, "ben", "another one of twenty", actor="root")
    assert trusting.vote(made.id, actor(plane, "ben"), "approve").state == "approved"
    changes = Changes(plane.registry)
    assert "1 approval more" in changes.risk(made.id).missing
    with pytest.raises(ForbiddenError, match="voted by an account that another had just made or reset"):
        changes.apply(made.id, ada)
    later(plane, 25)
    with pytest.raises(ForbiddenError, match="just made or reset"):
        changes.apply(made.id, ada)


def test_a_vote_stands_when_its_account_is_reset_afterwards(plane: Plane, url: str) -> None:
    changes, ada = Changes(plane.registry), actor(plane, "ada")
    made = changes.submit(changes.open("RetryPolicy", "default", policy(changes, cap="4m"), "Less", "", ada).id, ada)
    changes.vote(made.id, actor(plane, "ben"), "approve")
    later(plane, 0.1)
    access.set_password(plane.store, plane.clock, "ben", "another one of twenty", actor="root")
    assert changes.apply(made.id, ada).state == "effective"


def test_who_schedules_what_an_account_of_his_approved_makes_that_vote_void(plane: Plane, url: str) -> None:
    done(signed_in(url, "root").post("/api/v1/accounts", json=EVA))
    later(plane, 25)
    changes, ada = Changes(plane.registry), actor(plane, "ada")
    made = changes.submit(changes.open("RetryPolicy", "default", policy(changes, cap="4m"), "Less", "", ada).id, ada)
    changes.vote(made.id, actor(plane, "eva"), "approve")
    with pytest.raises(ForbiddenError, match="who schedules it does not count"):
        changes.schedule(made.id, plane.clock.now() + timedelta(hours=1), actor(plane, "root"))


def test_the_page_is_told_why_before_anybody_presses(plane: Plane, url: str) -> None:
    changes, ada = Changes(plane.registry), actor(plane, "ada")
    made = changes.submit(changes.open("RetryPolicy", "default", policy(changes, cap="4m"), "Less", "", ada).id, ada)
    access.set_password(plane.store, plane.clock, "ben", "another one of twenty", actor="root")
    why = changes.refusals(made.id, actor(plane, "ben"))
    assert "you cannot vote until 2026-03-03T09:00+00:00" in why["approve"]
    assert changes.refusals(made.id, actor(plane, "wim")).get("approve") is None


def test_a_wait_of_nothing_asks_for_none(tmp_path: Path) -> None:
    with a_plane(tmp_path, ManualClock(START), approver_wait=0) as plane, served(plane) as url:
        made = proposed(signed_in(url, "ada"))
        access.create_account(plane.store, plane.clock, "eva", PASSWORD, ["approver"], actor="root", team=TEAM)
        done(signed_in(url, "eva").post(f"{made}/vote", json=APPROVE))


def test_nobody_takes_the_name_of_the_set_up(plane: Plane) -> None:
    with pytest.raises(BadInputError, match="'setup' cannot be an account's name"):
        access.create_account(plane.store, plane.clock, "setup", PASSWORD, ["admin"], actor="root")


def actor(plane: Plane, name: str) -> Actor:
    with plane.store.read() as conn:
        found = find_actor(conn, name)
    assert found is not None
    return found
