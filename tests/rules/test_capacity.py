"""Where the knee is, and the limits that follow from it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.capacity import Limits, Shot, Step, find_knee, measure, percentile, propose, rounded_down, verdict
from rules.outcomes import Result
from rules.policy.kinds import RetryPolicySpec

RETRY = RetryPolicySpec(first=timedelta(seconds=2), factor=2, cap=timedelta(minutes=5))
UNLOADED = 0.1


def step(rate: float, p95: float | None = 0.1, **more: object) -> Step:
    """A step of 100 writes; `throttled`, `failed`, `lag`, `sustained`, `in_flight` and `retry_after` as given."""
    throttled, failed = int(more.pop("throttled", 0)), int(more.pop("failed", 0))  # type: ignore[call-overload]
    counts = Counter({Result.DELIVERED: 100 - throttled - failed, Result.THROTTLED: throttled, Result.UNKNOWN: failed})
    values = {"in_flight": 1, "lag": 0.0, "sustained": None, "retry_after": ()} | more
    return Step(rate=rate, seconds=100 / rate, counts=+counts, p50=p95, p95=p95, p99=p95, **values)  # type: ignore[arg-type]


def shot(
    at: float, takes: float, result: Result = Result.DELIVERED, late: float = 0.0, wait: float | None = None
) -> Shot:
    return Shot(at, at + late, at + late, at + takes, result, wait)


# --- measuring ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.01, 1), (1, 10)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([10, 1, 9, 2, 8, 3, 7, 4, 6, 5], share) == value


def test_no_values_have_no_percentile() -> None:
    assert percentile([], 0.5) is None


def test_latency_counts_from_the_intended_instant_and_only_of_what_was_taken() -> None:
    found = measure(
        [shot(0, 1, late=0.4), shot(1, 3), shot(2, 50, Result.THROTTLED, wait=7), shot(3, 60, Result.UNKNOWN)], 1, 4
    )
    assert (found.p50, found.p99) == (1, 3)
    assert (found.sent, found.taken, found.throttled, found.failed) == (4, 2, 1, 1)
    assert found.lag == pytest.approx(0.4)
    assert found.retry_after == (7,)


def test_a_stale_write_was_answered_and_counts_as_taken() -> None:
    assert measure([shot(0, 1, Result.STALE), shot(1, 1, Result.ALREADY_DELIVERED)], 1, 2).taken == 2


def test_a_write_that_begins_when_another_ends_is_not_beside_it() -> None:
    assert measure([shot(0, 1), shot(1, 1), shot(2, 1)], 1, 3).in_flight == 1
    assert measure([shot(0, 2.5), shot(1, 1), shot(2, 1)], 1, 3).in_flight == 2


def test_what_a_target_takes_while_it_throttles_is_counted_from_the_first_refusal() -> None:
    # ten a second are offered; the first fifty are taken in advance, afterwards every fifth
    results = [Result.DELIVERED if n < 50 or n % 5 == 0 else Result.THROTTLED for n in range(100)]
    found = measure([shot(n / 10, 0.01, result) for n, result in enumerate(results)], 10, 10)
    assert found.sustained == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(
    "results", [[Result.DELIVERED] * 100, [Result.DELIVERED] * 95 + [Result.THROTTLED] * 5, [Result.THROTTLED] * 100]
)
def test_what_does_not_tell_is_not_told(results: list[Result]) -> None:
    """Never throttled; throttled too shortly; locked out."""
    assert measure([shot(n / 10, 0.01, result) for n, result in enumerate(results)], 10, 10).sustained is None


# --- the knee -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("bad", "bound", "told"),
    [
        (step(8, throttled=2), "throttling", "2 of 100 were throttled"),
        (step(8, failed=2), "failures", "2 unknown"),
        (step(8, throttled=1, failed=1), "failures", "2 of 100 came to nothing (1 throttled, 1 unknown)"),
        (step(8, p95=0.31), "latency", "0.310 s, above 0.300 s"),
        (step(8, p95=None), "latency", "unknown"),
        (step(8, lag=0.5), "the drill itself", "this machine sent up to 0.50 s late"),
    ],
)
def test_the_knee_is_the_highest_rate_before_the_first_that_was_too_much(bad: Step, bound: str, told: str) -> None:
    found = find_knee([step(16), bad, step(4), step(2)], UNLOADED)
    assert (found.rate, found.bound) == (4, bound)
    assert "4/s was taken well" in found.reasons[0]
    assert told in found.reasons[1]


def test_one_of_a_hundred_may_come_to_nothing() -> None:
    assert find_knee([step(4, throttled=1), step(8, failed=1)], UNLOADED).rate == 8


def test_a_latency_that_hardly_counts_is_not_held_against_an_idle_target() -> None:
    assert find_knee([step(4, p95=0.09)], unloaded=0.001).rate == 4
    assert find_knee([step(4, p95=0.09)], unloaded=0.001, limits=Limits(latency_floor=0.01)).rate is None


def test_a_knee_that_was_not_reached_is_said() -> None:
    found = find_knee([step(2), step(4)], UNLOADED)
    assert (found.rate, found.bound) == (4, "nothing")
    assert "offer higher rates" in found.reasons[-1]


def test_the_knee_is_never_above_what_was_taken_while_it_throttled() -> None:
    found = find_knee([step(8), step(16), step(32, throttled=50, sustained=6.5)], UNLOADED)
    assert (found.rate, found.bound) == (6.5, "throttling")
    assert find_knee([step(4), step(8, throttled=50, sustained=6.5)], UNLOADED).rate == 4
    assert find_knee([step(8, throttled=50, sustained=6.5)], UNLOADED).rate == 6.5, "even if every step was too much"


def test_nothing_is_concluded_from_nothing() -> None:
    assert find_knee([], UNLOADED).rate is None
    assert "lower" in find_knee([step(1, failed=50)], UNLOADED).reasons[-1]


@st.composite
def steps_at(draw: st.DrawFn, rate: float) -> Step:
    """A step of one rate. What is taken while it throttles is told only then, and is no more than is offered."""
    throttled = draw(st.integers(0, 5))
    sustained = draw(st.none() | st.floats(rate / 10, rate)) if throttled else None
    return step(
        rate,
        draw(st.floats(0.01, 1)),
        throttled=throttled,
        failed=draw(st.integers(0, 5)),
        lag=draw(st.floats(0, 1)),
        sustained=sustained,
    )


STEPS = st.lists(st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0]).flatmap(steps_at), unique_by=lambda one: one.rate)


@settings(deadline=None)
@given(STEPS, st.floats(0.001, 0.3))
def test_whatever_was_measured_the_knee_was_taken_well_or_sustained(steps: list[Step], unloaded: float) -> None:
    found = find_knee(steps, unloaded)
    assert found.reasons
    if found.rate is not None:
        well = {one.rate for one in steps if verdict(one, unloaded, Limits())[0] == "nothing"}
        assert found.rate in well | {one.sustained for one in steps}
        assert all(one.sustained is None or found.rate <= one.sustained for one in steps)


@settings(deadline=None)
@given(STEPS)
def test_a_stricter_limit_never_raises_the_knee(steps: list[Step]) -> None:
    loose = find_knee(steps, UNLOADED, Limits(latency_factor=6, bad_share=0.05)).rate or 0.0
    strict = find_knee(steps, UNLOADED, Limits(latency_factor=2, bad_share=0.0)).rate or 0.0
    assert strict <= loose


# --- limits -------------------------------------------------------------------------------------------------------
def test_the_rate_stays_a_margin_below_the_knee_and_counts_requests() -> None:
    assert propose(10, [step(10)], 1.0, 0.2, RETRY).rate == 8
    found = propose(10, [step(10)], 2.0, 0.25, RETRY)
    assert found.rate == 15
    assert "2.00 requests a write" in found.reasons[0]


@pytest.mark.parametrize(
    ("value", "rounded"), [(6.499, 6.4), (123.4, 120), (0.0567, 0.056), (8.0, 8.0), (0.3, 0.3), (0, 0)]
)
def test_a_rate_is_rounded_down_to_two_digits(value: float, rounded: float) -> None:
    assert rounded_down(value) == rounded


@settings(deadline=None)
@given(st.floats(0.001, 100_000))
def test_rounding_never_raises_a_rate_nor_takes_a_tenth_off(value: float) -> None:
    assert 0.9 * value < rounded_down(value) <= value * (1 + 1e-6)


def test_as_many_at_once_as_rate_and_latency_need_and_were_taken_well() -> None:
    assert (
        propose(10, [step(10, 0.5, in_flight=9)], 1, 0.2, RETRY).concurrency == 5
    )  # 8/s for 0.5 s, and a quarter more
    assert propose(10, [step(10, 0.5, in_flight=4), step(20, 9, in_flight=64)], 1, 0.2, RETRY).concurrency == 4
    assert propose(10, [step(10, 0.01)], 1, 0.2, RETRY).concurrency == 2


def test_the_time_out_is_far_above_the_latency_that_was_well() -> None:
    assert propose(10, [step(10, 0.1)], 1, 0.2, RETRY).timeout == timedelta(seconds=5)
    assert propose(10, [step(10, 2.1), step(20, 60)], 1, 0.2, RETRY).timeout == timedelta(seconds=9)


def test_the_retry_policy_waits_at_first_as_long_as_the_target_usually_asks() -> None:
    found = propose(10, [step(20, throttled=9, retry_after=(3, 30, 30, 30, 500))], 1, 0.2, RETRY)
    assert (found.retry.first, found.retry.cap) == (timedelta(seconds=30), timedelta(seconds=500))
    assert found.retry.budget == RETRY.budget
    assert "first 30s, cap 8m20s" in found.reasons[-1]


def test_a_retry_policy_that_is_patient_enough_is_left_as_it_is() -> None:
    assert propose(10, [step(10)], 1, 0.2, RETRY).retry == RETRY
    assert propose(10, [step(20, throttled=9, retry_after=(0.5, 1.5))], 1, 0.2, RETRY).retry == RETRY
