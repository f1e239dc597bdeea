"""The laws of delivery as invariants of a state machine: whatever happens in whatever order, crashes included."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.errors import ConflictError
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from tests.conftest import START
from tests.controlplane.sync.kit import House

SKUS = ("0001", "0002", "0003")
FAULTS = st.lists(
    st.sampled_from(["unavailable", "throttled", "lost answer", "lost request", "defect", "rejected"]),
    min_size=1,
    max_size=4,
)
SAFETY = 2
"""The sandbox pack keeps two units of each SKU back."""


class Laws(RuleBasedStateMachine):
    """Orders are documents: each takes effect once at ERP and warehouse. Levels are states: the shop shows the last one."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "plane.sqlite")
        self.store: Store = open_store(f"sqlite:///{self.folder / 'plane.sqlite'}")
        self.clock = ManualClock(START)
        self.house = House(self.store, self.clock)
        self.accepted: set[str] = set()
        self.last: dict[str, int] = {}
        self.orders = 0

    @initialize()
    def shop_is_read(self) -> None:
        for sku in SKUS:
            self.house.shop.levels[sku, "WH1"] = 0
        self.house.sync.healing.read_channel("shop")

    # --- what comes in ---

    @rule()
    def an_order_is_placed(self) -> None:
        self.orders += 1
        ref = f"#{self.orders}"
        self.order(ref)
        self.accepted.add(ref)

    @rule(data=st.data())
    def an_order_is_told_again(self, data: st.DataObject) -> None:
        if self.accepted:
            self.order(data.draw(st.sampled_from(sorted(self.accepted))))

    def order(self, ref: str) -> None:
        line = {"line": 1, "native_id": "L1", "sku": "other", "location": "WH1", "quantity": 1, "unit_price": "10.00"}
        placed = {"ref": ref, "native_id": ref, "placed_at": START.isoformat(), "currency": "EUR", "lines": [line]}
        self.house.hook("shop", "order.placed", ref, placed, event=ref)

    @rule(sku=st.sampled_from(SKUS), on_hand=st.integers(SAFETY, 9))
    def stock_changes(self, sku: str, on_hand: int) -> None:
        self.clock.advance(1)
        self.house.level(sku, on_hand)
        self.last[sku] = on_hand - SAFETY

    # --- what the plane does, one step at a time ---

    @rule()
    def records_are_translated(self) -> None:
        self.house.sync.translate()

    @rule()
    def messages_are_processed(self) -> None:
        self.house.sync.process()

    @rule(system=st.sampled_from(["erp", "wms", "shop"]))
    def a_target_is_delivered_to(self, system: str) -> None:
        self.house.sync.deliver(system)

    @rule(seconds=st.sampled_from([1, 5, 31, 130, 700]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    # --- what goes wrong ---

    @rule(system=st.sampled_from(["erp", "wms", "shop"]), faults=FAULTS)
    def a_system_misbehaves(self, system: str, faults: list[str]) -> None:
        wrong = [fault for fault in faults if not (system == "shop" and fault == "rejected")]
        self.house.get(system).faults.extend(wrong)

    @rule(system=st.sampled_from(["erp", "wms", "shop"]), sent=st.integers(0, 5))
    def the_process_dies_while_it_sends(self, system: str, sent: int) -> None:
        requests = self.house.sync.delivering.turn(system, [], 5, capped=False).requests
        for request in requests[:sent]:
            self.house.sync.delivering.send(system, request)
        self.house.sync = self.house.restarted()
        self.house.sync.recover(restarted=True)

    @rule(system=st.sampled_from(["erp", "wms", "shop"]), sent=st.integers(0, 5))
    def a_worker_hangs_past_its_lease_and_records_late(self, system: str, sent: int) -> None:
        late = self.house.sync
        requests = late.delivering.turn(system, [], 5, capped=False).requests[:sent]
        sents = [found for request in requests for found in late.delivering.send(system, request)]
        self.clock.advance(40)
        self.house.sync = self.house.restarted()
        self.house.sync.recover()
        self.house.sync.deliver(system)
        if sents:
            late.delivering.turn(system, sents, 0)

    # --- what people do ---

    @rule(system=st.sampled_from(["erp", "wms", "shop"]))
    def somebody_pauses_or_resumes(self, system: str) -> None:
        try:
            self.house.sync.pause(system, "olga", "test")
        except ConflictError:
            self.house.sync.resume(system, "olga", "test")

    @rule()
    def what_waits_for_a_person_is_replayed(self) -> None:
        q = t.quarantine.c
        with self.store.read() as connection:
            cases = connection.execute(select(q.id).where(q.state.in_(("waiting", "corrected")))).scalars().all()
        for case in cases:
            self.house.sync.replay(case, "olga")

    # --- the laws ---

    @invariant()
    def no_document_takes_effect_twice(self) -> None:
        for vendor in (self.house.erp, self.house.wms):
            assert all(count == 1 for count in vendor.effects.values()), vendor.effects

    @invariant()
    def of_each_key_one_is_running_and_one_waits_at_most(self) -> None:
        d = t.delivery.c
        open_states = select(d.target, d.order_key, func.count()).where(t.is_open, d.coalesce.is_(True))
        with self.store.read() as connection:
            crowded = connection.execute(open_states.group_by(d.target, d.order_key).having(func.count() > 2)).all()
        assert not crowded

    @invariant()
    def of_each_key_only_the_first_may_be_claimed(self) -> None:
        d = t.delivery.c
        with self.store.read() as connection:
            rows = connection.execute(select(d.target, d.order_key, d.id, d.head).where(t.is_open).order_by(d.id)).all()
        seen: set[tuple[str, str]] = set()
        for row in rows:
            assert row.head == ((row.target, row.order_key) not in seen)
            seen.add((row.target, row.order_key))

    def teardown(self) -> None:
        """Everything is well again: in the end all that was accepted has arrived."""
        house = self.house
        for target in ("erp", "wms", "shop"):
            house.get(target).faults.clear()
            try:
                house.sync.resume(target, "olga", "over")
            except ConflictError:
                continue
        for _ in range(4):
            house.run(minutes=12, step=31)
            self.what_waits_for_a_person_is_replayed()
            house.sync.recover()
        house.run(minutes=3, step=31)
        for ref in self.accepted:
            assert house.erp.effects["sales_order", ref] == 1, f"{ref} at the ERP"
            assert house.wms.effects["order", ref] == 1, f"{ref} at the warehouse"
        for sku, value in self.last.items():
            assert house.shop.levels[sku, "WH1"] == value, f"{sku} at the shop"
        self.store.close()
        shutil.rmtree(self.folder)


@pytest.mark.parametrize(
    "examples", [pytest.param(12, id="short"), pytest.param(150, id="long", marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1200)
def test_the_laws_hold_whatever_happens(sqlite_template: Path, examples: int) -> None:
    machine = type("Laws", (Laws,), {"template": sqlite_template})
    wanted = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples < 50,
    )
    run_state_machine_as_test(machine, settings=wanted)
