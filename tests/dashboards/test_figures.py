"""Figures say what the rows say: unknown stays a gap, all panels share one axis, peaks survive thinning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dashboards.components.spark import runs, spark
from dashboards.figures.base import thin
from dashboards.figures.evidence import Reading, intervals, said
from dashboards.figures.trend import Mark, Panel, small_multiples, summary

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
TIMES = [START + timedelta(minutes=n) for n in range(6)]
LINE = [None, None, 3.0, 5.0, None, 4.0]
PANELS = [Panel("Queue", "deliveries", [("owed", LINE)]), Panel("Oversell", "%", [("oversold", [None] * 6)], 100)]


def test_every_panel_lies_on_the_one_time_axis() -> None:
    figure = small_multiples(TIMES, PANELS)
    assert {trace["xaxis"] for trace in figure["data"]} == {"x"}
    assert [trace["yaxis"] for trace in figure["data"]] == ["y", "y2"]
    assert figure["layout"]["yaxis"]["domain"][0] > figure["layout"]["yaxis2"]["domain"][1]
    assert figure["layout"]["uirevision"] == small_multiples(TIMES, PANELS)["layout"]["uirevision"]


def test_unknown_values_are_gaps_under_a_grey_band_and_never_zero() -> None:
    figure = small_multiples(TIMES, PANELS[:1])
    assert figure["data"][0]["y"] == LINE
    bands = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect"]
    assert [(band["x0"], band["x1"]) for band in bands] == [(TIMES[0], TIMES[2]), (TIMES[4], TIMES[5])]


def test_a_panel_that_was_never_observed_says_so() -> None:
    texts = [note["text"] for note in small_multiples(TIMES, PANELS)["layout"]["annotations"]]
    assert "not observed yet" in texts
    assert "Oversell: not observed" in summary(TIMES, PANELS)


def test_an_incident_is_marked_from_where_it_opened_to_where_it_was_resolved() -> None:
    mark = Mark("erp is down", TIMES[1], TIMES[3])
    shapes = small_multiples(TIMES, PANELS[1:], [mark])["layout"]["shapes"]
    assert [(s["x0"], s["x1"]) for s in shapes if s.get("name") == "erp is down"] == [
        (TIMES[1], TIMES[3]),
        (TIMES[1], TIMES[1]),
    ]


def test_shares_are_drawn_in_percent_and_told_with_their_peak() -> None:
    panel = Panel("Mismatch", "%", [("drift", [0.0, 0.5, 0.25, 0.0, 0.0, 0.0])], 100)
    assert small_multiples(TIMES, [panel])["data"][0]["y"][1] == 50
    assert summary(TIMES, [panel]) == "Mismatch: 0 % now, peak 50 at 09:01 UTC."


def test_thinning_keeps_the_peak() -> None:
    times = [START + timedelta(seconds=n) for n in range(10_000)]
    line: list[float | None] = [1.0] * 10_000
    line[7_777] = 99.0
    xs, ys = thin(times, line)
    assert len(ys) <= 400
    assert times[7_777] in xs
    assert max(value for value in ys if value is not None) == 99.0


def test_ticks_that_are_less_than_a_minute_apart_tell_seconds() -> None:
    axis = small_multiples(TIMES, PANELS)["layout"]["xaxis"]
    stops = {stop["dtickrange"][1]: stop["value"] for stop in axis["tickformatstops"]}
    assert all(("%S" in value) == (until < 60_000) for until, value in stops.items())
    assert max(stops) >= 30_000
    assert "%S" not in axis["tickformat"]


def test_a_sparkline_breaks_where_nothing_is_known() -> None:
    assert runs(LINE) == [[(2, 3.0), (3, 5.0)], [(5, 4.0)]]
    assert spark(LINE).startswith("data:image/svg+xml,")
    assert spark([None, None]) != spark([0.0, 0.0])


def test_readings_are_bars_and_words_to_the_millisecond() -> None:
    since, until = START + timedelta(milliseconds=483), START + timedelta(seconds=1)
    figure = intervals([Reading("erp", since, until)])
    assert figure["data"][0]["x"] == [since, until]
    assert figure["layout"]["xaxis"]["tickformat"].endswith("%L")
    assert "erp from 09:00:00.483 to 09:00:01.000" in said([Reading("erp", since, until)])
