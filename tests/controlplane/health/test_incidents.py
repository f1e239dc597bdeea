from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from controlplane.errors import ConflictError, NotFoundError
from controlplane.health.evaluation import Verdict
from controlplane.health.incidents import acknowledge, count_open, reconcile
from controlplane.store import tables as t
from rules.ids import new_id
from tests.controlplane.health.kit import MINUTE, Retailer

URL = "http://127.0.0.1:8700"
LATE = Verdict(
    rule="alert_rule/queue-age",
    fingerprint="alert_rule/queue-age/erp",
    indicator="queue_age",
    state="firing",
    firing=True,
    severity="page",
    title="Deliveries wait (erp)",
    owner="integration-platform",
    escalation="standard",
    policy_revision="r1",
    reason="[queue_age target=erp] (700) > 600",
    labels={"target": "erp"},
)


def tell(retailer: Retailer, *verdicts: Verdict) -> None:
    reconcile(retailer.store, retailer.snapshot, retailer.clock, verdicts, URL)


def sent(retailer: Retailer) -> list[dict[str, Any]]:
    rows = [row for row in retailer.rows(t.message) if row.type == "incident.notified"]
    return [row.data for row in sorted(rows, key=lambda row: row.id)]


def kinds(retailer: Retailer) -> list[str]:
    return [row.kind for row in sorted(retailer.rows(t.incident_event), key=lambda row: row.id)]


def test_a_breach_opens_one_incident_however_often_it_is_judged(retailer: Retailer) -> None:
    for _ in range(3):
        tell(retailer, LATE)
        retailer.clock.advance(60)
    [incident] = retailer.rows(t.incident)
    assert (incident.state, incident.owner, incident.open_key) == ("open", LATE.owner, LATE.fingerprint)
    assert kinds(retailer) == ["opened", "notified"]
    [message] = sent(retailer)
    assert (message["action"], message["sequence"], message["incident"]) == ("trigger", 1, incident.id)


def test_what_was_told_is_resolved_and_the_next_breach_is_a_new_incident(retailer: Retailer) -> None:
    tell(retailer, LATE)
    tell(retailer, replace(LATE, firing=False, reason="[queue_age] (0) <= 120"))
    assert [data["action"] for data in sent(retailer)] == ["trigger", "resolve"]
    assert count_open(retailer.store) == 0
    tell(retailer, LATE)
    assert [row.state for row in sorted(retailer.rows(t.incident), key=lambda row: row.id)] == ["resolved", "open"]


def test_frozen_evidence_neither_opens_nor_resolves(retailer: Retailer) -> None:
    tell(retailer, replace(LATE, firing=None))
    assert retailer.rows(t.incident) == []
    tell(retailer, LATE)
    tell(retailer, replace(LATE, firing=None))
    assert count_open(retailer.store) == 1


def test_a_rule_that_left_the_registry_takes_its_incident_along(retailer: Retailer) -> None:
    tell(retailer, LATE)
    with retailer.store.write() as conn:
        conn.execute(update(t.incident).values(rule="alert_rule/withdrawn"))
    tell(retailer)
    assert [row.state for row in retailer.rows(t.incident)] == ["resolved"]


def test_the_cause_names_the_system_since_when_and_what_waits(retailer: Retailer) -> None:
    waiting = retailer.delivery("orders", "erp", "#1")
    retailer.attempt(waiting, "erp", "unavailable")
    retailer.stands("erp", consecutive_failures=5, last_error="503 Service Unavailable", last_error_at=retailer.now)
    retailer.clock.advance(360)
    tell(retailer, LATE)
    [incident] = retailer.rows(t.incident)
    assert incident.cause == (
        "erp answers unavailable since 08:59 UTC (503 Service Unavailable); 1 delivery waits, oldest 6 min. "
        "[queue_age target=erp] (700) > 600"
    )


def test_an_order_that_two_targets_wait_for_is_at_risk_once_and_the_bounds_are_told(retailer: Retailer) -> None:
    retailer.order("#1", "A", 3, price="19.90")
    retailer.order("#2", "A", 1, price="10.00")
    retailer.delivery("orders", "erp", "#1", promise_at=retailer.now - MINUTE)
    retailer.delivery("orders", "wms", "#1")
    retailer.delivery("orders", "erp", "#2")
    tell(retailer, replace(LATE, labels={}))
    [incident] = retailer.rows(t.incident)
    assert (incident.money_at_risk, incident.currency) == (Decimal("69.70"), "EUR")
    assert incident.cause.endswith("At risk: 59.70 to 69.70 EUR")


def test_a_stale_offer_is_worth_the_units_by_which_the_shop_is_wrong(retailer: Retailer) -> None:
    retailer.write(
        t.product,
        sku="A",
        title="A",
        unit_price=Decimal("5.00"),
        currency="EUR",
        updated_at=retailer.now,
        message_id="m",
    )
    retailer.write(
        t.target_level, system="shop", field="available", sku="A", location="WH1", value=9, as_of=retailer.now,
        updated_at=retailer.now,
    )  # fmt: skip
    retailer.offer("A", "pending", quantity=5)
    tell(retailer, replace(LATE, labels={"target": "shop"}))
    assert retailer.rows(t.incident)[0].money_at_risk == Decimal("20.00")


def test_nobody_answering_escalates_along_the_path(retailer: Retailer) -> None:
    tell(retailer, LATE)
    retailer.clock.advance(29 * 60)
    tell(retailer)
    assert len(sent(retailer)) == 1
    retailer.clock.advance(60)
    tell(retailer)
    tell(retailer)
    assert [data["owner"] for data in sent(retailer)] == ["integration-platform", "finance-systems"]
    assert kinds(retailer) == ["opened", "notified", "escalated"]


def test_acknowledging_stops_the_escalation_until_it_expires(retailer: Retailer) -> None:
    tell(retailer, LATE)
    retailer.clock.advance(600)
    incident_id = retailer.rows(t.incident)[0].id
    acknowledge(retailer.store, retailer.clock, incident_id, "olga")
    retailer.clock.advance(25 * 60)
    tell(retailer, LATE)
    assert len(sent(retailer)) == 1
    retailer.clock.advance(6 * 60)
    tell(retailer, LATE)
    assert retailer.rows(t.incident)[0].state == "open"
    assert len(sent(retailer)) == 2
    assert [row.action for row in retailer.rows(t.action)][-1] == "incident.acknowledge"


def test_only_an_open_incident_can_be_acknowledged(retailer: Retailer) -> None:
    tell(retailer, LATE)
    incident_id = retailer.rows(t.incident)[0].id
    acknowledge(retailer.store, retailer.clock, incident_id, "olga")
    with pytest.raises(ConflictError, match="is acknowledged"):
        acknowledge(retailer.store, retailer.clock, incident_id, "ben")
    with pytest.raises(NotFoundError, match="no incident 'nowhere'"):
        acknowledge(retailer.store, retailer.clock, "nowhere", "ben")


def test_a_rise_from_ticket_to_page_is_told_anew(retailer: Retailer) -> None:
    tell(retailer, replace(LATE, severity="ticket"))
    tell(retailer, LATE)
    assert [data["severity"] for data in sent(retailer)] == ["ticket", "page"]


DOWN = replace(
    LATE, fingerprint="alert_rule/queue-age/outage", indicator="api_down", labels={"system": "erp"}, title="erp is down"
)


def test_an_outage_mutes_what_targets_the_system_until_it_is_over(retailer: Retailer) -> None:
    tell(retailer, DOWN, LATE)
    assert [data["title"] for data in sent(retailer)] == ["erp is down"]
    assert count_open(retailer.store) == 2
    tell(retailer, replace(DOWN, firing=False), LATE)
    assert [(data["title"], data["action"]) for data in sent(retailer)] == [
        ("erp is down", "trigger"),
        ("erp is down", "resolve"),
        (LATE.title, "trigger"),
    ]


def test_what_nobody_was_told_of_is_resolved_in_silence(retailer: Retailer) -> None:
    tell(retailer, DOWN, LATE)
    tell(retailer, DOWN, replace(LATE, firing=False))
    assert [data["title"] for data in sent(retailer)] == ["erp is down"]


def test_drift_and_quarantine_are_told_in_their_own_words(retailer: Retailer) -> None:
    retailer.write(
        t.quarantine, id=new_id(retailer.now), stage="intake", system="tills", flow="till-sales",
        reason_code="unmapped_sku", reason="tills calls a sku '999999'", remedy="m", subject="s", record={},
        state="waiting", owner="store-ops", opened_at=retailer.now,
    )  # fmt: skip
    waiting = replace(
        LATE, fingerprint="f", rule="alert_rule/quarantine-waiting", indicator="failed_messages", labels={}
    )
    tell(retailer, waiting)
    assert "till-sales: 1 × unmapped_sku (tills calls a sku '999999')" in retailer.rows(t.incident)[0].cause
