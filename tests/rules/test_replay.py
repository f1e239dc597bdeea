"""What a replay makes of a message at a target."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.outcomes import DeliveryState, Guarantee
from rules.replay import AHEAD, CHANGES, MOVING, WAITS, Became, Known, after_slot, begins_as, document, slot, state

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
KNOWN = st.builds(Known, st.sampled_from(list(DeliveryState)), tried=st.booleans(), corrected=st.booleans())
GUARANTEES = st.sampled_from(list(Guarantee))


@given(KNOWN, GUARANTEES, st.booleans())
def test_a_document_is_sent_again_only_where_it_waits_for_that(known: Known, guarantee: Guarantee, force: bool) -> None:
    found = document(known, guarantee, force=force)
    if found in CHANGES:
        assert known.state in WAITS
        assert not known.corrected
    if known.state is DeliveryState.DELIVERED:
        assert found is Became.ALREADY_DELIVERED
    if known.state in MOVING:
        assert found is Became.UNDER_WAY


@given(KNOWN, GUARANTEES)
def test_without_force_nothing_is_put_at_risk(known: Known, guarantee: Guarantee) -> None:
    found = document(known, guarantee)
    assert found is not Became.AT_RISK
    if guarantee is Guarantee.NONE and known.tried:
        assert found not in CHANGES


@given(KNOWN, GUARANTEES)
def test_with_force_what_may_take_effect_twice_is_always_counted_as_that(known: Known, guarantee: Guarantee) -> None:
    if document(known, guarantee, force=True) is Became.REOPENED and known.tried:
        assert guarantee is not Guarantee.NONE


@given(GUARANTEES, st.sampled_from([True, False, None]))
def test_what_may_have_taken_effect_is_looked_up_first_unless_its_key_makes_that_needless(
    guarantee: Guarantee, tried: bool | None
) -> None:
    first = begins_as(guarantee, tried)
    if guarantee is Guarantee.KEYED or tried is False:
        assert first is DeliveryState.PENDING
    if guarantee in (Guarantee.READABLE, Guarantee.CONDITIONAL) and tried is not False:
        assert first is DeliveryState.UNKNOWN


def test_a_document_that_was_never_owed_is_owed_now() -> None:
    assert {document(None, guarantee) for guarantee in Guarantee} == {Became.OWED}


def test_of_a_state_only_the_newest_is_sent_and_not_beside_one_on_its_way() -> None:
    assert state(newest=False, under_way=False) is Became.SUPERSEDED
    assert state(newest=True, under_way=True) is Became.UNDER_WAY
    assert state(newest=True, under_way=False) is Became.SENT_AGAIN


@given(st.floats(min_value=0.01, max_value=1000), st.lists(st.floats(0, 100), max_size=60))
def test_no_more_is_due_than_the_rate_allows_and_no_more_is_written_ahead_than_a_moment(
    rate: float, waits: list[float]
) -> None:
    now, paced_until, given_out = NOW, None, []
    for seconds in waits:
        now += timedelta(seconds=seconds)
        while (at := slot(paced_until, rate, now)) is not None and len(given_out) < 300:
            assert now <= at < now + AHEAD
            given_out.append(at)
            paced_until = after_slot(at, rate)
    shortest = min(((b - a).total_seconds() for a, b in itertools.pairwise(given_out)), default=None)
    assert shortest is None or shortest >= 1 / rate - 1e-6


@given(st.floats(min_value=0.01, max_value=1000), st.integers(min_value=200, max_value=86400))
def test_a_clock_that_is_put_back_does_not_hold_a_replay_up(rate: float, seconds: int) -> None:
    paced_until = after_slot(NOW, rate)
    assert slot(paced_until, rate, NOW - timedelta(seconds=seconds)) == NOW - timedelta(seconds=seconds)
