"""The laws of delivery as invariants of a state machine: whatever happens in whatever order, crashes included."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from controlplane.errors import ConflictError
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.engines.reprocess import Request
from rules.outcomes import Guarantee
from tests.conftest import START
from tests.controlplane.sync.archive.kit import LONG, pack
from tests.controlplane.sync.backlog import Still
from tests.controlplane.sync.kit import PLAIN, House, Vendor
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_doubt import late

SKUS = ("0001", "0002", "0003")
FAULTS = st.lists(
    st.sampled_from(["unavailable", "throttled", "lost answer", "lost request", "late effect", "defect", "rejected"]),
    min_size=1,
    max_size=4,
)
SILENCES = st.sampled_from(["lost answer", "lost request", "late effect"])
"""What leaves a write in doubt."""
AGAIN = st.sampled_from(["case", "correction", "ledger"])
"""By what people send it again."""
LATE = 60.0
PATIENT = {"max_attempts": None, "budget": "24h"}
BOOKS = ("erp", "wms")
"""Systems that documents go to."""
SAFETY = 2
"""The sandbox pack keeps two units of each SKU back."""


class Laws(RuleBasedStateMachine):
    """Orders and receipts are documents: each takes effect once at ERP and warehouse. Levels are states: the shop shows the last.

    The warehouse can be looked up; of the ERP, in half of the runs, only the key tells.
    """

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "plane.sqlite")
        self.store: Store = open_store(f"sqlite:///{self.folder / 'plane.sqlite'}")
        self.clock = Still(START)
        self.house = House(self.store, self.clock, pack(self.folder))
        for vendor in (self.house.erp, self.house.wms):
            late(vendor, LATE, vendor.guarantee)
        for policy in ("default", "stock"):  # a draw would make a run that is repeated another one
            change(self.house, "RetryPolicy", policy, jitter=False, first="1s", cap="5s")
        self.accepted: set[str] = set()
        self.received: set[str] = set()
        self.told = 0
        self.last: dict[str, int] = {}
        self.orders = 0

    @initialize(blind=st.booleans())
    def shop_is_read(self, blind: bool) -> None:
        assert self.house.erp.guarantee is Guarantee.KEYED
        self.house.erp.blind = blind
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

    @rule(again=st.booleans(), data=st.data())
    def goods_come_in_or_are_told_of_by_another_event(self, again: bool, data: st.DataObject) -> None:
        fresh = f"RC-{len(self.received)}"
        self.tell_of_goods(data.draw(st.sampled_from(sorted(self.received))) if again and self.received else fresh)

    def tell_of_goods(self, ref: str) -> None:
        """Tell of a receipt by an event that was never told before."""
        self.received.add(ref)
        self.told += 1
        at = START.isoformat()
        goods = {
            "receipt": ref, "purchase_order": "PO", "location": "WH1", "received_at": at,
            "lines": [{"sku": "other", "quantity": 1}],
        }  # fmt: skip
        told = {
            "id": f"event-{self.told}", "source": "wms", "type": "receipt.received", "subject": ref, "time": at,
            "data": goods,
        }  # fmt: skip
        self.house.sync.acceptor.accept(json.dumps(told).encode(), batch=False)

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
        wrong = [fault for fault in faults if not (system == "shop" and fault in ("rejected", "late effect"))]
        self.house.get(system).faults.extend(wrong)

    @rule(silence=SILENCES, by=AGAIN)
    def a_write_is_given_up_in_doubt_and_sent_again(self, silence: str, by: str) -> None:
        self.leave_in_doubt([silence], budget="3s")
        self.send_again(by)

    @rule(silence=SILENCES, by=AGAIN)
    def a_write_that_cannot_be_looked_up_is_given_up_and_sent_again(self, silence: str, by: str) -> None:
        self.leave_in_doubt([silence], max_attempts=3)
        self.house.erp.down = self.house.wms.down = True
        self.house.run(minutes=2, step=10)
        self.house.erp.down = self.house.wms.down = False
        self.send_again(by)

    @rule(silence=SILENCES, by=AGAIN)
    def a_write_is_refused_after_a_silence_and_sent_again(self, silence: str, by: str) -> None:
        self.leave_in_doubt([silence, "rejected"])
        self.house.run(minutes=2, step=10)
        self.send_again(by)

    def leave_in_doubt(self, faults: list[str], **patience: object) -> None:
        """Let an order be sent to systems that do not answer."""
        change(self.house, "RetryPolicy", "default", **PATIENT)
        for system in BOOKS:
            self.is_well(system)
        self.house.run(minutes=1, step=30)
        change(self.house, "RetryPolicy", "default", **{**PATIENT, **patience})
        for system in BOOKS:
            self.house.get(system).faults.extend(faults)
        self.an_order_is_placed()
        self.house.run()

    def is_well(self, system: str) -> None:
        """Let a system take what it is sent."""
        vendor = self.house.get(system)
        vendor.faults.clear()
        vendor.down = False
        with suppress(ConflictError):
            self.house.sync.resume(system, "olga", "over")

    def send_again(self, by: str) -> None:
        """Let people replay all that waits, one way or another."""
        if by == "correction":
            for case in self.waiting():
                self.correct(case, 7)
        if by in ("case", "correction"):
            self.what_waits_for_a_person_is_replayed()
        elif by == "ledger":
            self.a_replay_from_the_ledger_goes_on()  # one that is running ends before another begins
            self.somebody_replays_from_the_ledger("orders", only=False)
            self.a_replay_from_the_ledger_goes_on()
        self.the_plane_goes_on_for_a_while(20)

    @rule(seconds=st.sampled_from([5, 20]))
    def the_plane_goes_on_for_a_while(self, seconds: int) -> None:
        self.house.run(minutes=seconds / 60, step=seconds / 5)

    @rule(system=st.sampled_from(BOOKS))
    def a_system_goes_down_or_comes_back(self, system: str) -> None:
        vendor = self.house.get(system)
        vendor.down = not vendor.down

    @rule(most=st.sampled_from([None, 1, 2, 3]), budget=st.sampled_from(["3s", "24h"]))
    def policy_loses_or_finds_its_patience(self, most: int | None, budget: str) -> None:
        change(self.house, "RetryPolicy", "default", max_attempts=most, budget=budget)

    @rule()
    def everything_grows_old_and_retention_runs(self) -> None:
        self.clock.advance(LONG.total_seconds())
        self.house.sync.archive(anew=True)
        d = t.delivery.c
        with self.store.read() as connection:
            rows = connection.execute(select(d.idempotency_key, d.sent_key)).all()
        known = {key for row in rows for key in row}
        for vendor in (self.house.erp, self.house.wms):  # a vendor knows keys for a while, and references for ever
            vendor.by_key = {key: told for key, told in vendor.by_key.items() if key in known}
        if self.received:
            self.tell_of_goods(sorted(self.received)[0])
            self.house.run()

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

    def waiting(self) -> list[str]:
        q = t.quarantine.c
        with self.store.read() as connection:
            query = select(q.id).where(q.state.in_(("waiting", "corrected"))).order_by(q.id)
            return list(connection.execute(query).scalars())

    @rule()
    def what_waits_for_a_person_is_replayed(self) -> None:
        for case in self.waiting():
            with suppress(ConflictError):  # of a correction it may be that nobody can tell yet
                self.house.sync.replay(case, "olga")

    @rule(data=st.data(), number=st.integers(2, 9))
    def a_person_corrects_a_document_and_replays_it(self, data: st.DataObject, number: int) -> None:
        cases = self.waiting()
        if cases:
            case = data.draw(st.sampled_from(cases))
            self.correct(case, number)
            with suppress(ConflictError):
                self.house.sync.replay(case, "olga")

    def correct(self, case_id: str, quantity: int | None) -> None:
        """Correct the quantity of a document; None: as it was."""
        with self.store.write() as connection:
            case = quarantine.get(connection, case_id)
            if case["stage"] == "delivery" and "lines" in case["record"]:
                lines = [{**line, "quantity": quantity or line["quantity"]} for line in case["record"]["lines"]]
                quarantine.correct(connection, self.clock, case_id, {**case["record"], "lines": lines}, "olga", PLAIN)

    @rule()
    def somebody_looks_at_the_targets_and_vouches(self) -> None:
        for case in self.waiting():
            if self.at_its_target(case) == 0:
                with self.store.write() as connection:
                    quarantine.vouch(connection, self.clock, case, "olga", "it is not there")

    def at_its_target(self, case_id: str) -> int | None:
        """How often the document of a case has taken effect, or may yet; None for what is none."""
        with self.store.read() as connection:
            case = quarantine.get(connection, case_id)
            query = select(t.delivery.c.entity, t.delivery.c.coalesce).where(t.delivery.c.id == case["delivery_id"])
            row = connection.execute(query).one_or_none()
        if row is None or row.coalesce:
            return None
        vendor: Vendor = self.house.get(case["system"])
        vendor.arrive()
        coming = [one for _, one in vendor.on_the_wire if one.business_ref == case["subject"]]
        return vendor.effects[row.entity, case["subject"]] + len(coming)

    @rule(flow=st.sampled_from(["orders", "receipts"]), only=st.booleans())
    def somebody_replays_from_the_ledger(self, flow: str, only: bool) -> None:
        self.clock.advance(1)
        asked = Request(flow, START - timedelta(days=1), self.clock.now(), "law", target="erp" if only else None)
        with suppress(ConflictError):  # it is running
            self.house.sync.reprocessing.start(asked, "olga")

    @rule()
    def a_replay_from_the_ledger_goes_on(self) -> None:
        self.house.sync.reprocessing.advance()

    # --- the laws ---

    @invariant()
    def no_document_takes_effect_twice(self) -> None:
        for vendor in (self.house.erp, self.house.wms):
            vendor.arrive()
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

    def what_waits_for_a_person_is_settled(self) -> None:
        """As a person does who looks: vouch for what is not there, and let what is there be found by its first payload."""
        for case in self.waiting():
            there = self.at_its_target(case)
            if there == 0:
                with self.store.write() as connection:
                    quarantine.vouch(connection, self.clock, case, "olga", "it is not there")
            elif there:
                self.correct(case, None)
            with suppress(ConflictError):
                self.house.sync.replay(case, "olga")

    def teardown(self) -> None:
        """Everything is well again: in the end all that was accepted has arrived."""
        house = self.house
        for target in ("erp", "wms", "shop"):
            self.is_well(target)
        change(house, "RetryPolicy", "default", **PATIENT)
        for _ in range(4):
            house.sync.reprocessing.advance()
            house.run(minutes=12, step=31)
            self.what_waits_for_a_person_is_settled()
            house.sync.recover()
        house.run(minutes=3, step=31)
        for ref in self.accepted:
            assert house.erp.effects["sales_order", ref] == 1, f"{ref} at the ERP"
            assert house.wms.effects["order", ref] == 1, f"{ref} at the warehouse"
        for ref in self.received:
            assert house.erp.effects["item_receipt", ref] == 1, f"{ref} at the ERP"
        self.no_document_takes_effect_twice()
        for sku, value in self.last.items():
            assert house.shop.levels[sku, "WH1"] == value, f"{sku} at the shop"
        self.store.close()
        shutil.rmtree(self.folder)


@pytest.mark.parametrize(
    "examples", [pytest.param(40, id="short"), pytest.param(150, id="long", marks=pytest.mark.slow)]
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
