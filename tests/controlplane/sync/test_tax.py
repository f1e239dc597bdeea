"""Nothing is posted but what the tax engine agreed with: from the shipment to the books, against a simulated AvaTax."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.avalara.connector import AvalaraConnector
from controlplane.connectors.builtin.shopify.orders import order_drafts
from controlplane.sandbox.avalara.app import ACCOUNT, KEY, Account, create
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery.send import send
from controlplane.sync.engines.workbench import Edit
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.simulators import hanging_up
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import add, change

SKU, CLOTHES, RETIRED = "0007-BLK-M", "PC040100", "PC030000"
CHECK = {"system": "avalara", "ship_from": {"WH1": {"country": "US", "region": "CA", "postal_code": "94105"}}}
BOOKED = [
    {"account": "1100", "side": "debit", "amount": "gross"},
    {"account": "4000", "side": "credit", "amount": "net"},
    {"account": "2200", "side": "credit", "amount": "tax"},
]


@dataclass
class Taxed:
    """A retailer whose revenue is posted when AvaTax agrees."""

    house: House
    account: Account
    connector: AvalaraConnector

    def ship(self, ref: str, tax: str | None, *, code: str | None = CLOTHES, quantity: int = 2, units: int = 0) -> str:
        """A customer in New York orders at 10.00 each and pays so much tax; all of it, or so many units, are shipped."""
        self.order(ref, line("10.00", quantity, None if tax is None else {"amount": tax, "code": code}))
        return self.more(ref, units or quantity)

    def order(self, ref: str, *lines: dict[str, Any], **more: Any) -> None:
        """A customer in New York orders."""
        numbered = [{**one, "line": at, "native_id": f"L{at}"} for at, one in enumerate(lines, 1)]
        data = {
            "ref": ref, "native_id": ref, "placed_at": self.house.clock.now().isoformat(), "currency": "USD",
            "lines": numbered, "ship_to": {"country": "US", "region": "NY", "postal_code": "10001"},
        }  # fmt: skip
        self.house.hook("shop", "order.placed", ref, data | more)
        self.house.run()

    def more(self, ref: str, units: int) -> str:
        """Ship units of an order; return the shipment."""
        with self.house.store.read() as connection:
            known = connection.execute(select(func.count()).select_from(t.message)).scalar_one()
        self.house.shipment(f"S-{ref}-{known}", ref, SKU, units)
        self.house.run()
        return f"S-{ref}-{known}"

    def posted(self) -> list[dict[str, Decimal]]:
        """Account -> amount of every posting there is, the oldest first."""
        p = t.posting.c
        with self.house.store.read() as connection:
            found = connection.execute(select(p.lines).order_by(p.message_id)).scalars().all()
        lines = [json.loads(one) if isinstance(one, str) else one for one in found]
        return [{row["account"]: Decimal(row["debit"]) + Decimal(row["credit"]) for row in one} for one in lines]

    def asked(self) -> list[tuple[str, int]]:
        """State and tries of each question."""
        d = t.delivery.c
        with self.house.store.read() as connection:
            rows = connection.execute(select(d.state, d.attempts).where(d.entity == "tax_check").order_by(d.id))
            return [(row.state, row.attempts) for row in rows]

    def waiting(self) -> dict[str, Any]:
        """The one case that waits for a person."""
        with self.house.store.read() as connection:
            [case] = connection.execute(select(t.quarantine).where(t.quarantine.c.state == "waiting")).mappings().all()
        return dict(case)

    def books(self) -> int:
        """Journal entries that the ERP has."""
        return sum(count for (entity, _), count in self.house.erp.effects.items() if entity == "journal_entry")


def line(price: str, quantity: int, tax: dict[str, Any] | None) -> dict[str, Any]:
    return {"sku": SKU, "location": "WH1", "quantity": quantity, "unit_price": price, "tax": tax}


def owed(amount: str) -> dict[str, Any]:
    return {"amount": amount, "code": CLOTHES, "remitter": "retailer"}


def withheld(amount: str) -> dict[str, Any]:
    return {"amount": amount, "remitter": "marketplace", "withheld": amount}


@pytest.fixture
def taxed(store: Store, clock: ManualClock) -> Iterator[Taxed]:
    house = House(store, clock)
    add(
        house, "System", "avalara", connector="avalara", owner="finance-systems", role="tax",
        endpoint="https://avatax.example.com", secrets={"account_id": "env:A", "license_key": "env:B"},
    )  # fmt: skip
    add(
        house, "Flow", "tax", domain="finance", owner="finance-systems", source="plane", message_types=["tax.asked"],
        method="orchestrated", targets=[{"system": "avalara", "entity": "tax_check"}], retry="postings", promise="1h",
    )  # fmt: skip
    change(house, "AccountingRule", "shipment-revenue", lines=BOOKED, tax=CHECK)
    change(house, "AccountingRule", "shipment-cogs", on="sale.recorded")
    account = Account(codes={"P0000000": True, CLOTHES: True, RETIRED: False})
    account.rates["US", "NY"] = Decimal("0.08875")
    with hanging_up(create(account)) as port:
        given = Given(f"http://127.0.0.1:{port}", timeout=10, secrets={"account_id": ACCOUNT, "license_key": KEY})
        given.clock = clock
        connector = AvalaraConnector(given.context())
        house.avalara = connector  # type: ignore[attr-defined]
        house.product(SKU, "4.00")
        house.run()
        yield Taxed(house, account, connector)
        connector.close()


def test_what_avatax_agrees_with_is_posted_once_with_its_tax(taxed: Taxed) -> None:
    taxed.ship("#1001", "1.78")
    assert taxed.posted() == [{"1100": Decimal("21.78"), "4000": Decimal("20.00"), "2200": Decimal("1.78")}]
    assert taxed.asked() == [("delivered", 1)]
    assert taxed.books() == 1
    assert taxed.account.kept == [], "an estimate is kept nowhere"


def test_a_wrong_amount_waits_with_what_avatax_says_and_once_corrected_is_posted_once(taxed: Taxed) -> None:
    taxed.ship("#1001", "0.78")
    assert taxed.posted() == []
    case = taxed.waiting()
    assert (case["stage"], case["system"], case["reason_code"]) == ("delivery", "avalara", "rejected")
    assert "0.78 USD of tax was charged on 20.00, 1.78 is due" in case["reason"]
    bench = taxed.house.sync.workbench
    bench.correct(case["id"], Edit(put={"lines.0.tax": "1.78"}), "clerk")
    bench.approve(case["id"], "controller")
    taxed.house.sync.replay(case["id"], "clerk")
    taxed.house.run()
    assert taxed.posted() == [{"1100": Decimal("21.78"), "4000": Decimal("20.00"), "2200": Decimal("1.78")}]
    assert taxed.books() == 1


def test_a_correction_that_is_wrong_too_waits_again(taxed: Taxed) -> None:
    taxed.ship("#1001", "0.78")
    case, bench = taxed.waiting(), taxed.house.sync.workbench
    bench.correct(case["id"], Edit(put={"lines.0.tax": "1.70"}), "clerk")
    bench.approve(case["id"], "controller")
    taxed.house.sync.replay(case["id"], "clerk")
    taxed.house.run()
    assert "1.70 USD of tax was charged" in taxed.waiting()["reason"]
    assert taxed.posted() == []


def test_of_a_correction_of_tax_a_second_person_is_asked(taxed: Taxed) -> None:
    taxed.ship("#1001", "0.78")
    case = taxed.waiting()
    made = taxed.house.sync.workbench.correct(case["id"], Edit(put={"lines.0.tax": "1.78"}), "clerk")
    assert made.needs_approval


@pytest.mark.parametrize(
    ("code", "told"), [("PX999999", "AvaTax knows no tax code PX999999"), (RETIRED, "is not in use any more")]
)
def test_a_code_that_is_unknown_or_retired_waits_and_is_never_computed_as_another(
    taxed: Taxed, code: str, told: str
) -> None:
    taxed.ship("#1001", "1.78", code=code)
    assert told in taxed.waiting()["reason"]
    assert taxed.posted() == []
    assert not any("create" in one for one in taxed.account.asked)


def test_while_avatax_does_not_answer_nothing_is_posted_and_what_waits_is_asked_again(taxed: Taxed) -> None:
    taxed.account.throttled = 3
    taxed.ship("#1001", "1.78")
    assert taxed.posted() == []
    assert taxed.asked()[0][0] == "pending"
    taxed.house.run(minutes=10)
    assert taxed.asked()[0] == ("delivered", 4)
    assert taxed.books() == 1


def test_an_outage_longer_than_the_budget_ends_with_a_person_and_never_with_an_unchecked_posting(taxed: Taxed) -> None:
    change(taxed.house, "RetryPolicy", "postings", budget="2m")
    taxed.account.throttled = 10**6
    taxed.ship("#1001", "1.78")
    taxed.house.run(minutes=30, step=30)
    assert taxed.waiting()["reason_code"] == "gave_up"
    assert (taxed.posted(), taxed.books()) == ([], 0)
    taxed.account.throttled = 0
    taxed.house.sync.replay(taxed.waiting()["id"], "clerk")
    taxed.house.run(minutes=5)
    assert taxed.books() == 1


def test_an_answer_that_is_lost_with_its_process_is_asked_for_again_and_posts_once(taxed: Taxed) -> None:
    house = taxed.house
    taxed.account.throttled = 1
    taxed.ship("#1001", "1.78")
    house.clock.advance(60)
    [request] = house.sync.delivering.turn("avalara", [], 1, capped=False).requests
    assert send(taxed.connector, house.clock, request)[0].outcome.result == "delivered"
    house.sync = house.restarted()  # killed between the answer and its commit
    house.clock.advance(timedelta(minutes=2).total_seconds())
    house.sync.recover(restarted=True)
    house.run(minutes=5)
    assert (taxed.books(), len(taxed.posted())) == (1, 1)
    assert [one[0] for one in taxed.asked()] == ["delivered"]


def test_the_parts_of_an_order_are_asked_for_apart_and_their_tax_adds_up_to_the_cent(taxed: Taxed) -> None:
    taxed.ship("#1001", "2.66", quantity=3, units=1)
    taxed.more("#1001", 1)
    taxed.more("#1001", 1)
    tax = [one["2200"] for one in taxed.posted()]
    assert (len(tax), sum(tax)) == (3, Decimal("2.66"))
    assert taxed.books() == 3


@pytest.mark.parametrize(
    ("given", "reason"), [({"tax": None}, "untold_tax"), ({"tax": "1.78", "code": None}, "untold_tax_code")]
)
def test_tax_that_was_never_told_is_not_taken_for_none(taxed: Taxed, given: dict[str, Any], reason: str) -> None:
    taxed.ship("#1001", **given)
    assert taxed.waiting()["reason_code"] == reason
    assert (taxed.posted(), taxed.account.asked) == ([], [])


def test_without_a_flow_that_asks_a_shipment_waits_with_the_remedy(taxed: Taxed) -> None:
    change(taxed.house, "Flow", "tax", message_types=["posting.made"])
    taxed.ship("#1001", "1.78")
    case = taxed.waiting()
    assert (case["reason_code"], case["remedy"]) == (
        "tax_unasked",
        "add a Flow from the plane with tax.asked and the target avalara, and replay",
    )


def test_a_rule_without_tax_posts_as_before_and_asks_nobody(taxed: Taxed) -> None:
    plain = [
        {"account": "1100", "side": "debit", "amount": "price"},
        {"account": "4000", "side": "credit", "amount": "price"},
    ]
    change(taxed.house, "AccountingRule", "shipment-revenue", lines=plain, tax=None)
    taxed.ship("#1001", None)
    assert taxed.posted() == [{"1100": Decimal("20.00"), "4000": Decimal("20.00")}]
    assert (taxed.asked(), taxed.account.asked) == ([], [])


# --- tax that a marketplace remits itself ---
@pytest.mark.parametrize("amount", ["1.78", "0.00", "0.42"])
def test_of_an_order_whose_tax_a_marketplace_remits_what_it_is_worth_is_posted_and_nobody_is_asked(
    taxed: Taxed, amount: str
) -> None:
    taxed.order("#1001", line("10.00", 2, withheld(amount)), ship_to=None)
    taxed.more("#1001", 2)
    assert taxed.posted() == [{"1100": Decimal("20.00"), "4000": Decimal("20.00"), "2200": Decimal(0)}]
    assert (taxed.asked(), taxed.account.asked, taxed.books()) == ([], [], 1)


def test_of_an_order_of_both_the_engine_is_asked_about_what_the_retailer_owes_and_that_is_posted(taxed: Taxed) -> None:
    taxed.order("#1001", line("10.00", 1, withheld("0.89")), line("30.00", 1, owed("2.66")))
    taxed.more("#1001", 2)
    assert taxed.posted() == [{"1100": Decimal("42.66"), "4000": Decimal("40.00"), "2200": Decimal("2.66")}]
    assert taxed.asked() == [("delivered", 1)]


def test_of_a_line_of_both_all_of_its_tax_is_checked_and_the_retailers_share_is_posted(taxed: Taxed) -> None:
    shared = {"amount": "1.78", "code": CLOTHES, "remitter": "both", "withheld": "0.80"}
    taxed.order("#1001", line("10.00", 2, shared))
    taxed.more("#1001", 2)
    assert taxed.posted() == [{"1100": Decimal("20.98"), "4000": Decimal("20.00"), "2200": Decimal("0.98")}]
    taxed.order("#1002", line("10.00", 2, {**shared, "amount": "1.28"}))
    taxed.more("#1002", 2)
    assert "1.28 USD of tax was charged on 20.00, 1.78 is due" in taxed.waiting()["reason"]
    assert len(taxed.posted()) == 1


# --- discounts ---
def bought(name: str, *lines: dict[str, Any], included: bool = False) -> dict[str, Any]:
    """What a shop of Shopify tells of an order."""
    return {
        "name": name, "admin_graphql_api_id": f"gid://shopify/Order/{name[1:]}", "created_at": "2026-03-01T06:00:00Z", "currency": "USD",
        "source_name": "web", "taxes_included": included, "line_items": [{"id": at, "sku": SKU, **one} for at, one in enumerate(lines, 1)],
        "shipping_address": {"country_code": "US", "province_code": "NY", "zip": "10001"},
    }  # fmt: skip


def bought_line(quantity: int, price: str, tax: str, *off: str) -> dict[str, Any]:
    """The tax of a line; and what is off it, by its own discounts and by its part of the order's."""
    return {
        "quantity": quantity, "price": price, "tax_lines": [{"title": "NY", "rate": 0.08875, "price": tax, "channel_liable": False}],
        "discount_allocations": [{"amount": one} for one in off],
    }  # fmt: skip


def take(taxed: Taxed, body: dict[str, Any]) -> None:
    [draft] = order_drafts(Given("https://shop.example.com").context(), body, "WH1")
    change(taxed.house, "AccountingRule", "shipment-revenue", lines=BOOKED, tax={**CHECK, "code": CLOTHES})
    taxed.house.hook("shop", draft.type, draft.subject, draft.data)
    taxed.house.run()


def test_what_is_off_a_line_and_off_the_order_is_off_what_tax_is_due_on_however_it_is_shipped(taxed: Taxed) -> None:
    # 3 at 12.00, 2.00 off the line, 5.00 its part of what is off the order: 29.00, which three do not share evenly
    take(taxed, bought("#1001", bought_line(3, "12.00", "2.57", "2.00", "5.00")))
    for _ in range(3):
        taxed.more("#1001", 1)
    posted = taxed.posted()
    assert {name: sum(one[name] for one in posted) for name in ("4000", "2200", "1100")} == {
        "4000": Decimal("29.00"), "2200": Decimal("2.57"), "1100": Decimal("31.57"),
    }  # fmt: skip
    assert (len(posted), taxed.books(), {state for state, _ in taxed.asked()}) == (3, 3, {"delivered"})


def test_tax_that_was_charged_on_the_price_before_its_discount_waits_and_is_not_posted(taxed: Taxed) -> None:
    take(taxed, bought("#1001", bought_line(2, "12.00", "2.13", "4.00")))  # 8.875 % of 24.00; 20.00 is paid
    taxed.more("#1001", 2)
    assert "2.13 USD of tax was charged on 20.00, 1.78 is due" in taxed.waiting()["reason"]
    assert (taxed.posted(), taxed.books()) == ([], 0)


def test_one_article_bought_twice_the_second_free_is_worth_what_was_paid(taxed: Taxed) -> None:
    take(taxed, bought("#1001", bought_line(1, "20.00", "1.78"), bought_line(1, "20.00", "0.00", "20.00")))
    priced = [
        {"account": "1100", "side": "debit", "amount": "price"},
        {"account": "4000", "side": "credit", "amount": "price"},
    ]
    change(taxed.house, "AccountingRule", "shipment-revenue", lines=priced, tax=None)
    for paid in ("20.00", "0.00"):
        taxed.more("#1001", 1)
        assert taxed.posted()[-1] == {"1100": Decimal(paid), "4000": Decimal(paid)}


def test_a_price_with_its_tax_in_it_is_discounted_with_it(taxed: Taxed) -> None:
    take(taxed, bought("#1001", bought_line(2, "13.89", "1.78", "6.00"), included=True))  # 21.78 is paid
    taxed.more("#1001", 1)
    taxed.more("#1001", 1)
    posted = taxed.posted()
    assert {name: sum(one[name] for one in posted) for name in ("4000", "2200")} == {
        "4000": Decimal("20.00"), "2200": Decimal("1.78"),
    }  # fmt: skip


def test_an_engine_that_computes_on_another_amount_than_it_was_asked_for_is_not_believed(taxed: Taxed) -> None:
    line = {"lineNumber": "1", "lineAmount": 24.0, "tax": 1.78, "taxCode": CLOTHES}
    taxed.account.changed = {"lines": [line]}
    taxed.ship("#1001", "1.78")
    assert taxed.posted() == []
    taxed.account.changed = {}
    taxed.house.run(minutes=30)
    assert len(taxed.posted()) == 1
