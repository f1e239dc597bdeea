"""The ticker has every system asked how it is set; what differs is an indicator, an incident, and in the API's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.health.observations import ProbeContext
from controlplane.jobs.schedules import SETTINGS_EVERY
from controlplane.jobs.ticker import Ticker
from controlplane.store import tables as t
from controlplane.wiring import Plane
from probes.settings import FRESH, probe
from tests.controlplane.connectors.conftest import START
from tests.controlplane.sandbox.client import Client
from tests.controlplane.sandbox.conftest import listener, start
from tests.web import a_plane, served, signed_in

__all__ = ["listener", "start"]
GONE = "mutation ($id: ID!) { webhookSubscriptionDelete(id: $id) { userErrors { message } } }"


@dataclass
class House:
    plane: Plane
    sandbox: Client
    clock: ManualClock

    def __post_init__(self) -> None:
        self.ticker = Ticker(self.plane)

    def later(self, seconds: float = SETTINGS_EVERY.total_seconds()) -> None:
        self.clock.advance(seconds)
        self.sandbox.advance(self.clock.now().isoformat())
        for _ in range(2):  # the probe reads what the round before kept
            self.ticker.run_due()
            self.clock.advance(60)
            self.sandbox.advance(self.clock.now().isoformat())
        self.ticker.run_due()

    def unsubscribe(self) -> None:
        [one] = self.sandbox.shop("{ webhookSubscriptions(first: 9, topics: [ORDERS_CREATE]) { nodes { id } } }")[
            "data"
        ]["webhookSubscriptions"]["nodes"]
        self.sandbox.shop(GONE, id=one["id"])

    def indicator(self, name: str) -> dict[str, float | None]:
        s = t.sample.c
        with self.plane.store.read() as conn:
            rows = conn.execute(select(s.labels, s.value).where(s.indicator == name).order_by(s.id)).all()
        return {row.labels["system"]: row.value for row in rows}

    def incidents(self) -> list[Any]:
        with self.plane.store.read() as conn:
            return [row for row in conn.execute(select(t.incident)) if "registry-drift" in row.fingerprint]


@pytest.fixture
def house(start: Callable[..., Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    sandbox = start(home=tmp_path / "home" / "sandbox")
    monkeypatch.setenv("TRUEUP_SANDBOX_PORT", sandbox.url.rpartition(":")[2])
    clock = ManualClock(START, pace=1.0)
    with a_plane(tmp_path / "home", clock) as plane:
        yield House(plane, sandbox, clock)


def test_settings_as_promised_are_counted_as_none_that_differ_and_silent_systems_as_unknown(house: House) -> None:
    house.later()
    assert house.indicator("registry_drift") == {"erp": 0.0, "pager": None, "shop": 0.0, "tills": None, "wms": 0.0}
    assert house.indicator("registry_untold") == {"erp": 1.0, "pager": None, "shop": 0.0, "tills": None, "wms": 0.0}
    assert house.incidents() == []


def test_a_difference_opens_an_incident_that_says_what_it_is(house: House) -> None:
    house.later()
    house.unsubscribe()
    house.later()
    assert house.indicator("registry_drift")["shop"] == 1.0
    [incident] = house.incidents()
    assert (incident.owner, incident.severity, incident.open_key is not None) == (
        "integration-platform",
        "ticket",
        True,
    )
    assert "at shop, webhook orders/create ought to be told to an address" in incident.cause
    with served(house.plane) as url:
        systems = {row["name"]: row for row in signed_in(url, "vic").get("/api/v1/systems").json()["systems"]}
    [row] = [row for row in systems["shop"]["settings"]["rows"] if row["standing"] == "different"]
    assert (row["name"], row["actual"]) == ("webhook orders/create", "told to nobody")
    assert systems["tills"]["settings"]["unread"] == "the connector 'till_files' cannot tell how its system is set"


def test_a_system_that_could_not_be_read_is_unknown_and_not_well(house: House) -> None:
    house.later()
    house.sandbox.fault(kind="down", target="shop", until="3h")
    house.later()
    assert house.indicator("registry_drift")["shop"] is None
    assert house.indicator("registry_drift")["wms"] == 0.0


def test_a_reading_that_is_too_old_says_nothing_of_now(house: House) -> None:
    house.later()
    house.clock.advance(FRESH.total_seconds() + 1)
    plane = house.plane
    seen = probe(ProbeContext(plane.store, plane.registry.snapshot(), plane.connections, plane.clock))
    assert {one.value for one in seen} == {None}
    assert all("last read at" in (one.note or "") for one in seen)
