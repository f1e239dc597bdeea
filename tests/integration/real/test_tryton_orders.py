"""Orders into a real Tryton ERP, and the shipments that come of them back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.connectors.builtin.tryton.connector import TrytonConnector
from controlplane.connectors.builtin.tryton.rpc import encode
from controlplane.connectors.contract import Draft, Write
from rules.model.messages import parse
from rules.outcomes import Result
from tests.integration.real.systems import Server
from tests.integration.real.test_tryton import make

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def connector(server: Server) -> Iterator[TrytonConnector]:
    made = make(server, customer="2")
    yield made
    made.close()


def order(ref: str, *lines: tuple[str, int, str], location: str = "WH") -> Write:
    told = [
        {"line": n, "native_id": str(n), "sku": sku, "location": location, "quantity": quantity, "unit_price": price}
        for n, (sku, quantity, price) in enumerate(lines, 1)
    ]
    placed = datetime.now(UTC).isoformat()
    payload = {"ref": ref, "native_id": ref, "placed_at": placed, "currency": "EUR", "lines": told}
    return Write("sale", ref, f"key-{ref}", payload, ref)


def sales(connector: TrytonConnector, ref: str) -> list[dict[str, Any]]:
    fields = ["state", "lines", "untaxed_amount", "tax_amount", "warehouse.code"]
    return [row for rows, _ in connector._rpc.rows("sale.sale", [["reference", "=", ref]], fields, {}) for row in rows]


def shipments(connector: TrytonConnector, ref: str) -> list[Draft]:
    records = [record for page in connector.poll("shipments", None) for record in page.records]
    drafts = [draft for record in records for draft in connector.translate(record.topic, record.body)]
    return [draft for draft in drafts if draft.data["order_ref"] == ref]


@pytest.fixture
def ref() -> str:
    return f"#{uuid.uuid4().hex[:10]}"


def test_an_order_becomes_a_confirmed_sale_at_its_own_prices_with_the_products_taxes(
    connector: TrytonConnector, ref: str
) -> None:
    asked = order(ref, ("SKU-0020", 2, "7.50"), ("SKU-0021", 1, "3.25"))
    assert connector.read_back(asked).result is Result.ABSENT
    assert connector.write(asked).result is Result.DELIVERED
    [made] = sales(connector, ref)
    assert made["state"] in ("confirmed", "processing")
    assert str(made["untaxed_amount"]) == "18.25"
    assert made["tax_amount"] > 0
    assert made["warehouse."]["code"] == "WH"


def test_on_what_a_marketplace_remits_the_tax_of_no_tax_is_put(connector: TrytonConnector, ref: str) -> None:
    asked = order(ref, ("SKU-0020", 2, "7.50"))
    [line] = asked.payload["lines"]
    gone = {**line, "tax": {"amount": "1.50", "remitter": "marketplace", "withheld": "1.50"}}
    assert connector.write(replace(asked, payload={**asked.payload, "lines": [gone]})).result is Result.DELIVERED
    [made] = sales(connector, ref)
    assert (str(made["untaxed_amount"]), made["tax_amount"]) == ("15.00", 0)


def test_told_twice_it_is_one_sale(connector: TrytonConnector, ref: str) -> None:
    asked = order(ref, ("SKU-0020", 1, "7.50"))
    first, second = connector.write(asked), connector.write(asked)
    assert (first.result, second.result) == (Result.DELIVERED, Result.DELIVERED)
    assert first.native_id == second.native_id
    assert connector.read_back(asked).result is Result.ALREADY_DELIVERED
    assert len(sales(connector, ref)) == 1


def test_what_stopped_at_a_draft_counts_as_absent_and_is_taken_further_by_the_next_try(
    connector: TrytonConnector, ref: str
) -> None:
    asked = order(ref, ("SKU-0020", 1, "7.50"))
    connector._rpc.tell("model.sale.sale.create", [encode(connector._sales._sale(asked))], {})
    assert connector.read_back(asked).result is Result.ABSENT
    assert connector.write(asked).result is Result.DELIVERED
    [made] = sales(connector, ref)
    assert made["state"] in ("confirmed", "processing")


def test_what_tryton_cannot_take_is_rejected_with_what_to_do(connector: TrytonConnector, ref: str) -> None:
    unknown = connector.write(order(ref, ("SKU-NONE", 1, "7.50")))
    assert unknown.result is Result.REJECTED
    assert "make it salable there" in unknown.detail
    asked = order(ref, ("SKU-0020", 1, "7.50"), ("SKU-0021", 1, "7.50"))
    asked.payload["lines"][1]["location"] = "DC2"
    both = connector.write(asked)
    assert both.result is Result.REJECTED
    assert "split the order" in both.detail
    assert sales(connector, ref) == []


def test_a_cancelled_sale_is_not_made_anew_behind_peoples_backs(connector: TrytonConnector, ref: str) -> None:
    asked = order(ref, ("SKU-0020", 1, "7.50"))
    connector._rpc.tell("model.sale.sale.create", [encode(connector._sales._sale(asked))], {})
    [made] = sales(connector, ref)
    connector._rpc.tell("model.sale.sale.cancel", [made["id"]], {})
    again = connector.write(asked)
    assert again.result is Result.REJECTED
    assert "was cancelled in Tryton" in again.detail


def test_a_shipment_that_is_done_comes_back_with_its_order(connector: TrytonConnector, ref: str) -> None:
    connector.write(order(ref, ("SKU-0020", 2, "7.50"), ("SKU-0021", 1, "3.25")))
    assert shipments(connector, ref) == []
    [sale] = sales(connector, ref)
    domain = [["moves.origin.sale.id", "=", sale["id"], "sale.line"]]
    found, _ = connector._rpc.call("model.stock.shipment.out.search", domain, 0, None, None, {})
    for step in ("assign_try", "pick", "pack", "do"):
        connector._rpc.tell(f"model.stock.shipment.out.{step}", found, {})
    [told] = shipments(connector, ref)
    shipped = parse(told.type, told.data)
    assert {line.sku: line.quantity for line in shipped.lines} == {"SKU-0020": 2, "SKU-0021": 1}
    assert (shipped.location, told.subject.startswith("tryton-") or told.subject.count("-") >= 1) == ("WH", True)
    assert [one.dedupe_key for one in shipments(connector, ref)] == [told.dedupe_key]
