"""The three-way comparison under a living retailer: what is on its way is told apart from drift, and drift is healed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Level
from controlplane.jobs import Ticker, comparisons
from controlplane.store import Store
from controlplane.store import tables as t
from rules.outcomes import Guarantee
from tests.controlplane.jobs.test_ticker import plane_of
from tests.controlplane.sync.kit import House, Vendor
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU, rows

NAME = "stock-three-way"


class Retailer(House):
    """A house whose warehouse, books and shop agree: 10 on hand, 8 to sell."""

    def begin(self) -> None:
        """Bring everything up and let the first comparison take the books for known."""
        self.warehouse(10)
        self.erp.levels[SKU, "WH1"] = 10
        self.shop.levels[SKU, "WH1"] = 8
        self.sync.healing.read_channel("shop")
        self.product(SKU, "4.00")
        self.tell()
        self.sync.drain()
        assert self.compare()["agree"] == 1

    def warehouse(self, on_hand: int) -> None:
        """Goods move in the warehouse; nobody is told."""
        self.wms.levels[SKU, "WH1"] = on_hand
        self.clock.advance(1)

    def tell(self) -> None:
        """The warehouse's webhook arrives."""
        self.level(SKU, self.wms.levels[SKU, "WH1"])

    def compare(self) -> dict[str, int]:
        """Compare everything."""
        return comparisons.run(self, NAME, "test")  # type: ignore[arg-type]

    def confirm(self, minutes: float) -> dict[str, int]:
        """Wait, then read the suspected keys a second time."""
        self.clock.advance(minutes * 60)
        self.sync.drain()
        return comparisons.confirm(self, NAME)  # type: ignore[arg-type]

    def findings(self) -> list[tuple[object, object, object]]:
        """Side, cause and state of every finding, oldest first."""
        return [(row["side"], row["cause"], row["state"]) for row in rows(self, t.finding)]


@pytest.fixture
def retailer(store: Store, clock: ManualClock) -> Retailer:
    """A retailer in step."""
    retailer = Retailer(store, clock)
    retailer.begin()
    return retailer


def test_a_hand_edit_in_the_shop_is_found_confirmed_healed_and_verified(retailer: Retailer) -> None:
    retailer.shop.levels[SKU, "WH1"] = 15
    assert retailer.compare()["suspected"] == 1
    assert retailer.findings() == [("shop", "changed_at_target", "suspected")]
    assert retailer.confirm(minutes=2.1)["opened"] == 1
    assert retailer.findings() == [("shop", "changed_at_target", "healing")]
    retailer.sync.drain()
    assert retailer.shop.levels[SKU, "WH1"] == 8
    retailer.confirm(minutes=1)
    assert retailer.findings() == [("shop", "changed_at_target", "healed")]
    [finding] = rows(retailer, t.finding)
    assert finding["money"] is not None
    assert finding["actual"] == 15
    assert finding["expected"] == [8]


def test_a_second_reading_is_only_scheduled_while_something_is_suspected_or_was_healed(retailer: Retailer) -> None:
    def suspected() -> frozenset[str]:
        return comparisons.suspected(retailer)  # type: ignore[arg-type]

    assert suspected() == frozenset()
    retailer.shop.levels[SKU, "WH1"] = 15
    retailer.compare()
    assert suspected() == {NAME}
    retailer.confirm(minutes=2.1)
    assert retailer.findings() == [("shop", "changed_at_target", "healing")]
    assert suspected() == {NAME}
    retailer.sync.drain()
    retailer.confirm(minutes=1)
    assert suspected() == frozenset()


def test_a_suspicion_is_read_a_second_time_at_the_very_end_of_its_promise(retailer: Retailer) -> None:
    ticker = Ticker(plane_of(retailer))
    ticker.run_due()
    retailer.clock.advance(0.4)
    retailer.shop.levels[SKU, "WH1"] = 15
    retailer.compare()
    seen, [finding] = retailer.clock.now(), rows(retailer, t.finding)
    assert finding["first_seen_at"] == seen
    while retailer.clock.now() < seen + timedelta(minutes=2):
        assert finding["confirmed_at"] is None
        retailer.clock.move_to(ticker.next_due())
        ticker.run_due()
        [finding] = rows(retailer, t.finding)
    assert finding["confirmed_at"] == seen + timedelta(minutes=2)


def test_a_lost_webhook_is_found_as_never_received_and_the_source_is_read_again(retailer: Retailer) -> None:
    retailer.warehouse(30)
    retailer.compare()
    retailer.confirm(minutes=2.1)
    assert ("wms", "never_received", "healing") in retailer.findings()
    retailer.sync.drain()
    assert retailer.shop.levels[SKU, "WH1"] == 28


def test_what_a_slow_reading_saw_before_a_quick_one_counts_from_then(retailer: Retailer) -> None:
    retailer.erp = Slow("erp", retailer.clock)
    retailer.erp.levels[SKU, "WH1"] = 10
    sides = [
        {"system": "shop", "entity": "levels", "field": "available"},
        {"system": "wms", "entity": "inventory", "field": "on_hand"},
        {"system": "erp", "entity": "inventory_balance", "field": "on_hand"},
    ]
    change(retailer, "Comparison", NAME, sides=sides)
    retailer.shop.levels[SKU, "WH1"] = 15
    began = retailer.clock.now()

    def look_closer() -> None:
        retailer.clock.advance(40)
        comparisons.run(retailer, NAME, "test", [f"{SKU}@WH1"])  # type: ignore[arg-type]
        assert rows(retailer, t.finding)[0]["first_seen_at"] == began + timedelta(seconds=40)

    retailer.erp.meanwhile_read = look_closer  # type: ignore[attr-defined]
    retailer.compare()
    [finding] = rows(retailer, t.finding)
    assert finding["first_seen_at"] == began


class Slow(Vendor):
    """A system that takes its time to read, in which other things happen."""

    meanwhile_read: Callable[[], object] | None = None

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        if self.meanwhile_read:
            deed, self.meanwhile_read = self.meanwhile_read, None
            deed()
        yield from super().snapshot(entity, keys)


class Dated(Vendor):
    """A warehouse that says when each of its rows has changed."""

    changed_at: datetime
    meanwhile: Callable[[], None] | None = None
    """What happens once while the other sides are still being read."""

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        for page in super().snapshot(entity, keys):
            yield [replace(level, source_at=self.changed_at) for level in page]
        if self.meanwhile and keys is None:
            then, self.meanwhile = self.meanwhile, None
            then()


def dated(retailer: Retailer, on_hand: int) -> None:
    """Goods move in a warehouse that dates its rows; nobody is told."""
    if not isinstance(retailer.wms, Dated):
        levels, retailer.wms = retailer.wms.levels, Dated("wms", retailer.clock, Guarantee.READABLE)
        retailer.wms.levels = levels
    retailer.wms.changed_at = retailer.clock.now()  # type: ignore[attr-defined]
    retailer.warehouse(on_hand)


def test_a_gap_that_closed_and_opened_anew_is_not_confirmed_while_the_webhook_may_be_on_its_way(
    retailer: Retailer,
) -> None:
    dated(retailer, 30)
    retailer.compare()
    dated(retailer, 10)
    dated(retailer, 30)
    assert retailer.confirm(minutes=2)["opened"] == 0
    retailer.tell()
    retailer.sync.drain()
    retailer.confirm(minutes=1.1)
    assert [finding for finding in retailer.findings() if finding[0] == "wms"] == [("wms", "never_received", "closed")]


def test_an_edit_that_is_edited_further_is_as_old_as_the_first_though_customers_order_meanwhile(
    retailer: Retailer,
) -> None:
    retailer.shop.levels[SKU, "WH1"] += 7
    retailer.compare()
    retailer.clock.advance(30)
    retailer.order("#1001", SKU, 2)
    retailer.shop.levels[SKU, "WH1"] += 7 - 2
    retailer.sync.translate()
    retailer.sync.process()
    assert retailer.confirm(minutes=1.6)["opened"] == 1
    assert [one for one in retailer.findings() if one[0] == "shop"] == [("shop", "changed_at_target", "healing")]


def test_a_gap_that_orders_heard_of_since_explain_is_not_confirmed_with_another(retailer: Retailer) -> None:
    retailer.shop.levels[SKU, "WH1"] -= 2
    retailer.compare()
    retailer.clock.advance(30)
    retailer.order("#1001", SKU, 2)
    retailer.shop.levels[SKU, "WH1"] += 7
    retailer.sync.translate()
    retailer.sync.process()
    assert retailer.confirm(minutes=1.6)["opened"] == 0


def test_a_gap_that_the_ledger_heard_of_while_it_was_being_read_is_not_taken_for_the_next_one(
    retailer: Retailer,
) -> None:
    def told() -> None:
        retailer.clock.advance(5)
        dated(retailer, 31)
        retailer.tell()
        retailer.sync.drain()

    dated(retailer, 30)
    retailer.wms.meanwhile = told  # type: ignore[attr-defined]
    retailer.compare()
    assert ("wms", "never_received", "suspected") in retailer.findings()
    retailer.clock.advance(90)
    dated(retailer, 32)
    retailer.confirm(minutes=0.5)
    assert retailer.confirm(minutes=1.1).get("opened", 0) == 0, "it has been there for less than its promise"
    retailer.confirm(minutes=1)
    assert ("wms", "never_received", "healing") in retailer.findings()


def test_a_source_that_changes_all_the_time_and_is_never_heard_is_confirmed_half_a_promise_later(
    retailer: Retailer,
) -> None:
    dated(retailer, 30)
    retailer.compare()
    dated(retailer, 31)
    assert retailer.confirm(minutes=2)["opened"] == 0
    dated(retailer, 32)
    retailer.confirm(minutes=1)
    assert ("wms", "never_received", "healing") in retailer.findings()


def test_what_is_on_its_way_is_not_drift(retailer: Retailer) -> None:
    retailer.shop.down = True
    retailer.warehouse(30)
    retailer.tell()
    retailer.sync.drain()
    retailer.shop.down = False
    retailer.compare()
    assert not [finding for finding in retailer.findings() if finding[0] in ("shop", "wms")]


def test_a_difference_that_explains_itself_before_the_second_reading_is_never_reported(retailer: Retailer) -> None:
    retailer.warehouse(30)
    retailer.compare()
    retailer.tell()
    retailer.sync.drain()
    retailer.confirm(minutes=2.1)
    assert [finding for finding in retailer.findings() if finding[0] == "wms"] == [("wms", "never_received", "closed")]


def test_a_side_that_cannot_be_read_fails_the_comparison_and_closes_nothing(retailer: Retailer) -> None:
    retailer.shop.levels[SKU, "WH1"] = 15
    retailer.compare()
    retailer.erp.down = True
    answer = retailer.compare()
    assert "erp" in answer["unread"]  # type: ignore[operator]
    assert rows(retailer, t.comparison_run)[-1]["state"] == "failed"
    assert rows(retailer, t.comparison_run)[-1]["agree"] is None
    assert retailer.findings() == [("shop", "changed_at_target", "suspected")]


def test_what_the_ledger_alone_proves_late_is_found_while_the_target_is_down(retailer: Retailer) -> None:
    retailer.order("#1001", SKU, 2)
    retailer.sync.drain()
    retailer.erp.down = True
    retailer.shipment("SH1", "#1001", SKU, 2)
    retailer.run(minutes=11, step=30)
    retailer.compare()
    [finding] = [row for row in rows(retailer, t.finding) if row["side"] == "erp"]
    assert (finding["cause"], finding["state"]) == ("late", "open")
    assert finding["message_id"]


def test_a_change_in_the_books_is_found_and_left_to_a_person(retailer: Retailer) -> None:
    retailer.erp.levels[SKU, "WH1"] = 12
    retailer.compare()
    retailer.confirm(minutes=2.1)
    assert retailer.findings() == [("erp", "changed_at_target", "open")]


def test_a_key_that_vanishes_closes_nothing(retailer: Retailer) -> None:
    retailer.shop.levels[SKU, "WH1"] = 15
    retailer.compare()
    del retailer.shop.levels[SKU, "WH1"]
    retailer.compare()
    assert ("shop", "changed_at_target", "healed") not in retailer.findings()
    assert any(finding[1] == "missing" for finding in retailer.findings())


def test_drift_beyond_the_policys_limits_waits_for_a_person(retailer: Retailer) -> None:
    retailer.shop.levels[SKU, "WH1"] = 8 + 5000
    retailer.compare()
    retailer.confirm(minutes=2.1)
    assert retailer.findings() == [("shop", "changed_at_target", "open")]
    retailer.sync.drain()
    assert retailer.shop.levels[SKU, "WH1"] == 5008
