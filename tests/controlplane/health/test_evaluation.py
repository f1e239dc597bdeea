from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from controlplane.health import duties
from controlplane.health.duties import Plane
from controlplane.health.evaluation import Verdict, evaluate
from controlplane.health.observations import Observation
from controlplane.health.readiness import ready
from controlplane.registry import Registry
from controlplane.store import tables as t
from rules.ids import new_id
from tests.controlplane.health.kit import Retailer


def observe_minutes(retailer: Retailer, minutes: int, good: int, total: int, target: str = "erp") -> None:
    """Let minutes pass in which both service levels are observed once each."""
    for _ in range(minutes):
        share = good / total if total else None
        retailer.observe(
            Observation("delivery_success", retailer.now, share, {"target": target}, good, total),
            Observation("stock_freshness", retailer.now, 1.0, {"channel": "shop"}, 40, 40),
        )
        retailer.clock.advance(60)


def judged(retailer: Retailer, fingerprint: str) -> Verdict:
    verdicts = {one.fingerprint: one for one in evaluate(retailer.store, retailer.snapshot, retailer.clock)}
    return verdicts[fingerprint]


DELIVERY = "service_level/delivery-success"


def test_a_verdict_is_kept_with_the_revision_it_was_made_under(retailer: Retailer) -> None:
    observe_minutes(retailer, 10, 5, 5)
    found = judged(retailer, DELIVERY)
    assert (found.state, found.firing) == ("meeting", False)
    row = next(row for row in retailer.rows(t.verdict) if row.service_level == "delivery-success")
    assert row.policy_revision == retailer.snapshot.revision("ServiceLevel", "delivery-success")
    assert (row.attainment, row.budget_left, row.coverage) == (1.0, 1.0, 1.0)


def test_failing_writes_burn_the_budget_and_the_reason_shows_the_values(retailer: Retailer) -> None:
    observe_minutes(retailer, 10, 5, 5)
    observe_minutes(retailer, 10, 0, 5)
    found = judged(retailer, DELIVERY)
    assert (found.state, found.firing, found.severity) == ("breached", True, "page")
    assert "[burn rate of delivery-success over 30 min and 5 min]" in found.reason


def test_when_the_probes_fall_silent_what_was_told_stays_told(retailer: Retailer) -> None:
    observe_minutes(retailer, 20, 0, 5)
    assert judged(retailer, DELIVERY).firing is True
    retailer.clock.advance(600)
    found = judged(retailer, DELIVERY)
    assert (found.state, found.firing) == ("unknown", None)


def test_a_promise_that_stays_unknown_becomes_an_incident_of_its_own(retailer: Retailer) -> None:
    assert judged(retailer, "service_level/stock-freshness/no-data").firing is False
    retailer.clock.advance(9 * 60)
    assert judged(retailer, "service_level/stock-freshness/no-data").firing is False
    retailer.clock.advance(2 * 60)
    found = judged(retailer, "service_level/stock-freshness/no-data")
    assert found.firing is True
    assert "there was never one" in found.reason


def test_a_series_of_which_half_is_unknown_covers_half(retailer: Retailer) -> None:
    for _ in range(10):
        retailer.observe(
            Observation("delivery_success", retailer.now, 1.0, {"target": "erp"}, 5, 5),
            Observation("delivery_success", retailer.now, None, {"target": "shop"}),
        )
        retailer.clock.advance(60)
    found = judged(retailer, DELIVERY)
    assert found.state == "unknown"
    assert found.judgement is not None
    assert found.judgement.coverage == 0.5


def queue_age(retailer: Retailer, seconds: float | None, flow: str = "orders") -> None:
    retailer.observe(Observation("queue_age", retailer.now, seconds, {"target": "erp", "flow": flow}))


def test_an_alert_rule_waits_until_its_hold_is_over(retailer: Retailer) -> None:
    queue_age(retailer, 700)
    assert judged(retailer, "alert_rule/queue-age/erp").state == "pending"
    retailer.clock.advance(60)
    queue_age(retailer, 760)
    assert judged(retailer, "alert_rule/queue-age/erp").firing is False
    retailer.clock.advance(60)
    queue_age(retailer, 820)
    found = judged(retailer, "alert_rule/queue-age/erp")
    assert found.firing is True
    assert found.reason == "[queue_age flow=orders,target=erp] (820) > 600"


def test_a_dip_below_starts_the_hold_anew(retailer: Retailer) -> None:
    for seconds in (700, 10, 700):
        queue_age(retailer, seconds)
        retailer.clock.advance(90)
    assert judged(retailer, "alert_rule/queue-age/erp").state == "pending"


def test_six_late_flows_of_one_system_are_one_verdict(retailer: Retailer) -> None:
    for _ in range(2):
        for flow in ("orders", "shipments", "receipts"):
            queue_age(retailer, 900, flow)
        retailer.clock.advance(120)
    found = [
        one for one in evaluate(retailer.store, retailer.snapshot, retailer.clock) if one.rule == "alert_rule/queue-age"
    ]
    assert [one.fingerprint for one in found] == ["alert_rule/queue-age/erp"]
    assert found[0].labels == {"target": "erp"}


def test_a_reading_that_is_unknown_decides_nothing(retailer: Retailer) -> None:
    retailer.observe(Observation("drift_age", retailer.now, None, {"comparison": "stock-three-way"}, note="no run"))
    found = judged(retailer, "alert_rule/drift-open")
    assert (found.state, found.firing) == ("unknown", None)


def test_a_share_of_nothing_is_clear_and_not_unknown(retailer: Retailer) -> None:
    retailer.observe(Observation("posting_failures", retailer.now, None, good=0, total=0))
    assert judged(retailer, "alert_rule/posting-failures").state == "clear"


def say(retailer: Retailer, kind: str, name: str, **spec: Any) -> None:
    """Put a policy in force as an older version took it, by a change that no change request would get through today."""
    mine = (t.policy_revision.c.kind == kind, t.policy_revision.c.name == name)
    with retailer.store.write() as conn:
        document = conn.scalars(select(t.policy_revision.c.document).where(*mine)).one()
        changed = {**document, "spec": {**document["spec"], **spec}}
        conn.execute(update(t.policy_revision).where(*mine).values(document=changed))
    retailer.snapshot = Registry(retailer.store, retailer.clock).snapshot()


def test_a_window_beyond_the_calendar_is_read_and_judged_as_one_that_is_too_long(retailer: Retailer) -> None:
    say(retailer, "ServiceLevel", "delivery-success", window="999999999d")
    observe_minutes(retailer, 10, 5, 5)
    assert retailer.snapshot.service_levels["delivery-success"].spec.window == timedelta(days=73_000)
    assert judged(retailer, DELIVERY).state == "meeting"


@pytest.mark.parametrize("kind", ["ServiceLevel", "AlertRule"])
def test_a_rule_that_cannot_be_judged_is_unknown_and_the_others_are_judged(retailer: Retailer, kind: str) -> None:
    observe_minutes(retailer, 10, 5, 5)
    retailer.observe(Observation("queue_age", retailer.now, 9e9, {"target": "erp"}))
    about = {"ServiceLevel": "service_level/stock-freshness", "AlertRule": "alert_rule/queue-age"}[kind]
    if kind == "ServiceLevel":
        say(retailer, kind, "stock-freshness", slice="0s")
    else:
        with retailer.store.write() as conn:
            conn.execute(
                update(t.sample).where(t.sample.c.indicator == "queue_age").values(labels=["not", "a mapping"])
            )
    found = judged(retailer, about)
    assert (found.state, found.firing, found.broken) == ("unknown", None, True)
    assert "it could not be judged (" in found.reason
    assert judged(retailer, DELIVERY).state == "meeting"


def test_what_could_not_be_judged_is_in_the_run_and_named_by_readiness(retailer: Retailer) -> None:
    say(retailer, "ServiceLevel", "stock-freshness", slice="0s")
    registry = Registry(retailer.store, retailer.clock)
    plane = SimpleNamespace(
        store=retailer.store, clock=retailer.clock, registry=registry, settings=SimpleNamespace(url="")
    )
    told = duties.evaluate_all(cast("Plane", plane))
    assert told["broken"] == ["service_level/stock-freshness"]
    run = {
        "id": new_id(retailer.now),
        "schedule": "evaluate",
        "scheduled_for": retailer.now,
        "started_at": retailer.now,
    }
    retailer.write(t.run, **run, state="done", detail={"result": told})
    _, checks = ready(retailer.store, retailer.clock, retailer.snapshot)
    assert checks["judging"] == {"ok": True, "detail": "all rules but service_level/stock-freshness were judged"}
    retailer.clock.advance(60)
    run |= {"id": new_id(retailer.now), "scheduled_for": retailer.now}
    retailer.write(t.run, **run, state="failed", detail={"error": "OverflowError('date value out of range')"})
    fine, checks = ready(retailer.store, retailer.clock, retailer.snapshot)
    assert (fine, checks["judging"]["ok"], "OverflowError" in checks["judging"]["detail"]) == (False, False, True)
