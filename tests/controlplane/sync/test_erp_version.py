"""An ERP whose API gets another version (OData V2, then V4) is a matter of its connector: no policy changes, no flow, no channel knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.sap_s4.api import ORDERS, ORDERS4
from controlplane.connectors.builtin.sap_s4.connector import SapS4Connector
from controlplane.connectors.conformance.bench import GivenCodes
from controlplane.connectors.contract import Context
from controlplane.sandbox.sap.app import PASSWORD, USER, create
from controlplane.sandbox.sap.books import Erp
from controlplane.store import Store
from controlplane.store import tables as t
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.simulators import hanging_up
from tests.controlplane.connectors.test_sap_s4 import OPTIONS
from tests.controlplane.sync.kit import House

SKU = "0007-BLK-M"


class Release:
    """A tenant's front: after `upgrade` it serves sales orders in the newer version, and in no other."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.newer, self.asked = inner, False, list[str]()

    def upgrade(self) -> None:
        """The new release goes live."""
        self.newer = True

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith((ORDERS, ORDERS4)):
            return self.inner(environ, start)  # type: ignore[no-any-return]
        self.asked.append(path)
        if path.startswith(ORDERS4) is not self.newer:
            start("404 Not Found", [("Content-Type", "application/json")])
            return [b'{"error": {"code": "/IWFND/MED/170", "message": {"lang": "en", "value": "No service found"}}}']
        return self.inner(environ, start)  # type: ignore[no-any-return]


class NextConnector(SapS4Connector):
    """The connector's next release: it speaks the newer version of sales orders."""

    def __init__(self, context: Context) -> None:
        super().__init__(replace(context, options={**context.options, "orders_api": "v4"}))


@dataclass
class Upgraded:
    """A retailer whose ERP is a tenant that will be upgraded."""

    house: House
    erp: Erp
    front: Release
    given: Given

    def deploy(self, connector: type[SapS4Connector]) -> None:
        """Start the plane again with a release of the connector; nothing else is another."""
        known = GivenCodes({"location": {"1010/101A": "WH1"}})
        self.house.erp = connector(replace(self.given.context(), codes=known))  # type: ignore[assignment]
        self.house.sync = self.house.restarted()

    def of(self, target: str) -> list[tuple[str, str]]:
        """Subjects and outcomes of the deliveries to a target."""
        d = t.delivery.c
        with self.house.store.read() as connection:
            rows = connection.execute(select(d.subject, d.outcome).where(d.target == target).order_by(d.id))
            return [(row.subject, row.outcome) for row in rows]


@pytest.fixture
def upgraded(sqlite_store: Store) -> Iterator[Upgraded]:
    clock = ManualClock(START, pace=0.001)
    house = House(sqlite_store, clock)
    erp = Erp(clock.now)
    erp.keep(SKU, "1010/101A", 100)
    app = create(erp)
    front = Release(app.wsgi_app)
    app.wsgi_app = front  # type: ignore[method-assign]
    with hanging_up(app) as port:
        given = Given(
            f"http://127.0.0.1:{port}", options=dict(OPTIONS), timeout=600, clock=clock,
            secrets={"user": USER, "password": PASSWORD},
        )  # fmt: skip
        found = Upgraded(house, erp, front, given)
        house.shop.levels[SKU, "WH1"] = 8
        house.sync.healing.read_channel("shop")
        house.product(SKU, "4.00")
        house.level(SKU, 50)
        house.run()
        found.deploy(SapS4Connector)
        yield found
        house.erp.close()


def test_a_newer_version_of_an_erps_api_is_a_change_of_its_connector_alone(upgraded: Upgraded) -> None:
    house = upgraded.house
    house.order("#1", SKU, 2)
    house.run()
    policies = house.registry.snapshot().version
    house.sync.pause("erp", "ops", "the tenant is upgraded")
    upgraded.front.upgrade()
    house.order("#2", SKU, 1)
    house.shipment("S-1", "#1", SKU, 2)
    house.run(minutes=2)
    assert upgraded.erp.effects["orders"] == ["#1"]
    upgraded.deploy(NextConnector)
    house.sync.resume("erp", "ops", "it is back")
    house.run(minutes=5)
    assert upgraded.erp.effects["orders"] == ["#1", "#2"]
    assert upgraded.erp.effects["deliveries"] == ["S-1"], "of an order that was booked by the older version"
    assert [one for one in upgraded.of("erp") if one[1] != "delivered"] == []
    assert house.registry.snapshot().version == policies
    assert {outcome for _, outcome in upgraded.of("shop")} == {"delivered"}
    assert house.shop.effects["fulfillment", "S-1"] == 1
    assert upgraded.front.asked[-1].startswith(ORDERS4)


def test_the_older_connector_is_refused_by_the_newer_version_with_its_reason_and_books_nothing(
    upgraded: Upgraded,
) -> None:
    upgraded.front.upgrade()
    upgraded.house.order("#1", SKU, 1)
    upgraded.house.run()
    q = t.quarantine.c
    with upgraded.house.store.read() as connection:
        reason = connection.execute(select(q.reason).where(q.state == "waiting", q.system == "erp")).scalar_one()
    assert "No service found" in reason
    assert upgraded.erp.effects["orders"] == []
