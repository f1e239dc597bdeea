"""The Adobe Commerce connector against a simulated store; where the vendor's description is at hand, every exchange is held against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from controlplane.connectors.builtin.adobe_commerce.bench import SECRETS as OAUTH
from controlplane.connectors.builtin.adobe_commerce.connector import AdobeCommerceConnector
from controlplane.connectors.contract import Draft, Write
from controlplane.errors import BadInputError, UnavailableError
from controlplane.sandbox.adobe.app import ROOT, Store, create
from rules.model.messages import parse
from rules.money import to_minor
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.simulators import SPECS, hanging_up, held_against


@dataclass
class Bench:
    """A store, a connector to it, and one clock for both."""

    store: Store
    connector: AdobeCommerceConnector
    given: Given

    def made(self, **secrets: str) -> AdobeCommerceConnector:
        self.given.secrets = secrets
        return AdobeCommerceConnector(self.given.context(frozenset(secrets)))

    def drafts(self, cursor: dict[str, Any] | None = None) -> dict[str, Draft]:
        records = [record for page in self.connector.poll("orders", cursor) for record in page.records]
        return {
            draft.subject: draft for record in records for draft in self.connector.translate(record.topic, record.body)
        }

    def levels(self, *keys: tuple[str, str]) -> dict[tuple[str, str], int | None]:
        pages = self.connector.snapshot("source_items", list(keys) or None)
        return {(one.sku, one.location): one.on_hand for page in pages for one in page}


@pytest.fixture
def bench() -> Iterator[Bench]:
    given = Given("", options={"locations": ["default", "west"]}, timeout=10, secrets=dict(OAUTH))
    store = Store(given.clock.now, sources={"default": True, "west": True, "old": False})
    app = create(store)
    contract = held_against(app, [SPECS / "magento/admin-schema-2.4.9.yaml"], below=ROOT.removesuffix("/V1"))
    with hanging_up(app) as port:
        given.endpoint = f"http://127.0.0.1:{port}"
        connector = AdobeCommerceConnector(given.context(frozenset(OAUTH)))
        yield Bench(store, connector, given)
        connector.close()
    # the description gives parameters of errors another shape than the vendor's pages and stores, of which ours is
    assert contract is None or [one for one in contract.broken if "parameters" not in one] == []


def level(quantity: int, sku: str = "A", location: str = "default") -> Write:
    payload = {
        "sku": sku,
        "location": location,
        "on_hand": quantity,
        "allocated": 0,
        "available": quantity,
        "in_transit": 0,
    }
    return Write("source_item", f"{sku}@{location}", f"k-{quantity}", payload, f"{sku}@{location}")


def shipment(name: str, order: str, *lines: tuple[str, int]) -> Write:
    payload = {
        "shipment": name, "order_ref": order, "location": "default", "shipped_at": "2026-11-27T06:00:00+00:00", "carrier": "",
        "tracking": f"T-{name}", "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines],
    }  # fmt: skip
    return Write("shipment", name, f"key-{name}", payload, name)


def test_requests_are_signed_and_a_wrong_secret_is_named_and_not_told(bench: Bench) -> None:
    bench.connector.ping()
    assert [one.actual for one in bench.connector.settings()] == ["there, in use", "there, in use"]
    wrong = bench.made(**{**OAUTH, "access_token_secret": "another-secret"})
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        wrong.ping()
    assert "another-secret" not in str(raised.value.evidence)
    wrong.close()


def test_an_integrations_token_does_as_well(bench: Bench) -> None:
    plain = bench.made(access_token="integration")
    plain.ping()
    plain.close()


def test_all_pages_of_source_items_are_read_and_the_last_is_not_read_twice(bench: Bench) -> None:
    for n in range(650):
        bench.store.keep(f"SKU-{n}", "default", n)
    bench.store.keep("SKU-1", "west", 7)
    bench.store.keep("SKU-1", "old", 9)
    assert bench.levels() == {(f"SKU-{n}", "default"): n for n in range(650)} | {("SKU-1", "west"): 7}
    assert bench.levels(("SKU-1", "west"), ("SKU-2", "default")) == {("SKU-1", "west"): 7, ("SKU-2", "default"): 2}


def test_a_store_that_gives_shorter_pages_than_asked_for_is_read_to_its_end(bench: Bench) -> None:
    bench.store.most = 100
    for n in range(250):
        bench.store.keep(f"SKU-{n}", "default", n)
    assert len(bench.levels()) == 250


def test_what_lies_at_a_source_is_set_also_when_the_answer_is_lost(bench: Bench) -> None:
    bench.store.keep("A", "default", 3)
    bench.store.lost = 1
    asked = level(8)
    assert bench.connector.read_back(asked).result is Result.ABSENT
    assert bench.connector.write(asked).result is Result.UNKNOWN
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED
    assert bench.levels() == {("A", "default"): 8}
    assert bench.connector.write(level(0)).result is Result.DELIVERED


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (level(1, sku="NONE"), 'Product with SKU "NONE" does not exist'),
        (level(1, location="moon"), 'Source with code "moon" does not exist'),
    ],
)
def test_a_refusal_is_told_with_its_parameters_put_in(bench: Bench, asked: Write, names: str) -> None:
    bench.store.keep("A", "default", 3)
    refused = bench.connector.write(asked)
    assert refused.result is Result.REJECTED
    assert names in refused.detail


def test_orders_are_read_once_paid_net_of_discounts_and_by_what_leaves_the_warehouse(bench: Bench) -> None:
    bench.store.order(
        "1",
        {"sku": "A", "qty_ordered": 3, "row_total": 30, "discount_amount": 2},
        {"sku": "V", "qty_ordered": 1, "row_total": 5, "product_type": "virtual"},
    )
    bench.store.order("2", {"sku": "A", "qty_ordered": 1, "row_total": 10}, state="pending_payment")
    third = bench.store.order(
        "3",
        {"sku": "C-red", "qty_ordered": 2, "row_total": 20, "product_type": "configurable"},
        {"sku": "C-red", "qty_ordered": 2, "row_total": 0},
        {"sku": "B", "qty_ordered": 1, "row_total": 0, "product_type": "bundle"},
        {"sku": "B-1", "qty_ordered": 1, "row_total": 4},
    )
    lines = bench.store.orders[third]["items"]
    lines[1]["parent_item_id"], lines[3]["parent_item_id"] = lines[0]["item_id"], lines[2]["item_id"]
    found = {ref: parse(draft.type, draft.data) for ref, draft in bench.drafts().items()}
    assert {
        ref: [(line.sku, line.quantity, str(to_minor(line.unit_price * line.quantity, "USD"))) for line in order.lines]
        for ref, order in found.items()
    } == {"1": [("A", 3, "28.00")], "3": [("C-red", 2, "20.00"), ("B-1", 1, "4.00")]}


def test_an_order_that_is_paid_later_is_found_by_a_later_poll(bench: Bench) -> None:
    first = bench.store.order("1", {"sku": "A", "qty_ordered": 1, "row_total": 10}, state="pending_payment")
    cursor = list(bench.connector.poll("orders", None))[-1].cursor
    bench.given.clock.advance(3600)
    bench.store.change(first, "processing")
    assert bench.drafts(cursor).keys() == {"1"}


def test_no_person_is_kept_with_an_order(bench: Bench) -> None:
    bench.store.order("1", {"sku": "A", "qty_ordered": 1, "row_total": 10})
    [record] = [record for page in bench.connector.poll("orders", None) for record in page.records]
    assert b"somebody" not in record.body


def test_a_shipment_is_made_once_also_when_the_answer_is_lost(bench: Bench) -> None:
    bench.store.order("1", {"sku": "A", "qty_ordered": 3, "row_total": 30})
    asked = shipment("S1", "1", ("A", 2))
    bench.store.lost = 1
    assert bench.connector.write(asked).result is Result.UNKNOWN
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED
    assert bench.connector.write(asked).result is Result.ALREADY_DELIVERED
    assert len(bench.store.shipments) == 1
    assert "less left to ship" in bench.connector.write(shipment("S2", "1", ("A", 2))).detail
    assert bench.connector.read_back(shipment("S3", "1", ("A", 1))).result is Result.ABSENT
    assert bench.connector.write(shipment("S3", "1", ("A", 1))).result is Result.DELIVERED
    assert "has 0 orders" in bench.connector.write(shipment("S4", "9", ("A", 1))).detail


def test_a_store_in_maintenance_is_an_outage_of_a_read_and_leaves_a_write_unknown(bench: Bench) -> None:
    bench.store.keep("A", "default", 1)
    bench.store.maintenance = True
    with pytest.raises(UnavailableError):
        bench.connector.ping()
    assert bench.connector.write(level(2)).result is Result.UNKNOWN


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"[]", "not an object"),
        (b"{}", "increment_id"),
        (
            b'{"increment_id": "1", "entity_id": 1, "created_at": "yesterday", "state": "complete", "items": []}',
            "breaks the store's contract",
        ),
    ],
)
def test_an_order_that_breaks_the_contract_is_refused_by_name(bench: Bench, body: bytes, names: str) -> None:
    with pytest.raises(BadInputError, match=names):
        bench.connector.translate("orders", body)
