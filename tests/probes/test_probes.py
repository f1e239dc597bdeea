from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from controlplane.connectors.contract import Codes, Connector, Context, UnmappedError
from controlplane.errors import ThrottledError, UnavailableError
from controlplane.plugins import load, registered
from controlplane.store import tables as t
from probes import api, attempts, drift, failed_messages, freshness, orders, postings, queues, shipments, stock
from rules.ids import new_id
from tests.controlplane.health.kit import MINUTE, Retailer, values


@dataclass
class NoCodes:
    """A system without mappings."""

    def ours(self, entity: str, theirs: str) -> str:
        raise UnmappedError(entity, theirs, "none")

    def theirs(self, entity: str, ours: str) -> str:
        raise UnmappedError(entity, ours, "none")


class Answering(Connector):
    """Answers each ping with what it was given."""

    def __init__(self, retailer: Retailer, error: Exception | None = None) -> None:
        codes: Codes = NoCodes()
        super().__init__(Context("s", "", {}, str, codes, retailer.clock, 1.0))
        self.error = error

    def ping(self) -> None:
        if self.error:
            raise self.error


def test_every_probe_is_found_by_name() -> None:
    assert {name: load("probes", name).__module__ for name in registered("probes")}["queues"] == "probes.queues"


def test_a_system_that_answers_is_up_one_that_does_not_is_down_and_one_out_of_reach_is_unknown(
    retailer: Retailer,
) -> None:
    retailer.connectors = {
        "erp": Answering(retailer),
        "shop": Answering(retailer, ThrottledError("slow down", 2.0)),
        "wms": Answering(retailer, UnavailableError("connection refused")),
    }
    seen = api.probe(retailer.context)
    up = values(seen, "api_up")
    assert (up["erp"], up["shop"], up["wms"], up["pager"]) == (1.0, 1.0, 0.0, None)
    latency = values(seen, "api_latency")
    assert latency["wms"] is None
    assert latency["erp"] is not None


def test_queue_age_runs_from_when_the_delivery_came_to_be_not_from_its_next_try(retailer: Retailer) -> None:
    retailer.delivery("orders", "erp", "#1", due_at=retailer.now + timedelta(hours=1))
    retailer.clock.advance(90)
    seen = queues.probe(retailer.context)
    assert values(seen, "queue_age")["erp,orders"] == 90.0
    assert values(seen, "queue_depth")["erp,orders"] == 1.0
    assert values(seen, "queue_depth")["wms,orders"] == 0.0


def test_quarantined_records_are_counted_by_flow(retailer: Retailer) -> None:
    retailer.write(
        t.quarantine, id=new_id(retailer.now), stage="intake", system="tills", flow="till-sales",
        reason_code="unmapped_sku", reason="r", remedy="m", subject="s", record={}, state="waiting",
        owner="store-ops", opened_at=retailer.now,
    )  # fmt: skip
    retailer.delivery("orders", "erp", "#1", state="quarantined")
    seen = failed_messages.probe(retailer.context)
    assert values(seen, "failed_messages")["till-sales"] == 1.0
    assert values(seen, "failed_messages")["orders"] == 1.0
    assert values(seen, "failed_messages")["shipments"] == 0.0
    assert values(seen, "deliveries_given_up")["erp"] == 1.0


def test_each_write_is_counted_once_and_throttling_stale_and_read_backs_count_neither_way(retailer: Retailer) -> None:
    sent = retailer.delivery("orders", "erp", "#1", state="delivered")
    for outcome in ("delivered", "unavailable", "unknown", "throttled", "stale"):
        retailer.attempt(sent, "erp", outcome)
    retailer.attempt(sent, "erp", "already_delivered", kind="read-back", number=2)
    retailer.clock.advance(10)
    seen = attempts.delivery_success(retailer.context)
    [erp] = [one for one in seen if one.labels == {"target": "erp"}]
    assert (erp.good, erp.total) == (1, 3)
    retailer.observe(*seen)
    retailer.clock.advance(10)
    [erp] = [one for one in attempts.delivery_success(retailer.context) if one.labels == {"target": "erp"}]
    assert (erp.value, erp.good, erp.total) == (None, 0, 0)


def test_a_target_that_waits_out_its_failures_is_not_well_in_between(retailer: Retailer) -> None:
    retailer.delivery("orders", "erp", "#1", due_at=retailer.now + MINUTE)
    retailer.stands("erp", consecutive_failures=6, last_error="503", blocked_until=retailer.now + MINUTE)
    [erp] = [one for one in attempts.delivery_success(retailer.context) if one.labels == {"target": "erp"}]
    assert (erp.value, erp.good, erp.total) == (0.0, 0, 1)


def test_overdue_work_that_nobody_tries_is_unknown_unless_an_operator_paused_it(retailer: Retailer) -> None:
    retailer.delivery("orders", "erp", "#1")
    retailer.delivery("orders", "wms", "#1")
    retailer.stands("wms", paused_at=retailer.now)
    retailer.clock.advance(120)
    seen = {one.labels["target"]: one for one in attempts.delivery_success(retailer.context)}
    assert seen["erp"].unknown
    assert (seen["wms"].good, seen["wms"].total) == (0, 0)


def test_retries_are_the_attempts_beyond_the_first(retailer: Retailer) -> None:
    sent = retailer.delivery("orders", "erp", "#1")
    for number in (1, 2, 3):
        retailer.attempt(sent, "erp", "unavailable", number=number)
    retailer.clock.advance(10)
    assert values(attempts.retries(retailer.context), "retries")["erp"] == 2.0


def test_the_backlog_is_counted_and_valued_by_age(retailer: Retailer) -> None:
    retailer.order("#1", "A", 2)
    retailer.order("#2", "A", 3, placed_at=retailer.now - timedelta(hours=5), shipped=1, state="partially_shipped")
    retailer.order("#3", "A", 1, shipped=1, state="shipped")
    seen = orders.backlog(retailer.context)
    assert values(seen, "order_backlog") == {"0-4h": 1, "4-24h": 1, "1-2d": 0, "2-5d": 0, "over-5d": 0}
    assert values(seen, "order_backlog_value") == {"0-4h,EUR": 20.0, "4-24h,EUR": 20.0}


def test_a_line_is_oversold_when_earlier_orders_that_the_warehouse_did_not_know_took_the_stock(
    retailer: Retailer,
) -> None:
    retailer.stock("A", 5)
    retailer.clock.advance(1)
    retailer.order("#1", "A", 4)
    retailer.clock.advance(1)
    retailer.order("#2", "A", 2)
    retailer.order("#3", "NEVER-COUNTED", 1)
    [rate] = orders.oversell(retailer.context)
    assert rate.value == 0.5
    assert rate.note is not None
    assert "1 lines left out" in rate.note


def test_an_order_that_the_warehouse_has_taken_off_its_available_is_not_taken_off_again(retailer: Retailer) -> None:
    retailer.order("#1", "A", 4, warehouse_at=retailer.now)
    retailer.clock.advance(1)
    retailer.stock("A", 2)
    retailer.clock.advance(1)
    retailer.order("#2", "A", 2)
    [rate] = orders.oversell(retailer.context)
    assert (rate.good, rate.total) == (1, 1)


def test_a_shipment_that_the_shop_does_not_show_counts_at_its_present_age(retailer: Retailer) -> None:
    retailer.delivery(
        "shipments", "shop", "S1", kind="shipment.shipped", state="delivered", occurred_at=retailer.now - MINUTE
    )
    retailer.delivery("shipments", "shop", "S2", kind="shipment.shipped", occurred_at=retailer.now - 30 * MINUTE)
    seen = values(shipments.probe(retailer.context), "shipment_update_delay")
    assert seen == {"shop,p50": 60.0, "shop,p95": 1800.0}


def test_no_shipment_at_all_leaves_the_delay_unknown(retailer: Retailer) -> None:
    assert set(values(shipments.probe(retailer.context), "shipment_update_delay").values()) == {None}


def test_postings_fail_by_their_first_try_and_are_valued_while_unresolved(retailer: Retailer) -> None:
    one = retailer.delivery(
        "postings", "erp", "P1", kind="posting.made", money=Decimal("12.50"), currency="EUR", payload={}
    )
    two = retailer.delivery("postings", "erp", "P2", kind="posting.made", state="delivered", payload={})
    retailer.attempt(one, "erp", "rejected", flow="postings")
    retailer.attempt(two, "erp", "delivered", flow="postings")
    seen = postings.probe(retailer.context)
    assert values(seen, "posting_failures") == {"": 0.5}
    assert values(seen, "postings_unresolved") == {"": 1.0}
    assert values(seen, "postings_unresolved_value") == {"EUR": 12.5}


def test_silence_means_fresh_only_while_the_source_was_heard_of(retailer: Retailer) -> None:
    assert values(freshness.probe(retailer.context), "freshness")["orders"] is None
    retailer.hear("shop")
    assert values(freshness.probe(retailer.context), "freshness")["orders"] == 0.0
    retailer.clock.advance(3600)
    assert values(freshness.probe(retailer.context), "freshness")["orders"] is None


def test_a_flow_is_as_old_as_the_oldest_thing_that_is_not_at_its_targets(retailer: Retailer) -> None:
    retailer.message("order.placed", "#1", "shop", {}, state="accepted")
    retailer.clock.advance(40)
    retailer.delivery("shipments", "erp", "S1", kind="shipment.shipped")
    retailer.clock.advance(10)
    seen = values(freshness.probe(retailer.context), "freshness")
    assert (seen["orders"], seen["shipments"]) == (50.0, 10.0)


def stock_freshness(retailer: Retailer) -> tuple[int | None, int | None]:
    [seen] = stock.probe(retailer.context)
    return seen.good, seen.total


def test_stock_is_unknown_while_the_warehouse_is_silent(retailer: Retailer) -> None:
    retailer.stock("A", 5)
    assert stock_freshness(retailer) == (None, None)


def test_a_key_goes_stale_when_its_offer_is_not_taken_within_the_threshold(retailer: Retailer) -> None:
    retailer.stock("A", 5)
    retailer.stock("B", 5)
    retailer.offer("A", "pending")
    retailer.offer("B", "delivered")
    retailer.hear("wms")
    assert stock_freshness(retailer) == (2, 2)
    retailer.clock.advance(150)
    assert stock_freshness(retailer) == (1, 2)


def test_an_offer_superseded_unsent_ages_its_key_all_the_same(retailer: Retailer) -> None:
    retailer.stock("A", 5)
    retailer.hear("wms")
    retailer.offer("A", "delivered")
    for _ in range(4):
        retailer.clock.advance(60)
        retailer.offer("A", "superseded")
    retailer.clock.advance(1)
    retailer.offer("A", "pending")
    retailer.hear("wms")
    assert stock_freshness(retailer) == (0, 1)
    with retailer.store.write() as conn:
        conn.execute(update(t.delivery).where(t.delivery.c.state == "pending").values(state="delivered"))
    assert stock_freshness(retailer) == (1, 1)


def test_the_mismatch_rate_is_unknown_without_a_recent_complete_comparison(retailer: Retailer) -> None:
    assert values(drift.probe(retailer.context), "mismatch_rate") == {"stock-three-way": None}
    retailer.write(
        t.comparison_run, id=new_id(retailer.now), comparison="stock-three-way", started_at=retailer.now,
        finished_at=retailer.now, state="complete", trigger="schedule", keys=40, agree=38, in_flight=0, drift=2,
        indeterminate=0, registry_version=1,
    )  # fmt: skip
    assert values(drift.probe(retailer.context), "mismatch_rate") == {"stock-three-way": 0.05}
    assert values(drift.probe(retailer.context), "drift_findings") == {"stock-three-way": 0.0}
    retailer.clock.advance(3600)
    assert values(drift.probe(retailer.context), "drift_findings") == {"stock-three-way": None}


@pytest.mark.parametrize(("age", "band"), [(0, "0-4h"), (4, "4-24h"), (24, "1-2d"), (48, "2-5d"), (120, "over-5d")])
def test_age_bands_begin_where_the_one_before_ends(age: int, band: str) -> None:
    assert orders.age_band(timedelta(hours=age)) == band


def test_drift_is_news_for_ten_minutes_and_ages_until_it_is_closed(retailer: Retailer) -> None:
    run = new_id(retailer.now)
    retailer.write(
        t.comparison_run, id=run, comparison="stock-three-way", started_at=retailer.now, finished_at=retailer.now,
        state="complete", trigger="schedule", keys=40, agree=39, in_flight=0, drift=1, indeterminate=0,
        registry_version=1,
    )  # fmt: skip
    retailer.write(
        t.finding, id=new_id(retailer.now), comparison="stock-three-way", subject="A@WH1", side="shop",
        cause="changed_at_target", state="open", first_seen_at=retailer.now, confirmed_at=retailer.now, expected=[8],
        actual=9, explanation="it was changed at the target", evidence={}, run_id=run, registry_version=1,
    )  # fmt: skip
    retailer.clock.advance(120)
    seen = drift.probe(retailer.context)
    assert (values(seen, "drift_recent"), values(seen, "drift_age")) == (
        {"stock-three-way": 1.0},
        {"stock-three-way": 120.0},
    )
    with retailer.store.write() as conn:
        conn.execute(update(t.finding).values(state="healed", closed_at=retailer.now))
    seen = drift.probe(retailer.context)
    assert (values(seen, "drift_recent"), values(seen, "drift_age")) == (
        {"stock-three-way": 1.0},
        {"stock-three-way": 0.0},
    )
    retailer.clock.advance(500)
    with retailer.store.write() as conn:
        conn.execute(update(t.comparison_run).values(finished_at=retailer.now))
    assert values(drift.probe(retailer.context), "drift_recent") == {"stock-three-way": 0.0}
    with retailer.store.write() as conn:
        conn.execute(update(t.finding).values(state="open", changed_at=retailer.now))
    assert values(drift.probe(retailer.context), "drift_recent") == {"stock-three-way": 1.0}, "it moved: that is news"
