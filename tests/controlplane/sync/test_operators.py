"""What operators do: run now a delivery, a flow, a system; never what may have taken effect, and always in the action log."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.errors import ConflictError, NotFoundError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery import systems
from controlplane.sync.delivery.operators import BATCH, run_flow
from tests.conftest import START
from tests.controlplane.sync.backlog import Still, orders, waiting
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_limits import claimed, sent, state
from tests.controlplane.sync.test_loop import rows


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when it is told to."""
    return Still(START)


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer whose failed tries wait a minute at least."""
    house = House(store, clock)
    change(house, "RetryPolicy", "default", first="1m", cap="10m", jitter=False)
    return house


def delivery(house: House, target: str = "erp") -> dict[str, Any]:
    """The one delivery of an order to a target."""
    [found] = [row for row in rows(house, t.delivery) if (row["target"], row["flow"]) == (target, "orders")]
    return found


def actions(house: House, action: str) -> list[tuple[Any, ...]]:
    """Who did it to what, and why."""
    return [(row["actor"], row["subject"], row["reason"]) for row in rows(house, t.action) if row["action"] == action]


def later(house: House, ids: list[str]) -> int:
    """How many of the deliveries are not due yet."""
    return sum(row["due_at"] > house.clock.now() for row in rows(house, t.delivery) if row["id"] in set(ids))  # type: ignore[operator]


# --- a delivery ---


def test_a_delivery_that_waits_out_a_backoff_is_run_now(house: House) -> None:
    house.erp.faults.append("unavailable")
    orders(house, 1)
    house.run()
    waits = delivery(house)
    assert waits["due_at"] == house.clock.now() + timedelta(minutes=1)
    house.sync.run_delivery(waits["id"], "olga", "the ERP is back")
    house.run()
    assert delivery(house)["state"] == "delivered"
    assert actions(house, "delivery.run") == [("olga", f"delivery/{waits['id']}", "the ERP is back")]


def test_what_may_have_taken_effect_keeps_its_wait_whatever_is_run(house: House) -> None:
    house.erp.faults.append("lost answer")
    orders(house, 1)
    house.run()
    waits = delivery(house)
    assert waits["state"] == "unknown"
    with pytest.raises(ConflictError, match=r"may have taken effect, or may yet: it is read back at .* and not before"):
        house.sync.run_delivery(waits["id"], "olga", "")
    house.sync.run_flow("orders", "olga", "")
    house.sync.run_system("erp", "olga", "")
    house.run()
    assert delivery(house)["due_at"] == waits["due_at"]
    assert delivery(house)["state"] == "unknown"
    house.run(minutes=1)
    assert house.erp.effects["sales_order", "#000"] == 1


def test_what_waits_in_line_or_is_done_is_not_run(house: House) -> None:
    house.erp.faults.append("unavailable")
    orders(house, 1)
    house.run()
    first = delivery(house)["id"]
    [behind] = waiting(house, "erp", 1, flow="shipments", order_key="#000")
    with pytest.raises(ConflictError, match=f"keeps its order behind '{first}' of #000; run that one"):
        house.sync.run_delivery(behind, "olga", "")
    with pytest.raises(ConflictError, match="is delivered; only one that waits"):
        house.sync.run_delivery(delivery(house, "wms")["id"], "olga", "")
    with pytest.raises(NotFoundError, match="no delivery 'nothing'"):
        house.sync.run_delivery("nothing", "olga", "")
    assert actions(house, "delivery.run") == []


def test_what_is_paused_is_resumed_and_not_run(house: House) -> None:
    [one] = waiting(house, "erp", 1, due=60)
    house.sync.pause("erp", "olga", "stocktaking")
    with pytest.raises(ConflictError, match="deliveries to 'erp' are paused; resume them instead"):
        house.sync.run_delivery(one, "olga", "")
    with pytest.raises(ConflictError, match="deliveries to 'erp' are paused; resume them instead"):
        house.sync.run_system("erp", "olga", "")
    house.sync.resume("erp", "olga", "")
    house.sync.pause_flow("orders", "olga", "stocktaking")
    with pytest.raises(ConflictError, match="the flow 'orders' is paused; resume it instead"):
        house.sync.run_delivery(one, "olga", "")
    with pytest.raises(ConflictError, match="the flow 'orders' is paused; resume it instead"):
        house.sync.run_flow("orders", "olga", "")


# --- a flow ---


def test_a_flow_is_run_now_in_batches_and_no_other_flow_with_it(house: House) -> None:
    mine = waiting(house, "erp", BATCH + 50, due=600)
    others = waiting(house, "erp", 5, flow="shipments", due=600)
    paced = waiting(house, "wms", 3, due=600, attempts=0)
    with house.store.write() as connection:
        assert run_flow(connection, house.clock, "orders", ["erp", "wms"]) == BATCH
    assert later(house, mine) == 50
    assert house.sync.run_flow("orders", "olga", "peak is over") == (50, False)
    assert later(house, mine) == 0
    assert later(house, others) == 5
    assert later(house, paced) == 3, "what was never tried waits for its turn, not for a backoff"
    assert actions(house, "flow.run") == [("olga", "Flow/orders", "peak is over")]


# --- a system ---


def opened(house: House, count: int = 30) -> None:
    """An ERP that is down, whose breaker is open, with so many orders waiting."""
    change(house, "System", "erp", breaker={"after": 3, "pause": "10m", "cap": "1h"}, concurrency=50)
    house.erp.down = True
    orders(house, count)
    while house.sync.process():
        pass
    for _ in range(3):
        sent(house.sync.delivering, claimed(house.sync.delivering, slots=1))
    assert state(house)["blocked_until"] > house.clock.now()


def test_running_a_system_whose_breaker_is_open_tests_it_by_one_request(house: House) -> None:
    opened(house)
    before = house.erp.writes
    found = house.sync.run_system("erp", "olga", "they say it is back")
    assert (found.asked_again, found.blocked_until) == (True, None)
    house.run()
    assert house.erp.writes == before + 1, "it is not back"
    assert state(house)["blocked_until"] > house.clock.now()
    assert actions(house, "system.run") == [("olga", "System/erp", "they say it is back")]


def test_when_it_answers_all_that_waited_out_a_backoff_is_sent_at_once(house: House) -> None:
    opened(house)
    house.erp.down = False
    now = house.clock.now()
    house.sync.run_system("erp", "olga", "it is back")
    house.run()
    assert sum(house.erp.effects.values()) == 30
    assert house.clock.now() == now, "without waiting for anything"


def test_a_system_that_asked_to_wait_is_not_asked_before(house: House) -> None:
    house.erp.faults.append("throttled")
    orders(house, 1)
    house.run()
    writes, blocked = house.erp.writes, state(house)["blocked_until"]
    found = house.sync.run_system("erp", "olga", "")
    assert (found.asked_again, found.blocked_until) == (False, blocked)
    house.run()
    assert house.erp.writes == writes
    house.clock.move_to(blocked)
    house.run()
    assert house.erp.effects["sales_order", "#000"] == 1


def test_running_a_system_that_is_well_lets_what_waits_be_due(house: House) -> None:
    ids = waiting(house, "erp", 20, due=600)
    house.sync.run_system("erp", "olga", "")
    house.run()
    assert {row["state"] for row in rows(house, t.delivery) if row["id"] in ids} == {"delivered"}


# --- how a system stands, changed by several at once ---


def test_what_an_operator_pauses_stays_paused_whatever_workers_note_meanwhile(house: House) -> None:
    done, spec = threading.Event(), house.registry.snapshot().systems["erp"].spec

    def note() -> None:
        while not done.is_set():
            with house.store.write() as connection:
                systems.failed(connection, house.clock, "erp", "it is down", spec)
            with house.store.write() as connection:
                systems.succeeded(connection, house.clock, "erp", spec)

    workers = [threading.Thread(target=note) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(40):
            house.sync.pause("erp", "olga", "stocktaking")
            house.sync.resume("erp", "olga", "counted")  # raises when the pause is lost
    finally:
        done.set()
        for worker in workers:
            worker.join()


def test_a_pause_that_a_system_asked_for_is_not_shortened_by_failures_of_what_was_under_way(house: House) -> None:
    spec = house.registry.snapshot().systems["erp"].spec
    with house.store.write() as connection:
        systems.throttled(connection, house.clock, "erp", spec, 600, "slow down")
        for _ in range(9):
            systems.failed(connection, house.clock, "erp", "it is down", spec)
    assert state(house)["blocked_until"] == house.clock.now() + timedelta(seconds=600)


def test_a_system_that_is_down_is_asked_again_when_it_said_so(house: House) -> None:
    spec = house.registry.snapshot().systems["erp"].spec
    with house.store.write() as connection:
        systems.failed(connection, house.clock, "erp", "down for maintenance", spec, 900)
    assert state(house)["blocked_until"] == house.clock.now() + timedelta(seconds=900)
