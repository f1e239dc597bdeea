"""Canonical data: what older versions did not say is not known in the newest, and money is exact."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from rules.model.messages import OrderPlaced, TaxAsked, parse, version_of

LINE = {"line": 1, "native_id": "1", "sku": "A", "location": "WH1", "quantity": 2, "unit_price": "10.00"}
ORDER: dict[str, Any] = {
    "ref": "#1", "native_id": "1", "placed_at": "2026-11-27T06:00:00Z", "currency": "USD", "lines": [LINE],
}  # fmt: skip


@pytest.mark.parametrize(("version", "more"), [(1, {}), (2, {"store": None})])
def test_of_an_order_of_old_it_is_not_known_what_tax_was_charged_nor_where_it_goes(
    version: int, more: dict[str, Any]
) -> None:
    told = parse("order.placed", {**ORDER, **more}, version)
    assert isinstance(told, OrderPlaced)
    assert (told.tax, told.ship_to, told.lines[0].tax) == (None, None, None)
    assert version_of("order.placed") == 4


def test_of_tax_that_was_told_of_old_it_is_not_known_who_remits_it() -> None:
    older = {**ORDER, "store": None, "tax": "1.78", "ship_to": None, "lines": [{**LINE, "tax": {"amount": "1.78"}}]}
    told = parse("order.placed", older, 3)
    assert isinstance(told, OrderPlaced)
    assert told.lines[0].tax is not None
    assert (told.lines[0].tax.remitter, told.lines[0].tax.withheld) == (None, 0)


@pytest.mark.parametrize(
    ("remitter", "withheld", "holds"),
    [
        ("marketplace", "1.78", True), ("marketplace", "1.00", False), ("marketplace", "0", False),
        ("retailer", "0", True), ("retailer", "0.01", False), (None, "0", True), (None, "1.78", False),
        ("both", "0.78", True), ("both", "1.79", False), ("both", "-0.01", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_marketplace_withholds_is_a_share_of_what_was_charged(
    remitter: str | None, withheld: str, holds: bool, sign: int
) -> None:
    tax = {"amount": str(sign * Decimal("1.78")), "remitter": remitter, "withheld": str(sign * Decimal(withheld))}
    sale = {
        "ref": "1", "location": "ST1", "sku": "A", "quantity": sign, "unit_price": "10.00", "currency": "USD",
        "sold_at": "2026-11-27T06:00:00Z", "tax": tax,
    }  # fmt: skip
    for kind, data in (("sale.recorded", sale), ("order.placed", {**ORDER, "lines": [{**LINE, "tax": tax}]})):
        if holds:
            assert parse(kind, data)
        else:
            with pytest.raises(ValidationError, match="is no share of tax"):
                parse(kind, data)


def test_a_question_of_old_asked_about_all_that_it_was_of() -> None:
    here = {"country": "US", "region": "NY"}
    line = {"number": "1", "sku": "A", "quantity": 1, "amount": "10.00", "tax": "0.89", "tax_code": "clothes"}
    told = parse("tax.asked", {
        "posting_key": "p", "document": "d", "cause": "c", "engine": "e", "rule": "r", "rule_revision": "1", "issued_on": "2026-11-27",
        "currency": "USD", "ship_from": here, "ship_to": here, "lines": [line], "tolerance": "0.01",
    }, 1)  # fmt: skip
    assert isinstance(told, TaxAsked)
    assert (told.net, told.tax) == (Decimal("10.00"), Decimal("0.89"))


def test_tax_is_a_whole_number_of_minor_units() -> None:
    taxed = {
        **ORDER,
        "lines": [{**LINE, "tax": {"amount": "1.78", "code": "clothes", "rate": "0.08875"}}],
        "tax": "1.78",
    }
    assert parse("order.placed", taxed)
    for wrong in ({**taxed, "tax": "1.785"}, {**taxed, "currency": "JPY"}):
        with pytest.raises(ValidationError, match="whole number of the minor units"):
            parse("order.placed", wrong)
