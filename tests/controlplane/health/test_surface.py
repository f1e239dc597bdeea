from __future__ import annotations

import gzip

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from controlplane.health.evaluation import evaluate
from controlplane.health.metrics import Page
from controlplane.health.observations import Observation
from controlplane.health.readiness import ready
from controlplane.registry import Registry
from controlplane.store import tables as t
from controlplane.telemetry import Meters
from rules.ids import new_id
from tests.controlplane.health.kit import Retailer


def page_of(retailer: Retailer) -> Page:
    return Page(retailer.store, retailer.clock, Registry(retailer.store, retailer.clock), Meters())


def exposed(retailer: Retailer) -> dict[str, list[tuple[dict[str, str], float]]]:
    body = page_of(retailer).body().decode()
    families = list(text_string_to_metric_families(body))
    assert all(family.documentation for family in families)
    return {family.name: [(one.labels, one.value) for one in family.samples] for family in families}


def test_the_newest_observations_are_exposed_with_help_and_unknown_is_nan(retailer: Retailer) -> None:
    retailer.observe(
        Observation("queue_depth", retailer.now, 4.0, {"target": "erp", "flow": "orders"}),
        Observation("api_latency", retailer.now, None, {"system": "erp"}),
    )
    found = exposed(retailer)
    assert found["trueup_queue_depth"] == [({"flow": "orders", "target": "erp"}, 4.0)]
    [(_, latency)] = found["trueup_api_latency_seconds"]
    assert latency != latency
    assert found["trueup_registry_version"] == [({}, 1.0)]


def test_a_label_that_prometheus_keeps_for_itself_is_exposed_under_another_name(retailer: Retailer) -> None:
    retailer.observe(Observation("shipment_update_delay", retailer.now, 9.0, {"target": "shop", "quantile": "p95"}))
    found = exposed(retailer)
    assert found["trueup_shipment_update_delay_seconds"] == [({"target": "shop", "percentile": "p95"}, 9.0)]


def test_the_state_of_each_service_level_is_exposed(retailer: Retailer) -> None:
    evaluate(retailer.store, retailer.snapshot, retailer.clock)
    states = {labels["state"]: value for labels, value in exposed(retailer)["trueup_service_level_state"]}
    assert states == {"meeting": 0.0, "at_risk": 0.0, "breached": 0.0, "unknown": 1.0}


def test_a_body_is_given_again_within_the_second(retailer: Retailer) -> None:
    page = page_of(retailer)
    first = page.body()
    retailer.observe(Observation("queue_depth", retailer.now, 4.0))
    statements: list[str] = []
    keep = lambda *call: statements.append(call[2])  # noqa: E731 - the same object is taken off again
    event.listen(retailer.store.engine, "before_cursor_execute", keep)
    assert page.body() == first
    assert gzip.decompress(page.body(compressed=True)) == first
    event.remove(retailer.store.engine, "before_cursor_execute", keep)
    assert statements == [], "nothing is read for it"
    retailer.clock.advance(1)
    assert b"trueup_queue_depth 4.0" in page.body()


def beat(retailer: Retailer) -> None:
    retailer.write(
        t.run, id=new_id(retailer.now), schedule="probe:queues", scheduled_for=retailer.now, state="done",
        started_at=retailer.now,
    )  # fmt: skip


def test_a_plane_is_ready_once_its_ticker_beats_and_not_when_it_stops(retailer: Retailer) -> None:
    assert not ready(retailer.store, retailer.clock, retailer.snapshot)[0]
    beat(retailer)
    assert ready(retailer.store, retailer.clock, retailer.snapshot)[0]
    retailer.clock.advance(120)
    well, checks = ready(retailer.store, retailer.clock, retailer.snapshot)
    assert not well
    assert [name for name, check in checks.items() if not check["ok"]] == ["ticker"]


def test_due_work_that_nobody_takes_up_is_not_ready_unless_its_target_is_held_back(retailer: Retailer) -> None:
    retailer.delivery("orders", "erp", "#1")
    retailer.clock.advance(1200)
    beat(retailer)
    assert not ready(retailer.store, retailer.clock, retailer.snapshot)[1]["work"]["ok"]
    retailer.stands("erp", paused_at=retailer.now)
    assert ready(retailer.store, retailer.clock, retailer.snapshot)[1]["work"]["ok"]


def test_a_message_that_nobody_processes_is_not_ready(retailer: Retailer) -> None:
    now = retailer.now
    retailer.write(
        t.message, id=new_id(now), type="receipt.received", schema_version=1, source="wms", subject="RC1", dedupe_key="RC1",
        occurred_at=now, accepted_at=now, trace_id="0" * 32, data={}, state="accepted", registry_version=1,
    )  # fmt: skip
    retailer.clock.advance(1200)
    beat(retailer)
    work = ready(retailer.store, retailer.clock, retailer.snapshot)[1]["work"]
    assert not work["ok"]
    assert "the oldest message that is not processed has waited for 1200 s" in work["detail"]
