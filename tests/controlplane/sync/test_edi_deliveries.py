"""The whole way with a partner who speaks X12: an order waits for its 997, and what comes in is taken once and acknowledged after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.health.observations import ProbeContext
from controlplane.sandbox.edi.partner import Habits, Partner
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from probes import attempts, queues
from tests.controlplane.sync.kit import PLAIN, House
from tests.controlplane.sync.policies import change
from tests.controlplane.sync.test_loop import SKU, rows

OPTIONS: dict[str, Any] = {"us": {"id": "RETAILER"}, "partner": {"id": "WAREHOUSE"}}


class Traded(House):
    """The house, with a warehouse that is an EDI partner over a folder."""

    real: Connections
    partner: Partner

    def get(self, system: str, at: object = None) -> Any:
        """Be the connections."""
        return self.real.get("wms") if system == "wms" else super().get(system)

    def rounds(self, count: int, minutes: float = 2) -> None:
        """The partner takes its turn, we poll and deliver, so many times."""
        for _ in range(count):
            self.partner.step(self.clock.now())
            self.sync.poll("shipments")
            self.run(minutes=minutes)

    def owed(self) -> dict[str, Any]:
        """The delivery that the warehouse is owed, with the tries at it."""
        d, a = t.delivery.c, t.attempt.c
        with self.store.read() as connection:
            row = connection.execute(select(t.delivery).where(d.target == "wms").order_by(d.created_at.desc())).first()
            assert row is not None
            tries = connection.execute(select(a.kind, a.outcome).where(a.delivery_id == row.id).order_by(a.finished_at))
            return {**row._asdict(), "tries": [tuple(one) for one in tries]}

    def failures(self) -> int:
        """How often the warehouse has failed in a row."""
        with self.store.read() as connection:
            query = select(t.system_state.c.consecutive_failures).where(t.system_state.c.system == "wms")
            return int(connection.execute(query).scalar() or 0)

    def case(self) -> dict[str, Any]:
        """The one that waits for a person."""
        [case] = [each for each in rows(self, t.quarantine) if each["state"] == "waiting"]
        return dict(case)


@pytest.fixture
def house(store: Store, clock: ManualClock, tmp_path: Path) -> Iterator[Traded]:
    """A retailer with one product, whose warehouse speaks X12."""
    house = Traded(store, clock)
    house.partner = Partner(tmp_path / "partner", {SKU: 40}, warehouse="WH1")
    wms = {
        "connector": "edi_x12",
        "endpoint": str(tmp_path / "partner"),
        "secrets": {},
        "internal": [],
        "options": OPTIONS,
    }
    change(house, "System", "wms", **wms)
    change(house, "Flow", "shipments", read="interchanges", method="poll")
    house.real = Connections(house.registry, Settings(home=tmp_path), clock, store=store)
    house.product(SKU, "4.00")
    yield house
    house.real.close()


def test_an_order_is_delivered_when_the_partner_acknowledges_it_and_shipped_when_he_tells(house: Traded) -> None:
    house.order("#1001", SKU, 2)
    house.run(minutes=3)
    assert house.owed()["state"] == "unknown"
    assert house.failures() == 0
    house.rounds(1)
    assert house.owed()["state"] == "delivered"
    house.rounds(2)
    with house.store.read() as connection:
        assert connection.execute(select(t.order_state.c.state)).scalar_one() == "shipped"
    assert house.shop.effects["fulfillment", "SH-000000001"] == 1
    house.rounds(1)
    assert len(house.partner.journal("effect")) == 1
    assert house.partner.journal("acknowledged")[0]["text"].count("AK5*A~") == 1


def test_awaiting_acknowledgements_is_no_outage_and_keeps_no_other_order_back(house: Traded) -> None:
    house.partner.habits = Habits(silent=True)
    for number in range(8):
        house.order(f"#{number}", SKU, 1)
    house.run(minutes=1)
    for _ in range(5):
        house.rounds(1)
        assert house.failures() == 0
    assert len(house.partner.journal("effect")) == 8
    context = ProbeContext(house.store, house.registry.snapshot(), house.real, house.clock)
    for number in range(8, 10):
        house.order(f"#{number}", SKU, 1)
    house.sync.drain()
    house.clock.advance(10)
    [share] = [seen for seen in attempts.delivery_success(context) if seen.labels == {"target": "wms"}]
    assert share.total == 0


def test_a_set_that_is_not_acknowledged_grows_old_and_waits_for_a_person_in_the_end(house: Traded) -> None:
    change(house, "RetryPolicy", "default", first="2s", cap="5m", budget="2h")
    house.partner.habits = Habits(silent=True)
    house.order("#1001", SKU, 2)
    house.rounds(10)
    context = ProbeContext(house.store, house.registry.snapshot(), house.real, house.clock)
    ages = {seen.labels["target"]: seen.value for seen in queues.probe(context) if seen.indicator == "queue_age"}
    assert ages["wms"] is not None
    assert ages["wms"] > 600, "the AlertRule queue-age pages"
    house.rounds(6, minutes=20)
    case = house.case()
    assert (case["system"], case["reason_code"], case["subject"]) == ("wms", "gave_up", "#1001")
    assert "000000001 was handed over" in case["reason"]
    assert "the partner took it, and no 997 has come" in case["reason"]
    assert len(house.owed()["tries"]) < 40
    assert len(house.partner.journal("effect")) == 1


def test_a_set_that_is_refused_waits_with_its_place_and_a_corrected_one_goes_under_a_number_of_its_own(
    house: Traded,
) -> None:
    house.partner.stock = {"OTHER": 5}
    house.order("#1001", SKU, 2)
    house.run(minutes=1)
    house.rounds(2)
    case = house.case()
    assert case["reason_code"] == "rejected"
    assert "segment 8 (W01), element 5: invalid code (7)" in case["reason"]
    lines = [{**line, "sku": "OTHER"} for line in case["record"]["lines"]]
    with house.store.write() as connection:
        quarantine.correct(connection, house.clock, str(case["id"]), {**case["record"], "lines": lines}, "olga", PLAIN)
    house.sync.replay(str(case["id"]), "olga")
    house.run(minutes=1)
    house.rounds(2)
    assert house.owed()["state"] == "delivered"
    assert [(one["control"], one["lines"]) for one in house.partner.journal("effect")] == [
        ("000000002", [["OTHER", 2]])
    ]


def test_one_that_the_partner_had_to_mend_goes_again_unchanged_under_another_number(house: Traded) -> None:
    house.partner.stock = {}
    house.order("#1001", SKU, 2)
    house.run(minutes=1)
    house.rounds(2)
    case = house.case()
    house.partner.stock = {SKU: 40}  # he has listed the item
    house.sync.replay(str(case["id"]), "olga")
    house.run(minutes=1)
    house.rounds(2)
    assert house.owed()["state"] == "delivered"
    assert [one["control"] for one in house.partner.journal("effect")] == ["000000002"]


def test_what_comes_twice_counts_once(house: Traded) -> None:
    house.partner.habits = Habits(repeats=True)
    house.order("#1001", SKU, 2)
    house.run(minutes=1)
    house.rounds(4)
    assert [one["quantity"] for one in house.partner.journal("shipped")] == [2]
    with house.store.read() as connection:
        assert connection.execute(select(t.order_line.c.shipped)).scalars().all() == [2]
    assert house.shop.effects["fulfillment", "SH-000000001"] == 1
