"""What may be healed without asking: the policy's limits hold whatever is found."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from rules.comparison.explain import Cause
from rules.comparison.healing import HEALABLE, Candidate, allowed
from rules.policy.kinds import HealLimits

MONEY = st.decimals(min_value=0, max_value=5000, places=2)
CANDIDATES = st.lists(
    st.builds(Candidate, st.uuids().map(str), st.integers(1, 200), st.none() | MONEY, st.sampled_from(Cause)),
    max_size=15,
    unique_by=lambda item: item.id,
)
LIMITS = st.builds(
    HealLimits, enabled=st.just(True), max_keys=st.integers(0, 10), max_units=st.integers(0, 150), max_money=MONEY
)


@given(LIMITS, CANDIDATES)
def test_no_limit_is_ever_passed(limits: HealLimits, candidates: list[Candidate]) -> None:
    chosen = [item for item in candidates if item.id in allowed(limits, candidates)]
    assert len(chosen) <= limits.max_keys
    assert all(item.units <= limits.max_units and item.cause in HEALABLE for item in chosen)
    assert sum((item.money or Decimal(0) for item in chosen), Decimal(0)) <= limits.max_money


@given(LIMITS, CANDIDATES)
def test_the_order_in_which_findings_come_changes_nothing(limits: HealLimits, candidates: list[Candidate]) -> None:
    assert allowed(limits, candidates) == allowed(limits, candidates[::-1])


@given(CANDIDATES)
def test_nothing_is_healed_where_the_policy_does_not_allow_it(candidates: list[Candidate]) -> None:
    assert allowed(HealLimits(), candidates) == frozenset()


def test_the_smallest_drift_is_healed_first() -> None:
    found = [
        Candidate(name, units, Decimal(1), Cause.CHANGED_AT_TARGET) for name, units in (("a", 9), ("b", 1), ("c", 5))
    ]
    assert allowed(HealLimits(enabled=True, max_keys=2), found) == {"b", "c"}


def test_one_finding_too_dear_does_not_keep_a_cheaper_one_from_being_healed() -> None:
    dear = Candidate("dear", 1, Decimal(900), Cause.NEVER_RECEIVED)
    cheap = Candidate("cheap", 2, Decimal(10), Cause.NEVER_RECEIVED)
    assert allowed(HealLimits(enabled=True, max_money=Decimal(100)), [dear, cheap]) == {"cheap"}


def test_a_drift_whose_worth_is_unknown_is_left_to_a_person() -> None:
    unknown = Candidate("a", 1, None, Cause.CHANGED_AT_TARGET)
    assert allowed(HealLimits(enabled=True), [unknown]) == frozenset()
