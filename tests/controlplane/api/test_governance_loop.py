"""The whole loop over REST: edit, simulate, two approvals, scheduled, in force, seen by what runs, rolled back, the log verified."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.jobs.schedules import schedules
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.web import PEOPLE, a_plane, proved_anew, served, signed_in

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REQUESTS = "/api/v1/change-requests"
RETRY = "/api/v1/policies/RetryPolicy/default"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with a_plane(tmp_path, ManualClock(START)) as found:
        yield found


@pytest.fixture
def people(plane: Plane) -> Iterator[dict[str, httpx.Client]]:
    """A client for each of the people."""
    with served(plane) as url:
        yield {name: signed_in(url, name) for name in PEOPLE}


def done(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def budget_of_a_delivery_made_now(plane: Plane, people: dict[str, httpx.Client], number: int) -> timedelta:
    """Let an event in by the API, and return how long its delivery to the ERP may be tried."""
    data = {
        "ref": f"#{number}", "native_id": f"{number}", "placed_at": plane.clock.now().isoformat(), "currency": "EUR",
        "lines": [{"line": 1, "native_id": "L1", "sku": "0007-BLK-M", "location": "WH1", "quantity": 1, "unit_price": "10.00"}],
    }  # fmt: skip
    told = {
        "specversion": "1.0", "id": f"e{number}", "source": "shop", "type": "order.placed", "subject": f"#{number}",
        "time": plane.clock.now().isoformat(), "data": data,
    }  # fmt: skip
    done(people["olga"].post("/api/v1/messages", json=told, headers={"Content-Type": "application/cloudevents+json"}))
    while plane.sync.translate() or plane.sync.process():
        pass
    d = t.delivery.c
    with plane.store.read() as conn:
        row = conn.execute(
            select(d.created_at, d.deadline_at)
            .where(d.target == "erp", d.flow == "orders")
            .order_by(d.id.desc())
            .limit(1)
        ).one()
    budget: timedelta = row.deadline_at - row.created_at
    return budget


def test_the_whole_loop(plane: Plane, people: dict[str, httpx.Client]) -> None:
    ada, ben, wim = (people[name] for name in ("ada", "ben", "wim"))
    assert isinstance(plane.clock, ManualClock)
    assert budget_of_a_delivery_made_now(plane, people, 1) == timedelta(days=1)
    document = done(ada.get(RETRY))["policy"]["document"]
    asked = {**document, "spec": {**document["spec"], "budget": "2d"}}
    told = {"kind": "RetryPolicy", "name": "default", "document": asked, "title": "Try for two days", "reason": "peak"}
    request = f"{REQUESTS}/{done(ada.post(REQUESTS, json=told))['id']}"
    simulated = done(ada.post(f"{request}/simulate"))["result"]
    assert {one["name"] for one in simulated["impact"]["figures"]} >= {"vendor calls", "waiting for a person"}
    assert done(ada.post(f"{request}/submit"))["state"] == "in_review"
    assert ada.post(f"{request}/vote", json={"decision": "approve"}).status_code == 403
    for person in (ben, wim):
        voted = done(person.post(f"{request}/vote", json={"decision": "approve", "comment": "fine"}))
    assert voted["state"] == "approved"
    assert {vote["simulation"] for vote in voted["votes"]} == {simulated["hash"]}
    at = (plane.clock.now() + timedelta(hours=2)).isoformat()
    assert done(ada.post(f"{request}/schedule", json={"at": at}))["state"] == "scheduled"
    assert budget_of_a_delivery_made_now(plane, people, 2) == timedelta(days=1), "not before its time"
    plane.clock.advance(7201)
    for each in schedules(plane, timedelta(seconds=15)):
        if each.name == "changes":
            each.run()
    assert done(ada.get(request))["state"] == "effective"
    assert budget_of_a_delivery_made_now(plane, people, 3) == timedelta(days=2)
    back = done(ada.post(f"{RETRY}/rollback", json={"revision": 1, "reason": "peak is over"}))
    returning = f"{REQUESTS}/{back['id']}"
    done(ada.post(f"{returning}/submit"))
    again = ben.post(f"{returning}/vote", json={"decision": "approve"})
    assert (again.status_code, again.json()["type"]) == (403, "urn:trueup:stepup"), "two hours after signing in"
    for person in (ada, ben, wim):
        proved_anew(person)
    approved = done(ben.post(f"{returning}/vote", json={"decision": "approve"}))
    if approved["state"] == "in_review":
        approved = done(wim.post(f"{returning}/vote", json={"decision": "approve"}))
    assert approved["state"] == "approved"
    assert done(ada.post(f"{returning}/apply"))["state"] == "effective"
    assert done(ada.get(request))["state"] == "rolled_back"
    assert budget_of_a_delivery_made_now(plane, people, 4) == timedelta(days=1)
    assert done(ada.get(RETRY))["policy"]["revision"] == 3, "a rollback is a new revision"
    with plane.store.read() as conn:
        assert verify(conn) == []
