from __future__ import annotations

from sqlalchemy import select

from controlplane.health.observations import (
    Observation,
    last_at,
    newest,
    prune,
    read_series_key,
    roll_up,
    series,
    series_key,
)
from controlplane.store import tables as t
from rules.slo import aligned
from tests.controlplane.health.kit import MINUTE, SECOND, Retailer

ERP = {"target": "erp", "flow": "orders"}


def test_the_minute_keeps_low_high_mean_and_last(retailer: Retailer) -> None:
    for n, value in enumerate((4.0, 1.0, 7.0)):
        retailer.observe(Observation("queue_depth", retailer.now + n * SECOND, value, ERP))
    [row] = retailer.rows(t.rollup)
    assert (row.low, row.high, row.total_value / row.valued, row.last) == (1.0, 7.0, 4.0, 7.0)


def test_rolling_up_again_changes_nothing(retailer: Retailer) -> None:
    retailer.observe(
        Observation("queue_depth", retailer.now, 4.0, ERP), Observation("queue_age", retailer.now, 9.0, ERP)
    )
    before = retailer.rows(t.rollup)
    with retailer.store.write() as conn:
        roll_up(conn, [("queue_depth", aligned(retailer.now, MINUTE))])
    assert sorted(retailer.rows(t.rollup)) == sorted(before)


def test_a_gap_in_a_series_stays_a_gap(retailer: Retailer) -> None:
    start = retailer.now
    retailer.observe(Observation("queue_depth", start, 4.0, ERP))
    retailer.observe(Observation("queue_depth", start + 2 * MINUTE, 6.0, ERP))
    with retailer.store.read() as conn:
        points = series(conn, "queue_depth", ERP, start, start + 3 * MINUTE)
    assert [point.value for point in points] == [4.0, None, 6.0]


def test_unknown_values_do_not_pull_a_mean_towards_zero(retailer: Retailer) -> None:
    at = retailer.now
    retailer.observe(Observation("api_latency", at, 2.0), Observation("api_latency", at + SECOND, None, note="down"))
    with retailer.store.read() as conn:
        [point] = series(conn, "api_latency", {}, at, at + MINUTE)
    assert point.value == 2.0


def test_idle_observations_do_not_dilute_a_share(retailer: Retailer) -> None:
    at = retailer.now
    retailer.observe(Observation("delivery_success", at, 1.0, good=4, total=4))
    retailer.observe(Observation("delivery_success", at + SECOND, None, good=0, total=0))
    with retailer.store.read() as conn:
        [point] = series(conn, "delivery_success", {}, at, at + MINUTE)
    assert (point.value, point.good, point.total) == (1.0, 4, 4)


def test_the_newest_of_each_series_is_found_and_an_old_one_is_not_new(retailer: Retailer) -> None:
    retailer.observe(Observation("queue_depth", retailer.now, 4.0, ERP))
    retailer.clock.advance(30)
    retailer.observe(Observation("queue_depth", retailer.now, 5.0, ERP))
    with retailer.store.read() as conn:
        assert [one.value for one in newest(conn, retailer.now - MINUTE)] == [5.0]
        assert newest(conn, retailer.now + SECOND) == []
        assert last_at(conn, "queue_depth") == retailer.now
        assert last_at(conn, "never_seen") is None


def test_pruning_forgets_samples_and_keeps_rollups_until_their_own_time(retailer: Retailer) -> None:
    retailer.observe(Observation("queue_depth", retailer.now, 4.0, ERP))
    retailer.clock.advance(3600)
    retailer.observe(Observation("queue_depth", retailer.now, 5.0, ERP))
    with retailer.store.write() as conn:
        assert prune(conn, retailer.now, retailer.now - 2 * 60 * MINUTE) == (1, 0)
        assert conn.scalars(select(t.sample.c.value)).all() == [5.0]
        assert prune(conn, retailer.now, retailer.now) == (0, 1)


def test_a_series_key_can_be_read_back() -> None:
    assert series_key(ERP) == "flow=orders,target=erp"
    assert read_series_key(series_key(ERP)) == ERP
    assert read_series_key("") == {}
