"""What is retrying and what is held up: each with its reason, counted and paged, however much waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from controlplane.clock import ManualClock
from controlplane.errors import BadInputError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.views.paging import Stretch
from controlplane.views.retrying import Held, Page, Retrying, retrying
from rules.waiting import Reason
from tests.conftest import START
from tests.controlplane.sync.backlog import Still, orders, routed, waiting
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_limits import claimed, sent
from tests.controlplane.sync.test_loop import rows


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when it is told to."""
    return Still(START)


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer whose failed tries wait a minute."""
    house = House(store, clock)
    change(house, "RetryPolicy", "default", first="1m", cap="10m", jitter=False)
    return house


def page(house: House, **given: Any) -> Page:
    """What is told now."""
    with house.store.read() as connection:
        return retrying(connection, house.registry.snapshot_in(connection), house.clock.now(), **given)


def only(house: House, **given: Any) -> Retrying:
    """The one that waits."""
    [found] = page(house, **given).deliveries
    return found


def reasons(house: House, **given: Any) -> list[tuple[str, str, str, int]]:
    """The counts."""
    return [(held.system, held.flow, held.reason.value, held.count) for held in page(house, **given).counts]


def test_what_was_never_tried_and_is_about_to_be_is_not_listed(house: House) -> None:
    orders(house, 3)
    routed(house)
    assert page(house) == Page(house.clock.now(), [], True, [], None)


def test_a_failed_try_is_told_with_its_outcome_and_its_next_try(house: House) -> None:
    house.erp.faults.append("unavailable")
    orders(house, 1)
    house.run()
    now, found = house.clock.now(), only(house)
    assert (found.system, found.flow, found.entity, found.subject) == ("erp", "orders", "sales_order", "#000")
    assert (found.reason, found.attempts, found.outcome) == (Reason.BACKOFF, 1, "unavailable")
    assert found.detail == "erp does not answer"
    assert found.next_try == now + timedelta(minutes=1)
    assert found.deadline == now + timedelta(days=1)


def test_an_unanswered_write_waits_out_its_late_effect(house: House) -> None:
    house.erp.faults.append("lost answer")
    orders(house, 1)
    house.run()
    found = only(house)
    assert (found.reason, found.next_try) == (Reason.LATE_EFFECT, house.clock.now() + timedelta(seconds=5))


def test_one_that_keeps_its_order_names_the_one_before_it(house: House) -> None:
    [first] = waiting(house, "erp", 1, due=600, order_key="#1")
    [second] = waiting(house, "erp", 1, attempts=0, order_key="#1")
    found = {one.id: one for one in page(house).deliveries}
    assert found[first].reason is Reason.BACKOFF
    assert (found[second].reason, found[second].why) == (Reason.BEHIND, f"behind {first} of #1")
    assert found[second].next_try is None


def test_an_open_breaker_is_told_with_what_opened_it(house: House) -> None:
    change(house, "System", "erp", breaker={"after": 2, "pause": "10m", "cap": "10m"}, concurrency=50)
    house.erp.down = True
    orders(house, 5)
    routed(house)
    for _ in range(2):
        sent(house.sync.delivering, claimed(house.sync.delivering, slots=1))
    assert reasons(house, system="erp") == [("erp", "orders", "breaker", 5)]
    found = page(house, system="erp").deliveries[0]
    assert found.why == "2 failures in a row: erp does not answer"
    assert found.next_try == house.clock.now() + timedelta(minutes=10)
    house.clock.advance(601)
    assert reasons(house, system="erp") == [("erp", "orders", "breaker", 5)], "one request tests it first"


def test_a_system_that_asked_to_wait_is_told_from_one_that_failed(house: House) -> None:
    house.erp.faults.append("throttled")
    orders(house, 4)
    routed(house)
    sent(house.sync.delivering, claimed(house.sync.delivering, slots=1))
    assert reasons(house, system="erp") == [("erp", "orders", "throttled", 4)]
    assert {one.next_try for one in page(house, system="erp").deliveries} == {house.clock.now() + timedelta(seconds=30)}


def test_a_used_up_limit_is_a_reason(house: House) -> None:
    change(house, "System", "erp", rate=2.0, burst=2, concurrency=50)
    orders(house, 5)
    routed(house)
    sent(house.sync.delivering, claimed(house.sync.delivering, slots=10))
    assert reasons(house, system="erp") == [("erp", "orders", "rate_limit", 3)]
    house.clock.advance(1)
    assert reasons(house, system="erp") == []


def test_pauses_are_told_before_anything_else_and_move_the_deadline(house: House) -> None:
    [one] = waiting(house, "erp", 1, due=60)
    [other] = waiting(house, "wms", 1, flow="shipments", attempts=0)
    deadline = only(house, system="erp").deadline
    house.sync.pause("erp", "olga", "stocktaking")
    house.sync.pause_flow("shipments", "olga", "wrong prices")
    house.clock.advance(3600)
    assert reasons(house) == [("erp", "orders", "paused_system", 1), ("wms", "shipments", "paused_flow", 1)]
    found = {each.id: each for each in page(house).deliveries}
    assert (found[one].next_try, found[other].next_try) == (None, None)
    assert found[one].deadline == deadline + timedelta(hours=1)
    house.sync.resume("erp", "olga", "")
    house.clock.advance(60)
    assert only(house, system="erp").deadline == deadline + timedelta(hours=1), "no further than it was paused"


def test_what_a_replay_sends_waits_for_its_turn(house: House) -> None:
    waiting(house, "erp", 2, due=5, attempts=0)
    assert reasons(house) == [("erp", "orders", "paced", 2)]


def test_it_is_narrowed_to_a_system_and_a_flow(house: House) -> None:
    waiting(house, "erp", 2, due=60)
    waiting(house, "erp", 3, flow="shipments", due=60)
    waiting(house, "wms", 4, due=60)
    assert [held.count for held in page(house).counts] == [2, 3, 4]
    assert [held.count for held in page(house, system="erp").counts] == [2, 3]
    assert [held.count for held in page(house, flow="orders").counts] == [2, 4]
    assert page(house, system="erp", flow="orders").counts == [Held("erp", "orders", Reason.BACKOFF, 2)]
    assert page(house, system="nothing").deliveries == []


def test_pages_follow_each_other_and_leave_nothing_out(house: House) -> None:
    ids = {*waiting(house, "erp", 23, due=60), *waiting(house, "wms", 10, due=60)}
    found: list[str] = []
    cursor = None
    while True:
        one = page(house, stretch=Stretch(7, cursor))
        found += [each.id for each in one.deliveries]
        assert len(one.deliveries) <= 7
        if (cursor := one.next) is None:
            break
    assert len(found) == len(ids)
    assert set(found) == ids
    with pytest.raises(BadInputError, match="give `next` of the part before"):
        page(house, stretch=Stretch(7, "nothing"))


def test_the_number_of_queries_does_not_grow_with_what_waits(house: House) -> None:
    def queries() -> int:
        found: list[str] = []

        def note(*call: Any) -> None:
            found.append(call[2])

        event.listen(house.store.engine, "before_cursor_execute", note)
        with house.store.read() as connection:
            promises = house.registry.snapshot()
            found.clear()
            retrying(connection, promises, house.clock.now(), stretch=Stretch(500, cursor))
        event.remove(house.store.engine, "before_cursor_execute", note)
        return len([query for query in found if query.lstrip().startswith(("SELECT", "WITH"))])

    waiting(house, "erp", 1, due=60, order_key="a")
    waiting(house, "erp", 2, due=60, order_key="b")
    cursor = page(house, stretch=Stretch(1)).next
    few = queries()
    for key in "cdefg":
        waiting(house, "erp", 20, due=60, order_key=key)
    house.sync.pause("wms", "olga", "stocktaking")
    waiting(house, "wms", 50)
    assert queries() == few <= 6
    assert len(rows(house, t.delivery)) == 153
