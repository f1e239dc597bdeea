"""A service level replayed says, slice by slice, what the live judgement says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import slo
from rules.simulation.levels import Alert, History, alerts, moved
from rules.slo import CLOSE, Objective, Tally, Tier

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TIERS = (Tier("page", 20 * MINUTE, 5 * MINUTE, 6.0), Tier("ticket", 60 * MINUTE, 10 * MINUTE, 2.0))
Slice = tuple[int, int, float, bool]
"""good, total, observed, and whether anything of the indicator was seen."""


def objective(target: float = 0.9, min_bad: int = 3, tiers: tuple[Tier, ...] = TIERS) -> Objective:
    return Objective(target, timedelta(days=1), MINUTE, 0.8, min_bad, tiers, BEGINS)


def history(slices: list[Slice]) -> History:
    good, total, observed, seen = (np.array(column) for column in zip(*slices, strict=True))
    return History(BEGINS, MINUTE, good.astype(float), total.astype(float), observed.astype(float), seen.astype(bool))


def live(what: Objective, slices: list[Slice]) -> list[bool]:
    """What the plane would have told after each slice, judging one by one as it does when it runs."""
    told, fired = False, dict.fromkeys(range(len(what.tiers)), False)
    found = []
    for end in range(1, len(slices) + 1):
        now = BEGINS + end * MINUTE + CLOSE

        def count(since: datetime, until: datetime) -> Tally:
            inside = slices[(since - BEGINS) // MINUTE : (until - BEGINS) // MINUTE]
            return Tally(sum(one[0] for one in inside), sum(one[1] for one in inside), sum(one[2] for one in inside))

        newest = [BEGINS + at * MINUTE for at, one in enumerate(slices) if one[3] and at <= end]
        judged = slo.judge(what, count, now, max(newest, default=None), fired)
        fired = {at: tier.firing for at, tier in enumerate(judged.tiers)}
        told = told if judged.frozen else bool(judged.firing)
        found.append(told)
    return found


def replayed(what: Objective, slices: list[Slice]) -> list[bool]:
    found = alerts(what, history(slices))
    ends = [BEGINS + end * MINUTE for end in range(1, len(slices) + 1)]
    return [any(one.since <= at < one.until for one in found) for at in ends]


@st.composite
def pasts(draw: st.DrawFn) -> list[Slice]:
    """Stretches of well, ill, half observed and silent minutes."""
    slices: list[Slice] = []
    for _ in range(draw(st.integers(1, 12))):
        total = draw(st.integers(0, 10))
        good = draw(st.integers(0, total))
        observed = draw(st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0]))
        seen = observed > 0 or draw(st.booleans())
        one = (good, total, observed, seen) if observed else (0, 0, 0.0, seen)
        slices += [one] * draw(st.integers(1, 20))
    return slices


@settings(max_examples=150, deadline=None)
@given(pasts(), st.sampled_from([0.5, 0.9, 0.99]), st.integers(1, 8))
def test_what_is_replayed_is_what_the_plane_would_have_told(slices: list[Slice], target: float, min_bad: int) -> None:
    what = objective(target, min_bad)
    assert replayed(what, slices) == live(what, slices)


def quiet(minutes: int) -> list[Slice]:
    return [(10, 10, 1.0, True)] * minutes


def ill(minutes: int) -> list[Slice]:
    return [(0, 10, 1.0, True)] * minutes


def test_an_alert_begins_with_the_judgement_that_fires_and_ends_with_the_one_that_does_not() -> None:
    [one] = alerts(objective(tiers=TIERS[:1]), history(quiet(60) + ill(15) + quiet(60)))
    assert one.severity == "page"
    assert BEGINS + 61 * MINUTE <= one.since <= BEGINS + 75 * MINUTE
    assert one.until > one.since


def test_nothing_observed_calls_nobody() -> None:
    assert alerts(objective(), history([(0, 0, 0.0, False)] * 100)) == []


def at(since: int, until: int, severity: str = "page") -> Alert:
    return Alert(BEGINS + since * MINUTE, BEGINS + until * MINUTE, severity)


def test_alerts_that_call_at_the_same_time_are_one_that_shifted_and_the_others_are_gained_or_lost() -> None:
    found = moved([at(0, 10), at(20, 30), at(40, 50)], [at(0, 10), at(25, 35), at(60, 70)])
    assert [one.how for one in found] == ["same", "shifted", "lost", "gained"]


def test_an_alert_that_becomes_a_ticket_has_shifted() -> None:
    assert [one.how for one in moved([at(0, 10)], [at(0, 10, "ticket")])] == ["shifted"]
