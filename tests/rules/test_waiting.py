"""Why a delivery waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.outcomes import DeliveryState
from rules.waiting import Reason, Standing, Waiting, why

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
FINE = Standing()
DUE = Waiting(DeliveryState.PENDING, head=True, tried=True, outcome="unavailable", longer=False)
WAITINGS = st.builds(
    Waiting, st.sampled_from([DeliveryState.PENDING, DeliveryState.UNKNOWN]), st.booleans(), st.booleans(),
    st.sampled_from([None, "unavailable", "throttled", "unknown"]), st.booleans(),
)  # fmt: skip
STANDINGS = st.builds(
    Standing, st.booleans(), st.sampled_from([None, NOW - timedelta(1), LATER]), st.booleans(), st.booleans()
)


@pytest.mark.parametrize(
    ("waiting", "standing", "reason"),
    [
        (DUE, FINE, Reason.DUE),
        (replace(DUE, longer=True), FINE, Reason.BACKOFF),
        (replace(DUE, longer=True, outcome="throttled"), FINE, Reason.THROTTLED),
        (replace(DUE, longer=True, state=DeliveryState.UNKNOWN, outcome="unknown"), FINE, Reason.LATE_EFFECT),
        (replace(DUE, longer=True, tried=False), FINE, Reason.PACED),
        (replace(DUE, head=False), FINE, Reason.BEHIND),
        (DUE, Standing(blocked_until=LATER), Reason.THROTTLED),
        (DUE, Standing(blocked_until=LATER, failing=True), Reason.BREAKER),
        (DUE, Standing(blocked_until=NOW, failing=True), Reason.BREAKER),
        (DUE, Standing(blocked_until=NOW), Reason.DUE),
        (DUE, Standing(spent=True), Reason.RATE_LIMIT),
        (replace(DUE, longer=True), Standing(blocked_until=LATER, failing=True), Reason.BACKOFF),
    ],
)
def test_the_reason_is_what_it_waits_for_longest(waiting: Waiting, standing: Standing, reason: Reason) -> None:
    assert why(waiting, standing, flow_paused=False, now=NOW) is reason


@given(WAITINGS, STANDINGS)
def test_while_a_person_paused_it_nothing_else_is_told(waiting: Waiting, standing: Standing) -> None:
    assert why(waiting, standing, flow_paused=True, now=NOW) is Reason.PAUSED_FLOW
    assert why(waiting, replace(standing, paused=True), flow_paused=False, now=NOW) is Reason.PAUSED_SYSTEM


@given(WAITINGS, STANDINGS)
def test_due_means_that_nothing_holds_it_up(waiting: Waiting, standing: Standing) -> None:
    if why(waiting, standing, flow_paused=False, now=NOW) is Reason.DUE:
        assert waiting.head
        assert not waiting.longer
        assert not (standing.paused)
        assert not (standing.failing)
        assert not (standing.spent)
        assert not (standing.blocked(NOW))
        assert standing.free_at(NOW) == NOW
