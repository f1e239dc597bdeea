"""The Square connector against simulated tills; where the vendor's description is at hand, every exchange is held against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from controlplane.connectors.builtin.square.connector import SquareConnector
from controlplane.connectors.contract import Draft, Inbound, SignatureError, Write
from controlplane.errors import BadInputError, ThrottledError, UnavailableError
from controlplane.sandbox.square.app import TOKEN, Seller, create, signed, stamp
from rules.model.messages import SaleRecorded, parse
from rules.money import to_minor
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.simulators import SPECS, hanging_up, held_against

HOOK = "https://plane.example/hooks/square"


@dataclass
class Bench:
    """Tills, a connector to them, and one clock for both."""

    seller: Seller
    connector: SquareConnector
    given: Given

    def drafts(self, cursor: dict[str, Any] | None = None) -> dict[str, Draft]:
        records = [record for page in self.connector.poll("sales", cursor) for record in page.records]
        return {
            draft.subject: draft for record in records for draft in self.connector.translate(record.topic, record.body)
        }

    def counts(self, *keys: tuple[str, str]) -> dict[tuple[str, str], int | None]:
        pages = self.connector.snapshot("counts", list(keys) or None)
        return {(one.sku, one.location): one.on_hand for page in pages for one in page}

    def told(self, topic: str, told: dict[str, Any]) -> list[Draft]:
        body = json.dumps({"type": topic, "event_id": "e1", "data": {"object": told}}).encode()
        record = self.connector.receive(Inbound({"x-square-hmacsha256-signature": signed("hush", HOOK, body)}, body))
        assert record.event_key == f"{topic}:e1"
        return self.connector.translate(record.topic, record.body)


@pytest.fixture
def bench() -> Iterator[Bench]:
    given = Given("", options={"locations": ["L1", "L2"], "webhook_url": HOOK}, timeout=10)
    given.secrets = {"access_token": TOKEN, "webhook_secret": "hush"}
    seller = Seller(given.clock.now, page=2, few=2, catalogue={f"V{n}": f"SKU-{n}" for n in range(1, 7)})
    app = create(seller)
    contract = held_against(app, [SPECS / "square/api.json"])
    with hanging_up(app) as port:
        given.endpoint = f"http://127.0.0.1:{port}"
        connector = SquareConnector(given.context())
        yield Bench(seller, connector, given)
        connector.close()
    assert contract is None or contract.broken == []


def count(quantity: int, sku: str = "SKU-1", key: str = "k1") -> Write:
    payload = {"sku": sku, "location": "L1", "channel": "square", "quantity": quantity, "expected": None}
    return Write("count", f"{sku}@L1", key, payload, f"{sku}@L1")


def test_all_pages_of_counts_are_read_under_our_skus(bench: Bench) -> None:
    for n in range(1, 7):
        bench.seller.count(f"V{n}", "L1", n)
    bench.seller.count("V1", "L2", 40)
    assert bench.counts() == {(f"SKU-{n}", "L1"): n for n in range(1, 7)} | {("SKU-1", "L2"): 40}
    assert bench.counts(("SKU-2", "L1"), ("SKU-1", "L2")) == {("SKU-2", "L1"): 2, ("SKU-1", "L2"): 40}


def test_a_count_is_told_once_also_when_the_answer_is_lost_and_time_goes_by(bench: Bench) -> None:
    bench.seller.lost = 1
    asked = count(12)
    assert bench.connector.write(asked).result is Result.UNKNOWN
    assert bench.connector.read_back(asked).result is Result.ALREADY_DELIVERED
    bench.seller.count("V1", "L1", 11)  # somebody buys one
    bench.given.clock.advance(60)
    assert bench.connector.read_back(asked).result is Result.UNSEEN
    assert bench.connector.write(asked).result is Result.ALREADY_DELIVERED
    assert bench.counts() == {("SKU-1", "L1"): 11}
    assert bench.connector.write(count(3, key="k2")).result is Result.DELIVERED
    assert bench.counts() == {("SKU-1", "L1"): 3}


def test_a_sku_that_square_does_not_have_or_has_twice_is_rejected(bench: Bench) -> None:
    assert "has 0 variations" in bench.connector.write(count(1, sku="SKU-9")).detail
    bench.seller.catalogue["V9"] = "SKU-1"
    assert "has 2 variations" in bench.connector.write(count(1)).detail


def test_sales_are_read_line_by_line_net_and_exact_to_the_cent_and_returns_count_negative(bench: Bench) -> None:
    bench.seller.sell("O1", "L1", ("V1", "3", 1000), ("V2", "1", 250), tax=0)
    bench.seller.sell("O2", "L2", ("V3", "1", 1190), tax=190)
    bench.seller.give_back("O3", "O1", "L1", "V1", "1", 333)
    found = {ref: parse(draft.type, draft.data) for ref, draft in bench.drafts().items()}
    worth = {
        ref: (one.sku, one.location, one.quantity, str(to_minor(one.unit_price * one.quantity, "USD")))
        for ref, one in found.items()
    }
    assert worth == {
        "O1/O1-1": ("SKU-1", "L1", 3, "10.00"),
        "O1/O1-2": ("SKU-2", "L1", 1, "2.50"),
        "O2/O2-1": ("SKU-3", "L2", 1, "10.00"),
        "O3/O3-r": ("SKU-1", "L1", -1, "-3.33"),
    }
    assert all(isinstance(one.unit_price, Decimal) for one in found.values())


def test_a_line_of_nothing_is_no_sale_and_spoils_no_other(bench: Bench) -> None:
    bench.seller.sell("O1", "L1", ("V1", "0", 0), ("V2", "1", 250))
    assert bench.drafts().keys() == {"O1/O1-2"}


def test_a_sale_that_a_till_made_offline_comes_late_and_is_found(bench: Bench) -> None:
    bench.seller.sell("O1", "L1", ("V1", "1", 100))
    cursor = list(bench.connector.poll("sales", None))[-1].cursor
    bench.given.clock.advance(3600)
    earlier = bench.given.clock.now() - timedelta(hours=5)
    bench.seller.sell("O2", "L1", ("V1", "1", 100), sold_at=earlier)
    found = bench.drafts(cursor)
    assert found.keys() == {"O1/O1-1", "O2/O2-1"}, "five minutes are read again, which the keys make harmless"
    assert found["O2/O2-1"].occurred_at == earlier


def test_no_person_is_kept_with_a_sale(bench: Bench) -> None:
    bench.seller.sell("O1", "L1", ("V1", "1", 100))
    [record] = [record for page in bench.connector.poll("sales", None) for record in page.records]
    assert b"somebody" not in record.body


def test_webhooks_are_taken_with_the_signature_of_address_and_body_only(bench: Bench) -> None:
    row = {
        "catalog_object_id": "V1",
        "state": "IN_STOCK",
        "location_id": "L1",
        "quantity": "5",
        "calculated_at": stamp(bench.given.clock.now()),
    }
    other = [{**row, "state": "WASTE"}, {**row, "location_id": "L9"}]
    [level] = bench.told("inventory.count.updated", {"inventory_counts": [row, *other]})
    assert parse(level.type, level.data).available == 5
    bench.seller.sell("O1", "L1", ("V1", "1", 100))
    assert [
        one.subject for one in bench.told("order.updated", {"order_updated": {"order_id": "O1", "state": "COMPLETED"}})
    ] == ["O1/O1-1"]
    assert bench.told("order.updated", {"order_updated": {"order_id": "O1", "state": "OPEN"}}) == []
    assert bench.told("customer.created", {}) == []
    for signature in ("", signed("hush", "https://other.example", b"{}"), signed("other", HOOK, b"{}"), "\u00e9"):
        with pytest.raises(SignatureError, match="webhook_secret"):
            bench.connector.receive(Inbound({"x-square-hmacsha256-signature": signature}, b"{}"))


def test_what_square_says_of_itself_is_told_by_class(bench: Bench) -> None:
    bench.seller.throttled = 1
    with pytest.raises(ThrottledError):
        bench.connector.ping()
    bench.given.secrets["access_token"] = "another-token"
    wrong = SquareConnector(bench.given.context())
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        wrong.ping()
    assert "another-token" not in str(raised.value.evidence)
    wrong.close()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ({"uid": "u", "quantity": "1.5", "catalog_object_id": "V1"}, "whole units"),
        ({"uid": "u", "quantity": "1", "name": "tip"}, "of no article"),
        ({"uid": "u", "quantity": "1", "catalog_object_id": "V0"}, "has no SKU at Square"),
        ({"uid": "u", "quantity": "one", "catalog_object_id": "V1"}, "breaks Square's contract"),
        (
            {"uid": "u", "quantity": "0", "catalog_object_id": "V1", "total_money": {"amount": 1, "currency": "USD"}},
            "breaks Square's contract",
        ),
    ],
)
def test_a_sale_that_cannot_be_read_is_refused_by_name(bench: Bench, line: dict[str, Any], names: str) -> None:
    order = {
        "id": "O1",
        "location_id": "L1",
        "state": "COMPLETED",
        "closed_at": "2026-11-27T06:00:00Z",
        "line_items": [line],
    }
    with pytest.raises(BadInputError, match=names):
        bench.connector.translate("orders", json.dumps(order).encode())


@pytest.mark.parametrize(
    ("source", "remitter", "withheld"),
    [("DoorDash", "marketplace", "1.90"), ("Square Online", "retailer", "0.00"), (None, None, "0.00")],
)
def test_the_tax_of_a_sale_is_told_and_that_of_a_marketplace_as_withheld(
    bench: Bench, source: str | None, remitter: str | None, withheld: str
) -> None:
    bench.given.options["marketplaces"] = ["DoorDash"]
    bench.seller.sell("O1", "L1", ("V1", "1", 1190), tax=190)
    taxes = [{"uid": "t1", "name": "VAT", "percentage": "19"}, {"uid": "t2", "name": "Other", "percentage": "7"}]
    bench.seller.orders["O1"] |= {"taxes": taxes} | ({"source": {"name": source}} if source else {})
    bench.seller.orders["O1"]["line_items"][0]["applied_taxes"] = [{"uid": "a", "tax_uid": "t1"}]
    sale = parse("sale.recorded", bench.drafts()["O1/O1-1"].data)
    assert isinstance(sale, SaleRecorded)
    assert sale.tax is not None
    assert (sale.tax.amount, sale.tax.rate, sale.tax.jurisdiction) == (Decimal("1.90"), Decimal("0.19"), "VAT")
    assert (sale.tax.remitter, sale.tax.withheld) == (remitter, Decimal(withheld))
    assert sale.unit_price == Decimal("10")


def test_tax_is_given_back_with_the_goods_and_is_not_known_where_it_is_not_told(bench: Bench) -> None:
    bench.seller.give_back("O3", "O1", "L1", "V1", "1", 333)
    line = bench.seller.orders["O3"]["returns"][0]["return_line_items"][0]
    line["total_tax_money"] = {"amount": 53, "currency": "USD"}
    bench.seller.sell("O4", "L1", ("V1", "1", 100))
    del bench.seller.orders["O4"]["line_items"][0]["total_tax_money"]
    found = {ref: parse(draft.type, draft.data) for ref, draft in bench.drafts().items()}
    back, untold = found["O3/O3-r"], found["O4/O4-1"]
    assert isinstance(back, SaleRecorded)
    assert isinstance(untold, SaleRecorded)
    assert back.tax is not None
    assert (back.quantity, back.unit_price, back.tax.amount) == (-1, Decimal("2.8"), Decimal("-0.53"))
    assert untold.tax is None
