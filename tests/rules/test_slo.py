from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import slo
from rules.slo import Judgement, Objective, State, Tally, Tier

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
Slices = dict[datetime, tuple[int, int]]


def objective(target: float = 0.99, begins: datetime = NOW - 24 * HOUR, min_bad: int = 3) -> Objective:
    tiers = (Tier("page", HOUR, 5 * MINUTE, 13.44), Tier("ticket", 6 * HOUR, 30 * MINUTE, 3.5))
    return Objective(target, timedelta(days=7), MINUTE, 0.9, min_bad, tiers, begins)


def judge(slices: Slices, what: Objective, fired: Mapping[int, bool] | None = None, now: datetime = NOW) -> Judgement:
    def count(since: datetime, until: datetime) -> Tally:
        inside = [counts for at, counts in slices.items() if since <= at < until]
        return Tally(sum(good for good, _ in inside), sum(total for _, total in inside), float(len(inside)))

    return slo.judge(what, count, now, max(slices, default=None), fired or {})


def minutes(count: int, good: int = 10, total: int = 10, until: datetime = NOW) -> Slices:
    end = slo.aligned(until, MINUTE)
    return {end - (n + 1) * MINUTE: (good, total) for n in range(count)}


DAY = 24 * 60


def test_a_promise_kept_in_every_slice_is_met_with_its_whole_budget() -> None:
    found = judge(minutes(DAY), objective())
    assert (found.state, found.budget_left, found.coverage, found.firing) == (State.MEETING, 1.0, 1.0, ())


def test_a_total_failure_fires_the_page_once_both_windows_burn() -> None:
    found = judge(minutes(DAY) | minutes(15, good=0), objective())
    assert [tier.severity for tier in found.firing] == ["page", "ticket"]
    assert found.state is State.BREACHED or found.state is State.AT_RISK


def test_a_failure_that_is_over_no_longer_burns_the_short_window() -> None:
    bad = minutes(20, good=0, until=NOW - 10 * MINUTE)
    found = judge(minutes(DAY) | bad, objective())
    page = found.tiers[0]
    assert page.long_burn is not None
    assert page.long_burn >= page.factor
    assert not page.firing


def test_fewer_bad_events_than_the_minimum_never_fire() -> None:
    few = dict.fromkeys(minutes(DAY), (0, 0)) | dict.fromkeys(list(minutes(4))[1:3], (0, 1))
    assert judge(few, objective(min_bad=3)).firing == ()
    assert judge(few, objective(min_bad=2)).firing != ()


def test_below_the_coverage_floor_nothing_is_claimed_and_tiers_freeze() -> None:
    sparse = {at: counts for n, (at, counts) in enumerate(minutes(DAY).items()) if n % 2}
    found = judge(sparse, objective(), fired={0: True})
    assert (found.state, found.attainment, found.budget_left) == (State.UNKNOWN, None, None)
    assert found.tiers[0].frozen
    assert found.tiers[0].firing
    assert not found.tiers[1].firing


def test_a_stale_watermark_freezes_everything_even_with_full_coverage_before_it() -> None:
    found = judge(minutes(DAY, until=NOW - 10 * MINUTE), objective())
    assert found.state is State.UNKNOWN
    assert "no fresh observation" in found.reason
    assert found.frozen


def test_without_any_observation_the_state_is_unknown() -> None:
    assert judge({}, objective()).state is State.UNKNOWN


def test_no_events_at_full_coverage_is_unknown_and_never_met() -> None:
    found = judge(minutes(DAY, good=0, total=0), objective())
    assert (found.state, found.coverage) == (State.UNKNOWN, 1.0)


def test_a_young_promise_is_judged_only_on_the_slices_since_it_began() -> None:
    found = judge(minutes(20), objective(begins=NOW - 20 * MINUTE))
    assert (found.state, found.coverage) == (State.MEETING, 1.0)


def test_a_tier_waits_until_its_short_window_has_passed_once() -> None:
    found = judge(minutes(3, good=0), objective(begins=NOW - 3 * MINUTE))
    assert found.firing == ()
    assert found.tiers[0].frozen


def test_the_part_of_a_slice_in_which_a_promise_began_is_not_expected() -> None:
    begins = slo.aligned(NOW, MINUTE) - 20 * MINUTE + timedelta(seconds=20)
    assert judge(minutes(19), objective(begins=begins)).coverage == 1.0


def test_the_open_slice_is_not_judged() -> None:
    found = judge(minutes(DAY) | {slo.aligned(NOW, MINUTE): (0, 1000)}, objective())
    assert found.attainment == 1.0


def test_an_overspent_budget_is_negative_and_breached() -> None:
    found = judge(minutes(100, good=9), objective(target=0.95, begins=NOW - 100 * MINUTE))
    assert found.state is State.BREACHED
    assert found.budget_left == pytest.approx(-1.0)


def test_the_owner_hears_of_missing_data_sooner_the_stricter_the_promise() -> None:
    assert slo.no_data_after(0.99) == timedelta(minutes=10, seconds=24)
    assert slo.no_data_after(0.999) < slo.no_data_after(0.99)


def test_the_burn_factor_is_that_of_the_workbook() -> None:
    assert slo.burn_factor(0.02, timedelta(days=30), HOUR) == pytest.approx(14.4)
    assert slo.burn_factor(0.05, timedelta(days=28), 6 * HOUR) == pytest.approx(5.6)


tallies = st.integers(0, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(tallies, st.floats(0.5, 0.9999))
def test_budget_left_and_burn_rate_of_a_window_always_add_up_to_one(counts: tuple[int, int], target: float) -> None:
    tally = Tally(*counts, observed=1)
    left = slo.budget_left(tally, target)
    if left is None:
        assert tally.total == 0
    else:
        assert left + slo.burn_rate(tally, target) == pytest.approx(1)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(1, 3600))  # noqa: DTZ001
def test_an_instant_lies_in_the_slice_that_it_is_aligned_to(at: datetime, seconds: int) -> None:
    size, at = timedelta(seconds=seconds), at.replace(tzinfo=UTC)
    start = slo.aligned(at, size)
    assert start <= at < start + size
    assert slo.aligned(start, size) == start


@given(st.lists(st.booleans(), min_size=120, max_size=120), st.lists(st.booleans(), min_size=120, max_size=120))
def test_more_bad_slices_never_leave_more_budget(one: list[bool], other: list[bool]) -> None:
    def left(bad: list[bool]) -> float | None:
        slices = {at: (0 if bad[n] else 1, 1) for n, at in enumerate(minutes(120))}
        return judge(slices, objective(begins=NOW - 120 * MINUTE)).budget_left

    both = [a or b for a, b in zip(one, other, strict=True)]
    few, many = left(one), left(both)
    assert few is not None
    assert many is not None
    assert many <= few
