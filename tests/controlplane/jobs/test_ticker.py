"""The ticker: each slot once, whoever ticks; what was asked for, now; initial loads until they worked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from controlplane.clock import ManualClock, SystemClock
from controlplane.connectors.contract import Page
from controlplane.jobs import Ticker, runs
from controlplane.jobs.schedules import RECOVER_EVERY
from controlplane.settings import load_settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines.reprocess import Request
from controlplane.telemetry import Telemetry
from controlplane.wiring import Plane
from tests.clocks import PutClock
from tests.conftest import START
from tests.controlplane.sync.kit import House, Vendor
from tests.controlplane.sync.policies import add, change
from tests.controlplane.sync.test_loop import SKU, rows
from tests.waiting import until


@pytest.fixture
def clock() -> PutClock:
    """A clock that can be put back."""
    return PutClock(START)


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer with one level in the shop."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    return house


def plane_of(house: House) -> Plane:
    """A plane over the house."""
    parts = (
        load_settings(),
        house.clock,
        house.store,
        house.registry,
        house,
        house.sync,
        house.clock.now(),
        Telemetry(house.clock),
    )
    return Plane(*parts)  # type: ignore[arg-type]


def ran(house: House, schedule: str) -> list[str]:
    """States of a schedule's runs."""
    return [str(row["state"]) for row in rows(house, t.run) if row["schedule"] == schedule]


def test_two_tickers_run_each_slot_once(house: House) -> None:
    one, two = Ticker(plane_of(house)), Ticker(plane_of(house))
    one.run_due()
    two.run_due()
    assert ran(house, "poll:orders") == ["done"]
    house.clock.advance(120)
    two.run_due()
    one.run_due()
    assert ran(house, "poll:orders") == ["done", "done"]


def test_an_initial_load_that_failed_is_tried_until_it_worked(house: House) -> None:
    ticker = Ticker(plane_of(house))
    house.shop.down = True
    ticker.run_due()
    assert ran(house, "channel:shop") == []
    house.shop.down = False
    house.clock.advance(5)
    ticker.run_due()
    assert ran(house, "channel:shop") == ["done"]
    house.clock.advance(600)
    ticker.run_due()
    assert ran(house, "channel:shop") == ["done"], "once in the life of an installation"


def test_nothing_is_compared_before_the_initial_loads_are_done(house: House) -> None:
    ticker = Ticker(plane_of(house))
    house.shop.down = True
    ticker.run_due()
    house.clock.advance(60)
    ticker.run_due()
    assert ran(house, "compare:stock-three-way") == []
    house.shop.down = False
    for _ in range(3):
        house.clock.advance(60)
        ticker.run_due()
    assert "done" in ran(house, "compare:stock-three-way")


def test_a_run_that_somebody_asked_for_runs_now_and_once(house: House) -> None:
    plane = plane_of(house)
    ticker = Ticker(plane)
    ticker.run_due()
    house.clock.advance(1)
    plane.request_run("poll:products")
    ticker.run_due()
    ticker.run_due()
    assert ran(house, "poll:products") == ["done", "done"]


def test_a_failed_run_says_why_and_the_next_slot_runs(house: House) -> None:
    ticker = Ticker(plane_of(house))
    ticker.run_due()
    house.shop.down = True
    house.clock.advance(120)
    ticker.run_due()
    [failed] = [row for row in rows(house, t.run) if row["schedule"] == "poll:orders" and row["state"] == "failed"]
    assert "does not answer" in str(failed["detail"])
    house.shop.down = False
    house.clock.advance(120)
    ticker.run_due()
    assert ran(house, "poll:orders")[-1] == "done"


def test_a_system_that_hangs_holds_up_neither_what_reads_others_nor_what_reads_none(house: House) -> None:
    """Its flows are more than there are threads for what else is to be done."""
    hanging = Event()

    class Hanging(Vendor):
        def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
            assert hanging.wait(60)
            yield from ()

    house.erp = Hanging("erp", house.clock)
    flow = {
        "domain": "inventory", "owner": "integration", "source": "erp", "message_types": ["product.described"],
        "method": "poll", "read": "items", "poll_every": "1m", "retry": "default", "promise": "5m",
    }  # fmt: skip
    for number in range(20):
        add(house, "Flow", f"hanging-{number}", **flow)
    ticker = Ticker(plane_of(house))
    try:
        ticker._tick()
        until(lambda: ran(house, "poll:orders") == ["done"] and ran(house, "recover") == ["done"], "the others ran")
        assert ran(house, "poll:hanging-0") == ["running"]
    finally:
        hanging.set()
        ticker.stop()


def test_slots_lie_on_a_grid_that_every_ticker_shares(clock: ManualClock) -> None:
    five = timedelta(minutes=5)
    first = runs.slot(clock.now(), five)
    clock.advance(299)
    assert runs.slot(clock.now(), five) in (first, first + five)
    assert (runs.slot(clock.now(), five) - first) % five == timedelta(0)


def test_a_slot_is_taken_by_one_of_two_that_both_tick(house: House) -> None:
    slot = house.clock.now()
    taken = [runs.take(house.store, house.clock, owner, "evaluate", slot) for owner in ("one", "two")]
    assert taken[0]
    assert taken[1] is None


def test_of_two_planes_only_one_ticks_until_it_is_gone(house: House) -> None:
    one, two = Ticker(plane_of(house)), Ticker(plane_of(house))
    assert one.run_due() > 5
    house.clock.advance(10)
    assert two.run_due() == 0
    house.clock.advance(60)
    assert two.run_due() > 5
    house.clock.advance(1)
    assert one.run_due() == 0


def test_a_plane_that_stops_hands_ticking_over_at_once(house: House) -> None:
    one, two = Ticker(plane_of(house)), Ticker(plane_of(house))
    one.run_due()
    one.stop()
    house.clock.advance(RECOVER_EVERY.total_seconds())
    assert two.run_due() > 0


def test_runs_of_a_process_that_died_are_marked_failed_by_the_one_that_ticks_next(house: House) -> None:
    dead = Ticker(plane_of(house))
    dead.run_due()
    house.clock.advance(60)
    assert runs.take(house.store, house.clock, dead.owner, "evaluate", house.clock.now())
    ticker = Ticker(plane_of(house))
    ticker.run_due()
    assert ran(house, "evaluate") == ["done", "failed"]
    house.clock.advance(60)
    ticker.run_due()
    assert ran(house, "evaluate") == ["done", "failed", "done"]


def test_a_second_plane_that_starts_leaves_the_runs_of_the_first_alone(house: House) -> None:
    first = Ticker(plane_of(house))
    first.run_due()
    assert runs.take(house.store, house.clock, first.owner, "evaluate", house.clock.now() + timedelta(minutes=1))
    house.clock.advance(5)
    Ticker(plane_of(house)).run_due()
    assert ran(house, "evaluate") == ["done", "running"]


def test_who_was_taken_for_dead_and_was_not_still_says_how_his_run_ended(house: House) -> None:
    run_id = runs.take(house.store, house.clock, "slow", "evaluate", house.clock.now())
    assert run_id
    assert runs.abandon(house.store, house.clock, "next") == 1
    runs.finish(house.store, house.clock, run_id, "done", {})
    assert ran(house, "evaluate") == ["done"]


def test_schedules_go_on_at_their_pace_when_the_clock_is_put_back_by_an_hour(house: House, clock: PutClock) -> None:
    ticker = Ticker(plane_of(house))
    for _ in range(10):
        ticker.run_due()
        clock.advance(60)
    before = len(ran(house, "evaluate"))
    clock.put(-3600)
    for _ in range(10):
        ticker.run_due()
        clock.advance(30)
    assert len(ran(house, "evaluate")) - before == 5


def test_slots_that_were_run_before_the_clock_was_put_back_are_run_again(house: House, clock: PutClock) -> None:
    ticker = Ticker(plane_of(house))
    for _ in range(5):
        ticker.run_due()
        clock.advance(60)
    clock.put(-300)
    for _ in range(4):
        ticker.run_due()
        clock.advance(60)
    assert ran(house, "evaluate") == ["done"] * 9


def test_a_process_that_starts_after_the_clock_was_put_back_runs_what_is_due(house: House, clock: PutClock) -> None:
    Ticker(plane_of(house)).run_due()
    clock.put(-3600)
    assert Ticker(plane_of(house)).run_due() > 5


def test_schedules_go_on_when_the_clock_is_put_forward_and_set_right_again(house: House, clock: PutClock) -> None:
    ticker = Ticker(plane_of(house))
    ticker.run_due()
    clock.put(3600)
    assert ticker.run_due() > 5, "each once, not once for every slot of the hour that was skipped"
    assert len(ran(house, "evaluate")) == 2
    clock.put(-3600 + 60)
    ticker.run_due()
    assert len(ran(house, "evaluate")) == 3


def test_initial_loads_are_not_run_again_because_a_clock_was_put_back(house: House, clock: PutClock) -> None:
    ticker = Ticker(plane_of(house))
    ticker.run_due()
    clock.put(-3600)
    ticker.run_due()
    assert ran(house, "channel:shop") == ["done"]


def test_a_ticker_whose_next_tick_lies_an_hour_ahead_ticks_on(house: House) -> None:
    ticker = Ticker(plane_of(house))
    ticker.start()
    try:
        ticker._scheduler.modify_job(
            "tick", next_run_time=SystemClock().now() + timedelta(hours=1)
        )  # as it then stands
        ticker.beat_at = None
        until(lambda: ticker.beat_at is not None, "the next tick")
    finally:
        ticker.stop()


def test_old_runs_are_forgotten_and_initial_loads_are_not_run_again(house: House) -> None:
    plane = plane_of(house)
    ticker = Ticker(plane)
    ticker.run_due()
    house.clock.advance(3 * 86400)
    assert runs.prune(house.store, house.clock.now() - timedelta(days=2)) > 5
    left = {str(row["schedule"]) for row in rows(house, t.run)}
    assert left == {"channel:shop", "poll:stock-levels"}
    Ticker(plane).run_due()
    assert ran(house, "channel:shop") == ["done"]


def test_a_replay_goes_on_each_second_while_it_runs_and_then_nothing_is_scheduled(house: House) -> None:
    ticker = Ticker(plane_of(house))
    ticker.run_due()
    for number in range(5):
        house.order(f"#{number}", SKU, 1)
    house.run()
    change(house, "Flow", "orders", targets=[{"system": "tills", "entity": "order"}])
    house.clock.advance(1)
    asked = Request("orders", START, house.clock.now(), "outage", rate=1.0)
    house.sync.reprocessing.start(asked, "olga")
    for _ in range(12):
        ticker.run_due()
        house.sync.drain()
        house.clock.advance(1)
    assert [state for state in ran(house, "replay") if state != "done"] == []
    assert len(ran(house, "replay")) >= 3, "one step of it was not enough"
    assert rows(house, t.replay)[0]["state"] == "done"
    assert sum(house.tills.effects.values()) == 5
    before = len(ran(house, "replay"))
    house.clock.advance(5)
    ticker.run_due()
    assert len(ran(house, "replay")) == before
