"""Amazon in a whole plane: prices of the ERP become feeds whose every message ends, and what a queue tells of an order is booked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from sqlalchemy import select

from controlplane.connectors import Connections
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.sandbox.amazon.market import Market
from controlplane.sandbox.sap.app import PASSWORD, USER, create
from controlplane.sandbox.sap.books import Erp as Sap
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from controlplane.sync.engines.embedded import Steps
from tests.addresses import pairs_of
from tests.controlplane.connectors.amazon_kit import LOGIN, OPTIONS, Walking, marketplace
from tests.controlplane.connectors.conftest import START
from tests.controlplane.connectors.simulators import hanging_up
from tests.controlplane.sync.catalogue import SECRETS, Erp, pack
from tests.controlplane.sync.kit import Ringed
from tests.integration.test_amazon_queue import KEYS, change
from tests.waiting import until

ARTICLES = 40
UNLISTED, ODD = "ITEM-000007", "ITEM-000011"
PLACE = "1010/101A"
SAP_OPTIONS = {
    "sales_organization": "1010", "distribution_channel": "10", "division": "00", "sold_to_party": "10100001",
    "company_code": "1010", "locations": ["WH1"],
}  # fmt: skip


@dataclass
class Retail:
    """A plane between an ERP with items, Amazon with its queue, and an SAP that books orders."""

    store: Store
    clock: Walking
    market: Market
    sap: Sap
    sync: Sync
    queue: Any
    url: str

    def run(self) -> None:
        """Carry what is owed, moving the clock on wherever something waits for its time."""
        while self.sync.translate() + self.sync.process():
            pass
        self.sync.drain()
        while (due := self.sync.next_due()) is not None:
            self.clock.move_to(max(due, self.clock.now() + timedelta(seconds=1)))
            self.sync.drain()

    def states(self, target: str) -> Counter[str]:
        """How many deliveries to the target are in each state."""
        d = t.delivery.c
        with self.store.read() as connection:
            return Counter(connection.execute(select(d.state).where(d.target == target)).scalars())

    def told(self) -> list[str]:
        """The orders that the ledger holds."""
        m = t.message.c
        with self.store.read() as connection:
            return list(connection.execute(select(m.subject).where(m.type == "order.placed")).scalars())

    def waiting(self) -> int:
        """How many notifications the queue holds, in somebody's hands or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.queue.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(told[name]) for name in names)

    def cases(self) -> dict[str, str]:
        """What waits for a person, and why."""
        q = t.quarantine.c
        with self.store.read() as connection:
            rows = connection.execute(select(q.subject, q.reason).where(q.state == "waiting"))
            return {row.subject: row.reason for row in rows}


def policies(folder: Path, erp: str, amazon: str, sap: str, queue_url: str, secrets: Path) -> Path:
    """Write the pack of the catalogue with Amazon for a target, and Amazon's orders owed to SAP."""
    found = pack(folder, "USD", tryton=erp)
    documents = list(yaml.safe_load_all(found.read_text()))
    secrets.mkdir(parents=True, exist_ok=True)
    for name, value in {**LOGIN, **KEYS, "sap_user": USER, "sap_password": PASSWORD}.items():
        (secrets / name).write_text(value)
    for one in documents:
        if (one["kind"], one["metadata"]["name"]) == ("Flow", "catalogue"):
            one["spec"]["targets"] = [{"system": "amazon", "entity": "price"}]

    def policy(kind: str, name: str, **spec: Any) -> None:
        documents.append({"apiVersion": "trueup/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})

    options = {**OPTIONS, "currency": "USD", "prices_with_tax": False, "login_endpoint": amazon, "queue_url": queue_url}
    policy(
        "System", "amazon", connector="amazon", owner="commerce", role="marketplace", endpoint=amazon, timeout="60s",
        internal=[*pairs_of(amazon), *pairs_of(queue_url)], secrets={name: f"file:{name}" for name in (*LOGIN, *KEYS)}, options=options,
    )  # fmt: skip
    policy(
        "System", "sap", connector="sap_s4", owner="commerce", role="erp", endpoint=sap, internal=list(pairs_of(sap)), timeout="60s",
        secrets={"user": "file:sap_user", "password": "file:sap_password"}, options=SAP_OPTIONS,
    )  # fmt: skip
    policy("Mapping", "sap-location", system="sap", entity="location", codes={PLACE: "WH1"})
    policy("Mapping", "sap-tax", system="sap", entity="tax_code", codes={"0": "marketplace_remitted"})
    policy(
        "Domain",
        "orders",
        owner="commerce",
        entities={"order": {"system_of_record": "amazon"}},
        latency="1h",
        escalation="commerce",
    )
    policy(
        "Flow", "orders", domain="orders", owner="commerce", source="amazon", message_types=["order.placed"], method="event",
        read="orders", targets=[{"system": "sap", "entity": "sales_order"}], retry="default", promise="1h",
        retry_past_promise="an order that was paid for is booked late rather than by hand",
    )  # fmt: skip
    found.write_text(yaml.safe_dump_all(documents))
    return found


@pytest.fixture
def retail(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retail]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    clock = Walking(START, pace=1.0)
    sap = Sap(clock.now)
    sap.keep("A", PLACE, 100)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    base = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    queue: Any = boto3.client(
        "sqs", endpoint_url=base, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    name = f"spapi-{token_hex(6)}"
    queue.create_queue(QueueName=name)
    url, home = f"{base}/123456789012/{name}", tmp_path / "home"
    with Erp(ARTICLES).answering() as erp, marketplace(clock) as bench, hanging_up(create(sap)) as port:
        bench.market.page = 50
        settings = Settings(home=home)
        place = policies(tmp_path, erp.url, bench.given.endpoint, f"http://127.0.0.1:{port}", url, settings.secrets)
        registry = Registry(sqlite_store, clock)
        load_genesis(sqlite_store, clock, registry, place)
        connections = Connections(registry, settings, clock, store=sqlite_store)
        sync = Sync(sqlite_store, clock, registry, connections, keys=Ringed())
        yield Retail(sqlite_store, clock, bench.market, sap, sync, queue, url)
        connections.close()
    server.stop()


def listed(retail: Retail) -> None:
    for number in range(1, ARTICLES + 1):
        sku = f"ITEM-{number:06d}"
        if sku != UNLISTED:
            retail.market.list_item(sku, 1, price="0.99")


def test_prices_go_by_one_feed_and_what_is_not_listed_waits_by_itself(retail: Retail) -> None:
    listed(retail)
    retail.sync.poll("catalogue")
    retail.run()
    shown = {sku: row["price"] for sku, row in retail.market.listings.items()}
    assert shown["ITEM-000003"] == "4.03"
    assert "0.99" not in shown.values()
    assert len(retail.market.feeds) == 1, "and not a request for each"
    assert retail.states("amazon") == {"delivered": ARTICLES - 1, "quarantined": 1}
    assert list(retail.cases()) == [UNLISTED]


def test_a_feed_whose_beginning_is_not_answered_changes_each_listing_once(retail: Retail) -> None:
    listed(retail)
    retail.market.list_item(UNLISTED, 1, price="0.99")
    retail.sync.poll("catalogue")
    retail.market.lost["createFeed"] = 1
    retail.run()
    assert retail.states("amazon") == {"delivered": ARTICLES}
    assert "0.99" not in {row["price"] for row in retail.market.listings.values()}
    told = [
        message["sku"] for feed in retail.market.feeds.values() for message in json.loads(feed["_content"])["messages"]
    ]
    assert Counter(told).most_common(1)[0][1] == 1, "no price was told twice"


def test_an_order_that_a_queue_tells_of_is_booked_once_however_often_it_is_told(retail: Retail) -> None:
    retail.market.order("111", ("A", 2, "9.99"))
    for name in ("n1", "n2", "n1"):
        retail.queue.send_message(QueueUrl=retail.url, MessageBody=json.dumps(change("111", name)))
    retail.queue.send_message(QueueUrl=retail.url, MessageBody="no JSON at all")
    steps = Steps(retail.sync)
    steps.start()
    try:
        until(lambda: retail.told() == ["111"], "the order is known")
        until(lambda: len(retail.cases()) == 1, "what cannot be read waits")
        until(lambda: retail.waiting() == 0, "all is committed")
    finally:
        steps.stop()
    retail.run()
    assert retail.sap.effects["orders"] == ["111"]
    [booked] = retail.sap.books.orders.values()
    assert [one["ProductTaxClassification1"] for one in booked["to_Item"]] == ["0"], "Amazon remits the tax itself"
    assert retail.states("sap") == {"delivered": 1}
