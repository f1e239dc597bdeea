"""What shops say of an order's tax and of where it goes, as the canonical order says it: the same by webhook and by poll."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.connectors import taxes as kit
from controlplane.connectors.builtin.adobe_commerce import orders as adobe
from controlplane.connectors.builtin.shopify import taxes as shopify_taxes
from controlplane.connectors.builtin.shopify.orders import order_drafts
from controlplane.connectors.builtin.vendure import orders as vendure
from controlplane.connectors.contract import Context, UnmappedError
from controlplane.connectors.records import read_json
from controlplane.errors import BadInputError
from rules.model.messages import OrderPlaced, SaleRecorded, parse
from rules.personal import Personal
from tests.controlplane.connectors.conftest import Given

CONTEXT = Given("https://shop.example.com").context()
SHOWING = replace(CONTEXT, personal=Personal({"postal_code": "show"}))
LINES = [{"title": "NY State Tax", "rate": 0.04, "price": "0.80"}, {"title": "NYC Tax", "rate": 0.045, "price": "0.9"}]
TOLD: dict[str, Any] = {
    "name": "#1001", "admin_graphql_api_id": "gid://shopify/Order/1", "created_at": "2026-11-27T06:00:00Z", "currency": "USD",
    "source_name": "web", "taxes_included": False, "total_tax": "2.5",
    "shipping_address": {"country_code": "US", "province_code": "NY", "zip": "10001", "city": "New York", "address1": "1 Any St"},
    "line_items": [{"id": 7, "sku": "A", "quantity": 2, "price": "10.00", "tax_lines": LINES}],
}  # fmt: skip
POLLED: dict[str, Any] = {
    "name": "#1001", "id": "gid://shopify/Order/1", "createdAt": "2026-11-27T06:00:00Z", "currencyCode": "USD", "sourceName": "web",
    "taxesIncluded": False, "totalTaxSet": {"shopMoney": {"amount": "2.50"}},
    "shippingAddress": {"countryCodeV2": "US", "provinceCode": "NY", "zip": "10001"},
    "lineItems": {"nodes": [{
        "id": "gid://shopify/LineItem/7", "sku": "A", "quantity": 2, "originalUnitPriceSet": {"shopMoney": {"amount": "10.00"}},
        "taxLines": [
            {"title": one["title"], "rate": one["rate"], "priceSet": {"shopMoney": {"amount": one["price"]}}} for one in LINES
        ],
    }]},
}  # fmt: skip


def placed(context: Context, body: dict[str, Any]) -> OrderPlaced:
    told = shopify_taxes.stripped(context, body) if "createdAt" in body else body
    [draft] = order_drafts(context, told, "WH1")
    found = parse("order.placed", draft.data)
    assert isinstance(found, OrderPlaced)
    return found


def test_shopifys_webhook_and_poll_tell_the_same_tax_of_all_its_kinds_together() -> None:
    order = placed(CONTEXT, TOLD)
    assert order == placed(CONTEXT, POLLED)
    [line] = order.lines
    assert line.tax is not None
    assert (line.tax.amount, line.tax.rate, line.tax.jurisdiction) == (
        Decimal("1.70"),
        Decimal("0.085"),
        "NY State Tax, NYC Tax",
    )
    assert (line.tax.code, line.tax.included, order.tax) == (None, False, Decimal("2.50"))


def test_what_a_shopify_till_charged_is_told_of_each_line_that_it_handed_over() -> None:
    told = {**TOLD, "source_name": "pos", "location_id": 801}
    polled = {**POLLED, "sourceName": "pos", "retailLocation": {"id": "gid://shopify/Location/801"}}
    sales = [[parse(one.type, one.data) for one in order_drafts(CONTEXT, body, "WH1")] for body in (told, polled)]
    assert sales[0] == sales[1]
    [sale] = sales[0]
    assert isinstance(sale, SaleRecorded)
    assert sale.tax is not None
    assert (sale.tax.amount, sale.tax.rate, sale.tax.included) == (Decimal("1.70"), Decimal("0.085"), False)


def discounted(price: str, quantity: int, *off: str) -> tuple[OrderPlaced, OrderPlaced]:
    """An order of one line with these discounts, by webhook and by poll."""
    line = {
        **TOLD["line_items"][0],
        "price": price,
        "quantity": quantity,
        "discount_allocations": [{"amount": one} for one in off],
    }
    node = {
        **POLLED["lineItems"]["nodes"][0], "quantity": quantity, "originalUnitPriceSet": {"shopMoney": {"amount": price}},
        "discountAllocations": [{"allocatedAmountSet": {"shopMoney": {"amount": one}}} for one in off],
    }  # fmt: skip
    told = placed(CONTEXT, {**TOLD, "line_items": [line]})
    return told, placed(CONTEXT, {**POLLED, "lineItems": {"nodes": [node]}})


@given(st.integers(1, 99_999), st.integers(1, 999), st.lists(st.integers(0, 9_999), max_size=3))
def test_what_a_shopify_order_is_worth_is_net_of_all_its_discounts_to_the_cent(
    cents: int, quantity: int, off: list[int]
) -> None:
    off = [one for one in off if sum(off) <= cents * quantity]
    amounts = [str(Decimal(one).scaleb(-2)) for one in off]
    told, polled = discounted(str(Decimal(cents).scaleb(-2)), quantity, *amounts)
    assert told == polled
    assert round(told.value, 2) == Decimal(cents * quantity - sum(off)).scaleb(-2)


def test_the_tax_of_a_discounted_line_is_its_rate_of_what_the_line_is_worth() -> None:
    told, _ = discounted("12.50", 2, "3.00", "2.00")
    assert told.lines[0].unit_price == Decimal("10")
    assert told.lines[0].tax is not None
    assert told.lines[0].tax.rate is not None
    assert told.lines[0].tax.amount == told.value * told.lines[0].tax.rate


@pytest.mark.parametrize("body", [TOLD, POLLED])
def test_the_postal_code_is_told_only_where_policy_shows_it_and_no_more_of_the_address(body: dict[str, Any]) -> None:
    hidden, shown = placed(CONTEXT, body).ship_to, placed(SHOWING, body).ship_to
    assert hidden is not None
    assert shown is not None
    assert (hidden.country, hidden.region, hidden.postal_code) == ("US", "NY", "")
    assert (shown.country, shown.region, shown.postal_code) == ("US", "NY", "10001")
    assert "Any St" not in placed(SHOWING, body).model_dump_json()


def test_what_was_polled_before_tax_was_asked_for_has_none_that_is_known() -> None:
    old = {name: value for name, value in POLLED.items() if "ax" not in name}
    node = {name: value for name, value in old["lineItems"]["nodes"][0].items() if name != "taxLines"}
    order = placed(CONTEXT, {**old, "lineItems": {"nodes": [node]}})
    assert (order.tax, order.lines[0].tax) == (None, None)


def test_no_tax_that_was_charged_is_something_else_than_tax_that_is_not_known() -> None:
    untaxed = {**TOLD, "line_items": [{**TOLD["line_items"][0], "tax_lines": []}]}
    assert placed(CONTEXT, untaxed).lines[0].tax == kit_tax("0.00")


def kit_tax(amount: str) -> Any:
    data = {**TOLD_CANONICAL, "lines": [{**TOLD_CANONICAL["lines"][0], "tax": {"amount": amount}}]}
    return parse("order.placed", data).lines[0].tax  # type: ignore[attr-defined]


TOLD_CANONICAL: dict[str, Any] = {
    "ref": "#1", "native_id": "1", "placed_at": "2026-11-27T06:00:00Z", "currency": "USD",
    "lines": [{"line": 1, "native_id": "1", "sku": "A", "location": "WH1", "quantity": 1, "unit_price": "1"}],
}  # fmt: skip


def test_a_price_that_has_its_tax_in_it_says_so() -> None:
    tax = placed(CONTEXT, {**TOLD, "taxes_included": True}).lines[0].tax
    assert tax is not None
    assert tax.included


def test_an_order_of_adobe_tells_tax_rate_and_place() -> None:
    address = {"country_id": "DE", "region_code": "BE", "postcode": "10115", "street": ["Any St 1"]}
    row = {
        "entity_id": 1, "increment_id": "1001", "state": "processing", "created_at": "2026-11-27 06:00:00",
        "updated_at": "2026-11-27 06:00:00", "order_currency_code": "EUR", "tax_amount": 3.8,
        "extension_attributes": {"shipping_assignments": [{"shipping": {"address": address}}]},
        "items": [{
            "item_id": 5, "product_type": "simple", "sku": "A", "qty_ordered": 2, "row_total": 20, "discount_amount": 0,
            "tax_amount": 3.8, "tax_percent": 19,
        }],
    }  # fmt: skip
    record = adobe._record(SHOWING, row)
    assert b"Any St" not in record.body
    [draft] = adobe.draft(SHOWING, read_json(record.body), "WH1")
    order = parse("order.placed", draft.data)
    assert isinstance(order, OrderPlaced)
    assert order.lines[0].tax is not None
    assert (order.tax, order.lines[0].tax.amount, order.lines[0].tax.rate) == (
        Decimal("3.80"),
        Decimal("3.80"),
        Decimal("0.19"),
    )
    assert order.ship_to is not None
    assert (order.ship_to.country, order.ship_to.postal_code) == ("DE", "10115")


def test_an_order_of_vendure_tells_the_tax_on_what_was_ordered() -> None:
    row = {
        "id": "1", "code": "ABC", "state": "PaymentSettled", "orderPlacedAt": "2026-11-27T06:00:00Z", "updatedAt": "2026-11-27T06:00:00Z",
        "currencyCode": "EUR", "shippingAddress": {"countryCode": "DE", "province": None, "postalCode": "10115"},
        "lines": [{
            "id": "9", "orderPlacedQuantity": 3, "proratedUnitPrice": 1000, "proratedUnitPriceWithTax": 1190, "taxRate": 19,
            "taxLines": [{"description": "VAT"}], "productVariant": {"sku": "A"},
        }],
    }  # fmt: skip
    record = vendure._record(CONTEXT, row)
    assert b"10115" not in record.body
    [draft] = vendure.draft(CONTEXT, read_json(record.body), "WH1")
    order = parse("order.placed", draft.data)
    assert isinstance(order, OrderPlaced)
    tax = order.lines[0].tax
    assert tax is not None
    assert (tax.amount, tax.rate, tax.jurisdiction) == (Decimal("5.70"), Decimal("0.19"), "VAT")


def test_an_amount_finer_than_the_currency_is_left_as_it_is_for_the_schema_to_refuse() -> None:
    assert kit.money(Decimal("1.785"), "USD") == "1.785"
    assert kit.money(Decimal("1.7"), "USD") == "1.70"
    assert kit.money(None, "USD") is None


# --- who remits it ---
def liable(*told: bool | None) -> dict[str, Any]:
    lines = [{**one, "channel_liable": says} for one, says in zip(LINES, told, strict=True)]
    return {**TOLD, "line_items": [{**TOLD["line_items"][0], "tax_lines": lines}]}


def polled_liable(*told: bool | None) -> dict[str, Any]:
    node = POLLED["lineItems"]["nodes"][0]
    lines = [{**one, "channelLiable": says} for one, says in zip(node["taxLines"], told, strict=True)]
    return {**POLLED, "lineItems": {"nodes": [{**node, "taxLines": lines}]}}


@pytest.mark.parametrize(
    ("told", "remitter", "withheld"),
    [
        ((True, True), "marketplace", "1.70"), ((False, False), "retailer", "0.00"), ((True, False), "both", "0.80"),
        ((None, None), None, "0.00"), ((None, False), None, "0.00"), ((None, True), "both", "0.90"),
    ],
)  # fmt: skip
def test_a_channel_of_shopify_that_is_liable_remits_its_tax_itself(
    told: tuple[bool | None, bool | None], remitter: str | None, withheld: str
) -> None:
    order = placed(CONTEXT, liable(*told))
    assert order == placed(CONTEXT, polled_liable(*told))
    tax = order.lines[0].tax
    assert tax is not None
    assert (tax.remitter, tax.withheld, tax.amount) == (remitter, Decimal(withheld), Decimal("1.70"))


class Codes:
    """An ERP's tax codes."""

    def ours(self, entity: str, theirs: str) -> str:
        return theirs

    def theirs(self, entity: str, ours: str) -> str:
        return {"marketplace_remitted": "EXEMPT"}.get(ours, ours)


def test_an_erp_is_told_by_a_code_of_its_own_that_it_is_to_book_no_tax() -> None:
    gone = {"sku": "A", "tax": {"amount": "1.70", "remitter": "marketplace", "withheld": "1.70"}}
    assert kit.exempt_code(Codes(), "ERP", gone) == "EXEMPT"
    for tax in (None, {"amount": "1.70"}, {"amount": "1.70", "remitter": "retailer"}):
        assert kit.exempt_code(Codes(), "ERP", {"sku": "A", "tax": tax}) is None
    with pytest.raises(UnmappedError, match="calls a tax_code 'marketplace_remitted'"):
        kit.exempt_code(CONTEXT.codes, "ERP", gone)
    with pytest.raises(BadInputError, match="remits some and the retailer the rest"):
        kit.exempt_code(Codes(), "ERP", {"sku": "A", "tax": {"remitter": "both"}})
