"""Drills of real HTTP servers whose capacity is known."""

from __future__ import annotations

from datetime import timedelta

import pytest
from plotly.graph_objects import Figure

from controlplane.drill.figure import figure
from controlplane.drill.target import target_of
from controlplane.registry import Snapshot
from rules.outcomes import Result
from tests.controlplane.drill.conftest import Start
from tests.controlplane.drill.kit import Bucket, Refusing, Server, Shared, SharedTime, Stalling

RATES = (2.0, 4.0, 8.0, 16.0, 32.0)


def test_a_target_that_throttles_above_its_rate_has_its_knee_below_it(drill: Start, time: SharedTime) -> None:
    server = Bucket(time, rate=10, burst=5)
    found = drill(server, rates=RATES)
    assert (found.knee.rate, found.knee.bound) == (8, "throttling")
    assert [step.rate for step in found.steps] == [2, 4, 8, 16], "nothing is offered beyond what was too much"
    last = found.steps[-1]
    assert set(last.counts) == {Result.DELIVERED, Result.THROTTLED}
    assert last.taken == pytest.approx(104, abs=2), "five in advance, and ten a second from then on"
    assert last.sustained == pytest.approx(10, rel=0.05)
    assert (found.proposal is not None and found.proposal.rate) == 6.4
    assert (found.stopped, found.trouble, found.left) == ("", "", ())


def test_what_a_target_allows_in_advance_is_not_taken_for_its_rate(drill: Start, time: SharedTime) -> None:
    found = drill(Bucket(time, rate=10, burst=150), rates=RATES)
    assert found.steps[3].throttled == 0, "16/s were taken for ten seconds"
    assert found.knee.rate == pytest.approx(10, rel=0.05)
    assert found.knee.bound == "throttling"
    assert "allowed in advance" in found.knee.reasons[-1]


def test_the_wait_that_a_target_asks_for_becomes_the_first_retry(drill: Start, time: SharedTime) -> None:
    found = drill(Bucket(time, rate=3, burst=1, retry_after=20), rates=(2.0, 8.0))
    assert found.proposal is not None
    assert found.proposal.retry.first == timedelta(seconds=20)
    assert found.proposal.retry.cap == timedelta(seconds=80)
    assert "20 s as a rule" in found.proposal.reasons[-1]


def test_a_target_that_slows_down_with_many_at_once_has_its_knee_where_it_begins_to(
    drill: Start, time: SharedTime
) -> None:
    server = Shared(time, places=4, seconds=0.45)  # nearly nine a second
    found = drill(server, rates=(2.0, 4.0, 8.0, 16.0))
    assert found.unloaded == pytest.approx(0.45)
    assert (found.knee.rate, found.knee.bound) == (8, "latency")
    assert [step.p95 for step in found.steps[:3]] == pytest.approx([0.45, 0.45, 0.45])
    assert found.steps[2].in_flight == 4
    assert found.proposal is not None
    assert (found.proposal.rate, found.proposal.concurrency) == (6.4, 4)


def test_a_stall_counts_for_every_write_that_was_due_meanwhile(drill: Start, time: SharedTime) -> None:
    found = drill(Stalling(time, number=31, seconds=3), rates=(10.0,), at_once=1)
    [step] = found.steps
    # one at a time: what was due in the three seconds took 3.0, 2.9, 2.8 … seconds; a closed loop would have seen one slow write
    assert (step.p99, step.p95) == (pytest.approx(2.9), pytest.approx(2.5))
    assert step.p50 == pytest.approx(0.0)
    assert found.knee.bound == "latency"


def test_a_knee_that_is_not_reached_is_not_made_up(drill: Start, time: SharedTime) -> None:
    found = drill(Server(time), rates=(1.0, 2.0))
    assert (found.knee.rate, found.knee.bound) == (2, "nothing")
    assert "not reached" in found.knee.reasons[-1]
    assert found.requests_per_write == 1


def test_a_target_that_refuses_the_first_writes_is_left_alone(drill: Start, time: SharedTime) -> None:
    server = Refusing(time, 422)
    found = drill(server, rates=RATES, max_errors=3)
    assert (found.proposal, found.steps, found.unloaded) == (None, (), None)
    assert len(server.asked) == 4, "three may come to nothing"
    assert "--max-errors" in found.stopped
    assert found.trouble.startswith("rejected: pager answered 422")


def test_a_target_that_breaks_under_load_ends_the_drill_and_keeps_what_it_took_well(
    drill: Start, time: SharedTime
) -> None:
    server = Refusing(time, 500, after=10 + 20 + 45)  # alone, 2/s, and half of 4/s … well into 8/s
    found = drill(server, rates=(2.0, 4.0, 8.0), max_errors=5)
    assert (found.knee.rate, found.knee.bound) == (4, "failures")
    assert len(server.asked) == 75 + 6
    assert "--max-errors" in found.stopped
    assert found.trouble.startswith("unknown: pager answered 500")
    assert found.proposal is not None


def test_no_more_is_written_than_was_allowed(drill: Start, time: SharedTime) -> None:
    server = Server(time)
    found = drill(server, rates=(2.0, 4.0, 8.0), max_writes=45)
    assert (len(server.asked), found.writes) == (45, 45)
    assert "--max-writes" in found.stopped
    assert found.knee.rate == 2, "the step that was cut short proves nothing"


def test_no_more_are_under_way_than_was_allowed(drill: Start, time: SharedTime) -> None:
    server = Shared(time, places=100, seconds=1)
    found = drill(server, rates=(8.0,), at_once=3, seconds=4)
    assert server.peak == 3
    assert found.steps[0].in_flight == 3


def test_every_write_is_marked_and_no_incident_stays_open(drill: Start, time: SharedTime) -> None:
    server = Server(time)
    drill(server, rates=(2.0,), seconds=5)
    assert len(server.asked) == 20
    assert all(told["dedup_key"].startswith("DRILL-T-") for told in server.asked)
    actions = {told["dedup_key"]: [] for told in server.asked}
    for told in server.asked:
        actions[told["dedup_key"]].append(told["event_action"])
    assert set(map(tuple, actions.values())) == {("trigger", "resolve")}


def test_the_figure_is_one_that_plotly_knows_and_shows_every_step(
    drill: Start, time: SharedTime, shipped: Snapshot
) -> None:
    found = drill(Bucket(time, rate=10, burst=5), rates=RATES)
    drawn = figure(target_of(shipped, "pager", "incidents"), found)
    traces = {trace["name"]: trace for trace in Figure(drawn).to_dict()["data"]}  # raises for what plotly does not know
    assert set(traces) == {"taken", "throttled", "failed", "p50", "p95", "p99"}
    assert traces["taken"]["x"] == ["2", "4", "8", "16"]
    assert traces["throttled"]["y"][-1] == pytest.approx(5.6, abs=0.3)
    assert drawn["layout"]["shapes"][0]["x0"] == 2.5, "between the third rate and the fourth"
