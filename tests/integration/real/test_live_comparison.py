"""A real ERP and a real shop compared while somebody writes to both: what is on its way is no drift, what was changed by hand is."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select

from controlplane.jobs import comparisons
from controlplane.registry.packs import pack_folder
from controlplane.settings import Settings
from controlplane.store import tables as t
from controlplane.sync.engines.embedded import EmbeddedEngine
from controlplane.wiring import Plane, build_plane
from tests.addresses import pairs_of
from tests.integration.real.systems import Server, Shop
from tests.integration.real.test_tryton import make
from tests.integration.real.test_two_systems import BY_HAND, VARIANT
from tests.integration.real.vendure import connector_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)
MOVED = [f"SKU-{number:04d}" for number in range(31, 37)]
"""The ERP counts them anew again and again."""
BY_HANDS = ["SKU-0037", "SKU-0038", "SKU-0039"]
"""Somebody sets them in the shop."""
PROMISE = 20
"""Seconds, of the comparison."""
COMPANY = {"company": 1}
ITEMS = 50
ROUNDS = 6
"""Comparisons while both are written to."""
MORE = """
apiVersion: trueup/v1
kind: Domain
metadata: {name: inventory}
spec:
  owner: erp-owners
  entities: {stock: {system_of_record: tryton}}
  latency: 24h
  escalation: commerce
---
apiVersion: trueup/v1
kind: AllocationRule
metadata: {name: vendure}
spec: {channel: vendure, locations: [WH]}
---
apiVersion: trueup/v1
kind: Flow
metadata: {name: stock}
spec:
  domain: inventory
  owner: erp-owners
  source: tryton
  message_types: [stock.level]
  method: poll
  read: stock
  poll_every: 1s
  retry: default
  promise: 24h
  retry_past_promise: the shop shows what is known then
---
apiVersion: trueup/v1
kind: Flow
metadata: {name: offers}
spec:
  domain: inventory
  owner: commerce
  source: plane
  message_types: [stock.offer]
  method: orchestrated
  targets: [{system: vendure, entity: available}]
  retry: default
  promise: 24h
  retry_past_promise: the shop shows what is known then
---
apiVersion: trueup/v1
kind: Comparison
metadata: {name: stock}
spec:
  kind: inventory
  domain: inventory
  owner: commerce
  sides:
    - {system: tryton, entity: stock, field: available}
    - {system: vendure, entity: levels, field: available}
  source_side: tryton
  locations: [WH]
  every: 1m
  promise: 20s
"""


@pytest.fixture
def plane(shop: Shop, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plane]:
    """A plane that carries stock from the ERP into the shop, with its engine running."""
    for name, value in {"VENDURE": ("superadmin", shop.password), "TRYTON": ("admin", server.password)}.items():
        monkeypatch.setenv(f"{name}_USER", value[0])
        monkeypatch.setenv(f"{name}_PASSWORD", value[1])
    monkeypatch.setenv("INCIDENT_TOKEN", "unused")
    text = (pack_folder("vendure") / "vendure.yaml").read_text(encoding="utf-8")
    for example, url in (("127.0.0.1:3000", shop.url), ("127.0.0.1:8000", server.url)):
        text = text.replace(f"http://{example}", url).replace(example, pairs_of(url)[0])
    wanted = {"Team", "System", "Mapping", "RetryPolicy", "EscalationPath"}
    kept = [document for document in yaml.safe_load_all(text) if document["kind"] in wanted]
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "all.yaml").write_text(f"{yaml.safe_dump_all(kept)}---{MORE}", encoding="utf-8")
    made = build_plane(Settings(home=tmp_path / "home"), pack=tmp_path / "pack")
    engine = EmbeddedEngine(made.sync)
    engine.start()
    try:
        yield made
    finally:
        engine.stop()
        made.close()


@contextmanager
def again_and_again(*deeds: Callable[[], None]) -> Iterator[None]:
    """Do each deed over and over beside the block; what one of them raised is raised at its end."""
    stop = threading.Event()

    def doing(deed: Callable[[], None]) -> None:
        while not stop.wait(0.3):
            deed()

    with ThreadPoolExecutor(len(deeds)) as pool:
        running = [pool.submit(doing, deed) for deed in deeds]
        try:
            yield
        finally:
            stop.set()
        for one in running:
            one.result(60)


class Writer:
    """A script that writes to both systems in its own sessions."""

    def __init__(self, shop: Shop, server: Server) -> None:
        self.erp, self.shop = make(server), connector_of(shop)
        self.variants = {sku: self.shop._api.ask(VARIANT, sku=sku)[0]["items"][0]["id"] for sku in BY_HANDS}
        rpc = self.erp._rpc
        self.products = {
            row["code"]: row["id"] for rows, _ in rpc.rows("product.product", [["code", "in", MOVED]], ["code"], {}) for row in rows
        }  # fmt: skip
        [[warehouse]] = [
            rows for rows, _ in rpc.rows("stock.location", [["code", "=", "WH"]], ["storage_location"], {})
        ]
        self.storage = warehouse["storage_location"]
        self.counted: Counter[str] = Counter()
        self._turns = itertools.cycle(MOVED)

    def count_anew(self) -> None:
        """Count one product in the ERP, each time another number."""
        sku, number = next(self._turns), 200 + sum(self.counted.values())
        line = {"product": self.products[sku], "quantity": float(number)}
        told = {"location": self.storage, "lines": [["create", [line]]]}
        made, _ = self.erp._rpc.tell("model.stock.inventory.create", [told], COMPANY)
        self.erp._rpc.tell("model.stock.inventory.confirm", made, COMPANY)
        self.counted[sku] += 1

    def set_by_hand(self, sku: str, count: int) -> None:
        """Set what the shop has of a product, as its staff would."""
        self.shop._api.tell(BY_HAND, id=self.variants[sku], at="1", count=count)

    def close(self) -> None:
        """Sign out."""
        self.erp.close()
        self.shop.close()


def opened(plane: Plane) -> dict[str, tuple[str, str]]:
    """Return subject -> side and cause of what was ever confirmed."""
    f = t.finding.c
    with plane.store.read() as connection:
        rows = connection.execute(select(f.subject, f.side, f.cause).where(f.confirmed_at.is_not(None)))
        return {subject: (side, cause) for subject, side, cause in rows}


def test_only_what_was_changed_by_hand_is_drift_while_a_script_writes_to_both(
    plane: Plane, shop: Shop, server: Server
) -> None:
    with ExitStack() as stack:
        writer = Writer(shop, server)
        stack.callback(writer.close)
        plane.sync.poll("stock")
        until(
            lambda: comparisons.run(plane, "stock", "test")["agree"] == ITEMS,
            "the shop shows what the ERP holds",
            at_most=180,
        )

        edits = iter(BY_HANDS)
        wanted = {f"{sku}@WH": ("vendure", "changed_at_target") for sku in BY_HANDS}
        with again_and_again(writer.count_anew, lambda: _poll(plane)):
            for number in range(ROUNDS):
                if (sku := next(edits, None)) is not None:
                    writer.set_by_hand(sku, 9000 + number)
                told = comparisons.run(plane, "stock", "test")
                assert told["keys"] == ITEMS
                assert opened(plane).keys() <= wanted.keys(), opened(plane)
                time.sleep(PROMISE / ROUNDS)
            until(lambda: _confirmed(plane) == wanted, "what was changed by hand is confirmed", at_most=120)
            assert comparisons.run(plane, "stock", "test")["drift"] == len(wanted)
            assert opened(plane) == wanted
        assert sum(writer.counted.values()) >= 2 * ROUNDS, "the ERP was written to all the time"


def _poll(plane: Plane) -> None:
    plane.sync.poll("stock")


def _confirmed(plane: Plane) -> dict[str, tuple[str, str]]:
    comparisons.confirm(plane, "stock")
    return opened(plane)
