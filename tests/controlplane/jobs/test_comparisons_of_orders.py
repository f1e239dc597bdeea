"""Comparisons of orders: where they stand, what is shipped, what is there, at shop, warehouse and ERP; and of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Entry, WriteSpec
from controlplane.errors import UnavailableError
from controlplane.jobs import comparisons
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.sync.kit import House, Vendor
from tests.controlplane.sync.policies import add, change
from tests.controlplane.sync.test_loop import SKU, rows

REF = "#1001"


@dataclass
class Lister(Vendor):
    """A system that lists orders and articles. Its clock may be off, and it may tell no change times."""

    shows: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    skew: timedelta = timedelta()
    stamps: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        spec = WriteSpec("product", (), self.guarantee, self.late_effect)
        self.manifest = replace(self.manifest, writes=(*self.manifest.writes, spec))  # type: ignore[misc]

    def entries(
        self, entity: str, subjects: Sequence[str] | None = None, since: datetime | None = None
    ) -> Iterator[list[Entry]]:
        if self.down:
            raise UnavailableError(f"{self.name} does not answer")
        now = self.clock.now()
        at = now + self.skew if self.stamps else None
        yield [
            Entry(subject, fields, at, now, now)
            for subject, fields in self.shows.items() if subjects is None or subject in subjects
            for _ in range(1 + self.again.count(subject))
        ]  # fmt: skip


class Retailer(House):
    """A house whose shop, ERP and warehouse list orders."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.erp = self.lister("erp", self.erp)
        self.wms = self.lister("wms", self.wms)
        self.shop = self.lister("shop", self.shop)
        for name, kind, what in (
            ("orders-state", "order_status", "state"),
            ("orders-shipped", "shipments", "shipped"),
            ("orders-there", "completeness", "listed"),
        ):
            sides = [{"system": system, "entity": "orders", "field": what} for system in ("shop", "erp", "wms")]
            add(
                self, "Comparison", name, kind=kind, domain="orders", owner="ecommerce", sides=sides, source_side="shop",
                every="5m", promise="2m",
            )  # fmt: skip
        self.product(SKU, "4.00")
        self.sync.drain()

    def lister(self, name: str, old: Vendor) -> Any:
        return Lister(name, self.clock, old.guarantee)

    def placed(self, *everywhere: str) -> None:
        """An order of two, which these systems show."""
        self.order(REF, SKU, 2)
        self.sync.drain()
        self.show("open", 0, *everywhere)
        self.clock.advance(1)

    def show(self, state: str, shipped: int, *systems: str) -> None:
        """Systems show the order so."""
        for system in systems:
            self.get(system).shows[REF] = {"state": STATES[state], "shipped": shipped}  # type: ignore[attr-defined]

    def ships(self) -> None:
        """The warehouse ships both, and tells."""
        self.show("shipped", 2, "wms")
        self.shipment("SH1", REF, SKU, 2)

    def compare(self, name: str = "orders-state") -> dict[str, Any]:
        return comparisons.run(self, name, "test")  # type: ignore[arg-type]

    def found(self) -> list[tuple[object, object]]:
        return [(row["side"], row["cause"]) for row in rows(self, t.finding)]


STATES = {
    "open": "released_to_warehouse", "partially": "partially_shipped", "shipped": "delivered", "cancelled": "cancelled",
}  # fmt: skip


@pytest.fixture
def retailer(sqlite_store: Store, clock: ManualClock) -> Retailer:
    return Retailer(sqlite_store, clock)


def test_systems_that_show_an_order_in_their_own_words_agree(retailer: Retailer) -> None:
    retailer.placed("shop", "erp", "wms")
    retailer.erp.shows[REF]["state"] = "pending_validation"  # type: ignore[attr-defined]
    for name in ("orders-state", "orders-shipped", "orders-there"):
        assert (retailer.compare(name)["agree"], retailer.found()) == (1, [])
    retailer.ships()
    retailer.sync.drain()
    retailer.show("shipped", 2, "shop", "erp", "wms")
    retailer.clock.advance(1)
    assert retailer.compare()["agree"] == 1
    assert retailer.compare("orders-shipped")["agree"] == 1


def test_a_shipment_that_is_on_its_way_is_not_drift_and_one_that_is_late_is(retailer: Retailer) -> None:
    retailer.placed("shop", "erp", "wms")
    retailer.shop.down = retailer.erp.down = True
    retailer.ships()
    retailer.sync.drain()
    retailer.shop.down = retailer.erp.down = False
    assert retailer.compare()["in_flight"] == 1
    assert retailer.compare("orders-shipped")["in_flight"] == 1
    assert retailer.found() == []
    retailer.clock.advance(11 * 60)
    retailer.compare("orders-shipped")
    assert retailer.found() == [("shop", "late"), ("erp", "late")]
    [first, _] = rows(retailer, t.finding)
    assert (first["subject"], first["state"], first["actual"], first["expected"]) == (REF, "open", 0, [2])
    assert first["money"] is not None


def test_what_was_shipped_and_never_told_is_a_gap_between_the_warehouse_and_the_ledger(retailer: Retailer) -> None:
    retailer.placed("shop", "erp", "wms")
    retailer.show("shipped", 2, "wms")
    retailer.compare()
    assert retailer.found() == [("wms", "never_received")]
    retailer.compare("orders-shipped")
    assert retailer.found()[1:] == [("wms", "never_received")]


def test_what_was_delivered_and_is_not_shown_was_changed_there(retailer: Retailer) -> None:
    retailer.placed("shop", "erp", "wms")
    retailer.ships()
    retailer.sync.drain()
    retailer.show("shipped", 2, "erp")
    retailer.clock.advance(1)
    retailer.compare("orders-shipped")
    assert retailer.found() == [("shop", "changed_at_target")]


def test_an_order_cancelled_at_the_shop_was_never_received_and_at_the_erp_changed_there(retailer: Retailer) -> None:
    retailer.placed("shop", "erp", "wms")
    retailer.show("cancelled", 0, "shop", "erp")
    retailer.compare()
    assert retailer.found() == [("shop", "never_received"), ("erp", "changed_at_target")]


def test_an_order_that_vanished_from_the_erp_is_missing_and_one_that_was_refused_is_held(retailer: Retailer) -> None:
    retailer.placed("shop", "wms")
    retailer.compare("orders-there")
    assert retailer.found() == [("erp", "missing")]
    retailer.erp.faults.append("rejected")
    retailer.order("#1002", SKU, 1)
    retailer.sync.drain()
    for system in (retailer.shop, retailer.wms):
        system.shows["#1002"] = {"state": "allocated"}  # type: ignore[attr-defined]
    retailer.clock.advance(1)
    retailer.compare("orders-there")
    [held] = [row for row in rows(retailer, t.finding) if row["subject"] == "#1002"]
    assert (held["side"], held["cause"], held["state"]) == ("erp", "quarantined", "open")


def test_an_order_that_nothing_is_owed_of_is_missing_though_nothing_failed(retailer: Retailer) -> None:
    retailer.placed("shop", "wms")
    with retailer.store.write() as connection:
        connection.execute(delete(t.delivery).where(t.delivery.c.target == "erp"))
    retailer.compare("orders-there")
    [finding] = rows(retailer, t.finding)
    assert (finding["side"], finding["cause"]) == ("erp", "missing")
    assert "nothing has failed, and nothing is owed" in finding["explanation"]


def test_an_order_that_the_ledger_never_heard_of_is_told_and_not_one_of_before_the_window(retailer: Retailer) -> None:
    retailer.shop.shows[REF] = {"state": "allocated"}  # type: ignore[attr-defined]
    retailer.compare("orders-there")
    assert retailer.found() == [("shop", "never_received")]
    retailer.shop.skew = timedelta(days=-8)  # type: ignore[attr-defined]
    assert retailer.compare("orders-there")["indeterminate"] == 1
    retailer.shop.stamps = False  # type: ignore[attr-defined]
    assert retailer.compare("orders-there")["indeterminate"] == 1


def test_an_order_that_waits_for_a_translation_is_unmapped(retailer: Retailer) -> None:
    line = {"line": 1, "native_id": "L1", "sku": "UNKNOWN", "location": "WH1", "quantity": 1, "unit_price": "10.00"}
    data = {"sku": "UNKNOWN", "ref": REF, "native_id": "gid/1", "placed_at": retailer.clock.now().isoformat(),
            "currency": "USD", "lines": [line]}  # fmt: skip
    retailer.hook("shop", "order.placed", REF, data)
    retailer.sync.drain()
    retailer.shop.shows[REF] = {"state": "allocated"}  # type: ignore[attr-defined]
    retailer.compare("orders-there")
    assert retailer.found() == [("shop", "unmapped")]


def test_orders_of_a_system_whose_clock_is_off_or_that_tells_no_times_are_judged_by_our_clock(
    retailer: Retailer,
) -> None:
    retailer.placed("shop", "erp", "wms")
    for minutes in (-5, 5):
        for system in (retailer.shop, retailer.erp, retailer.wms):
            system.skew = timedelta(minutes=minutes)  # type: ignore[attr-defined]
        assert retailer.compare()["agree"] == 1
    for system in (retailer.shop, retailer.erp, retailer.wms):
        system.stamps = False  # type: ignore[attr-defined]
    assert retailer.compare()["agree"] == 1
    assert retailer.found() == []


def test_an_order_listed_twice_is_a_duplicate_and_an_unread_side_concludes_nothing(retailer: Retailer) -> None:
    retailer.placed("shop", "erp", "wms")
    retailer.erp.again.append(REF)  # type: ignore[attr-defined]
    retailer.compare("orders-there")
    assert retailer.found() == [("erp", "duplicate")]
    retailer.wms.down = True
    assert "wms" in retailer.compare("orders-there")["unread"]
    assert [row["state"] for row in rows(retailer, t.finding)] == ["suspected"]


def test_one_order_is_looked_at_by_its_reference_though_it_is_older_than_the_window(retailer: Retailer) -> None:
    change(retailer, "Comparison", "orders-state", window="1h")
    retailer.placed("shop", "erp", "wms")
    retailer.clock.advance(3 * 3600)
    assert retailer.compare()["keys"] == 0
    counts = comparisons.run(retailer, "orders-state", "ann", [REF])  # type: ignore[arg-type]
    assert (counts["keys"], counts["agree"]) == (1, 1)


# --- the catalogue ---


@pytest.fixture
def catalogue(retailer: Retailer) -> Retailer:
    """The ERP describes articles, and the shop shows them."""
    flow = {
        "domain": "products", "owner": "ecommerce", "source": "erp", "message_types": ["product.described"], "method": "event",
        "targets": [{"system": "shop", "entity": "product"}], "retry": "default", "promise": "10m",
    }  # fmt: skip
    add(retailer, "Flow", "catalogue", **flow)
    sides = [{"system": system, "entity": "items", "field": "article"} for system in ("erp", "shop")]
    add(
        retailer, "Comparison", "catalogue", kind="catalogue", domain="products", owner="ecommerce", sides=sides,
        source_side="erp", every="5m", promise="2m", tolerances={"price": {"relative": "0.01"}},
    )  # fmt: skip
    retailer.sync = retailer.restarted()
    described(retailer, "20.00")
    retailer.sync.drain()
    retailer.clock.advance(1)
    return retailer


def described(retailer: Retailer, price: str, active: bool = True, sku: str = "TEE") -> None:
    data = {"sku": sku, "title": sku, "unit_cost": "4.00", "unit_price": price, "currency": "USD", "active": active}
    retailer.hook("erp", "product.described", sku, data, version=f"{price}/{active}")
    retailer.erp.shows[sku] = {"price": Decimal(price), "active": "yes" if active else "no"}  # type: ignore[attr-defined]


def shown(retailer: Retailer, price: str, active: str = "yes") -> list[tuple[object, object]]:
    retailer.shop.shows["TEE"] = {"price": Decimal(price), "active": active}  # type: ignore[attr-defined]
    retailer.compare("catalogue")
    return [(row["field"], row["cause"]) for row in rows(retailer, t.finding) if row["side"] == "shop"]


def test_a_price_within_its_tolerance_agrees_and_one_beyond_it_was_changed_at_the_shop(catalogue: Retailer) -> None:
    assert shown(catalogue, "20.2") == []
    assert shown(catalogue, "20.21") == [("price", "changed_at_target")]
    [finding] = rows(catalogue, t.finding)
    assert (finding["actual"], finding["expected"], finding["money"]) == ("20.21", ["20.00"], Decimal("0.21"))


def test_an_article_that_is_not_sold_any_more_and_still_is_at_the_shop_is_told_by_its_field(
    catalogue: Retailer,
) -> None:
    catalogue.shop.down = True
    described(catalogue, "20.00", active=False)
    catalogue.sync.drain()
    catalogue.shop.down = False
    assert shown(catalogue, "20.00") == []
    catalogue.clock.advance(11 * 60)
    assert shown(catalogue, "20.00") == [("active", "late")]


def test_a_price_that_the_erp_never_told_is_a_gap_before_the_ledger(catalogue: Retailer) -> None:
    catalogue.erp.shows["TEE"]["price"] = Decimal("25")  # type: ignore[attr-defined]
    assert shown(catalogue, "20") == []
    assert catalogue.found() == [("erp", "never_received")]


def test_a_price_that_nobody_said_and_one_that_is_not_told_are_not_zero(catalogue: Retailer) -> None:
    catalogue.shop.shows["TEE"] = {"active": "yes"}  # type: ignore[attr-defined]
    counts = comparisons.run(catalogue, "catalogue", "ann", ["TEE"])  # type: ignore[arg-type]
    assert counts["indeterminate"] == 1
    assert catalogue.found() == []
