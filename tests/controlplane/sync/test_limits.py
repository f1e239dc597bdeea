"""What all workers share of a system: its rate, its concurrency, its breaker, what it asks for; and what each flow gets of it."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery import Delivering
from controlplane.sync.delivery.claim import RELEASE, Claimed
from tests.conftest import START
from tests.controlplane.sync.backlog import Still, orders, routed, waiting
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import add, change
from tests.controlplane.sync.test_loop import rows

MANY = 50


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when it is told to."""
    return Still(START)


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer that takes up to a hundred requests of ours at once."""
    return roomy(House(store, clock))


def roomy(house: House) -> House:
    """Let concurrency set no limit."""
    for system in ("erp", "wms"):
        change(house, "System", system, concurrency=100)
    return house


def two_workers(house: House) -> list[Delivering]:
    """Two processes that deliver."""
    return [house.sync.delivering, house.restarted().delivering]


def claimed(worker: Delivering, target: str = "erp", slots: int = MANY) -> list[Claimed]:
    """What a worker may send now."""
    return [item for request in worker.turn(target, [], slots).requests for item in request]


def sent(worker: Delivering, items: list[Claimed], target: str = "erp") -> None:
    """Send it and record what came of it."""
    worker.turn(target, [one for item in items for one in worker.send(target, [item])], 0)


def state(house: House, system: str = "erp") -> dict[str, Any]:
    """How a system stands."""
    return next(row for row in rows(house, t.system_state) if row["system"] == system)


def mine(house: House, target: str = "erp") -> list[dict[str, Any]]:
    """Deliveries of orders to a target, oldest first."""
    found = [row for row in rows(house, t.delivery) if (row["target"], row["flow"]) == (target, "orders")]
    return sorted(found, key=lambda row: str(row["id"]))


# --- shared by two processes (PostgreSQL: SQLite belongs to one) ---


def test_two_workers_together_keep_the_rate_that_policy_sets(postgresql_store: Store, clock: ManualClock) -> None:
    house = roomy(House(postgresql_store, clock))
    change(house, "System", "erp", rate=5.0, burst=8)
    orders(house, 90)
    routed(house)
    workers, made = two_workers(house), []
    for _ in range(10):
        for worker in workers:
            items = claimed(worker)
            sent(worker, items)
            made.append(len(items))
        house.clock.advance(1)
    assert sum(made[:2]) == 8, "what may come at once, of both together"
    assert sum(made) == 8 + 9 * 5
    assert house.erp.writes == 8 + 9 * 5


def test_two_workers_that_claim_at_the_same_instant_share_one_bucket(
    postgresql_store: Store, clock: ManualClock
) -> None:
    house = roomy(House(postgresql_store, clock))
    change(house, "System", "erp", rate=20.0, burst=20)
    orders(house, 90)
    routed(house)
    with ThreadPoolExecutor(4) as pool:
        both = two_workers(house) + two_workers(house)
        found = list(pool.map(lambda worker: claimed(worker, slots=20), both))
    ids = [item.id for items in found for item in items]
    assert len(ids) == len(set(ids)) == 20


def test_two_workers_together_keep_the_concurrency_that_policy_sets(
    postgresql_store: Store, clock: ManualClock
) -> None:
    house = House(postgresql_store, clock)
    change(house, "System", "erp", concurrency=3)
    orders(house, 20)
    routed(house)
    one, other = two_workers(house)
    first = claimed(one, slots=2)
    second = claimed(other, slots=10)
    assert (len(first), len(second), len(claimed(one, slots=10))) == (2, 1, 0)
    sent(other, second)
    assert len(claimed(one, slots=10)) == 1


def test_a_request_that_was_granted_and_not_needed_is_given_back(house: House) -> None:
    change(house, "System", "erp", rate=5.0, burst=10)
    orders(house, 2)
    routed(house)
    assert len(claimed(house.sync.delivering)) == 2
    assert state(house)["tokens"] == 8


# --- what the system asks for ---


def test_a_system_that_asks_to_wait_is_left_alone_as_long_as_it_asks(house: House) -> None:
    house.erp.faults.append("throttled")
    orders(house, 10)
    routed(house)
    worker = house.sync.delivering
    sent(worker, claimed(worker, slots=1))
    assert state(house)["blocked_until"] == house.clock.now() + timedelta(seconds=30)
    house.clock.advance(29.9)
    assert claimed(worker) == []
    assert worker.turn("erp", [], MANY).wait == pytest.approx(0.1)
    house.clock.advance(0.2)
    assert claimed(worker)


def test_after_it_asked_to_slow_down_it_is_asked_for_less_and_later_as_policy_says(house: House) -> None:
    change(house, "System", "erp", rate=40.0)
    waiting(house, "erp", 400)
    worker = house.sync.delivering
    house.clock.advance(60)
    house.erp.faults.extend([""] * 9 + ["throttled"])
    sent(worker, claimed(worker, slots=10))
    assert state(house)["learned_rate"] == pytest.approx(7.0), "what it was sent in its busiest second, not on average"
    house.erp.faults.extend([""] * 200)
    house.clock.advance(30)
    made = []
    for _ in range(4):
        items = claimed(worker)
        sent(worker, items)
        made.append(len(items))
        house.clock.advance(1)
    assert made == [40] * 4, "as policy says, long after"


def test_one_of_many_that_are_throttled_at_once_slows_it_down_and_not_each_again(house: House) -> None:
    change(house, "System", "erp", rate=10.0)
    orders(house, 10)
    routed(house)
    house.erp.faults.extend(["throttled"] * 10)
    worker = house.sync.delivering
    for item in claimed(worker):
        sent(worker, [item])
    assert state(house)["learned_rate"] >= 0.1
    assert state(house)["consecutive_failures"] == 0, "who asks to wait has not failed"


# --- the breaker ---


def failing(house: House, after: int, pause: str = "1m", cap: str = "4m") -> Delivering:
    """An ERP that is down and whose breaker has just opened."""
    change(house, "System", "erp", breaker={"after": after, "pause": pause, "cap": cap})
    orders(house, 40)
    routed(house)
    house.erp.down = True
    worker = house.sync.delivering
    for _ in range(after):
        sent(worker, claimed(worker, slots=1))
    return worker


def test_a_breaker_opens_and_waits_as_policy_says(house: House) -> None:
    worker = failing(house, after=3)
    assert house.erp.writes == 3
    pauses = []
    for _ in range(4):
        blocked: datetime = state(house)["blocked_until"]
        pauses.append((blocked - house.clock.now()).total_seconds())
        assert claimed(worker) == []
        house.clock.move_to(blocked)
        sent(worker, claimed(worker, slots=1))
    assert pauses == [60, 120, 240, 240]
    assert house.erp.writes == 3 + 4


def test_a_system_that_was_failing_is_tested_by_a_single_request_whoever_asks(house: House) -> None:
    worker, other = failing(house, after=3), house.restarted().delivering
    house.clock.move_to(state(house)["blocked_until"])
    test = claimed(worker)
    assert len(test) == 1
    sent(worker, test)
    assert claimed(worker) == claimed(other) == [], "it failed, and the breaker is open again"
    house.erp.down = False
    house.clock.move_to(state(house)["blocked_until"])
    sent(other, claimed(other))
    assert state(house)["consecutive_failures"] == 0
    assert len(claimed(worker)) > 1


def test_a_rate_and_a_half_open_breaker_together_still_let_one_through(house: House) -> None:
    change(house, "System", "erp", rate=50.0)
    worker = failing(house, after=2)
    house.clock.move_to(state(house)["blocked_until"])
    assert len(claimed(worker)) == 1


# --- retry policy, per target and per class ---


def test_a_target_may_have_a_retry_policy_of_its_own(house: House) -> None:
    add(house, "RetryPolicy", "slow", first="1h", cap="2h", budget="3d", jitter=False)
    change(house, "RetryPolicy", "default", jitter=False)
    targets = [{"system": "erp", "entity": "sales_order", "retry": "slow"}, {"system": "wms", "entity": "order"}]
    change(house, "Flow", "orders", targets=targets)
    house.erp.down = house.wms.down = True
    orders(house, 1)
    house.run()
    [erp], [wms] = mine(house, "erp"), mine(house, "wms")
    now = house.clock.now()
    assert (erp["due_at"] - now, wms["due_at"] - now) == (timedelta(hours=1), timedelta(seconds=2))
    assert (erp["deadline_at"] - now, wms["deadline_at"] - now) == (timedelta(days=3), timedelta(days=1))
    snapshot = house.registry.snapshot()
    revisions = {row["system"]: row["retry_revision"] for row in rows(house, t.attempt)}
    assert revisions == {
        "erp": snapshot.revision("RetryPolicy", "slow"), "wms": snapshot.revision("RetryPolicy", "default"),
    }  # fmt: skip


def test_the_policy_in_force_decides_of_what_is_waiting_already(house: House) -> None:
    change(house, "RetryPolicy", "default", jitter=False)
    house.erp.down = True
    orders(house, 1)
    house.run()
    changed = change(house, "RetryPolicy", "default", first="10m", cap="10m", jitter=False)
    house.clock.advance(2)
    house.run()
    [erp] = mine(house)
    assert erp["due_at"] - house.clock.now() == changed.spec.first  # type: ignore[attr-defined]
    made_under = [row["retry_revision"] for row in rows(house, t.attempt) if row["system"] == "erp"]
    assert len(set(made_under)) == 2, "each attempt names the revision that decided"


def test_what_a_target_refuses_is_tried_again_where_policy_says_so(house: House) -> None:
    change(house, "RetryPolicy", "default", classes={"rejected": {"first": "30s", "max_attempts": 3}}, jitter=False)
    house.erp.faults.extend(["rejected"] * 2)
    orders(house, 1)
    house.run()
    assert mine(house)[0]["state"] == "pending"
    house.run(minutes=2)
    assert mine(house)[0]["state"] == "delivered"
    assert not rows(house, t.quarantine)


def test_what_policy_does_not_retry_waits_for_a_person_at_once(house: House) -> None:
    change(house, "RetryPolicy", "default", classes={"unavailable": {"retry": False}})
    house.erp.down = True
    orders(house, 1)
    house.run()
    assert mine(house)[0]["state"] == "quarantined"
    assert mine(house, "wms")[0]["state"] == "delivered"


# --- when an outage is over ---


def test_after_an_outage_what_waits_out_its_own_pause_is_let_go_in_batches(house: House) -> None:
    worker = failing(house, after=3)
    late = waiting(house, "erp", 2 * RELEASE + 200, due=3600)
    house.erp.down = False
    house.clock.move_to(state(house)["blocked_until"])
    sent(worker, claimed(worker))  # the test request: it answers again
    assert state(house)["release_at"] == house.clock.now()

    def still_waiting() -> int:
        d = t.delivery.c
        with house.store.read() as connection:
            query = select(d.id).where(d.id.in_(late), d.due_at > house.clock.now())
            return len(connection.execute(query).all())

    left = []
    for _ in range(4):
        claimed(worker, slots=10)
        left.append(still_waiting())
    assert left == [700, 200, 0, 0]
    assert state(house)["release_at"] is None


def test_what_came_after_the_outage_and_what_is_to_be_read_back_keep_their_time(house: House) -> None:
    worker = failing(house, after=3)
    [doubtful] = waiting(house, "erp", 1, due=3600, state="unknown")
    house.erp.down = False
    house.clock.move_to(state(house)["blocked_until"])
    sent(worker, claimed(worker))
    house.clock.advance(1)
    [later] = waiting(house, "erp", 1, due=3600)
    for _ in range(20):
        sent(worker, claimed(worker))
    found = {row["id"]: row for row in mine(house)}
    assert found[doubtful]["due_at"] > house.clock.now() + timedelta(minutes=50)
    assert found[later]["due_at"] > house.clock.now() + timedelta(minutes=50)
    assert sum(house.erp.effects.values()) == 40, "and all that waited out a pause was sent"


# --- each flow its share ---


def test_a_flow_with_a_backlog_leaves_the_others_their_share(house: House) -> None:
    waiting(house, "erp", 400, flow="orders", due=-600)
    waiting(house, "erp", 5, flow="shipments")
    waiting(house, "erp", 50, flow="receipts", due=-5)
    found = Counter(item.flow for item in claimed(house.sync.delivering, slots=30))
    assert found["shipments"] == 5, "younger than all of the backlog, and yet served at once"
    assert found["receipts"] >= 5
    assert sum(found.values()) == 30, "and what one flow does not need, another has"


def test_a_lone_flow_has_all_of_the_room(house: House) -> None:
    waiting(house, "erp", 400, flow="orders")
    assert len(claimed(house.sync.delivering, slots=30)) == 30


def test_within_a_flow_the_longest_due_go_first(house: House) -> None:
    young = waiting(house, "erp", 5, due=-1)
    old = waiting(house, "erp", 5, due=-100)
    first = {item.id for item in claimed(house.sync.delivering, slots=5)}
    assert first == set(old)
    assert not first & set(young)
