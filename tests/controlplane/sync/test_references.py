"""Two simulated Shopify shops of one retailer, whose orders have the same numbers and ids, before one ERP and one warehouse."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Connector, Draft
from controlplane.connectors.references import Referring
from controlplane.registry import Registry, revisions
from controlplane.registry.packs import load_genesis, pack_folder
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from controlplane.sync.engines.workbench import Edit
from rules.policy.kinds import KINDS
from rules.policy.text import read_text
from tests.addresses import pairs_of
from tests.controlplane.sandbox.client import Client, Listener
from tests.controlplane.sandbox.conftest import START, listener, start

__all__ = ["Listener", "listener", "start"]
SKU, OTHER = "0007-BLK-M", "0003-RED-M"
FLOWS = ("products", "orders", "shipments", "orders-eu")


class Retail:
    """A plane over the sandbox pack: ERP, warehouse and, unless others are given, the shop are of one sandbox.

    `shops`: sandboxes of which only the shop is of interest, as the Systems `shop` and `shop-eu`. `prefixes`: system -> prefix.
    """

    def __init__(self, store: Store, home: Path, office: Client, shops: Sequence[Client] = (), **prefixes: str) -> None:
        self.store, self.office, self.shops, self.clock = store, office, shops, ManualClock(START)
        self.registry = Registry(store, self.clock)
        pack = home / "pack"
        pack.mkdir()
        for number, one in enumerate(self._policies(prefixes)):
            (pack / f"{number}.yaml").write_text(json.dumps(one), encoding="utf-8")
        load_genesis(store, self.clock, self.registry, pack)
        for number, shop in enumerate(shops):
            secret = office.home / "secrets" / f"token_{number}"
            secret.write_text(shop.secret("shop_access_token"), encoding="ascii")
        settings = Settings(home=office.home.parent, sandbox_port=int(office.url.rpartition(":")[2]))
        self.connections = Connections(self.registry, settings, self.clock, store=store)
        self.sync = Sync(store, self.clock, self.registry, self.connections)

    def _policies(self, prefixes: dict[str, str]) -> list[dict[str, Any]]:
        files = sorted(pack_folder("sandbox").glob("*.yaml"))
        raw = [read_text(file.read_text(encoding="utf-8"), file.name)[0] for file in files]
        found = [copy.deepcopy(one.value) for documents in raw for one in documents]
        known = {(one["kind"], one["metadata"]["name"]): one for one in found}
        if self.shops:
            found += [
                _like(known["System", "shop"], "shop-eu", **self._reached(1)),
                _like(known["Flow", "orders"], "orders-eu", source="shop-eu"),
                _like(known["Mapping", "shop-location"], "shop-eu-location", system="shop-eu"),
            ]
            known["System", "shop"]["spec"] |= self._reached(0)
            known["Flow", "shipments"]["spec"]["targets"].append({"system": "shop-eu", "entity": "fulfillment"})
            known["Domain", "orders"]["spec"]["entities"]["order"] = {"system_of_record": ["shop", "shop-eu"]}
        for one in found:
            if one["kind"] == "System":
                one["spec"]["timeout"] = "1m"
            if one["kind"] == "System" and one["metadata"]["name"].replace("-", "_") in prefixes:
                one["spec"]["references"] = {"prefix": prefixes[one["metadata"]["name"].replace("-", "_")]}
        return found

    def _reached(self, number: int) -> dict[str, Any]:
        url, token = f"{self.shops[number].url}/shop", f"file:token_{number}"
        secrets = {"access_token": token, "webhook_secret": token}
        return {"endpoint": url, "internal": list(pairs_of(url)), "secrets": secrets}

    def prefix(self, system: str, **references: Any) -> None:
        """Put other references in force."""
        self.change("System", system, references=references)

    def change(self, kind: str, name: str, **spec: Any) -> None:
        """Put other parts of a policy in force, past the lint."""
        given = revisions.dump(self.registry.snapshot().documents[kind, name])
        given["spec"] |= spec
        with self.store.write() as connection:
            document = KINDS[kind].model_validate(given)
            revisions.write(connection, self.clock, [document], author="test", origin="test", reason="test")

    def run(self, minutes: int = 1) -> None:
        """Read what there is to read, carry it, and let the time go by."""
        for _ in range(minutes):
            for flow in FLOWS:
                if flow in self.registry.snapshot().flows:
                    self.sync.poll(flow)
            self.sync.drain()
            self.clock.move_to(self.clock.now() + timedelta(minutes=1))
            for sandbox in (self.office, *self.shops):
                sandbox.advance(self.clock.now().isoformat())

    def told(self, kind: str) -> list[tuple[str, str]]:
        m = t.message.c
        query = select(m.source, m.subject).where(m.type == kind).order_by(m.source, m.subject)
        with self.store.read() as connection:
            return [(row.source, row.subject) for row in connection.execute(query)]

    def owed(self, target: str, entity: str) -> list[tuple[str, str]]:
        d = t.delivery.c
        query = select(d.payload, d.state).where(d.target == target, d.entity == entity).order_by(d.id)
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        return sorted((row.payload.get("order_ref") or row.payload["ref"], row.state) for row in rows)

    def held(self) -> list[str]:
        with self.store.read() as connection:
            return list(connection.execute(select(t.quarantine.c.reason)).scalars())


def _like(document: dict[str, Any], name: str, **spec: Any) -> dict[str, Any]:
    return {**document, "metadata": {"name": name}, "spec": {**document["spec"], **spec}}


@pytest.fixture
def three(start: Callable[..., Client], tmp_path: Path) -> tuple[Client, Client, Client]:
    """Return the sandboxes of the ERP and the warehouse, of the shop and of the other shop."""
    return start(home=tmp_path / "office" / "sandbox"), start(home=tmp_path / "us"), start(home=tmp_path / "eu")


def effects(sandbox: Client, system: str, doc: str) -> list[str]:
    found = [one for one in sandbox.journal("effect") if (one["system"], one["doc"]) == (system, doc)]
    assert all(one["ordinal"] == 1 for one in found)
    return sorted(one["ref"] for one in found)


def test_orders_of_one_number_reach_erp_and_warehouse_and_each_shipment_goes_back_to_the_shop_of_its_order(
    sqlite_store: Store, tmp_path: Path, three: tuple[Client, Client, Client]
) -> None:
    office, us, eu = three
    names = (us.order((SKU, 2)), eu.order((OTHER, 1)))
    assert names[0] == names[1]
    name = names[0]
    plane = Retail(sqlite_store, tmp_path, office, (us, eu), shop="US-", shop_eu="EU-")
    plane.run(minutes=12)

    both = [f"EU-{name}", f"US-{name}"]
    assert plane.told("order.placed") == [("shop", f"US-{name}"), ("shop-eu", f"EU-{name}")]
    for target, entity in (("erp", "sales_order"), ("wms", "order"), ("erp", "item_fulfillment")):
        assert plane.owed(target, entity) == [(ref, "delivered") for ref in both]
    assert effects(office, "erp", "order") == effects(office, "wms", "order") == both
    assert plane.owed("shop", "fulfillment") == [(f"US-{name}", "delivered")]
    assert plane.owed("shop-eu", "fulfillment") == [(f"EU-{name}", "delivered")]
    assert len(effects(us, "shop", "shipment")) == len(effects(eu, "shop", "shipment")) == 1
    assert plane.held() == []


def test_without_a_prefix_the_second_order_of_a_number_contradicts_the_first(
    sqlite_store: Store, tmp_path: Path, three: tuple[Client, Client, Client]
) -> None:
    office, us, eu = three
    us.order((SKU, 2))
    eu.order((OTHER, 1))
    plane = Retail(sqlite_store, tmp_path, office, (us, eu), shop_eu="EU-")
    plane.prefix("shop-eu")  # past the lint, as a registry may be that is older than the rule
    plane.run()
    (reason,) = plane.held()
    assert "contradicts what is known already" in reason


def test_one_of_two_shops_may_do_without(
    sqlite_store: Store, tmp_path: Path, three: tuple[Client, Client, Client]
) -> None:
    office, us, eu = three
    name = us.order((SKU, 2))
    eu.order((OTHER, 1))
    plane = Retail(sqlite_store, tmp_path, office, (us, eu), shop_eu="EU-")
    plane.run(minutes=12)
    assert plane.owed("shop", "fulfillment") == [(name, "delivered")]
    assert plane.owed("shop-eu", "fulfillment") == [(f"EU-{name}", "delivered")]
    assert plane.held() == []


def test_a_new_prefix_gives_no_old_order_again_and_its_shipment_finds_it(
    sqlite_store: Store, tmp_path: Path, start: Callable[..., Client]
) -> None:
    shop = start(home=tmp_path / "us" / "sandbox")
    old = shop.order((SKU, 2))
    plane = Retail(sqlite_store, tmp_path, shop)
    plane.run()
    assert plane.owed("erp", "sales_order") == [(old, "delivered")]

    plane.prefix("shop", prefix="US-")
    new = shop.order((OTHER, 1))
    with sqlite_store.write() as connection:  # what a shop is asked for when its cursor is lost: all of it, once more
        connection.execute(t.source_cursor.delete())
    plane.run(minutes=12)
    both = [(old, "delivered"), (f"US-{new}", "delivered")]
    assert plane.told("order.placed") == [("shop", old), ("shop", f"US-{new}")]
    assert plane.owed("erp", "sales_order") == plane.owed("wms", "order") == plane.owed("shop", "fulfillment") == both
    assert len(effects(shop, "shop", "shipment")) == 2
    assert plane.held() == []

    plane.prefix("shop", former=["US-"])
    newest = shop.order((SKU, 1))
    plane.run(minutes=12)
    assert plane.owed("shop", "fulfillment") == sorted([*both, (newest, "delivered")])


def test_what_a_shop_tells_of_an_old_order_names_it_as_everybody_does(
    sqlite_store: Store, tmp_path: Path, start: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = start(home=tmp_path / "us" / "sandbox")
    old = shop.order((SKU, 2))
    plane = Retail(sqlite_store, tmp_path, shop)
    plane.run()
    plane.prefix("shop", prefix="US-")
    referring: Any = plane.connections.get("shop")

    class Telling:
        """The shop's connector, had it returns to tell of."""

        def translate(self, topic: str, body: bytes) -> list[Draft]:
            data = {"return_ref": "R1", "order_ref": body.decode()}
            return [Draft(topic, "R1", "return.received:R1", START, data, source=source) for source in ("", "wms")]

    monkeypatch.setattr(referring, "inner", Telling())
    mine, others = referring.translate("return.received", old.encode())
    assert (mine.subject, mine.data, mine.dedupe_key) == (
        "US-R1", {"return_ref": "US-R1", "order_ref": old}, "return.received:R1",
    )  # fmt: skip
    assert (others.subject, others.data["order_ref"]) == ("R1", old)
    mine, _ = referring.translate("return.received", b"#9999")
    assert mine.data["order_ref"] == "US-#9999"


def test_a_system_without_a_prefix_gets_its_connector_bare(
    sqlite_store: Store, tmp_path: Path, start: Callable[..., Client]
) -> None:
    plane = Retail(sqlite_store, tmp_path, start(home=tmp_path / "us" / "sandbox"))
    bare = plane.connections.get("shop")
    plane.prefix("shop", prefix="US-")
    around: Any = plane.connections.get("shop")
    assert (type(bare).__name__, type(around).__name__) == ("ShopifyConnector", "Referring")
    assert around.manifest is bare.manifest


def test_everything_that_a_connector_may_be_asked_is_passed_on() -> None:
    asked = {name for name, found in vars(Connector).items() if callable(found) and not name.startswith("_")}
    assert asked == {name for name in vars(Referring) if name in asked}


def test_an_order_that_contradicted_another_shops_is_replayed_under_the_reference_with_the_prefix(
    sqlite_store: Store, tmp_path: Path, three: tuple[Client, Client, Client]
) -> None:
    office, us, eu = three
    name = us.order((SKU, 2))
    eu.order((OTHER, 1))
    plane = Retail(sqlite_store, tmp_path, office, (us, eu), shop_eu="EU-")
    plane.prefix("shop-eu")
    plane.run()
    plane.prefix("shop-eu", prefix="EU-")
    plane.change("Domain", "orders", correction={"protected_fields": ["currency"]})
    with sqlite_store.read() as connection:
        [(case, record)] = connection.execute(select(t.quarantine.c.id, t.quarantine.c.record)).all()
    told = {"ref": f"EU-{name}", "native_id": f"EU-{record['native_id']}"}
    plane.sync.workbench.correct(case, Edit(put=told), "dana")
    plane.sync.replay(case, "dana")
    plane.run(minutes=12)
    assert plane.owed("erp", "sales_order") == [(name, "delivered"), (f"EU-{name}", "delivered")]
    assert plane.owed("shop-eu", "fulfillment") == [(f"EU-{name}", "delivered")]
