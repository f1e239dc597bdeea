"""What governed a row stays what it was, whatever was promised since."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from controlplane.clock import ManualClock
from controlplane.errors import NotFoundError
from controlplane.registry import revisions
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.views.governed import Governed, governed
from rules.ids import new_id
from rules.policy.kinds import KINDS
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import rows

SKU = "0007-BLK-M"


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer whose first order was sent; after that the flow's promise and the retry policy were changed."""
    house = House(store, clock)
    house.order("#1", SKU, 1)
    house.run()
    clock.advance(60)
    change(house, "Flow", "orders", promise="17m")
    change(house, "RetryPolicy", "default", cap="9m")
    clock.advance(60)
    house.order("#2", SKU, 1)
    house.run()
    return house


def asked(house: House, what: str, identity: str) -> Governed:
    with house.store.read() as connection:
        return governed(connection, what, identity)


def by_role(found: Governed) -> dict[str, dict[str, Any]]:
    return {one["as"]: dict(one) for one in found.policies}


def message(house: House, subject: str) -> dict[str, Any]:
    return next(row for row in rows(house, t.message) if row["subject"] == subject and row["type"] == "order.placed")


@pytest.mark.parametrize(("subject", "promise", "revision"), [("#1", None, 1), ("#2", "17m", 2)])
def test_a_message_is_governed_by_the_flow_as_it_was_when_it_was_accepted(
    house: House, subject: str, promise: str | None, revision: int
) -> None:
    row = message(house, subject)
    found = asked(house, "message", row["id"])
    assert found.registry_version == row["registry_version"]
    roles = by_role(found)
    assert set(roles) == {"source", "flow", "blueprint", "mapping"}
    assert (roles["source"]["name"], roles["flow"]["revision"]) == ("shop", revision)
    if promise:
        assert roles["flow"]["document"]["spec"]["promise"] == promise
    assert len(found.deliveries) == len([one for one in rows(house, t.delivery) if one["message_id"] == row["id"]]) > 0


def test_a_delivery_and_its_attempts_tell_the_retry_policy_they_were_made_under(house: House) -> None:
    for subject, revision in (("#1", 1), ("#2", 2)):
        [first, *_] = asked(house, "message", message(house, subject)["id"]).deliveries
        roles = by_role(asked(house, "delivery", first))
        assert roles["retry"]["revision"] == roles["flow"]["revision"] == revision
        assert roles["target"]["kind"] == "System"
        attempt = next(one for one in rows(house, t.attempt) if one["delivery_id"] == first)
        [retry] = asked(house, "attempt", attempt["id"]).policies
        assert (retry["as"], retry["revision"]) == ("retry", revision)


def test_a_verdict_an_incident_and_a_posting_tell_their_rule(house: House) -> None:
    with house.store.write() as connection:
        level = revisions.in_force(connection)
        promise = next(one for one in level if one["kind"] == "ServiceLevel")
        rule = next(one for one in level if one["kind"] == "AccountingRule")
        now = house.clock.now()
        verdict = {
            "id": new_id(now), "service_level": promise["name"], "at": now, "state": "meeting", "coverage": 1.0, "tiers": [],
            "policy_revision": promise["id"],
        }  # fmt: skip
        posting = {
            "posting_key": "order/#1/placed/x", "document": "#1", "business_date": "2026-03-02", "currency": "EUR", "lines": [],
            "rule_revision": rule["id"], "created_at": now, "message_id": "m",
        }  # fmt: skip
        connection.execute(insert(t.verdict).values(**verdict))
        connection.execute(insert(t.posting).values(**posting))
    assert by_role(asked(house, "verdict", verdict["id"]))["service level"]["id"] == promise["id"]
    assert by_role(asked(house, "posting", posting["posting_key"]))["accounting rule"]["name"] == rule["name"]


def test_a_comparison_and_its_findings_tell_the_version_they_were_made_under(house: House) -> None:
    name = next(iter(house.registry.snapshot().comparisons))
    now, version = house.clock.now(), house.registry.snapshot().version
    run = {
        "id": new_id(now), "comparison": name, "started_at": now, "state": "complete", "trigger": "schedule",
        "registry_version": version,
    }  # fmt: skip
    with house.store.write() as connection:
        connection.execute(insert(t.comparison_run).values(**run))
    with house.store.write() as connection:
        row = revisions.get(connection, "Comparison", name)
        document = KINDS["Comparison"].model_validate(row["document"])
        later = document.model_copy(update={"spec": document.spec.model_copy(update={"every": timedelta(hours=2)})})
        house.clock.advance(1)
        revisions.write(connection, house.clock, [later], author="test", origin="test", reason="test")
    found = asked(house, "comparison", run["id"])
    assert (found.registry_version, by_role(found)["comparison"]["revision"]) == (version, 1)
    with house.store.read() as connection:
        newest = connection.execute(select(t.policy_revision.c.revision).where(
            t.policy_revision.c.name == name, t.policy_revision.c.valid_to.is_(None)
        )).scalars().all()  # fmt: skip
    assert newest == [2], "which governs now, and did not then"


@pytest.mark.parametrize(
    ("what", "told"), [("song", "ask for one of: attempt, comparison"), ("message", "there is no message")]
)
def test_what_is_not_there_is_named(house: House, what: str, told: str) -> None:
    with pytest.raises(NotFoundError, match=told):
        asked(house, what, "nowhere")


def test_an_offer_names_the_allocation_rule_that_made_its_quantity_as_it_was(store: Store, clock: ManualClock) -> None:
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 0
    house.level(SKU, 5)
    house.run()
    [offer] = [row for row in rows(house, t.message) if row["type"] == "stock.offer"]
    change(house, "AllocationRule", "shop", safety_stock=4)
    rule = by_role(asked(house, "message", offer["id"]))["allocation rule"]
    assert (rule["name"], rule["revision"], rule["id"]) == ("shop", 1, offer["data"]["rule_revision"])


def test_what_a_version_held_is_told_rightly_where_a_plane_whose_clock_is_behind_wrote_the_next(
    store: Store, clock: ManualClock
) -> None:
    house = House(store, clock)
    clock.advance(100)
    change(house, "RetryPolicy", "default", cap="9m")
    with store.write() as connection:
        old = revisions.get(connection, "RetryPolicy", "postings")["document"]
        slower = KINDS["RetryPolicy"].model_validate({**old, "spec": {**old["spec"], "cap": "7m"}})
        behind = ManualClock(clock.now() - timedelta(seconds=2))
        revisions.write(connection, behind, [slower], author="test", origin="test", reason="test")
    version = house.registry.snapshot().version
    with store.read() as connection:
        held = {(row["kind"], row["name"]): row["revision"] for row in revisions.of_version(connection, version)}
        before = {(row["kind"], row["name"]): row["revision"] for row in revisions.of_version(connection, version - 1)}
    assert (held["RetryPolicy", "default"], held["RetryPolicy", "postings"]) == (2, 2)
    assert (before["RetryPolicy", "default"], before["RetryPolicy", "postings"]) == (2, 1)
