"""What is written, against the sandbox's shop and ERP: real goods, marked documents, and stock that is put back."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Connector, Write
from controlplane.drill.material import Material, gather
from controlplane.drill.payloads import DOCUMENTS, Asked
from controlplane.drill.writes import Levels, Writes, writes_for
from controlplane.errors import BadInputError
from controlplane.registry import Snapshot
from rules.model.messages import parse
from rules.outcomes import Outcome, Result
from tests.controlplane.connectors.conftest import START, Retailer, listener, retailer, start

__all__ = ["listener", "retailer", "start"]


def stock(of: Retailer) -> dict[str, int | None]:
    """What the shop shows, by SKU."""
    return {level.sku: level.available for page in of.connector("shop").snapshot("levels") for level in page}


def supply(of: Retailer, policies: Snapshot, system: str, entity: str, kind: str, skus: list[str]) -> Writes:
    material = gather(policies, system, of.connector(system), skus, "WH1", goods=True)
    return writes_for(entity, kind, "T", material, of.clock)


def test_stock_is_taken_down_and_up_by_one_and_is_as_before_at_the_end(retailer: Retailer, shipped: Snapshot) -> None:
    before, lowest = stock(retailer), dict(stock(retailer))
    writes = supply(retailer, shipped, "shop", "available", "stock.offer", [])
    shop = retailer.connector("shop")
    for _ in range(20):
        assert writes.send(shop).result is Result.DELIVERED
        lowest = {sku: min(lowest[sku] or 0, shown or 0) for sku, shown in stock(retailer).items()}
    assert stock(retailer) != before, "twenty writes to eight levels leave four of them down"
    assert {(before[sku] or 0) - low for sku, low in lowest.items()} == {1}
    assert writes.put_back(shop, retailer.clock) == []
    assert stock(retailer) == before


def test_stock_is_as_before_though_answers_were_lost_and_customers_bought_meanwhile(
    retailer: Retailer, shipped: Snapshot
) -> None:
    before = stock(retailer)
    writes = supply(retailer, shipped, "shop", "available", "stock.offer", [])
    shop = retailer.connector("shop")
    fault = retailer.sandbox.fault(kind="lost_response", target="shop", operation="write", probability=0.4)
    results = [writes.send(shop).result for _ in range(20)]
    bought = min(before)
    retailer.sandbox.order((bought, 3))
    results += [writes.send(shop).result for _ in range(20)]
    assert {Result.DELIVERED, Result.UNKNOWN, Result.STALE} <= set(results)
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert writes.put_back(shop, retailer.clock) == []
    assert stock(retailer) == before | {bought: (before[bought] or 0) - 3}


def test_what_cannot_be_put_back_is_named(retailer: Retailer, shipped: Snapshot) -> None:
    [sku, *_] = stock(retailer)
    writes = supply(retailer, shipped, "shop", "available", "stock.offer", [sku])
    shop = retailer.connector("shop")
    assert writes.send(shop).result is Result.DELIVERED
    retailer.sandbox.fault(kind="throttled", target="shop")
    retailer.clock.pace = 0.0
    assert writes.put_back(shop, retailer.clock) == [f"{sku}@WH1 may show one unit less than before (throttled)"]


class Scripted(Connector):
    """A target that answers as told and keeps what it was asked to write."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[int, int, str]] = []

    def write(self, request: Write) -> Outcome:
        self.asked.append((request.payload["expected"], request.payload["quantity"], request.idempotency_key))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


DONE, UNKNOWN = Outcome(Result.DELIVERED), Outcome(Result.UNKNOWN)


@pytest.mark.parametrize(
    ("first", "back"),
    [
        ([DONE], [(39, 40)]),
        ([DONE, DONE], []),
        ([Outcome(Result.THROTTLED)], []),
        # sold meanwhile, to the very value that was to be set: nothing of ours is off
        ([Outcome(Result.STALE, current=39)], []),
        # one of ours is off, and one was sold: what is put back is ours alone
        ([DONE, Outcome(Result.STALE, current=38)], [(38, 39)]),
        # not known: the same write under the same key tells, by its first answer …
        ([UNKNOWN], [(40, 39), (39, 40)]),
        ([RuntimeError("broken")], [(40, 39), (39, 40)]),
    ],
)
def test_only_the_units_that_are_off_because_of_us_are_put_back(
    first: list[Outcome | Exception], back: list[tuple[int, int]], clock: ManualClock
) -> None:
    writes = Levels("available", "stock.offer", "T", Material("shop", (("a", "WH1"),), {("a", "WH1"): 40}), clock)
    target = Scripted(*first)
    for outcome in first:
        with pytest.raises(RuntimeError) if isinstance(outcome, Exception) else nullcontext():
            writes.send(target)
    last_key = target.asked[-1][2]
    target.asked, target.outcomes = [], [DONE] * 5
    assert writes.put_back(target, clock) == []
    assert [(expected, quantity) for expected, quantity, _ in target.asked] == back
    if len(back) == 2:
        assert target.asked[0][2] == last_key


def test_a_repeated_write_that_is_refused_as_stale_tells_by_the_value_whether_the_first_took_effect(
    clock: ManualClock,
) -> None:
    for shown, back in ((39, [(40, 39), (39, 40)]), (37, [(40, 39)])):
        writes = Levels("available", "stock.offer", "T", Material("shop", (("a", "WH1"),), {("a", "WH1"): 40}), clock)
        target = Scripted(UNKNOWN)
        writes.send(target)
        target.asked, target.outcomes = [], [Outcome(Result.STALE, current=shown), DONE]
        assert writes.put_back(target, clock) == []
        assert [(expected, quantity) for expected, quantity, _ in target.asked] == back


def test_documents_are_marked_and_take_effect_once(retailer: Retailer, shipped: Snapshot) -> None:
    writes = supply(retailer, shipped, "erp", "sales_order", "order.placed", [])
    assert [writes.send(retailer.connector("erp")).result for _ in range(4)] == [Result.DELIVERED] * 4
    assert retailer.effects("erp", "order") == [(f"DRILL-T-{number}", 1) for number in range(4)]


def test_goods_are_those_that_were_named_or_those_that_the_target_lists(retailer: Retailer, shipped: Snapshot) -> None:
    erp = retailer.connector("erp")
    listed = gather(shipped, "erp", erp, [], "WH1", goods=True)
    assert (len(listed.keys), listed.place) == (8, "WH1")
    named = gather(shipped, "erp", erp, ["0002-BLK-XL"], None, goods=True)
    assert {sku for sku, _ in named.keys} == {"0002-BLK-XL"}
    with pytest.raises(BadInputError, match="--sku"):
        gather(shipped, "pager", retailer.connector("pager"), [], None, goods=True)
    assert gather(shipped, "pager", retailer.connector("pager"), ["a"], "WH1", goods=True).keys == (("a", "WH1"),)


def test_a_level_without_stock_is_not_touched(clock: ManualClock) -> None:
    with pytest.raises(BadInputError, match="shows no stock"):
        writes_for("available", "stock.offer", "T", Material("shop", (("a", "WH1"),), {("a", "WH1"): 0}), clock)


@pytest.mark.parametrize("kind", ["shipment.shipped", "product.described", "no.such"])
def test_what_cannot_be_made_up_is_refused_with_the_reason(kind: str, clock: ManualClock) -> None:
    with pytest.raises(BadInputError, match="cannot be made up") as told:
        writes_for("x", kind, "T", Material("erp", (("a", "WH1"),)), clock)
    assert "order.placed" in str(told.value)


@pytest.mark.parametrize("kind", list(DOCUMENTS))
def test_made_up_documents_are_canonical_messages_that_differ_only_by_number(kind: str) -> None:
    material = Material("erp", (("a", "WH1"), ("b", "WH1"), ("c", "ST1")), accounts=("1200", "4000"))
    made = [parse(kind, DOCUMENTS[kind](Asked(number, f"DRILL-T-{number}", START, material))) for number in range(6)]
    assert len(set(map(repr, made))) == 6
    assert all("DRILL-T-" in repr(one) for one in made)
    assert "'c'" not in repr(made), "documents are of one place"
