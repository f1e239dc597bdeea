"""The clock is put back by an hour, or forward: nothing is lost or doubled, and nothing waits until the clock has caught up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from controlplane.clock import SystemClock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery import send, systems
from rules import ids
from rules.outcomes import Outcome, Result
from rules.pacing import Allowance
from tests.clocks import PutClock
from tests.conftest import START
from tests.controlplane.sync.kit import PLAIN, House
from tests.controlplane.sync.test_loop import SKU, states

HOUR = 3600


@pytest.fixture
def clock() -> PutClock:
    """A clock that can be put back."""
    return PutClock(START)


@pytest.fixture(autouse=True)
def own_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test makes ids begin at is forgotten after it."""
    monkeypatch.setattr(ids, "_floor", 0)


@pytest.fixture
def house(store: Store, clock: PutClock) -> House:
    """A retailer with one product."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    house.product(SKU, "4.00")
    house.level(SKU, 10)
    house.run()
    return house


def within(house: House, minutes: int, come: Callable[[], bool]) -> None:
    """Let the time pass, and recover meanwhile as the ticker does, until it has come; it has to come within the minutes."""
    for _ in range(minutes * 4):
        if come():
            return
        house.clock.advance(15)
        house.sync.recover()
        house.sync.drain()
    assert come()


def settled(house: House) -> bool:
    """Whether nothing is owed to ERP and warehouse any more."""
    return set(states(house, "order") + states(house, "sales_order")) == {"delivered"}


def test_what_is_told_after_all_clocks_were_put_back_takes_the_place_of_what_was_told_before(
    house: House, clock: PutClock
) -> None:
    """Source and plane on one machine, whose clock was an hour ahead for a while."""
    clock.put(HOUR)
    house.level(SKU, 20)
    house.product(SKU, "5.00")
    house.run()
    clock.put(-HOUR)
    for units, cost in ((7, "6.00"), (5, "7.00")):
        clock.advance(1)
        house.level(SKU, units)
        house.product(SKU, cost)
        house.run()
    with house.store.read() as connection:
        assert connection.execute(select(t.stock_position.c.on_hand)).scalar_one() == 5
        assert str(connection.execute(select(t.product.c.unit_cost)).scalar_one()).startswith("7")
    assert house.shop.levels[SKU, "WH1"] == 3, "two are kept back"


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
@pytest.mark.parametrize("fault", ["unavailable", "throttled", "lost answer", "lost request"])
def test_an_order_takes_effect_once_within_minutes_though_the_clock_jumps_while_it_is_retried(
    house: House, clock: PutClock, fault: str, jump: float
) -> None:
    for vendor in (house.erp, house.wms):
        vendor.faults.extend([fault] * 3)
    house.order("#1001", SKU, 1)
    house.run()
    clock.put(jump)
    within(house, 10, lambda: settled(house))
    assert house.erp.effects["sales_order", "#1001"] == 1
    assert house.wms.effects["order", "#1001"] == 1


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_what_a_worker_held_when_it_died_is_read_back_within_minutes_though_the_clock_jumps(
    house: House, clock: PutClock, jump: float
) -> None:
    house.order("#1001", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    [request] = house.sync.delivering.turn("wms", [], 10).requests
    send(house.wms, house.clock, request)  # sent; the process dies before it records
    clock.put(jump)
    house.sync = house.restarted()
    within(house, 3, lambda: settled(house))
    assert house.wms.effects["order", "#1001"] == 1


def test_a_lease_that_runs_is_left_alone_when_nothing_was_put_back(house: House, clock: PutClock) -> None:
    house.order("#1001", SKU, 1)
    while house.sync.translate() or house.sync.process():
        pass
    house.sync.delivering.turn("wms", [], 10)
    clock.put(-2)  # two machines' clocks are never quite the same
    assert house.sync.recover() == 0
    assert states(house, "order") == ["sending"]


def test_what_is_to_be_read_back_waits_out_its_late_effect_after_the_clock_was_put_back(
    house: House, clock: PutClock
) -> None:
    house.wms.late_effect = 120
    house.wms.__post_init__()
    house.wms.faults.append("lost answer")
    house.order("#1001", SKU, 1)
    house.run()
    assert states(house, "order") == ["unknown"]
    clock.put(-HOUR)
    assert house.sync.recover() > 0
    house.clock.advance(119)
    house.sync.drain()
    assert states(house, "order") == ["unknown"], "it may still take effect"
    assert house.sync.recover() == 0, "and what was given anew is not given anew again"
    house.clock.advance(30)
    house.sync.drain()
    assert states(house, "order") == ["delivered"]


def test_a_failing_system_is_asked_again_soon_after_the_clock_was_put_back(house: House, clock: PutClock) -> None:
    house.erp.down = True
    for number in range(10):
        house.order(f"#{number}", SKU, 1)
        house.run()
    assert blocked(house, "erp") > 0
    clock.put(-HOUR)
    house.erp.down = False
    within(house, 1, lambda: sum(house.erp.effects.values()) == 10)


def blocked(house: House, system: str) -> float:
    """Seconds for which a system is left alone from now."""
    with house.store.read() as connection:
        row = systems.state_of(connection, system)
    return (row.blocked_until - house.clock.now()).total_seconds() if row and row.blocked_until else 0.0


@pytest.mark.parametrize("seconds", [7200.0, 1e12])
def test_a_system_that_asks_for_more_than_an_hour_is_asked_again_after_an_hour(house: House, seconds: float) -> None:
    with house.store.write() as connection:
        systems.throttled(connection, house.clock, "erp", None, seconds, "come back next week")
    assert blocked(house, "erp") == HOUR
    with house.store.write() as connection:
        systems.heed(connection, house.clock, "wms", Allowance(0, seconds))
    assert blocked(house, "wms") == HOUR


def test_a_pause_that_an_earlier_version_gave_for_a_day_is_cut_to_an_hour(house: House) -> None:
    s = t.system_state.c
    with house.store.write() as connection:
        systems.failed(connection, house.clock, "erp", "down")
        day = (
            update(t.system_state).where(s.system == "erp").values(blocked_until=house.clock.now() + timedelta(days=1))
        )
        connection.execute(day)
    house.sync.recover()
    assert blocked(house, "erp") == HOUR


def test_a_pause_that_is_in_order_is_left_alone(house: House) -> None:
    with house.store.write() as connection:
        systems.throttled(connection, house.clock, "erp", None, 1800, "slow down")
    house.clock.advance(60)
    house.sync.recover()
    assert blocked(house, "erp") == 1740


def test_a_rate_that_was_learned_before_the_clock_was_put_back_is_grown_from_now_on(
    house: House, clock: PutClock
) -> None:
    with house.store.write() as connection:
        systems.throttled(connection, house.clock, "erp", None, 30, "slow down")
    clock.put(-HOUR)
    house.sync.recover()
    with house.store.read() as connection:
        row = systems.state_of(connection, "erp")
    assert row is not None
    assert row.learned_at == house.clock.now()


def test_deliveries_that_are_due_late_on_purpose_are_not_brought_forward(house: House) -> None:
    house.sync.pause("erp", "olga", "not yet")
    house.order("#1001", SKU, 1)
    house.run()
    later = house.clock.now() + timedelta(hours=5)
    with house.store.write() as connection:
        connection.execute(update(t.delivery).where(t.delivery.c.target == "erp").values(due_at=later))
    house.clock.advance(60)
    assert house.sync.recover() == 0
    with house.store.read() as connection:
        due = connection.execute(select(t.delivery.c.due_at).where(t.is_ready, t.delivery.c.target == "erp"))
        assert set(due.scalars()) == {later}


def test_a_backlog_of_more_than_one_batch_is_brought_forward_whole(house: House, clock: PutClock) -> None:
    house.erp.down = True
    for number in range(3):
        house.order(f"#{number}", SKU, 1)
    house.run()
    with house.store.write() as connection:  # as many rows as one batch cannot hold, all tried and due in a while
        row = connection.execute(select(t.delivery).where(t.delivery.c.entity == "sales_order").limit(1)).one()
        made = [
            {**row._mapping, "id": ids.new_id(house.clock.now()), "idempotency_key": f"k{n}", "order_key": f"#x{n}",
             "state": "pending", "head": True, "attempts": 1, "lease_owner": None, "lease_until": None}
            for n in range(1200)
        ]  # fmt: skip
        connection.execute(t.delivery.insert(), made)
    clock.put(-HOUR)
    assert house.sync.recover() >= 1200
    d = t.delivery.c
    with house.store.read() as connection:
        late = connection.execute(select(d.id).where(d.target == "erp", t.is_ready, d.due_at > house.clock.now()))
        assert late.all() == []


def test_the_same_content_counts_as_an_event_of_its_own_after_the_clock_was_put_back(
    house: House, clock: PutClock
) -> None:
    from controlplane.connectors.contract import Record
    from controlplane.sync.intake import take

    record = Record("stock", "", b"5")
    taken = []
    for seconds in (0, 10, -HOUR):
        clock.put(seconds)
        with house.store.write() as connection:
            taken.append(take(connection, clock, "wms", "webhook", [record], PLAIN, 60))
    assert taken == [1, 0, 1]


def test_ids_go_on_behind_the_newest_when_the_clock_was_put_back_while_nobody_worked(
    house: House, clock: PutClock
) -> None:
    house.level(SKU, 20, version="before")
    house.run()
    clock.put(-HOUR)
    house.sync = house.restarted()
    house.level(SKU, 30, version="after")
    house.run()
    m = t.message.c
    with house.store.read() as connection:
        told = connection.execute(select(m.data).where(m.type == "stock.level").order_by(m.id)).scalars().all()
    assert [data["on_hand"] for data in told] == [10, 20, 30]


def test_ids_are_not_put_forward_by_a_clock_that_runs_as_it_should(house: House, clock: PutClock) -> None:
    clock.put(60)
    house.restarted()
    assert ids.milliseconds_of(ids.new_id(clock.now())) == int(clock.now().timestamp() * 1000)


def test_the_machines_clock_makes_no_id_that_sorts_before_an_earlier_one(house: House) -> None:
    clock = SystemClock()
    first = ids.new_id(clock.now())
    clock._latest += HOUR  # what it looks like to the process when the machine's clock is put back
    ids.new_id(clock.now())
    assert ids.milliseconds_of(ids.new_id(clock.now())) >= ids.milliseconds_of(first) + HOUR * 1000 - 1000


def test_the_outcome_of_a_throttled_try_is_due_after_an_hour_at_most() -> None:
    from rules.delivery import Try, after
    from rules.policy.kinds import RetryPolicySpec

    tried = Try(1, False, timedelta(0), START + timedelta(days=9), 0.5)
    then = after(Outcome(Result.THROTTLED, retry_after=1e12), tried, RetryPolicySpec(), START)
    assert then.due == START + timedelta(hours=1)
