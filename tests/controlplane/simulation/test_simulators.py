"""The simulators of retry policies, service levels and comparisons, on history in a real store."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert

from controlplane.clock import ManualClock
from controlplane.registry import Registry, revisions
from controlplane.simulation import comparisons, retry_policies, service_levels
from controlplane.store import Store
from controlplane.store import tables as t
from rules.ids import new_id
from rules.policy.kinds import Comparison, Document, EscalationPath, RetryPolicy, ServiceLevel
from tests.controlplane.registry.common import sandbox_registry
from tests.controlplane.simulation.past import Past, figures

MINUTE = timedelta(minutes=1)


@pytest.fixture
def registry(store: Store, clock: ManualClock) -> Registry:
    """The sandbox pack in force."""
    return sandbox_registry(store, clock)


@pytest.fixture
def past(registry: Registry) -> Past:
    """Its history, empty."""
    return Past(registry)


def changed(document: Document, **spec: object) -> Document:
    """The document with some keys of its spec changed."""
    dumped = document.model_dump(mode="json")
    return type(document).model_validate({**dumped, "spec": {**dumped["spec"], **spec}})


# --- retry policies ---


def default(past: Past, **spec: object) -> Document:
    """The retry policy `default`, without jitter."""
    found = past.registry.snapshot().documents["RetryPolicy", "default"]
    return changed(found, jitter=False, **spec)


def outage(past: Past) -> None:
    """An hour ago the ERP failed for ten minutes; one order was caught in it, ten others before and after it were not."""
    began = past.clock.now() - timedelta(hours=1)
    for number in range(5):
        past.delivery([(began - (number + 1) * MINUTE, "delivered")])
    past.delivery([(began, "unavailable"), (began + 5 * MINUTE, "unavailable"), (began + 10 * MINUTE, "delivered")])
    for number in range(5):
        past.delivery([(began + (11 + number) * MINUTE, "delivered")])


def test_a_policy_that_asks_less_often_saves_calls_and_comes_later(past: Past) -> None:
    outage(past)
    often, seldom = default(past, first="10s", cap="10s"), default(past, first="8m", cap="8m")
    found = figures(past.simulated(retry_policies.simulate, often, seldom))
    assert found["deliveries"] == (11, 11)
    assert found["vendor calls"] == (10 + 61, 10 + 3), "at 0, 10, … 600 s, and at 0, 8 and 16 min"
    assert found["promise breached"] == (1, 1)
    assert found["waiting for a person"] == (0, 0)
    assert found["mean wait for a retry"] == (pytest.approx(600 / 11, abs=0.1), pytest.approx(960 / 11, abs=0.1))


def test_a_budget_that_is_too_short_for_the_outage_is_seen(past: Past) -> None:
    outage(past)
    impact = past.simulated(retry_policies.simulate, default(past), default(past, first="1m", cap="1m", budget="5m"))
    assert figures(impact)["waiting for a person"] == (0, 1)
    [row] = impact.rows
    assert (row["flow"], row["target"]) == ("orders", "erp")
    assert row["waiting for a person"] == {"before": 0, "after": 1}


def test_a_delivery_that_failed_alone_fails_in_the_replay_too_and_history_is_told_beside_it(past: Past) -> None:
    began = past.clock.now() - timedelta(hours=1)
    tries = [began + at * MINUTE for at in (0, 2, 4, 6, 8)]
    past.delivery([(at, "unavailable") for at in tries], state="quarantined")
    for at in tries:
        past.delivery([(at + MINUTE, "delivered")])  # the system takes everything else
    policy = default(past, first="2m", cap="2m", budget="9m")
    impact = past.simulated(retry_policies.simulate, policy, changed(policy, max_attempts=3))
    found = figures(impact)
    assert (found["vendor calls"], found["delivered"], found["waiting for a person"]) == ((10, 8), (5, 5), (1, 1))
    assert impact.not_simulated[0] == (
        "as it happened, under the revisions of their time: 6 deliveries, 10 calls, 5 delivered, 1 waiting for a person, "
        "0 on the way, 1 after their promise"
    )
    assert "replayed under what is in force" in impact.not_simulated[1]


def test_what_the_policy_does_not_govern_is_left_out(past: Past) -> None:
    outage(past)
    unused = changed(default(past), first="9s").model_copy(
        update={"metadata": default(past).metadata.model_copy(update={"name": "nobodys"})}
    )
    impact = past.simulated(retry_policies.simulate, None, unused)
    assert figures(impact)["deliveries"] == (0, 0)
    assert any("no flow names nobodys" in line for line in impact.not_simulated)


def test_history_older_than_the_stretch_is_left_out(past: Past, clock: ManualClock) -> None:
    outage(past)
    clock.advance(timedelta(days=29).total_seconds())
    assert figures(past.simulated(retry_policies.simulate, default(past), default(past)))["deliveries"] == (0, 0)


def test_under_the_same_policy_nothing_differs(past: Past) -> None:
    outage(past)
    jittered = past.registry.snapshot().documents["RetryPolicy", "default"]
    assert isinstance(jittered, RetryPolicy)
    impact = past.simulated(retry_policies.simulate, jittered, jittered)
    assert impact.rows == []
    assert all(before == after for before, after in figures(impact).values())


# --- service levels ---


def level(past: Past, **spec: object) -> Document:
    """A service level of deliveries to the ERP."""
    found = next(
        one for one in past.registry.snapshot().service_levels.values() if one.spec.indicator == "delivery_success"
    )
    tiers = [{"severity": "page", "long": "1h", "short": "5m", "factor": 10}]
    return changed(found, **{"labels": {"target": "erp"}, "target": 0.99, "tiers": tiers, **spec})


def told(past: Past, document: Document) -> str:
    """The team that is told first when a service level calls."""
    assert isinstance(document, ServiceLevel)
    return past.registry.snapshot().escalation_paths[document.spec.escalation].spec.steps[0].team


WEEKLY = 56.0
"""One page in three hours."""


def ill_for(past: Past, minutes: int) -> None:
    """Three hours of deliveries each minute, of which a stretch failed two hours ago."""
    began = past.clock.now().replace(second=0, microsecond=0) - timedelta(hours=3)
    counts = [(10, 10)] * 60 + [(0, 10)] * minutes + [(10, 10)] * (118 - minutes)
    past.minutes(began, counts, "delivery_success", "target=erp")


def test_a_stricter_target_gains_alerts_and_pages_for_the_owner(past: Past) -> None:
    ill_for(past, 10)
    lax, strict = level(past, target=0.9), level(past, target=0.99)
    impact = past.simulated(service_levels.simulate, lax, strict)
    found = figures(impact)
    assert (found["alerts"], found["alerts gained"]) == ((0, 1), (0, 1))
    assert found[f"pages for {told(past, strict)}"] == (0, WEEKLY), "one in the three hours that are known"
    assert impact.since == past.clock.now().replace(second=0, microsecond=0) - timedelta(hours=3)
    [row] = impact.rows
    assert (row["change"], row["before"], row["after"]["severity"]) == ("gained", None, "page")


def test_pages_are_counted_for_whom_the_escalation_path_tells_first_and_not_for_the_owner(past: Past) -> None:
    ill_for(past, 10)
    old = level(past)
    first = told(past, old)
    other = next(name for name in past.registry.snapshot().teams if name != first)
    found = figures(past.simulated(service_levels.simulate, old, level(past, owner=other)))
    assert {name: both for name, both in found.items() if name.startswith("pages")} == {
        f"pages for {first}": (WEEKLY, WEEKLY)
    }


def test_another_escalation_path_moves_the_pages_to_those_it_tells(past: Past) -> None:
    ill_for(past, 10)
    old = level(past)
    first = told(past, old)
    path, team = past.registry.snapshot().documents["EscalationPath", "records"], "finance-systems"
    assert isinstance(path, EscalationPath)
    steps = [{**one.model_dump(mode="json"), "team": team} for one in path.spec.steps]
    with past.store.write() as conn:
        revisions.write(conn, past.clock, [changed(path, steps=steps)], author="test", origin="test", reason="")
    found = figures(past.simulated(service_levels.simulate, old, level(past, escalation="records")))
    assert (found[f"pages for {first}"], found[f"pages for {team}"]) == ((WEEKLY, 0), (0, WEEKLY))


def test_another_series_is_not_counted(past: Past) -> None:
    ill_for(past, 10)
    assert figures(past.simulated(service_levels.simulate, None, level(past, labels={"target": "wms"})))["alerts"] == (
        0,
        0,
    )


def test_where_nothing_was_observed_nothing_is_guessed(past: Past) -> None:
    impact = past.simulated(service_levels.simulate, level(past), level(past, target=0.999))
    assert figures(impact)["alerts"] == (0, 0)
    assert any("nothing was ever observed" in line for line in impact.not_simulated)


# --- comparisons ---


def test_a_wider_tolerance_hides_findings_and_says_what_they_are_worth(past: Past) -> None:
    document = past.registry.snapshot().documents["Comparison", next(iter(past.registry.snapshot().comparisons))]
    assert isinstance(document, Comparison)
    now = past.clock.now()
    run_id = new_id(now)
    run = {"id": run_id, "comparison": document.name, "started_at": now, "state": "complete", "trigger": "schedule"}
    found = [
        {
            "id": new_id(now), "comparison": document.name, "subject": f"{sku}@WH1", "side": "shop", "cause": "late",
            "state": "closed", "first_seen_at": now, "confirmed_at": now - timedelta(days=days), "expected": [10],
            "actual": actual, "money": Decimal(money), "currency": "EUR", "explanation": "", "evidence": {},
            "run_id": run_id, "registry_version": 1,
        }
        for sku, actual, money, days in [("A", 9, "10", 1), ("B", 7, "30", 2), ("C", 9, "10", 40)]
    ]  # fmt: skip
    with past.store.write() as conn:
        conn.execute(insert(t.comparison_run).values({**run, "registry_version": 1}))
        conn.execute(insert(t.finding), found)
    narrow, wide = changed(document, tolerance=0), changed(document, tolerance=1)
    impact = past.simulated(comparisons.simulate, narrow, wide)
    assert figures(impact) == {"findings": (2, 1), "their worth": (40, 30)}
    assert [row["key"] for row in impact.rows] == ["A@WH1 at shop"]
    back = past.simulated(comparisons.simulate, wide, narrow)
    assert any("was never kept" in line for line in back.not_simulated)
