"""The ERP is another one from one moment to the next, by policy alone, while customers order: no document is lost, none is booked twice.

A whole plane and the sandbox's shop, warehouse and NetSuite on one clock; beside them a simulated SAP. What each ERP booked its own
books tell, and what was ordered the shop's.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from controlplane.access import Actor, create_account
from controlplane.jobs.schedules import schedules
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
MINUTES, OPENING = 14, 10_000
SAP_COST = Decimal("10.00")
BOTH = ("erp", "sap")
ENTITIES = {"sales_order", "item_fulfillment", "item_receipt", "inventory_adjustment", "cash_sale", "journal_entry"}
STEP = timedelta(seconds=20)
TRADE: dict[str, Any] = {
    "name": "swapped-erp", "minutes": MINUTES,
    "retailer": {"skus": 6, "stores": ["ST1"], "stock": [300, 300]},
    "actors": {
        "customers": {"orders_per_minute": 5},
        "stores": {"sales_per_minute": 4, "drop_every": "1m"},
        "warehouse": {"pick_seconds": [10, 40], "ship_seconds": [10, 60]},
        "receipts": {"per_hour": 600, "quantity": [1, 4], "splits": 2},
        "returns": {"share": 0.4, "after": ["1m", "2m"]},
    },
}  # fmt: skip
SAP_OPTIONS = {
    "sales_organization": "1010", "distribution_channel": "10", "division": "00", "sold_to_party": "10100001",
    "company_code": "1010", "locations": ["WH1", "ST1"],
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
        """Let time go by. What the plane does on schedule is left out, but for the tills' files: all else comes by webhook."""
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
        self.plane.sync.poll("till-sales")
        self.plane.sync.drain()

    def _moving(self) -> list[str]:
        found = [one for one in self.stage.time.unrest() if "findings" not in one and "incidents" not in one]
        return [*found, *([f"{self.standing.pending} webhooks"] if self.standing.pending else [])]

    def booked(self) -> tuple[Counter[str], Counter[str]]:
        """Return the orders that NetSuite booked and those that SAP did, by their reference."""
        effects = (one for one in self.stage.retailer.journal() if one["kind"] == "effect")
        netsuite = Counter(one["ref"] for one in effects if (one["system"], one["doc"]) == ("erp", "order"))
        return netsuite, Counter(self.sap.effects["orders"])

    def owed(self) -> dict[str, dict[str, Counter[str]]]:
        """Return what was delivered to either ERP: entity -> ERP -> how often each document was; orders by the same way."""
        d, found = t.delivery.c, defaultdict[str, dict[str, Counter[str]]](lambda: defaultdict(Counter))
        query = select(d.target, d.entity, d.subject).where(d.target.in_(BOTH), d.state == "delivered")
        with self.plane.store.read() as connection:
            for row in connection.execute(query):
                found[row.entity][row.target][row.subject] += 1
        return found

    def waiting(self) -> list[tuple[str, str]]:
        """Return what waits for a person, and why."""
        q = t.quarantine.c
        query = select(q.subject, q.reason).where(q.state == "waiting")
        with self.plane.store.read() as connection:
            return [(row.subject, row.reason) for row in connection.execute(query)]

    def unsettled(self) -> list[tuple[str, str, str]]:
        """Return what an ERP was owed and did not get, with the reason."""
        d = t.delivery.c
        query = select(d.target, d.subject, d.detail).where(d.target.in_(BOTH), d.state != "delivered")
        with self.plane.store.read() as connection:
            return [tuple(row) for row in connection.execute(query)]  # type: ignore[misc]

    def effects(self) -> dict[str, Counter[str]]:
        """Return how often each document took effect in each of the two, by their own books."""
        told = [one for one in self.stage.retailer.journal() if one["kind"] == "effect" and one["system"] == "erp"]
        posted = {
            (row["FiscalYear"], row["AccountingDocument"]): row["DocumentReferenceID"] for row in self.sap.books.entries
        }
        booked = {**self.sap.effects, "entries": list(posted.values())}  # their texts are cut off
        # the goods issue of a delivery is a document without a text, and the delivery is counted
        sap = [f"{kind}:{ref}" for kind, refs in booked.items() for ref in refs if ref]
        return {"erp": Counter(f"{one['doc']}:{one['ref']}" for one in told), "sap": Counter(sap)}

    def on_hand(self, system: str, entity: str) -> dict[str, int]:
        """Return what a system shows of each SKU in the warehouse."""
        pages = self.plane.connections.get(system).snapshot(entity)
        return {one.sku: one.on_hand or 0 for page in pages for one in page if one.location == "WH1"}

    def costs(self) -> dict[str, tuple[str, Decimal]]:
        """Return what the plane holds each item for: its title and cost."""
        p = t.product.c
        with self.plane.store.read() as connection:
            rows = connection.execute(select(p.sku, p.title, p.unit_cost))
            return {row.sku: (row.title, row.unit_cost) for row in rows}

    def ordered(self) -> set[str]:
        """Return what customers ordered, by the shop's account."""
        return {
            one["ref"]
            for one in self.stage.retailer.journal()
            if (one["kind"], one.get("doc")) == ("document", "order")
        }

    def refused_by(self, target: str) -> list[str]:
        """Return what a target was owed and did not take in the end."""
        d = t.delivery.c
        left = select(d.subject).where(d.target == target, d.state.not_in(("delivered", "stale", "superseded")))
        with self.plane.store.read() as connection:
            return list(connection.execute(left).scalars())

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
            sap.keep(one["sku"], "1010/101A", OPENING)
            sap.keep(one["sku"], "1010/101B", OPENING)
        with hanging_up(create(sap)) as port:
            yield Running(stage, sap, port)


def people(plane: Plane) -> tuple[Actor, list[Actor]]:
    """Return an editor, and approvers of the teams that have a say."""

    def account(name: str, *roles: str, team: str | None = None) -> Actor:
        return create_account(plane.store, plane.clock, name, WEB_PASSWORD, roles, actor="setup", team=team)

    teams = ("finance-systems", "ecommerce", "integration-platform", "warehouse-ops", "store-ops")
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
    """Make SAP known: the system, what it calls the warehouse, and a flow that waits for it to be of record. Nothing is sent there yet."""
    secrets = running.plane.settings.secrets
    for name, value in (("sap_user", USER), ("sap_password", PASSWORD)):
        (secrets / name).write_text(value, encoding="utf-8")
    place = f"127.0.0.1:{running.port}"
    system = {
        "connector": "sap_s4", "owner": "finance-systems", "role": "erp", "endpoint": f"http://{place}", "internal": [place],
        "secrets": {"user": "file:sap_user", "password": "file:sap_password"}, "options": SAP_OPTIONS, "timeout": "60s",
    }  # fmt: skip
    governance.change("System", "sap", policy("System", "sap", system))
    mapping = {"system": "sap", "entity": "location", "codes": {"1010/101A": "WH1", "1010/101B": "ST1"}}
    governance.change("Mapping", "sap-location", policy("Mapping", "sap-location", mapping))
    products = governance.held("Flow", "products")
    products["spec"]["standby"] = True
    governance.change("Flow", "products", products)
    waiting = {**products["spec"], "source": "sap"}
    governance.change("Flow", "sap-products", policy("Flow", "sap-products", waiting))


def policy(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "trueup/v1", "kind": kind, "metadata": {"name": name, "title": name}, "spec": spec}


def swap(governance: Governance) -> None:
    """Let what is about an order follow it, and say that all else is owed to SAP and no more to NetSuite; the books of stock too."""
    for name in ("shipments", "returns"):
        flow = governance.held("Flow", name)
        flow["spec"]["targets"] += [
            {**one, "system": "sap"} for one in flow["spec"]["targets"] if one["system"] == "erp"
        ]
        governance.change("Flow", name, flow)
    for name in ("orders", "receipts", "till-sales", "postings"):
        flow = governance.held("Flow", name)
        flow["spec"]["targets"] = [
            {**one, "system": "sap"} if one["system"] == "erp" else one for one in flow["spec"]["targets"]
        ]
        governance.change("Flow", name, flow)
    take_products_of(governance, "sap")
    stock = governance.held("Comparison", "stock-three-way")
    stock["spec"]["sides"] = [
        {**one, "system": "sap"} if one["system"] == "erp" else one for one in stock["spec"]["sides"]
    ]
    governance.change("Comparison", "stock-three-way", stock)


def take_products_of(governance: Governance, system: str) -> None:
    """Make a system of record for products: one change, for a flow of either ERP is there and waits for it."""
    domain = governance.held("Domain", "products")
    domain["spec"]["entities"]["product"] = {"system_of_record": system}
    governance.change("Domain", "products", domain)


def polls(plane: Plane) -> set[str]:
    """Return what is polled by itself, of products and till sales."""
    names = {schedule.name for schedule in schedules(plane, STEP)}
    return {name for name in names if name.startswith("poll:") and ("products" in name or "till" in name)}


def shop_as_it_is(plane: Plane) -> tuple[Any, ...]:
    """Return what the plane holds of the shop: its policy, its connector."""
    return plane.registry.snapshot().revision("System", "shop"), plane.connections.get("shop")


def test_the_erp_is_swapped_under_running_flows_and_every_document_is_in_one_of_the_two_once(running: Running) -> None:
    governance = Governance(running.plane)
    running.plane.sync.poll("products")
    running.trade(8)
    announce(running, governance)
    before = shop_as_it_is(running.plane)
    running.trade(1)
    assert not running.sap.effects["orders"]
    before_products = running.costs()
    assert set(polls(running.plane)) == {"poll:products", "poll:till-sales"}
    swap(governance)
    assert set(polls(running.plane)) == {"poll:sap-products", "poll:till-sales"}
    running.plane.sync.poll("sap-products")
    running.plane.sync.drain()
    assert running.costs() == {sku: (f"Article {sku}", SAP_COST) for sku in before_products}, (
        "what they are SAP says now"
    )
    running.sap.lost, running.sap.throttled = 3, 1
    running.trade(MINUTES - 9)
    running.come_to_rest()
    netsuite, sap = running.booked()
    assert netsuite.keys() | sap.keys() == running.ordered()
    assert not netsuite.keys() & sap.keys()
    assert {*netsuite.values(), *sap.values()} == {1}
    assert min(len(netsuite), len(sap)) > 10
    assert running.attempts("sap") > running.attempts("sap", "delivered", "already_delivered")
    assert running.unsettled() == []
    assert running.waiting() == []
    assert shop_as_it_is(running.plane) == before
    assert running.attempts("shop", "rejected") == 0
    assert running.refused_by("shop") == []
    for entity, told in running.owed().items():
        assert not told["erp"].keys() & told["sap"].keys(), entity
        assert {*told["erp"].values(), *told["sap"].values()} == {1}, entity
        assert min(len(told[erp]) for erp in BOTH) > 0, (entity, {erp: len(told[erp]) for erp in BOTH})
    assert running.owed().keys() == ENTITIES
    effects = running.effects()
    assert [one for of in effects.values() for one in of.items() if one[1] != 1] == []
    assert len(effects["erp"]) + len(effects["sap"]) == sum(
        len(refs) for told in running.owed().values() for refs in told.values()
    )
    # goods moved in the books of one of the two: together they have what the warehouse has
    netsuite, booked, warehouse = (
        running.on_hand(system, entity)
        for system, entity in (("erp", "inventory_balance"), ("sap", "inventory_balance"), ("wms", "inventory"))
    )
    assert {sku: netsuite[sku] + booked[sku] - OPENING for sku in warehouse} == warehouse
