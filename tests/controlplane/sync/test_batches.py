"""A target that takes many writes in one request: poison is found and alone, order is kept, results are recorded together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import func, insert, select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import BatchRefusedError, Draft, Manifest, UnmappedError, Write, WriteSpec
from controlplane.errors import BadInputError, UnavailableError
from controlplane.store import Store
from controlplane.store import tables as t
from rules.outcomes import Guarantee, Outcome, Result
from tests.controlplane.sync.backlog import waiting
from tests.controlplane.sync.kit import House, Vendor

BATCH = 500


@dataclass
class Bulk(Vendor):
    """A vendor that takes 500 documents at once, and refuses all of them for one that is wrong."""

    poison: frozenset[str] = frozenset()
    sizes: list[int] = field(default_factory=list)
    fail: list[Exception] = field(default_factory=list)
    breaks: bool = False
    """For the poison it does not say that it refuses: it fails in a way nobody foresaw."""
    unready: BadInputError | None = None
    """What is wrong with the poison before anything is sent."""
    alone: list[str] = field(default_factory=list)
    """What was written by itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        specs = (WriteSpec("cash_sale", (), Guarantee.KEYED, 1.0, batch=BATCH),)
        self.manifest = Manifest(self.name, self.name, writes=specs)  # type: ignore[misc]

    def write(self, request: Write) -> Outcome:
        self.sizes.append(1)
        self.alone.append(request.business_ref)
        if request.business_ref in self.poison:
            if self.breaks:
                raise KeyError(request.business_ref)
            if self.unready:
                raise self.unready
            return Outcome(Result.REJECTED, "no such store")
        return super().write(request)

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        self.sizes.append(len(requests))
        if self.fail:
            raise self.fail.pop()
        if any(request.business_ref in self.poison for request in requests):
            if self.breaks:
                raise KeyError("no such store")
            if self.unready:
                raise self.unready
            raise BatchRefusedError("one of the records is wrong; nothing was taken")
        return [self._document(request) for request in requests]


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    """A retailer whose ERP takes till sales in batches."""
    found = House(store, clock)
    found.erp = Bulk("erp", clock)
    return found


def sell(house: House, count: int, sku: str = "0042", first: int = 0) -> None:
    now = house.clock.now()
    data = {
        "location": "ST1",
        "sku": sku,
        "quantity": 1,
        "unit_price": "5.00",
        "currency": "USD",
        "sold_at": now.isoformat(),
    }
    for number in range(first, first + count):
        ref = f"R{number:04}"
        house.hook("tills", "sale.recorded", ref, {**data, "ref": ref})


def states(house: House) -> dict[str, int]:
    d = t.delivery.c
    with house.store.read() as connection:
        return dict(connection.execute(select(d.state, func.count()).group_by(d.state)).all())  # type: ignore[arg-type]


def test_one_poison_record_in_a_batch_of_500_leaves_499_delivered(house: House) -> None:
    house.erp.poison = frozenset({"R0313"})  # type: ignore[attr-defined]
    sell(house, BATCH)
    while house.sync.translate() or house.sync.process():
        pass
    house.run()
    assert states(house) == {"delivered": 499, "quarantined": 1}
    assert sorted(house.erp.effects.values()) == [1] * 499
    assert len(house.erp.sizes) < 30, "it is looked for by halves"  # type: ignore[attr-defined]


@pytest.mark.parametrize("told", [UnmappedError("store", "ST9", "erp"), BadInputError("no such store")], ids=type)
def test_one_record_that_cannot_be_sent_leaves_its_batch_delivered(house: House, told: BadInputError) -> None:
    house.erp.poison, house.erp.unready = frozenset({"R0313"}), told  # type: ignore[attr-defined]
    sell(house, BATCH)
    while house.sync.translate() or house.sync.process():
        pass
    house.run()
    assert states(house) == {"delivered": 499, "quarantined": 1}
    assert sorted(house.erp.effects.values()) == [1] * 499
    with house.store.read() as connection:
        code = connection.execute(select(t.quarantine.c.reason_code)).scalar_one()
    assert code == ("unmapped_store" if isinstance(told, UnmappedError) else "rejected")


def test_a_record_that_breaks_the_connector_keeps_nothing_but_itself(house: House) -> None:
    bulk = house.erp
    bulk.poison, bulk.breaks = frozenset({"R0013"}), True  # type: ignore[attr-defined]
    sell(house, 60)
    while house.sync.translate() or house.sync.process():
        pass
    house.run(minutes=5)
    assert states(house)["delivered"] == 59
    assert sorted(bulk.effects.values()) == [1] * 59
    assert bulk.sizes[0] == 60, "after that each goes alone"  # type: ignore[attr-defined]
    assert set(bulk.sizes[1:]) == {1}  # type: ignore[attr-defined]
    assert set(bulk.alone) == {f"R{number:04}" for number in range(60)}  # type: ignore[attr-defined]


def test_a_connector_that_fails_says_nothing_of_the_system(house: House) -> None:
    house.erp.poison, house.erp.breaks = frozenset({"R0000"}), True  # type: ignore[attr-defined]
    sell(house, 20)
    house.run(minutes=30)
    with house.store.read() as connection:
        row = connection.execute(select(t.system_state).where(t.system_state.c.system == "erp")).one()
    assert (row.consecutive_failures, row.blocked_until) == (0, None)
    assert states(house)["delivered"] == 19


def test_what_is_read_back_takes_a_request_each_and_no_more_than_are_allowed(house: House) -> None:
    bulk = house.erp
    bulk.poison, bulk.breaks = frozenset({"R0013"}), True  # type: ignore[attr-defined]
    sell(house, 60)
    while house.sync.translate() or house.sync.process():
        pass
    house.run()
    house.clock.advance(61)
    turns = [house.sync.delivering.turn("erp", [], 4) for _ in range(3)]
    assert [[len(request) for request in turn.requests] for turn in turns] == [[1], [1], [1]]
    for turn in turns:
        house.sync.delivering.turn("erp", house.sync.delivering.send("erp", turn.requests[0]), 0)
    bulk.poison = frozenset()  # type: ignore[attr-defined]
    house.run(minutes=3)
    assert states(house) == {"delivered": 60}


def test_what_a_target_takes_one_at_a_time_beside_its_batches_takes_a_request_each(house: House) -> None:
    waiting(house, "erp", 5, flow="orders")  # journal entries, of which no request carries several
    turns = [house.sync.delivering.turn("erp", [], 4) for _ in range(2)]
    assert [[len(request) for request in turn.requests] for turn in turns] == [[1], [1]]


def test_a_connector_without_batches_that_declares_them_sends_one_at_a_time(house: House) -> None:
    class Boastful(Vendor):
        def __post_init__(self) -> None:
            super().__post_init__()
            specs = (WriteSpec("cash_sale", (), Guarantee.READABLE, 1.0, batch=BATCH),)
            self.manifest = Manifest(self.name, self.name, writes=specs)  # type: ignore[misc]

    house.erp = Boastful("erp", house.clock, Guarantee.READABLE)
    house.erp.faults.extend(["", "unmapped"])
    sell(house, 8)
    house.run()
    assert states(house) == {"delivered": 7, "quarantined": 1}
    assert sorted(house.erp.effects.values()) == [1] * 7


def test_a_batch_is_one_request_and_an_attempt_each(house: House) -> None:
    sell(house, 120)
    while house.sync.translate() or house.sync.process():
        pass
    house.run()
    assert house.erp.sizes == [120]  # type: ignore[attr-defined]
    with house.store.read() as connection:
        assert connection.execute(select(func.count()).select_from(t.attempt)).scalar_one() == 120


def test_an_effect_that_cannot_be_noted_leaves_those_of_its_batch_noted_once(house: House) -> None:
    smallest = -(2**63) if house.store.is_sqlite else -(2**31)
    for sku, value in (("0042", 100), ("0043", smallest)):
        level = {"system": "erp", "field": "on_hand", "sku": sku, "location": "ST1", "value": value}
        with house.store.write() as connection:
            now = house.clock.now()
            connection.execute(insert(t.target_level).values(**level, as_of=now, updated_at=now))
    sell(house, 3)
    sell(house, 1, "0043", first=3)
    sell(house, 2, first=4)
    while house.sync.translate() or house.sync.process():
        pass
    house.run()
    assert house.erp.sizes == [6]  # type: ignore[attr-defined]
    assert states(house) == {"delivered": 6}, "what took effect stands, whatever can be noted of it"
    v, e = t.target_level.c, t.target_effect.c
    with house.store.read() as connection:
        assert dict(connection.execute(select(v.sku, v.value)).all()) == {"0042": 95, "0043": smallest}  # type: ignore[arg-type]
        assert list(connection.execute(select(e.value).order_by(e.id)).scalars()) == [99, 98, 97, 96, 95]


def test_a_batch_that_could_not_be_sent_is_tried_again_whole_and_once_each(house: House) -> None:
    house.erp.fail = [UnavailableError("the ERP is closed for the night")]  # type: ignore[attr-defined]
    sell(house, 50)
    house.run(minutes=2)
    assert states(house) == {"delivered": 50}
    assert sorted(house.erp.effects.values()) == [1] * 50


def test_a_connector_that_answers_for_too_few_is_not_believed(house: House) -> None:
    class Short(Bulk):
        def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
            return super().write_many(requests)[:-1]

    house.erp = Short("erp", house.clock)
    sell(house, 10)
    house.run(minutes=5)
    assert sorted(house.erp.effects.values()) == [1] * 10, "read back, each was found to have taken effect"


def test_a_message_that_contradicts_its_neighbour_waits_and_the_batch_goes_on(house: House) -> None:
    line = {"line": 1, "native_id": "L1", "sku": "0042", "location": "WH1", "quantity": 1, "unit_price": "10.00"}
    for number, ref in enumerate(("#1", "#1", "#2")):
        data = {
            "ref": ref,
            "native_id": "x",
            "placed_at": house.clock.now().isoformat(),
            "currency": "USD",
            "lines": [line],
        }
        house.sync.emit([Draft("order.placed", ref, f"told {number}", house.clock.now(), data)])
    house.run()
    with house.store.read() as connection:
        held = connection.execute(select(t.quarantine.c.reason_code, t.quarantine.c.subject)).all()
        orders = connection.execute(select(t.order_state.c.ref).order_by(t.order_state.c.ref)).scalars().all()
    assert [tuple(row) for row in held] == [("contradiction", "#1")]
    assert orders == ["#1", "#2"]


class Uneven(Bulk):
    """A vendor that takes 500 sales at once, and ten receipts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        specs = [WriteSpec(kind, (), Guarantee.KEYED, 1.0, batch=size) for kind, size in SIZES.items()]
        self.manifest = Manifest(self.name, self.name, writes=tuple(specs))  # type: ignore[misc]


SIZES = {"cash_sale": BATCH, "item_receipt": 10}


def test_a_request_is_claimed_for_by_how_many_of_the_entity_it_carries(store: Store, clock: ManualClock) -> None:
    house = House(store, clock)
    house.erp = Uneven("erp", clock)
    sell(house, 30)
    for number in range(30):
        receipt = {
            "receipt": f"G{number:02}", "purchase_order": "PO1", "location": "WH1", "received_at": clock.now().isoformat(),
            "lines": [{"sku": "0042", "quantity": 1}],
        }  # fmt: skip
        house.hook("wms", "receipt.received", f"G{number:02}", receipt)
    while house.sync.translate() or house.sync.process():
        pass
    delivering, made = house.sync.delivering, []
    while turn := delivering.turn("erp", [], 1).requests:
        assert len(turn) <= 2, "of each flow one, at most"
        made += [(request[0].entity, len(request)) for request in turn]
        delivering.turn("erp", [sent for request in turn for sent in delivering.send("erp", request)], 0)
    assert {size for entity, size in made if entity == "item_receipt"} <= set(range(1, 11))
    assert sum(size for entity, size in made if entity == "item_receipt") == 30
    assert max(size for entity, size in made if entity == "cash_sale") > 10
