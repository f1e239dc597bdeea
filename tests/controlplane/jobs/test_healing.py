"""Healing within limits: by run and by day, never in a freeze, never over what is of record; beyond them when two people say so."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.errors import ConflictError, ForbiddenError
from controlplane.health.observations import heals
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.jobs.test_comparisons import NAME, Retailer
from tests.controlplane.sync.policies import add, change
from tests.controlplane.sync.test_loop import SKU, rows

LIMITS: dict[str, Any] = {"enabled": True, "max_keys": 20, "max_units": 100, "max_money": "5000"}


@pytest.fixture
def retailer(sqlite_store: Store, clock: ManualClock) -> Retailer:
    retailer = Retailer(sqlite_store, clock)
    retailer.begin()
    return retailer


def limits(retailer: Retailer, **more: Any) -> None:
    change(retailer, "Comparison", NAME, heal=LIMITS | more)


def edited(retailer: Retailer, shown: int) -> str:
    """Somebody edits the shop; the difference is confirmed. Returns the state that it is in then."""
    retailer.shop.levels[SKU, "WH1"] = shown
    retailer.compare()
    retailer.confirm(minutes=2.1)
    return str(rows(retailer, t.finding)[-1]["state"])


def mended(retailer: Retailer) -> None:
    retailer.sync.drain()
    retailer.confirm(minutes=1)
    assert retailer.shop.levels[SKU, "WH1"] == 8


def foretold(retailer: Retailer) -> list[tuple[bool, str]]:
    with retailer.store.read() as connection:
        found = heals.preview(connection, retailer.clock, retailer.registry.snapshot(), NAME)
    return [(one["heals"], one["why"]) for one in found]


def test_what_was_healed_on_a_day_counts_against_it_until_the_next(retailer: Retailer) -> None:
    limits(retailer, max_units_day=10)
    assert edited(retailer, 15) == "healing"
    mended(retailer)
    assert edited(retailer, 12) == "open"
    assert foretold(retailer) == [
        (False, "it would make 11 units on one day, and policy allows 10; a person asks for it, and another agrees")
    ]
    retailer.clock.advance(24 * 3600)
    retailer.compare()
    assert rows(retailer, t.finding)[-1]["state"] == "healing"


@pytest.mark.parametrize(
    ("limit", "words"), [({"max_keys_day": 1}, "keys on one day"), ({"max_money_day": "30"}, "worth on one day")]
)
def test_keys_and_worth_are_limited_by_the_day(retailer: Retailer, limit: dict[str, Any], words: str) -> None:
    limits(retailer, **limit)
    assert edited(retailer, 15) == "healing"
    mended(retailer)
    assert edited(retailer, 9) == "open"
    assert words in foretold(retailer)[0][1]


def test_nothing_is_healed_in_a_freeze_of_the_calendar(retailer: Retailer) -> None:
    add(retailer, "Calendar", "peak", freezes=[["2026-03-02T00:00:00Z", "2026-03-02T12:00:00Z"]])
    limits(retailer, calendar="peak")
    assert edited(retailer, 15) == "open"
    assert foretold(retailer) == [(False, "the calendar freezes healing until 2026-03-02T12:00:00Z")]
    retailer.clock.advance(4 * 3600)
    assert foretold(retailer) == [(True, "")]
    retailer.compare()
    assert rows(retailer, t.finding)[-1]["state"] == "healing"


def test_a_side_that_is_of_record_is_never_overwritten_and_cannot_be_asked_for(retailer: Retailer) -> None:
    entities = {"stock": {"system_of_record": "wms", "fields": {"available": "shop"}}}
    change(retailer, "Domain", "inventory", entities=entities)
    assert edited(retailer, 15) == "open"
    assert foretold(retailer) == [(False, "shop is of record for available at WH1: it is never overwritten")]
    with pytest.raises(ConflictError, match="never overwritten"):
        asked(retailer, "ann")


def asked(retailer: Retailer, actor: str) -> str:
    finding = str(rows(retailer, t.finding)[-1]["id"])
    with retailer.store.write() as connection:
        return heals.ask(connection, retailer.clock, retailer.registry.snapshot(), finding, actor, "counted twice")


def agreed(retailer: Retailer, actor: str) -> None:
    with retailer.store.write() as connection:
        heals.approve(connection, str(rows(retailer, t.finding)[-1]["id"]), actor)


def test_beyond_the_limits_one_person_asks_and_another_agrees(retailer: Retailer) -> None:
    assert edited(retailer, 5008) == "open"
    with pytest.raises(ConflictError, match="nobody has asked"):
        agreed(retailer, "bob")
    asked(retailer, "ann")
    with pytest.raises(ConflictError, match="has been asked for"):
        asked(retailer, "bob")
    retailer.compare()
    assert rows(retailer, t.finding)[-1]["state"] == "open"
    with pytest.raises(ForbiddenError, match="it takes another person"):
        agreed(retailer, "ann")
    agreed(retailer, "bob")
    assert foretold(retailer) == [(True, "")]
    retailer.compare()
    assert rows(retailer, t.finding)[-1]["state"] == "healing"
    mended(retailer)
    assert rows(retailer, t.finding)[-1]["state"] == "healed"
    [heal] = rows(retailer, t.heal)
    assert (heal["state"], heal["asked_by"], heal["approved_by"], heal["units"]) == ("done", "ann", "bob", 5000)
    steps = [(row["kind"], row["actor"]) for row in rows(retailer, t.finding_event)]
    assert steps == [("opened", NAME), ("healing", "ann, bob"), ("healed", NAME)]


def test_a_preview_changes_nothing(retailer: Retailer) -> None:
    limits(retailer, enabled=False)
    assert edited(retailer, 15) == "open"
    before = rows(retailer, t.finding), rows(retailer, t.heal), retailer.shop.writes
    assert foretold(retailer) == [(False, "policy lets nothing be healed by itself")]
    assert (rows(retailer, t.finding), rows(retailer, t.heal), retailer.shop.writes) == before
