"""An effect that comes later than its connector declares is found out afterwards, told with both effects, and counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from controlplane.clock import ManualClock
from controlplane.errors import ConflictError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.telemetry import Telemetry
from rules.doubt import LONGEST_LOOK, look_again_after
from rules.outcomes import Guarantee
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU, rows

LATE = 5.0
"""Seconds that the warehouse declares."""


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    house = House(store, clock)
    house.product(SKU, "4.00")
    house.level(SKU, 10)
    house.run()
    change(house, "RetryPolicy", "default", jitter=False, first="1s", cap="2s")
    return house


def cases(house: House) -> list[dict[str, Any]]:
    return [row for row in rows(house, t.quarantine) if row["reason_code"] == "took_effect_twice"]


def after(house: House, late: float) -> dict[str, int]:
    """Let so many late-effect times pass, and look again."""
    house.clock.advance(late * LATE)
    house.wms.arrive()
    return house.sync.rechecks.run()


def doubled(house: House) -> None:
    """An order whose first write takes effect after it was looked for, and was written again."""
    house.wms.faults.append("later effect")
    house.order("#1", SKU, 1)
    house.run(minutes=0.25, step=1)
    house.wms.arrive()
    assert house.wms.effects["order", "#1"] == 2


def test_a_document_that_took_effect_twice_waits_in_quarantine_with_both_effects_named(house: House) -> None:
    doubled(house)
    assert house.sync.rechecks.run() == {"looked": 0, "twice": 0}, "it is too early"
    assert after(house, 10) == {"looked": 1, "twice": 1}
    [case] = cases(house)
    [shown] = [shown for shown in house.wms.shown.values() if len(shown) > 1]
    assert all(one in case["reason"] for one in shown)
    assert (case["system"], case["subject"], case["state"], case["stage"]) == ("wms", "#1", "waiting", "delivery")
    assert case["owner"]
    assert "cancel all but one" in case["remedy"]


def test_it_is_told_once_however_often_it_is_looked_at(house: House) -> None:
    doubled(house)
    assert after(house, 10)["twice"] == 1
    assert after(house, 1) == {"looked": 0, "twice": 0}
    assert after(house, 100) == {"looked": 1, "twice": 0}
    assert after(house, 1000) == {"looked": 0, "twice": 0}, "it was looked at as often as it is"
    assert len(cases(house)) == 1


def test_what_comes_later_still_is_found_by_the_second_look(house: House) -> None:
    house.wms.faults.append("lost request")
    house.order("#1", SKU, 1)
    house.run(minutes=0.25, step=1)
    assert after(house, 10) == {"looked": 1, "twice": 0}
    [request] = [row for row in rows(house, t.delivery) if row["target"] == "wms"]
    house.wms.effects["order", "#1"] += 1
    house.wms.shown[request["idempotency_key"]].append("order/late")
    house.wms.by_key[request["idempotency_key"]] = house.wms.by_key[request["idempotency_key"]].__class__(
        house.wms.by_key[request["idempotency_key"]].result, effects=tuple(house.wms.shown[request["idempotency_key"]])
    )
    assert after(house, 100) == {"looked": 1, "twice": 1}


def test_the_case_sends_nothing_again_and_is_closed_by_a_person(house: House) -> None:
    doubled(house)
    after(house, 10)
    writes = house.wms.writes
    [case] = cases(house)
    with pytest.raises(ConflictError):
        house.sync.replay(case["id"], "olga")
    house.run(minutes=2)
    assert house.wms.writes == writes
    with house.store.write() as connection:
        quarantine.drop(connection, house.clock, case["id"], "olga", "the second was cancelled")
    assert [row["state"] for row in rows(house, t.delivery) if row["target"] == "wms"] == ["delivered"]


def test_what_was_never_absent_or_cannot_be_asked_is_not_looked_up(house: House) -> None:
    house.order("#1", SKU, 1)
    house.run(minutes=0.25, step=1)
    house.wms.faults.append("lost answer")
    house.order("#2", SKU, 1)
    house.run(minutes=0.25, step=1)
    assert after(house, 100) == {"looked": 0, "twice": 0}
    house.wms.guarantee = Guarantee.KEYED
    house.wms.__post_init__()
    house.wms.faults.append("lost request")
    house.order("#3", SKU, 1)
    house.run(minutes=0.25, step=1)
    assert after(house, 100) == {"looked": 0, "twice": 0}, "its key makes a second write harmless"


def test_a_target_that_is_down_or_paused_is_asked_when_it_is_back(house: House) -> None:
    doubled(house)
    house.wms.down = True
    assert after(house, 10) == {"looked": 0, "twice": 0}
    house.wms.down = False
    house.sync.pause("wms", "olga", "maintenance")
    assert after(house, 1) == {"looked": 0, "twice": 0}
    house.sync.resume("wms", "olga", "")
    assert after(house, 1) == {"looked": 1, "twice": 1}


def test_a_reading_back_that_shows_two_at_once_is_told_at_once(house: House) -> None:
    """The repeated write is not answered either, and when it is looked for both are there."""

    def come() -> None:
        house.wms.on_the_wire = [(house.clock.now(), one) for _, one in house.wms.on_the_wire]
        house.wms.arrive()

    house.wms.faults.extend(["later effect", "lost answer"])
    house.wms.meanwhile = [lambda: None, come]
    house.order("#1", SKU, 1)
    house.run(minutes=1, step=1)
    assert house.wms.effects["order", "#1"] == 2
    assert len(cases(house)) == 1


def test_it_is_counted(house: House) -> None:
    telemetry = Telemetry(house.clock)
    house.store.facts.subscribe(telemetry.told)
    doubled(house)
    after(house, 10)
    found = telemetry.meters.registry.get_sample_value("trueup_effects_twice_total", {"system": "wms"})
    assert found == 1


def test_the_reading_back_stands_among_the_attempts(house: House) -> None:
    doubled(house)
    after(house, 10)
    with house.store.read() as connection:
        a = t.attempt.c
        last = connection.execute(
            select(a.kind, a.outcome, a.detail).where(a.system == "wms").order_by(a.id.desc()).limit(1)
        ).one()
    assert (last.kind, last.outcome) == ("read-back", "already_delivered")
    assert last.detail.startswith("looked up again")


def test_looks_are_never_too_close_and_never_later_than_a_day() -> None:
    assert look_again_after(timedelta(0), 0) == timedelta(seconds=10)
    assert look_again_after(timedelta(seconds=30), 0) == timedelta(minutes=5)
    assert look_again_after(timedelta(seconds=30), 1) == timedelta(minutes=50)
    assert look_again_after(timedelta(hours=8), 1) == LONGEST_LOOK


def test_what_nobody_can_look_up_or_is_not_due_keeps_nobody_else_from_being_looked_up(house: House) -> None:
    """More documents of another target than are looked up at once, and none of them ever will be."""
    doubled(house)
    template = next(row for row in rows(house, t.delivery) if row["target"] == "wms")
    tried = next(row for row in rows(house, t.attempt) if row["outcome"] == "absent")
    many = range(600)
    earlier = house.clock.now() - timedelta(minutes=30)
    with house.store.write() as connection:
        connection.execute(
            insert(t.delivery),
            [
                {**template, "id": f"keyed-{n}", "idempotency_key": f"k{n}", "target": "erp", "entity": "sales_order"}
                for n in many
            ],
        )
        connection.execute(
            insert(t.attempt),
            [
                {**tried, "id": f"a-{n}", "delivery_id": f"keyed-{n}", "system": "erp", "finished_at": earlier}
                for n in many
            ],
        )
    assert after(house, 10) == {"looked": 1, "twice": 1}
