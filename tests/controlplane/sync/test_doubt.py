"""A write that may have taken effect is looked up before anything is sent again, however it came to wait and whoever sends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.engines.reprocess import Request
from controlplane.sync.quarantine import Selection
from rules.outcomes import Guarantee
from tests.controlplane.sync.kit import PLAIN, House, Vendor
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU, rows

LATE = 20.0


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer with one product, whose retries are quick."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    house.product(SKU, "4.00")
    house.level(SKU, 10)
    house.run()
    change(house, "RetryPolicy", "default", jitter=False, first="1s", cap="2s")
    return house


def late(vendor: Vendor, seconds: float = LATE, guarantee: Guarantee = Guarantee.READABLE) -> None:
    """Let the vendor declare for how long a write that was not answered may take effect still."""
    vendor.guarantee, vendor.late_effect = guarantee, seconds
    vendor.__post_init__()


def blind(vendor: Vendor) -> None:
    """Let the vendor know documents by their key, and show none."""
    vendor.guarantee, vendor.blind = Guarantee.KEYED, True


def case_at(house: House, system: str) -> dict[str, Any]:
    """The case of a system that waits."""
    [found] = [
        row for row in rows(house, t.quarantine) if row["system"] == system and row["state"] in ("waiting", "corrected")
    ]
    return found


def tries(house: House, system: str) -> list[tuple[str, str]]:
    """Kind and outcome of each try, in their order."""
    with house.store.read() as connection:
        a = t.attempt.c
        found = connection.execute(select(a.kind, a.outcome).where(a.system == system).order_by(a.id)).all()
    return [(kind, outcome) for kind, outcome in found]


def corrected(house: House, case: dict[str, Any], sku: str = "0001-WHT-L") -> None:
    """Correct the case's record."""
    lines = [{**line, "sku": sku} for line in case["record"]["lines"]]
    with house.store.write() as connection:
        quarantine.correct(connection, house.clock, case["id"], {**case["record"], "lines": lines}, "olga", PLAIN)


def ledger_replay(house: House, seconds: int = 60) -> dict[str, Any]:
    """Replay all orders from the ledger to the warehouse, and let a minute pass; return the replay's row."""
    house.clock.advance(0.1)
    since, until = house.clock.now() - timedelta(days=30), house.clock.now()
    replay_id = house.sync.reprocessing.start(Request("orders", since, until, "outage", target="wms"), "olga")
    for _ in range(seconds):
        house.sync.reprocessing.advance()
        house.sync.drain()
        house.clock.advance(1)
    return next(row for row in rows(house, t.replay) if row["id"] == replay_id)


# --- what gave up while nobody could tell ---


def test_what_gave_up_while_it_could_not_be_looked_up_is_read_back_when_its_case_is_replayed(house: House) -> None:
    change(house, "RetryPolicy", "default", max_attempts=4)
    house.wms.faults.append("lost answer")
    house.order("#1001", SKU, 1)
    house.run()
    house.wms.down = True
    house.run(minutes=2)
    assert tries(house, "wms") == [("write", "unknown"), *[("read-back", "unavailable")] * 3]
    house.wms.down = False
    house.sync.replay(case_at(house, "wms")["id"], "olga")
    house.run(minutes=1)
    assert tries(house, "wms")[-1] == ("read-back", "already_delivered")
    assert house.wms.effects["order", "#1001"] == 1


def test_what_was_read_back_and_not_there_before_it_was_refused_is_written_at_once(house: House) -> None:
    house.wms.faults.extend(["lost request", "rejected"])
    house.order("#1001", SKU, 1)
    house.run(minutes=1)
    assert tries(house, "wms") == [("write", "unknown"), ("read-back", "absent"), ("write", "rejected")]
    house.sync.replay(case_at(house, "wms")["id"], "olga")
    house.run(minutes=1)
    assert tries(house, "wms")[3:] == [("write", "delivered")]


def test_a_write_whose_worker_died_is_in_doubt_though_its_try_was_never_recorded(house: House) -> None:
    change(house, "RetryPolicy", "default", max_attempts=3)
    house.order("#1001", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    [request] = house.sync.delivering.turn("wms", [], 10).requests
    house.sync.delivering.send("wms", request)  # and dies
    house.sync = house.restarted()
    house.wms.down = True
    house.clock.advance(31)
    house.sync.recover()
    house.run(minutes=2)
    assert tries(house, "wms") == [("read-back", "unavailable")] * 2
    house.wms.down = False
    house.sync.replay(case_at(house, "wms")["id"], "olga")
    house.run(minutes=1)
    assert house.wms.effects["order", "#1001"] == 1


# --- what may take effect yet ---


@pytest.mark.parametrize("by", ["case", "ledger"])
def test_a_replay_waits_out_the_time_in_which_the_write_may_take_effect_yet(house: House, by: str) -> None:
    late(house.wms)
    change(house, "RetryPolicy", "default", budget="5s")
    house.wms.faults.append("late effect")
    house.order("#1001", SKU, 1)
    house.run()
    waiting = case_at(house, "wms")
    if by == "case":
        house.sync.replay(waiting["id"], "olga")
        house.run(minutes=1, step=1)
    else:
        assert ledger_replay(house)["counts"]["wms"] == {"reopened": 1}
    assert tries(house, "wms") == [("write", "unknown"), ("read-back", "already_delivered")]
    assert house.wms.effects["order", "#1001"] == 1


@pytest.mark.parametrize("by", ["case", "ledger"])
def test_its_budget_begins_when_that_time_is_over(house: House, by: str) -> None:
    late(house.wms)
    change(house, "RetryPolicy", "default", budget="5s")
    house.wms.faults.append("lost request")
    house.order("#1001", SKU, 1)
    house.run()
    if by == "case":
        house.sync.replay(case_at(house, "wms")["id"], "olga")
        house.run(minutes=1, step=1)
    else:
        ledger_replay(house)
    assert tries(house, "wms") == [("write", "unknown"), ("read-back", "absent"), ("write", "delivered")]


def test_a_correction_is_not_sent_while_the_first_write_may_take_effect_yet(house: House) -> None:
    late(house.wms)
    change(house, "RetryPolicy", "default", budget="5s")
    house.wms.faults.append("late effect")
    house.order("#1001", SKU, 1)
    house.run()
    waiting = case_at(house, "wms")
    corrected(house, waiting)
    with pytest.raises(ConflictError, match=r"may take effect until 2026-03-02T09:00:21.* replay it after that"):
        house.sync.replay(waiting["id"], "olga")
    house.clock.advance(LATE)
    with pytest.raises(ConflictError, match="does not prove that the first order #1001 had no effect"):
        house.sync.replay(waiting["id"], "olga")
    house.run(minutes=1)
    assert house.wms.effects["order", "#1001"] == 1


def test_a_scheduled_replay_of_a_correction_is_put_off_until_it_can_be_told(house: House) -> None:
    late(house.wms)
    change(house, "RetryPolicy", "default", budget="5s")
    house.wms.faults.append("lost request")
    house.order("#1001", SKU, 1)
    house.run()
    waiting = case_at(house, "wms")
    corrected(house, waiting)
    house.sync.workbench.replay_many(Selection((waiting["id"],)), "olga")
    house.run(minutes=0.25, step=1)
    assert (case_at(house, "wms")["state"], house.wms.writes) == ("corrected", 1)
    house.run(minutes=0.5, step=1)
    assert (house.wms.effects["order", "#1001"], house.wms.writes) == (1, 2)


def test_what_waits_to_be_read_back_after_a_replay_does_not_outwait_a_clock_that_was_put_back(house: House) -> None:
    late(house.wms)
    change(house, "RetryPolicy", "default", budget="5s")
    house.wms.faults.append("lost request")
    house.order("#1001", SKU, 1)
    house.run()
    house.clock.advance(-3600)
    house.sync.replay(case_at(house, "wms")["id"], "olga")
    house.sync.recover()
    house.run(minutes=3)
    assert house.wms.effects["order", "#1001"] == 1


# --- where nothing can be looked up ---


def refused_after_silence(house: House) -> dict[str, Any]:
    """Let an order take effect at an ERP that shows nothing, without an answer, and be refused when it is told again."""
    blind(house.erp)
    house.erp.faults.extend(["lost answer", "rejected"])
    house.order("#1001", SKU, 1)
    house.run(minutes=1)
    assert tries(house, "erp") == [("write", "unknown"), ("read-back", "unseen"), ("write", "rejected")]
    return case_at(house, "erp")


def test_a_correction_gets_no_key_of_its_own_where_nobody_can_tell_whether_the_first_took_effect(house: House) -> None:
    waiting = refused_after_silence(house)
    corrected(house, waiting)
    with pytest.raises(ConflictError, match=r"POST /api/v1/quarantine/.*/vouch"):
        house.sync.replay(waiting["id"], "olga")
    house.run(minutes=1)
    assert house.erp.effects["sales_order", "#1001"] == 1
    house.sync.workbench.replay_many(Selection((waiting["id"],)), "olga")
    house.run(minutes=1)
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_what_was_refused_at_once_had_no_effect_and_its_correction_is_sent(house: House) -> None:
    blind(house.erp)
    house.erp.faults.append("rejected")
    house.order("#1001", SKU, 1)
    house.run()
    waiting = case_at(house, "erp")
    corrected(house, waiting)
    assert ":r" in str(house.sync.replay(waiting["id"], "olga")["idempotency_key"])
    house.run()
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_a_person_who_has_looked_may_vouch_for_it_and_the_history_says_who_and_why(house: House) -> None:
    waiting = refused_after_silence(house)
    house.erp.effects.clear()  # somebody has cancelled it there
    corrected(house, waiting)
    house.clock.advance(1)
    with house.store.write() as connection:
        quarantine.vouch(connection, house.clock, waiting["id"], "olga", "cancelled it at the ERP")
    house.sync.replay(waiting["id"], "olga")
    house.run()
    assert house.erp.effects["sales_order", "#1001"] == 1
    told = [(row["actor"], row["note"]) for row in rows(house, t.quarantine_event) if row["kind"] == "vouched"]
    assert told == [("olga", "cancelled it at the ERP")]
    assert [row["reason"] for row in rows(house, t.action) if row["action"] == "quarantine.vouch"] == [told[0][1]]


def test_a_word_given_for_one_write_does_not_stand_for_the_next(house: House) -> None:
    waiting = refused_after_silence(house)
    corrected(house, waiting)
    house.clock.advance(1)
    with house.store.write() as connection:
        quarantine.vouch(connection, house.clock, waiting["id"], "olga", "cancelled it at the ERP")
    house.erp.effects.clear()
    house.erp.faults.extend(["lost answer", "rejected"])
    house.sync.replay(waiting["id"], "olga")
    house.run(minutes=1)
    again = case_at(house, "erp")
    corrected(house, again, sku="0003-BLU-S")
    with pytest.raises(ConflictError, match="vouch"):
        house.sync.replay(again["id"], "olga")
    assert house.erp.effects["sales_order", "#1001"] == 1


def test_nobody_vouches_against_what_the_target_shows(house: House) -> None:
    house.wms.faults.append("lost answer")
    change(house, "RetryPolicy", "default", max_attempts=1)
    house.order("#1001", SKU, 1)
    house.run()
    waiting = case_at(house, "wms")
    corrected(house, waiting)
    house.clock.advance(LATE)
    with house.store.write() as connection:
        quarantine.vouch(connection, house.clock, waiting["id"], "olga", "I think so")
    with pytest.raises(ConflictError, match="does not prove"):
        house.sync.replay(waiting["id"], "olga")


def test_only_for_a_write_somebody_can_vouch(house: House) -> None:
    house.level("UNKNOWN", 5)
    house.run()
    [waiting] = rows(house, t.quarantine)
    with house.store.write() as connection, pytest.raises(BadInputError, match="was never sent to a target"):
        quarantine.vouch(connection, house.clock, str(waiting["id"]), "olga", "why not")
