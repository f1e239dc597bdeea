"""What a process counts of its own work, and that it cannot hurt it."""

from __future__ import annotations

import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Sequence
from contextlib import suppress

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, func, select

from controlplane.clock import ManualClock
from controlplane.connectors.contract import Draft
from controlplane.errors import SettingsError
from controlplane.health.metrics import Page
from controlplane.store import Store, facts
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.ledger import Acceptor
from controlplane.sync.routing import emit
from controlplane.telemetry import Meters, Telemetry
from controlplane.telemetry.meters import SHORT, Bounded, Histogram
from controlplane.telemetry.serving import serve_meters
from rules.outcomes import Guarantee
from tests.controlplane.sync.kit import PLAIN, House

SKU = "0007-BLK-M"
Labels = dict[str, str]


@pytest.fixture
def telemetry(store: Store, clock: ManualClock) -> Telemetry:
    """The meters of a process that works on the store."""
    made = Telemetry(clock)
    store.facts.subscribe(made.told)
    return made


@pytest.fixture
def house(store: Store, clock: ManualClock, telemetry: Telemetry) -> House:
    """A retailer whose shop shows 8 of one SKU."""
    house = House(store, clock)
    house.shop.levels[SKU, "WH1"] = 8
    house.sync.healing.read_channel("shop")
    return house


def read(telemetry: Telemetry, sample: str) -> list[tuple[Labels, float]]:
    """Return the samples of a name, as Prometheus would read them."""
    families = text_string_to_metric_families(generate_latest(telemetry.meters.registry).decode())
    return [(one.labels, one.value) for family in families for one in family.samples if one.name == sample]


def total(telemetry: Telemetry, sample: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels."""
    return sum(value for found, value in read(telemetry, sample) if labels.items() <= found.items())


def test_one_order_is_counted_at_every_step_from_the_webhook_to_the_vendors(house: House, telemetry: Telemetry) -> None:
    house.order("#1001", SKU, 2)
    house.order("#1001", SKU, 2, event="#1001")  # told twice, and one
    house.run()
    assert total(telemetry, "trueup_records_received_total", channel="webhook", system="shop") == 1
    assert total(telemetry, "trueup_records_translated_total", system="shop", result="translated") == 1
    assert total(telemetry, "trueup_messages_accepted_total", channel="webhook", source="shop") == 1
    assert total(telemetry, "trueup_messages_processed_total", type="order.placed", result="processed") == 1
    for target in ("erp", "wms"):
        tried = {"system": target, "flow": "orders", "kind": "write", "outcome": "delivered"}
        assert total(telemetry, "trueup_attempts_total", **tried) == 1
        assert total(telemetry, "trueup_attempt_seconds_count", system=target, kind="write") == 1
        assert total(telemetry, "trueup_delivery_latency_seconds_count", target=target, flow="orders") == 1
        assert total(telemetry, "trueup_turn_seconds_count", target=target) >= 2


def test_latency_runs_from_when_the_delivery_came_to_be_through_every_retry(house: House, telemetry: Telemetry) -> None:
    house.wms.faults.extend(["unavailable"])
    house.order("#1001", SKU, 2)
    house.sync.drain()
    assert total(telemetry, "trueup_delivery_latency_seconds_count", target="wms") == 0
    house.run(minutes=10)
    assert total(telemetry, "trueup_attempts_total", system="wms", outcome="unavailable") == 1
    assert total(telemetry, "trueup_delivery_latency_seconds_count", target="wms") == 1
    assert total(telemetry, "trueup_delivery_latency_seconds_sum", target="wms") >= 1
    assert total(telemetry, "trueup_delivery_latency_seconds_sum", target="erp") == 0


def test_a_message_that_breaks_a_rule_counts_as_quarantined_with_what_it_would_have_made_forgotten(
    house: House, telemetry: Telemetry
) -> None:
    house.shipment("S1", "#nobody-ordered-this", SKU, 1)
    house.hook("wms", "stock.level", "UNKNOWN@WH1", {"sku": "UNKNOWN"})
    house.run()
    assert total(telemetry, "trueup_messages_processed_total", type="shipment.shipped", result="quarantined") == 1
    assert total(telemetry, "trueup_records_translated_total", system="wms", result="quarantined") == 1
    assert total(telemetry, "trueup_messages_accepted_total", channel="plane") == 0


def test_a_state_that_a_newer_one_replaces_is_counted_by_target(house: House, telemetry: Telemetry) -> None:
    for on_hand in (12, 15, 9, 30):
        house.clock.advance(1)
        house.level(SKU, on_hand)
    while house.sync.translate() or house.sync.process():
        pass
    house.run()
    assert house.shop.history[SKU, "WH1"] == [28]
    assert total(telemetry, "trueup_deliveries_superseded_total", target="shop") == 3


def test_a_state_that_fails_while_a_newer_one_waits_behind_it_is_superseded_too(
    house: House, telemetry: Telemetry
) -> None:
    house.level(SKU, 12)
    while house.sync.translate() or house.sync.process():
        pass
    turn = house.sync.delivering.turn("shop", [], 10, capped=False)
    house.clock.advance(1)
    house.level(SKU, 30)
    while house.sync.translate() or house.sync.process():
        pass
    assert total(telemetry, "trueup_deliveries_superseded_total") == 0, "it is being sent"
    house.shop.faults.append("rejected")
    sents = [sent for request in turn.requests for sent in house.sync.delivering.send("shop", request)]
    house.sync.delivering.turn("shop", sents, 0)
    assert total(telemetry, "trueup_deliveries_superseded_total", target="shop") == 1


def test_a_record_that_a_person_sends_on_is_accepted_by_replay(house: House, telemetry: Telemetry) -> None:
    house.hook("erp", "product.described", "UNKNOWN", {"sku": "UNKNOWN"})
    house.run()
    with house.store.read() as connection:
        case = connection.execute(select(t.quarantine.c.id)).scalar_one()
    item = {"sku": SKU, "title": SKU, "unit_cost": "1.00", "unit_price": None, "currency": "USD"}
    body = {"type": "product.described", "subject": SKU, "data": item}
    with house.store.write() as connection:
        quarantine.correct(connection, house.clock, case, {"topic": "product.described", "body": body}, "olga", PLAIN)
        quarantine.approve(connection, house.clock, case, "ben")
    house.sync.replay(case, "olga")
    assert total(telemetry, "trueup_messages_accepted_total", channel="replay", source="erp") == 1


def test_a_write_repeated_where_nothing_protects_counts_as_a_possible_duplicate(
    house: House, telemetry: Telemetry
) -> None:
    house.erp.guarantee = Guarantee.NONE
    house.erp.__post_init__()
    house.erp.faults.extend(["lost answer"])
    house.order("#1001", SKU, 1)
    house.run(minutes=5)
    assert house.erp.effects["sales_order", "#1001"] == 2
    assert read(telemetry, "trueup_possible_duplicates_total") == [({"system": "erp"}, 1)]


def test_the_late_result_of_a_worker_whose_lease_ran_out_is_an_attempt_but_no_delivery(
    house: House, telemetry: Telemetry
) -> None:
    house.order("#1001", SKU, 1)
    house.sync.translate()
    house.sync.process()
    slow = house.restarted().delivering
    turn = slow.turn("erp", [], 10, capped=False)
    late = [sent for request in turn.requests for sent in slow.send("erp", request)]
    house.clock.advance(60)
    house.sync.recover()
    house.run(minutes=1)
    slow.turn("erp", late, 0)
    assert total(telemetry, "trueup_attempts_total", system="erp", outcome="delivered", kind="write") == 1
    assert total(telemetry, "trueup_attempts_total", system="erp", outcome="already_delivered") == 1
    assert total(telemetry, "trueup_delivery_latency_seconds_count", target="erp") == 1


def test_requests_that_share_a_commit_are_counted_together(house: House, telemetry: Telemetry) -> None:
    acceptor: Acceptor = house.sync.acceptor
    body = (
        b'{"id": "%d", "source": "wms", "type": "stock.level", "subject": "%s@WH1", "time": "2026-03-02T08:59:00Z", "data":'
        b' {"sku": "%s", "location": "WH1", "on_hand": 5, "allocated": 0, "available": 5, "in_transit": 0,'
        b' "source_at": "2026-03-02T08:59:00Z"}}'
    )
    sku = SKU.encode()
    with house.store.write():  # nobody commits meanwhile, so that all but the first wait together
        threads = [
            threading.Thread(target=acceptor.accept, args=(body % (n, sku, sku),), kwargs={"batch": False})
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        if house.store.is_sqlite:
            while len(acceptor.group._waiting) < 5:
                threading.Event().wait(0.01)
    for thread in threads:
        thread.join()
    assert total(telemetry, "trueup_messages_accepted_total", channel="api", source="wms") == 6
    assert total(telemetry, "trueup_commit_group_size_sum") == 6
    assert total(telemetry, "trueup_commit_group_size_count") == acceptor.group.commits
    if house.store.is_sqlite:
        assert acceptor.group.commits == 2


def test_what_is_rolled_back_was_never_counted(house: House, telemetry: Telemetry) -> None:
    item = {"sku": SKU, "title": SKU, "unit_cost": "1.00", "unit_price": None, "currency": "USD"}
    draft = Draft("product.described", SKU, "k", house.clock.now(), item)

    def make(connection: Connection) -> None:
        assert emit(house.sync.work(connection), draft, "0" * 31 + "1", None)
        raise RuntimeError("on second thoughts")

    with suppress(RuntimeError), house.store.write() as connection:
        make(connection)
    with house.store.write() as connection:
        with suppress(RuntimeError), facts.savepoint(connection):
            make(connection)
        assert connection.execute(select(func.count()).select_from(t.message)).scalar_one() == 0
    assert read(telemetry, "trueup_messages_accepted_total") == []


def test_a_measurement_that_fails_fails_nothing_else(house: House, telemetry: Telemetry) -> None:
    def broken(_facts: Sequence[object]) -> None:
        raise ZeroDivisionError("the meter is broken")

    other = House(house.store, house.clock)
    house.store.facts = facts.Facts()
    house.store.facts.subscribe(broken)
    house.store.facts.subscribe(telemetry.told)
    other.order("#1001", SKU, 1)
    other.run()
    assert other.erp.effects["sales_order", "#1001"] == other.wms.effects["order", "#1001"] == 1
    assert total(telemetry, "trueup_attempts_total", outcome="delivered") == 2


def test_labels_beyond_the_cap_are_one_other() -> None:
    bounded = Bounded(most=2)
    assert [bounded("system", name) for name in ("a", "b", "c", "d", "a")] == ["a", "b", "other", "other", "a"]
    assert bounded("flow", "c") == "c", "each label has a cap of its own"
    meters = Meters(most_values=3)
    for number in range(50):
        meters.delivered(f"flow{number}", f"target{number}", [0.1])
    lines = generate_latest(meters.registry).decode().splitlines()
    series = [line for line in lines if line.startswith("trueup_delivery_latency_seconds_count")]
    assert len(series) == 4
    assert 'trueup_delivery_latency_seconds_count{flow="other",target="other"} 47.0' in series


def test_our_histogram_is_exposed_to_the_letter_as_the_librarys_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("trueup_x_seconds", "Seconds", ("system", "kind"), SHORT)
    ours.register(mine)
    other = prometheus_client.Histogram(
        "trueup_x_seconds", "Seconds", ("system", "kind"), registry=theirs, buckets=SHORT
    )
    for labels, values in (("erp", (0.0, 0.001, 0.0011, 59.0, 61.0)), ('a "quoted" one', (0.3,))):
        mine.observe((labels, "write"), values)
        for value in values:
            other.labels(labels, "write").observe(value)
    mine.observe(("erp", "write"), (0.5,), times=3)
    for _ in range(3):
        other.labels("erp", "write").observe(0.5)
    assert sorted(generate_latest(ours).splitlines()) == sorted(generate_latest(theirs).splitlines())


def test_every_metric_says_what_it_is_and_no_name_is_given_twice(house: House, telemetry: Telemetry) -> None:
    house.order("#1001", SKU, 1)
    house.run()
    page = Page(house.store, house.clock, house.registry, telemetry.meters)
    lines = page.body().decode().splitlines()
    helped = [line.split()[2] for line in lines if line.startswith("# HELP") and len(line.split()) > 3]
    assert len(helped) == len(set(helped))
    families = [family.name for family in text_string_to_metric_families(page.body().decode())]
    assert len(families) == len(set(families))
    assert {name.removesuffix("_total") for name in helped} == set(families)


def test_prometheus_own_tool_finds_nothing_to_complain_about(house: House, telemetry: Telemetry) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    house.order("#1001", SKU, 1)
    house.run()
    body = Page(house.store, house.clock, house.registry, telemetry.meters).body()
    told = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)
    assert told.returncode == 0, told.stderr.decode()


def test_a_worker_answers_prometheus_on_a_port_of_its_own_and_says_when_it_is_taken() -> None:
    meters = Meters()
    meters.superseded("shop", 3)
    stop, port = serve_meters(meters, "127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b'trueup_deliveries_superseded_total{target="shop"} 3.0' in answer.read()
        with pytest.raises(SettingsError, match=f"--metrics-port={port}"):
            serve_meters(meters, "127.0.0.1", port)
    finally:
        stop()
