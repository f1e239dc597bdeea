"""Deliveries to a system whose address may not be spoken to: nothing is sent, nothing is lost, and it is said why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.registry import revisions
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from tests.addresses import pairs_of
from tests.controlplane.connectors.bad_server import BadServer
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.test_loop import SKU

SECRETS = ("wms_refresh_token", "wms_webhook_secret")


class Mixed(House):
    """The house, with a warehouse that is reached by its real connector."""

    real: Connections

    def get(self, system: str, at: object = None) -> Any:
        """Be the connections."""
        return self.real.get("wms") if system == "wms" else super().get(system)

    def govern(self, **spec: object) -> None:
        """Change the warehouse's policy, past the lint: as it was approved before there was a guard."""
        system = self.registry.snapshot().systems["wms"]
        changed = system.model_copy(update={"spec": system.spec.model_copy(update=spec)})
        with self.store.write() as connection:
            revisions.write(connection, self.clock, [changed], author="test", origin="test", reason="test")

    def state(self) -> Any:
        """How the warehouse stands."""
        with self.store.read() as connection:
            return connection.execute(select(t.system_state).where(t.system_state.c.system == "wms")).one()

    def owed(self) -> tuple[str, int]:
        """State and attempts of what is owed to the warehouse."""
        d, a = t.delivery.c, t.attempt.c
        with self.store.read() as connection:
            state = connection.execute(select(d.state).where(d.target == "wms")).scalar_one()
            return state, connection.execute(select(func.count()).where(a.system == "wms")).scalar_one()


class Names:
    """A resolver."""

    answer: Sequence[str] = ()

    def __call__(self, host: str, port: int) -> Sequence[str]:
        return self.answer


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def house(store: Store, clock: ManualClock, tmp_path: Path, names: Names) -> Iterator[Mixed]:
    """A retailer with one product."""
    settings = Settings(home=tmp_path)
    settings.secrets.mkdir(parents=True)
    for name in SECRETS:
        (settings.secrets / name).write_text("a secret of eight words or so", encoding="ascii")
    house = Mixed(store, clock)
    house.real = Connections(house.registry, settings, clock, names)
    house.product(SKU, "4.00")
    yield house
    house.real.close()


@pytest.fixture
def server() -> Iterator[BadServer]:
    """Whatever listens at the address."""
    server = BadServer()
    yield server
    server.close()


def test_deliveries_wait_untried_while_the_endpoint_is_a_blocked_address_and_go_when_policy_states_it(
    house: Mixed, server: BadServer
) -> None:
    house.govern(endpoint=server.url, internal=())
    house.order("#1001", SKU, 1)
    house.run(minutes=10)
    assert server.asked == []
    assert house.owed() == ("pending", 0)
    assert house.erp.effects["sales_order", "#1001"] == 1, "its neighbour is served"
    pair = pairs_of(server.url)[0]
    told = house.state().last_error
    assert told.startswith(
        f"System 'wms': nothing is sent: {pair} is loopback; if that is meant, add '{pair}' to spec.internal"
    )
    assert house.state().blocked_until is not None
    house.govern(internal=(pair,))
    house.run(minutes=5)
    assert server.asked
    assert house.owed()[1] > 0


def test_a_name_that_leads_to_a_private_address_is_an_outage_that_nothing_is_lost_by(
    house: Mixed, names: Names
) -> None:
    names.answer = ["93.184.216.34", "10.0.0.7"]
    house.govern(endpoint="http://wms.example", internal=())
    house.order("#1001", SKU, 1)
    house.run(minutes=2)
    state, attempts = house.owed()
    assert (state, attempts > 0) == ("pending", True)
    assert "wms.example:80 leads to 10.0.0.7, which is private" in house.state().last_error
    with house.store.read() as connection:
        a = t.attempt.c
        assert set(connection.execute(select(a.outcome).where(a.system == "wms")).scalars()) == {"unavailable"}
