from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.risk import Exposure, at_risk

exposures = st.lists(
    st.builds(
        Exposure,
        key=st.tuples(st.sampled_from(["#1", "#2", "#3"]), st.integers(1, 3)),
        value=st.decimals(0, 10_000, places=2),
        currency=st.sampled_from(["EUR", "USD"]),
        late=st.booleans(),
    )
)


def test_an_order_line_that_is_late_at_two_targets_counts_once() -> None:
    line = Exposure(("#1001", 1), Decimal("40.00"), "EUR", late=True)
    waiting = Exposure(("#1001", 1), Decimal("40.00"), "EUR", late=False)
    [risk] = at_risk([line, waiting])
    assert (risk.low, risk.high, risk.lines) == (Decimal("40.00"), Decimal("40.00"), 1)


def test_what_is_late_is_the_lower_bound_and_all_that_is_owed_the_upper() -> None:
    late = Exposure(("#1001", 1), Decimal(30), "EUR", late=True)
    waiting = Exposure(("#1002", 1), Decimal(50), "EUR", late=False)
    [risk] = at_risk([late, waiting])
    assert str(risk) == "30.00 to 80.00 EUR"


def test_currencies_are_never_added() -> None:
    found = at_risk([Exposure(("#1", 1), Decimal(1), "EUR", True), Exposure(("#2", 1), Decimal(1), "USD", True)])
    assert {risk.currency: risk.high for risk in found} == {"EUR": 1, "USD": 1}


def test_nothing_touched_is_no_figure_rather_than_zero() -> None:
    assert at_risk([]) == []


def test_a_negative_value_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        at_risk([Exposure(("#1", 1), Decimal(-1), "EUR", True)])


@given(exposures)
def test_the_lower_bound_never_exceeds_the_upper(lines: list[Exposure]) -> None:
    assert all(risk.low <= risk.high for risk in at_risk(lines))


@given(exposures)
def test_being_told_twice_changes_nothing(lines: list[Exposure]) -> None:
    assert at_risk(lines + lines) == at_risk(lines)


@given(exposures, exposures)
def test_knowing_of_more_never_lowers_the_bounds(some: list[Exposure], more: list[Exposure]) -> None:
    before = {risk.currency: risk for risk in at_risk(some)}
    after = {risk.currency: risk for risk in at_risk(some + more)}
    assert all(after[name].high >= risk.high and after[name].low >= risk.low for name, risk in before.items())
