"""How fast a system may be asked: never faster than policy and the system itself allow, and never not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.pacing import (
    FORGET,
    SLOWER,
    SLOWEST,
    Allowance,
    Bucket,
    heeded,
    rate_now,
    refilled,
    seconds_to_token,
    slowed,
    take,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
EMPTY = Bucket(None, None)
RATES = st.floats(min_value=0.1, max_value=1000)
WAITS = st.lists(st.floats(min_value=0, max_value=30), max_size=40)


@given(RATES, st.integers(1, 200), WAITS, st.integers(1, 500))
def test_in_any_stretch_no_more_is_given_than_the_burst_and_the_rate_of_that_time(
    rate: float, burst: int, waits: list[float], wanted: int
) -> None:
    bucket, now, given_out = EMPTY, NOW, 0
    for seconds in waits:
        now += timedelta(seconds=seconds)
        number, bucket = take(refilled(bucket, rate, burst, now), wanted)
        given_out += number
    assert given_out <= burst + rate * (now - NOW).total_seconds() + 1e-3


@given(RATES, st.integers(1, 200), WAITS)
def test_a_bucket_never_holds_less_than_nothing_nor_more_than_its_burst(
    rate: float, burst: int, waits: list[float]
) -> None:
    bucket, now = EMPTY, NOW
    for seconds in waits:
        now += timedelta(seconds=seconds)
        bucket = refilled(bucket, rate, burst, now)
        assert bucket.tokens is not None
        assert 0 <= bucket.tokens <= burst
        _, bucket = take(bucket, 1)


@given(RATES)
def test_after_the_wait_that_is_told_there_is_a_token(rate: float) -> None:
    bucket = Bucket(0.0, NOW)
    seconds = seconds_to_token(bucket, rate, NOW)
    later = refilled(bucket, rate, None, NOW + timedelta(seconds=seconds, microseconds=2))
    assert take(later, 1)[0] == 1


def test_where_policy_sets_no_rate_and_nothing_was_learned_there_is_no_limit() -> None:
    bucket = refilled(EMPTY, None, None, NOW)
    assert take(bucket, 1000) == (1000, bucket)
    assert seconds_to_token(bucket, None, NOW) == 0.0


def test_a_rate_below_one_a_second_still_gives_one() -> None:
    given_out, left = take(refilled(EMPTY, 0.1, None, NOW), 5)
    assert given_out == 1
    assert seconds_to_token(left, 0.1, NOW) == pytest.approx(10)


def test_a_clock_that_was_put_back_gives_nothing_for_free_and_takes_nothing_away() -> None:
    bucket = Bucket(3.0, NOW)
    assert refilled(bucket, 10, 20, NOW - timedelta(hours=1)).tokens == 3.0


# --- what is learned ---


@given(RATES, st.floats(min_value=0, max_value=2000))
def test_a_system_that_asks_to_slow_down_is_asked_for_less_and_never_for_nothing(rate: float, observed: float) -> None:
    bucket = slowed(Bucket(5.0, NOW), rate, observed, NOW)
    learned = rate_now(bucket, rate, NOW)
    assert bucket.tokens == 0.0
    assert learned is not None
    assert SLOWEST <= learned <= max(SLOWEST, rate * SLOWER) * (1 + 1e-9)


@given(RATES, st.floats(min_value=0.1, max_value=2000), st.floats(min_value=0, max_value=10_000))
def test_what_was_learned_grows_back_to_policy_and_not_beyond(rate: float, observed: float, seconds: float) -> None:
    bucket = slowed(EMPTY, rate, observed, NOW)
    earlier = rate_now(bucket, rate, NOW + timedelta(seconds=seconds))
    later = rate_now(bucket, rate, NOW + timedelta(seconds=seconds + 1))
    assert earlier is not None
    assert later is not None
    assert earlier <= later <= rate


def test_growing_back_it_rests_near_the_rate_that_was_too_fast_and_then_tries_more() -> None:
    bucket = slowed(EMPTY, 100, 40, NOW)
    after = [rate_now(bucket, 100, NOW + timedelta(seconds=seconds)) for seconds in (0, 1, 3.107, 5, 9)]
    assert after == pytest.approx([28, 36.25, 40, 42.7, 100], abs=0.1)


@pytest.mark.parametrize("rate", [0.5, 2.0, 40.0])
def test_a_system_that_refuses_each_third_call_however_slow_they_come_is_not_asked_for_less_and_less(
    rate: float,
) -> None:
    bucket, now, sent = EMPTY, NOW, 0
    while now < NOW + timedelta(minutes=10):  # it asks for a second each time
        now += timedelta(seconds=0.1)
        given_out, bucket = take(refilled(bucket, rate, None, now), 1)
        sent += given_out
        if given_out and sent % 3 == 0:
            bucket = slowed(bucket, rate, rate, now)
            now += timedelta(seconds=1)
    assert sent / 600 > min(0.4 * rate, 1.2)


def test_where_policy_sets_no_rate_what_was_learned_is_forgotten() -> None:
    bucket = slowed(EMPTY, None, 40, NOW)
    assert rate_now(bucket, None, NOW) == pytest.approx(40 * SLOWER)
    assert rate_now(bucket, None, NOW + timedelta(seconds=FORGET + 1)) is None


@given(st.floats(min_value=0, max_value=100), st.floats(min_value=-5, max_value=200))
def test_what_a_system_says_is_left_is_believed_where_it_is_less(tokens: float, remaining: float) -> None:
    bucket = Bucket(tokens, NOW)
    found = heeded(bucket, Allowance(remaining), NOW)
    assert found.tokens == max(0.0, min(tokens, remaining))
    assert heeded(replace(bucket, tokens=None), Allowance(remaining), NOW).tokens is None
