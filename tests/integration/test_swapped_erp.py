"""The ERP is another one from one moment to the next, by policy alone, while customers order: no order is lost, none is booked twice.

A whole plane and the sandbox's shop, warehouse and NetSuite on one clock; beside them a simulated SAP. What each ERP booked its own
books tell, and what was ordered the shop's.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from controlplane.access import Actor, create_account
from controlplane.registry.changes import Changes
from controlplane.registry.revisions import dump
from controlplane.sandbox.sap.app import PASSWORD, USER, create
from controlplane.sandbox.sap.books import Erp
from controlplane.scenarios.retailer import Standing
from controlplane.scenarios.runner import Stage, set_up
from controlplane.scenarios.scenario import Scenario
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.controlplane.connectors.simulators import hanging_up
from tests.web import PASSWORD as WEB_PASSWORD

pytestmark = pytest.mark.timeout(600)
MINUTES = 10
STEP = timedelta(seconds=20)
TRADE: dict[str, Any] = {
    "name": "swapped-erp", "minutes": MINUTES,
    "retailer": {"skus": 6, "stores": ["ST1"], "stock": [300, 300]},
    "actors": {"customers": {"orders_per_minute": 5}, "stores": {"sales_per_minute": 0}, "returns": {"share": 0}},
    # shipments follow the orders that they are of; here it is orders that change their ERP
    "policies": [{"kind": "Flow", "metadata": {"name": "shipments"}, "spec": {"targets": [{"system": "shop", "entity": "fulfillment"}]}}],
}  # fmt: skip
SAP_OPTIONS = {
    "sales_organization": "1010", "distribution_channel": "10", "division": "00", "sold_to_party": "10100001",
    "company_code": "1010", "locations": ["WH1"],
}  # fmt: skip


@dataclass
class Running:
    """A plane and a retailer that trade, and a SAP that nobody speaks to yet."""

    stage: Stage
    sap: Erp
    port: int
    standing: Standing = field(init=False)

    @property
    def plane(self) -> Plane:
        return self.stage.plane

    def trade(self, minutes: float) -> None:
        """Let time go by for all of them. What the plane does on schedule (probes, comparisons) is left out: orders come by webhook."""
        for _ in range(int(minutes * 60 / STEP.total_seconds())):
            self._step()

    def come_to_rest(self) -> None:
        """Let customers stop and everything that is owed be delivered. Bounded."""
        for _ in range(90):
            self._step()
            if not self._moving():
                return
        pytest.fail(f"still moving after a long time: {self._moving()}")

    def _step(self) -> None:
        clock = self.stage.time.clock
        clock.move_to(clock.now() + STEP)
        self.standing = self.stage.retailer.advance(clock.now())
        self.plane.sync.drain()

    def _moving(self) -> list[str]:
        found = [one for one in self.stage.time.unrest() if "findings" not in one and "incidents" not in one]
        return [*found, *([f"{self.standing.pending} webhooks"] if self.standing.pending else [])]

    def booked(self) -> tuple[Counter[str], Counter[str]]:
        """Return the orders that NetSuite booked and those that SAP did, by their reference."""
        effects = (one for one in self.stage.retailer.journal() if one["kind"] == "effect")
        netsuite = Counter(one["ref"] for one in effects if (one["system"], one["doc"]) == ("erp", "order"))
        return netsuite, Counter(self.sap.effects["orders"])

    def ordered(self) -> set[str]:
        """Return what customers ordered, by the shop's account."""
        return {
            one["ref"]
            for one in self.stage.retailer.journal()
            if (one["kind"], one.get("doc")) == ("document", "order")
        }

    def attempts(self, target: str, *outcomes: str) -> int:
        """Count the attempts at a system, those with other outcomes left out where some are named."""
        a = t.attempt.c
        query = select(func.count()).where(a.system == target)
        with self.plane.store.read() as connection:
            return int(connection.execute(query.where(a.outcome.in_(outcomes)) if outcomes else query).scalar_one())


@pytest.fixture
def running() -> Iterator[Running]:
    with set_up(Scenario.model_validate(TRADE), seed=7) as stage:
        sap = Erp(stage.plane.clock.now)
        for one in stage.retailer.truth():
            sap.keep(one["sku"], "1010/101A", 300)
        with hanging_up(create(sap)) as port:
            yield Running(stage, sap, port)


def people(plane: Plane) -> tuple[Actor, list[Actor]]:
    """Return an editor, and approvers of the teams that have a say."""

    def account(name: str, *roles: str, team: str | None = None) -> Actor:
        return create_account(plane.store, plane.clock, name, WEB_PASSWORD, roles, actor="test", team=team)

    teams = ("finance-systems", "ecommerce", "integration-platform", "warehouse-ops")
    return account("ada", "editor"), [account(f"approver-{team}", "approver", team=team) for team in teams]


class Governance:
    """Changes one policy after another, each proposed by one and approved by others."""

    def __init__(self, plane: Plane) -> None:
        self._plane, self._changes = plane, Changes(plane.registry)
        self._editor, self._approvers = people(plane)

    def change(self, kind: str, name: str, document: dict[str, Any]) -> None:
        """Put a document in force."""
        request = self._changes.open(kind, name, document, f"{kind} {name}", "the ERP becomes SAP", self._editor)
        self._changes.submit(request.id, self._editor)
        for one in self._approvers:
            if self._changes.get(request.id).state == "in_review":
                self._changes.vote(request.id, one, "approve", "seen")
        assert self._changes.apply(request.id, self._editor).state == "effective"

    def held(self, kind: str, name: str) -> dict[str, Any]:
        """Return a document as it is in force."""
        return copy.deepcopy(dump(self._plane.registry.snapshot().documents[kind, name]))


def announce(running: Running, governance: Governance) -> None:
    """Make SAP known: the system, and what it calls the warehouse. Nothing is sent there yet."""
    secrets = running.plane.settings.secrets
    for name, value in (("sap_user", USER), ("sap_password", PASSWORD)):
        (secrets / name).write_text(value, encoding="utf-8")
    place = f"127.0.0.1:{running.port}"
    system = {
        "connector": "sap_s4", "owner": "finance-systems", "role": "erp", "endpoint": f"http://{place}", "internal": [place],
        "secrets": {"user": "file:sap_user", "password": "file:sap_password"}, "options": SAP_OPTIONS, "timeout": "60s",
    }  # fmt: skip
    governance.change("System", "sap", policy("System", "sap", system))
    mapping = {"system": "sap", "entity": "location", "codes": {"1010/101A": "WH1"}}
    governance.change("Mapping", "sap-location", policy("Mapping", "sap-location", mapping))


def policy(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "trueup/v1", "kind": kind, "metadata": {"name": name, "title": name}, "spec": spec}


def swap(governance: Governance) -> None:
    """Say that orders are owed to SAP and no more to NetSuite."""
    flow = governance.held("Flow", "orders")
    flow["spec"]["targets"] = [
        {**one, "system": "sap"} if one["system"] == "erp" else one for one in flow["spec"]["targets"]
    ]
    governance.change("Flow", "orders", flow)


def shop_as_it_is(plane: Plane) -> tuple[Any, ...]:
    """Return what the plane holds of the shop: its policy, its connector's state."""
    snapshot, s = plane.registry.snapshot(), t.system_state
    with plane.store.read() as connection:
        error = connection.execute(select(s.c.last_error).where(s.c.system == "shop")).scalar_one_or_none()
    return snapshot.revision("System", "shop"), error, plane.connections.get("shop")


def test_the_erp_is_swapped_under_a_running_flow_and_every_order_is_in_one_of_the_two_once(running: Running) -> None:
    governance = Governance(running.plane)
    running.trade(4)
    announce(running, governance)
    before = shop_as_it_is(running.plane)
    running.trade(1)
    assert not running.sap.effects["orders"]
    swap(governance)
    running.sap.lost, running.sap.throttled = 3, 1
    running.trade(MINUTES - 5)
    running.come_to_rest()
    netsuite, sap = running.booked()
    assert netsuite.keys() | sap.keys() == running.ordered()
    assert not netsuite.keys() & sap.keys()
    assert {*netsuite.values(), *sap.values()} == {1}
    assert min(len(netsuite), len(sap)) > 10
    assert running.attempts("sap") > running.attempts("sap", "delivered", "already_delivered")
    assert shop_as_it_is(running.plane) == before
    assert running.attempts("shop") == running.attempts("shop", "delivered", "already_delivered", "stale")
