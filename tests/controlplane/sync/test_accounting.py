"""What documents post, from intake to the books: shipments, sales at a till, and what comes back, each once and in its own currency."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import add, change

SKU = "0007-BLK-M"
Line = tuple[str, str, str]
"""Account, side, amount."""
CASH: list[Line] = [("1000", "debit", "price"), ("4010", "credit", "price")]
COST: list[Line] = [("5000", "debit", "cost"), ("1200", "credit", "cost")]
TAXED: list[Line] = [("1000", "debit", "gross"), ("4010", "credit", "net"), ("2200", "credit", "tax")]


def rule(house: House, name: str, on: str, lines: list[Line], currency: str = "USD") -> None:
    booked = [{"account": account, "side": side, "amount": amount} for account, side, amount in lines]
    add(
        house,
        "AccountingRule",
        name,
        on=on,
        owner="finance-systems",
        entry=name,
        currency=currency,
        calendar="trading",
        lines=booked,
    )


def sale(house: House, ref: str, quantity: int, price: str = "10.00", **more: Any) -> None:
    data = {
        "ref": ref, "location": "ST1", "sku": SKU, "quantity": quantity, "unit_price": price, "currency": "USD",
        "sold_at": house.clock.now().isoformat(), **more,
    }  # fmt: skip
    house.hook("tills", "sale.recorded", ref, data)
    house.run()


def returned(house: House, ref: str, order: str, quantity: int) -> None:
    data = {
        "return_ref": ref, "order_ref": order, "location": "WH1", "received_at": house.clock.now().isoformat(),
        "lines": [{"sku": SKU, "quantity": quantity}],
    }  # fmt: skip
    house.hook("wms", "return.received", ref, data)
    house.run()


def posted(house: House, of: str = "") -> dict[str, dict[str, tuple[Decimal, Decimal]]]:
    """Posting key -> account -> (debit, credit)."""
    with house.store.read() as connection:
        rows = connection.execute(select(t.posting.c.posting_key, t.posting.c.lines)).all()
    told = {key: json.loads(lines) if isinstance(lines, str) else lines for key, lines in rows if key.startswith(of)}
    return {
        key: {one["account"]: (Decimal(one["debit"]), Decimal(one["credit"])) for one in lines}
        for key, lines in told.items()
    }


def waiting(house: House) -> list[tuple[str, str]]:
    """Code and reason of what waits."""
    q = t.quarantine.c
    with house.store.read() as connection:
        return [
            (row.reason_code, row.reason)
            for row in connection.execute(select(q.reason_code, q.reason).where(q.state == "waiting"))
        ]


@pytest.fixture
def house(store: Store, clock: ManualClock) -> House:
    made = House(store, clock)
    made.product(SKU, "4.00")
    made.run()
    return made


def test_a_sale_at_a_till_posts_its_revenue_and_its_cost_once(house: House) -> None:
    rule(house, "till-revenue", "sale.recorded", CASH)
    rule(house, "till-cogs", "sale.recorded", COST)
    sale(house, "ST1/7/1", 3)
    assert posted(house, "sale.recorded") == {
        "sale.recorded:ST1/7/1:till-revenue": {"1000": (Decimal(30), Decimal(0)), "4010": (Decimal(0), Decimal(30))},
        "sale.recorded:ST1/7/1:till-cogs": {"5000": (Decimal(12), Decimal(0)), "1200": (Decimal(0), Decimal(12))},
    }
    sale(house, "ST1/7/1", 3)
    assert len(posted(house, "sale.recorded")) == 2, "the same sale told twice posts nothing more"
    entries = sum(count for (entity, _), count in house.erp.effects.items() if entity == "journal_entry")
    assert entries == 2, "and both reached the books"


def test_goods_handed_back_at_a_till_stand_on_the_other_side_and_no_amount_is_negative(house: House) -> None:
    rule(house, "till-revenue", "sale.recorded", CASH)
    sale(house, "ST1/8/1", -2)
    assert posted(house, "sale.recorded") == {
        "sale.recorded:ST1/8/1:till-revenue": {"1000": (Decimal(0), Decimal(20)), "4010": (Decimal(20), Decimal(0))}
    }


@pytest.mark.parametrize(("price", "included"), [("10.00", False), ("10.89", True)])
def test_a_tills_tax_is_posted_as_the_till_charged_it(house: House, price: str, included: bool) -> None:
    rule(house, "till-revenue", "sale.recorded", TAXED)
    sale(house, "ST1/9/1", 2, price, tax={"amount": "1.78", "included": included})
    assert posted(house, "sale.recorded")["sale.recorded:ST1/9/1:till-revenue"] == {
        "1000": (Decimal("21.78"), Decimal(0)), "4010": (Decimal(0), Decimal("20.00")), "2200": (Decimal(0), Decimal("1.78")),
    }  # fmt: skip


def test_what_a_marketplace_remits_of_a_tills_tax_is_not_posted(house: House) -> None:
    rule(house, "till-revenue", "sale.recorded", TAXED)
    sale(house, "ST1/9/2", 2, tax={"amount": "1.78", "remitter": "marketplace", "withheld": "1.78"})
    [entry] = posted(house, "sale.recorded").values()
    assert (entry["1000"], entry["2200"]) == ((Decimal(20), Decimal(0)), (Decimal(0), Decimal(0)))


def test_a_sale_whose_till_tells_no_tax_waits_where_a_rule_posts_it(house: House) -> None:
    rule(house, "till-revenue", "sale.recorded", TAXED)
    sale(house, "ST1/9/3", 2)
    assert posted(house, "sale.recorded") == {}
    [(code, reason)] = waiting(house)
    assert code == "untold_tax"
    assert "ST1/9/3 does not say what tax was charged on it, and till-revenue posts of it" in reason


def shipped(house: House, number: int, quantity: int, price: str, currency: str) -> None:
    """Place order O-number, and ship all of it as S-number."""
    line = {"line": 1, "native_id": "L1", "sku": SKU, "location": "WH1", "quantity": quantity, "unit_price": price}
    ref, placed_at = f"O-{number}", house.clock.now().isoformat()
    order = {"ref": ref, "native_id": f"gid/{ref}", "placed_at": placed_at, "currency": currency, "lines": [line]}
    house.hook("shop", "order.placed", ref, order)
    house.run()
    house.shipment(f"S-{number}", ref, SKU, quantity)
    house.run()


def test_what_comes_back_is_posted_at_the_price_of_its_order_and_its_parts_add_up(house: House) -> None:
    rule(house, "returns", "return.received", [("4100", "debit", "price"), ("1100", "credit", "price")])
    rule(house, "restocked", "return.received", [("1200", "debit", "cost"), ("5000", "credit", "cost")])
    shipped(house, 1, 3, "3.333333333333", "USD")
    for at in range(3):
        returned(house, f"R-{at}", "O-1", 1)
    entries = posted(house, "return.received")
    assert len(entries) == 6
    back = [entry["4100"][0] for key, entry in entries.items() if key.endswith(":returns")]
    assert (sum(back), sorted(back)) == (Decimal("10.00"), [Decimal("3.33"), Decimal("3.33"), Decimal("3.34")])
    assert {entry["5000"][1] for key, entry in entries.items() if key.endswith(":restocked")} == {Decimal("4.00")}


def test_a_document_in_another_currency_waits_and_is_never_posted_in_the_rules_currency(house: House) -> None:
    rule(house, "till-revenue", "sale.recorded", CASH)
    sale(house, "ST1/10/1", 1, currency="EUR")
    assert posted(house, "sale.recorded") == {}
    [(code, reason)] = waiting(house)
    assert code == "other_currency"
    assert "ST1/10/1 is in EUR, and till-revenue posts in USD" in reason


def test_each_currency_has_its_rule_and_the_cost_stays_in_that_of_the_goods(house: House) -> None:
    rule(house, "till-revenue", "sale.recorded", CASH)
    rule(house, "till-revenue-eur", "sale.recorded", CASH, "EUR")
    rule(house, "till-cogs", "sale.recorded", COST)
    sale(house, "ST1/11/1", 1, currency="EUR")
    assert sorted(posted(house, "sale.recorded")) == [
        "sale.recorded:ST1/11/1:till-cogs", "sale.recorded:ST1/11/1:till-revenue-eur",
    ]  # fmt: skip
    assert waiting(house) == []


def test_goods_that_cost_another_currency_than_is_posted_wait(house: House) -> None:
    rule(house, "till-cogs", "sale.recorded", COST, "EUR")
    sale(house, "ST1/12/1", 1, currency="EUR")
    assert posted(house, "sale.recorded") == {}
    assert [f"{SKU} costs USD, and is posted in EUR" in reason for _, reason in waiting(house)] == [True]


def test_an_order_in_another_currency_waits_when_it_ships(house: House) -> None:
    shipped(house, 2, 1, "10.00", "EUR")
    assert posted(house) == {}
    assert ["S-2 is in EUR, and shipment-revenue posts in USD" in reason for _, reason in waiting(house)] == [True]


def test_where_no_rule_posts_at_cost_none_has_to_be_known(house: House) -> None:
    change(house, "AccountingRule", "shipment-cogs", on="return.received")
    rule(house, "till-revenue", "sale.recorded", CASH)
    house.hook(
        "erp", "product.described", "NEW-1",
        {"sku": "NEW-1", "title": "New", "unit_cost": None, "unit_price": None, "currency": "USD"}, version="1",
    )  # fmt: skip
    house.run()
    sale(house, "ST1/13/1", 1, sku="NEW-1")
    assert list(posted(house, "sale.recorded")) == ["sale.recorded:ST1/13/1:till-revenue"]
