"""Where a document's tax and an engine's differ, and how that is told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.money import to_minor
from rules.tax import Computed, Fault, Ordered, Place, TaxDocument, TaxLine, compare, of_shipment, unexact


def document(*lines: TaxLine, currency: str = "USD") -> TaxDocument:
    return TaxDocument("#1001", date(2026, 11, 27), currency, Place("US", "NY"), Place("US", "CA", "92614"), lines)


def line(tax: str, amount: str = "50.00", number: str = "1") -> TaxLine:
    return TaxLine(number, Decimal(amount), Decimal(tax), "clothes")


def judged(
    charged: TaxLine, due: str, exempt: str = "0", code: str = "PC040100", currency: str = "USD"
) -> list[tuple[Fault, str]]:
    computed = {charged.number: Computed(Decimal(due), Decimal(exempt), code)}
    found = compare(document(charged, currency=currency), {"clothes": "PC040100"}, computed)
    return [(one.fault, one.detail) for one in found]


@pytest.mark.parametrize(
    ("charged", "due"), [("4.13", "4.13"), ("4.13", "4.12"), ("4.13", "4.14"), ("0.01", "0"), ("-4.13", "-4.12")]
)
def test_a_cent_more_or_less_is_no_disagreement(charged: str, due: str) -> None:
    assert judged(line(charged), due) == []


@pytest.mark.parametrize(
    ("charged", "due", "exempt", "fault", "told"),
    [
        ("4.13", "4.15", "0", Fault.RATE, "8.26 % instead of 8.30 %"),
        ("4.13", "0", "50", Fault.NOT_TAXABLE, "50 of it is exempt"),
        ("4.13", "0", "0", Fault.NOT_TAXABLE, "clothes is not taxed there"),
        ("0", "4.13", "0", Fault.NOT_CHARGED, "none was charged"),
        ("-4.13", "4.13", "0", Fault.WRONG_SIGN, "the sign is the other one"),
    ],
)
def test_a_difference_beyond_a_cent_is_told_as_what_it_is(
    charged: str, due: str, exempt: str, fault: Fault, told: str
) -> None:
    [(found, detail)] = judged(line(charged), due, exempt)
    assert found is fault
    assert detail.startswith("line 1: ")
    assert told in detail
    assert f"{charged} USD of tax was charged on 50.00, {due} is due" in detail


def test_a_cent_is_the_minor_unit_of_the_currency() -> None:
    assert judged(line("501", "5000"), "500", currency="JPY") == []
    assert [fault for fault, _ in judged(line("502", "5000"), "500", currency="JPY")] == [Fault.RATE]
    assert [fault for fault, _ in judged(line("0.502", "5.000"), "0.500", currency="KWD")] == [Fault.RATE]


def test_a_code_that_was_taken_for_another_is_told_though_the_amount_agrees() -> None:
    assert judged(line("4.13"), "4.13", code="pc040100") == []
    [(fault, detail)] = judged(line("4.13"), "4.13", code="P0000000")
    assert (fault, detail) == (Fault.OTHER_CODE, "line 1 was asked for under PC040100 and computed under P0000000")


def test_lines_that_are_right_to_the_cent_and_do_not_add_up_are_rounding() -> None:
    lines = [line("1.01", number=str(n)) for n in range(3)]
    computed = {one.number: Computed(Decimal("1.00"), Decimal(0), "PC040100") for one in lines}
    [found] = compare(document(*lines), {"clothes": "PC040100"}, computed)
    assert (found.fault, found.line, found.charged, found.due) == (Fault.ROUNDING, "", Decimal("3.03"), Decimal("3.00"))


def test_what_cannot_be_computed_exactly_is_named() -> None:
    assert unexact(document()) == ["it has no lines"]
    assert unexact(document(line("1.00"), line("1.00"))) == ["line 1 is there twice"]
    assert "the tax 1.001 of line 1 is no whole number of the minor units of USD" in unexact(document(line("1.001")))
    assert len(unexact(document(line("NaN", "Infinity")))) == 2


def test_a_tolerance_of_ones_own_goes_for_each_line_and_for_their_sum() -> None:
    lines = tuple(TaxLine(str(n), Decimal(50), Decimal("4.05"), "clothes") for n in range(3))
    computed = {line.number: Computed(Decimal("4.00"), Decimal(0), "PC040100") for line in lines}
    codes = {"clothes": "PC040100"}
    assert compare(document(*lines), codes, computed, Decimal("0.15")) == []
    assert [one.fault for one in compare(document(*lines), codes, computed, Decimal("0.05"))] == [Fault.ROUNDING]
    assert [one.fault for one in compare(document(*lines), codes, computed, Decimal(0))] == [Fault.RATE] * 3


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.decimals(0, 1000, places=12), st.decimals(0, 1000, places=2), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(1, 5), max_size=12),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_however_an_order_is_split_its_parts_have_all_of_its_worth_and_tax_and_no_more(
    told: list[tuple[int, Decimal, Decimal, bool]], parts: list[int], currency: str
) -> None:
    ordered = [
        Ordered(str(n), "A", units, price, to_minor(tax, currency), "clothes", included, to_minor(tax / 3, currency))
        for n, (units, price, tax, included) in enumerate(told)
    ]
    total, gone, found = sum(one.quantity for one in ordered), 0, list[TaxLine]()
    for part in [*parts, total]:
        units = min(part, total - gone)
        found += of_shipment(ordered, {"A": gone}, {"A": units}, currency)
        gone += units
    assert sum(one.quantity for one in found) == total
    for line in ordered:
        mine = [one for one in found if one.number == line.number]
        assert sum(one.tax for one in mine) == line.tax
        assert sum(one.withheld for one in mine) == line.withheld
        worth = to_minor(line.unit_price * line.quantity, currency)
        assert sum(one.amount for one in mine) == (worth - line.tax if line.included else worth)
        assert all(
            one.tax == to_minor(one.tax, currency) and one.amount == to_minor(one.amount, currency) for one in mine
        )


def test_of_a_price_that_has_its_tax_in_it_the_tax_is_taken_off() -> None:
    ordered = [Ordered("1", "A", 2, Decimal("11.90"), Decimal("3.80"), "clothes", included=True)]
    [line] = of_shipment(ordered, {}, {"A": 1}, "EUR")
    assert (line.amount, line.tax) == (Decimal("10.00"), Decimal("1.90"))


def test_what_was_not_shipped_or_not_ordered_has_no_part() -> None:
    ordered = [
        Ordered("1", "A", 2, Decimal(10), Decimal(1), "clothes"),
        Ordered("2", "B", 1, Decimal(5), Decimal(1), "clothes"),
    ]
    assert [line.number for line in of_shipment(ordered, {"A": 1}, {"A": 1}, "EUR")] == ["1"]
    assert of_shipment(ordered, {"A": 2}, {"A": 1}, "EUR") == []
