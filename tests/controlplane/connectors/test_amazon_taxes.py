"""What an order of Amazon is worth, what tax was charged on it, and that Amazon remits it: against a simulated marketplace, and the
vendor's own examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from controlplane.connectors.builtin.amazon import orders
from controlplane.connectors.builtin.amazon.connector import AmazonConnector
from controlplane.connectors.contract import Context
from controlplane.errors import BadInputError
from rules.model.messages import OrderPlaced, parse
from rules.personal import Personal
from rules.policy.kinds import Showing
from tests.controlplane.connectors.amazon_kit import LOGIN, MODELS, OPTIONS, Bench, marketplace
from tests.controlplane.connectors.conftest import Given

MODEL = MODELS / "orders-api-model/orders_2026-01-01.json"
CONTEXT = Given("https://sp.example.com", LOGIN, OPTIONS).context()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with marketplace() as bench:
        yield bench


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "USD"}


def kind(name: str, amount: str, **of: str) -> dict[str, Any]:
    details = [{"subtype": subtype, "value": usd(value)} for subtype, value in of.items()]
    return {"type": name, "subtotal": usd(amount)} | ({"detailedBreakdowns": details} if details else {})


def item(
    *kinds: dict[str, Any], total: str, quantity: int = 2, price: str = "10.00", model: str | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "orderItemId": "I1", "quantityOrdered": quantity, "product": {"sellerSku": "A", "price": {"unitPrice": usd(price)}},
        "proceeds": {"proceedsTotal": usd(total), "breakdowns": list(kinds)},
    }  # fmt: skip
    return made | ({"tax": {"taxCollections": [{"model": model}]}} if model else {})


def order(*items: dict[str, Any]) -> OrderPlaced:
    told = {
        "orderId": "1", "createdTime": "2026-11-27T06:00:00Z", "fulfillment": {"fulfillmentStatus": "UNSHIPPED"}, "orderItems": list(items),
    }  # fmt: skip
    return read(CONTEXT, told)


def read(context: Context, told: dict[str, Any]) -> OrderPlaced:
    [draft] = orders.draft(context, told, "WH1", "FBA")
    found = parse(draft.type, draft.data)
    assert isinstance(found, OrderPlaced)
    return found


def summed(placed: OrderPlaced) -> list[tuple[str, ...]]:
    return [
        (str(one.unit_price), str(one.tax and one.tax.amount), str(one.tax and one.tax.remitter), str(one.tax and one.tax.withheld))
        for one in placed.lines
    ]  # fmt: skip


def test_tax_that_amazon_collects_is_told_as_withheld_and_what_it_does_not_is_the_retailers(bench: Bench) -> None:
    bench.market.order("1", ("A", 2, "10.00"), ("B", 1, "5.00"), tax="1.78")
    bench.market.order("2", ("A", 2, "10.00"), tax="1.78", remits=False)
    bench.advance(180)
    found = {ref: parse(draft.type, draft.data) for ref, draft in bench.drafts().items()}
    assert summed(found["1"]) == [("10.00", "1.78", "marketplace", "1.78"), ("5.00", "1.78", "marketplace", "1.78")]
    assert summed(found["2"]) == [("10.00", "1.78", "retailer", "0.00")]
    assert found["1"].tax == Decimal("3.56")
    assert found["1"].ship_to is None, "the recipient was not asked for"


def test_what_is_off_an_item_is_off_its_price(bench: Bench) -> None:
    bench.market.order("1", ("A", 3, "10.00"), tax="2.40", off="5.00")
    bench.advance(180)
    [draft] = bench.drafts().values()
    placed = parse(draft.type, draft.data)
    assert isinstance(placed, OrderPlaced)
    assert (round(placed.value, 2), placed.tax) == (Decimal("25.00"), Decimal("2.40"))


@pytest.mark.parametrize("shown", [None, "show"])
def test_where_it_goes_is_asked_for_only_where_the_system_says_so_and_no_more_of_it_is_kept(
    bench: Bench, shown: Showing | None
) -> None:
    bench.given.options["ship_to"] = True
    personal = Personal({"postal_code": shown}) if shown else Personal()
    connector = AmazonConnector(replace(bench.given.context(), personal=personal))
    bench.others.append(connector)
    bench.market.order("1", ("A", 1, "10.00"))
    bench.advance(180)
    [record] = [one for page in connector.poll("orders", None) for one in page.records]
    assert not any(word in record.body for word in (b"Jane", b"Any St", b"Seattle", b"recipient"))
    [draft] = connector.translate(record.topic, record.body)
    told = {"country": "US", "region": "WA", "postal_code": "98101" if shown else ""}
    assert draft.data["ship_to"] == told


def test_of_a_registration_for_tax_nothing_is_kept() -> None:
    row = {"orderId": "1", "tax": {"taxRegistrations": [{"legalName": "Jane Doe"}]}, "buyer": {"buyerName": "Jane Doe"}}
    assert orders._kept(CONTEXT, row) == {"orderId": "1"}


def test_tax_and_discount_on_shipping_are_not_of_the_goods() -> None:
    rows = (
        kind("ITEM", "20.00"), kind("SHIPPING", "6.00"), kind("TAX", "2.31", ITEM="1.78", SHIPPING="0.53"),
        kind("DISCOUNT", "7.00", ITEM="4.00", SHIPPING="3.00"),
    )  # fmt: skip
    placed = order(item(*rows, total="21.31"))
    assert summed(placed) == [("8", "1.78", "retailer", "0.00")]
    assert placed.tax == Decimal("2.31")
    negative = (*rows[:3], kind("DISCOUNT", "-7.00", ITEM="-4.00", SHIPPING="-3.00"))
    assert order(item(*negative, total="21.31")) == placed


def test_a_price_has_its_tax_in_it_where_the_total_says_so_and_never_where_amazon_withholds_it() -> None:
    rows = (kind("ITEM", "23.80"), kind("TAX", "3.80"))
    [line] = order(item(*rows, total="23.80", price="11.90")).lines
    assert line.tax is not None
    assert (line.tax.included, line.tax.amount) == (True, Decimal("3.80"))
    [line] = order(item(*rows, total="23.80", price="11.90", model="MARKETPLACE_FACILITATOR")).lines
    assert line.tax is not None
    assert (line.tax.included, line.tax.withheld) == (False, Decimal("3.80"))


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (item(kind("ITEM", "20.00"), kind("TAX", "1.78"), total="21.00"), "make 21.78, and their total is 21.00"),
        (item(kind("ITEM", "20.00"), total="20.00", model="STANDARD_PLUS"), "is collected as STANDARD_PLUS"),
    ],
)
def test_proceeds_that_do_not_make_their_total_and_a_collector_who_is_not_known_are_refused(
    made: dict[str, Any], names: str
) -> None:
    with pytest.raises(BadInputError, match=names):
        order(made)


def test_an_order_that_was_kept_before_proceeds_were_asked_for_has_its_price_and_no_tax_that_is_known() -> None:
    old = item(total="0", model="MARKETPLACE_FACILITATOR")
    del old["proceeds"]
    placed = order(old)
    assert summed(placed) == [("10.00", "None", "None", "None")]
    assert placed.tax is None


TABLE: dict[str, list[tuple[str, ...]]] = {
    "123-4567890-1234567": [("49.99", "0.02", "retailer", "0.00"), ("49.99", "0.00", "retailer", "0.00")],
    "250-1234567-8901234": [("5980", "0", "retailer", "0"), ("6980", "0", "retailer", "0")],
    "202-7654321-1098765": [("34.99", "0.00", "retailer", "0.00")],
    "171-2345678-9012345": [("1599.90", "0.00", "retailer", "0.00")],
    "202-1234567-8901234": [("29.99", "3.00", "retailer", "0.00")],
    "171-9876543-2109876": [("299.90", "0.00", "retailer", "0.00")],
    "028-1234567-8901234": [("62.50", "0.00", "marketplace", "0.00")],
    "114-9876543-1234567": [("39.99", "10.00", "retailer", "0.00")],
}  # fmt: skip
"""Order of the vendor's examples -> each line: price, tax, who remits it, withheld."""


def examples(told: Any) -> Iterator[dict[str, Any]]:
    """Every order that a description shows."""
    if isinstance(told, dict):
        if isinstance(told.get("orderItems"), list):
            yield told
        for one in told.values():
            yield from examples(one)
    elif isinstance(told, list):
        for one in told:
            yield from examples(one)


@pytest.mark.skipif(not MODEL.is_file(), reason="the vendor's models are not at hand (TRUEUP_SHARED)")
def test_every_order_of_the_vendors_examples_tells_its_tax_and_who_remits_it() -> None:
    connector = AmazonConnector(CONTEXT)
    found = {}
    for told in examples(json.loads(MODEL.read_text())):
        [draft] = connector.translate("orders", json.dumps(orders._kept(CONTEXT, deepcopy(told))).encode())
        placed = parse(draft.type, draft.data)
        assert isinstance(placed, OrderPlaced)
        found[placed.ref] = summed(placed)
    connector.close()
    assert found == TABLE
