"""The SAP S/4HANA connector against a simulated tenant; where SAP's descriptions are at hand, every exchange is held against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.sap_s4.api import external, mark
from controlplane.connectors.builtin.sap_s4.connector import SapS4Connector
from controlplane.connectors.conformance.bench import GivenCodes
from controlplane.connectors.contract import Draft, Write
from controlplane.connectors.outcomes import AWAITED
from controlplane.errors import BadInputError, ThrottledError, UnavailableError, UnknownOutcomeError, UnreadableError
from controlplane.sandbox.sap.app import PASSWORD, USER, create
from controlplane.sandbox.sap.books import Erp
from rules.model.messages import parse
from rules.outcomes import Outcome, Result
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.sap_kit import Held
from tests.controlplane.connectors.simulators import hanging_up

OPTIONS = {
    "sales_organization": "1010", "distribution_channel": "10", "division": "00", "sold_to_party": "10100001",
    "company_code": "1010", "locations": ["1010/101A"],
}  # fmt: skip
AT = "2026-11-27T06:00:00+00:00"
HERE = "1010/101A"


@dataclass
class Bench:
    """A tenant, a connector to it, and one clock for both."""

    erp: Erp
    connector: SapS4Connector
    given: Given
    held: Held | None

    def drafts(self, cursor: dict[str, Any] | None = None) -> dict[str, Draft]:
        records = [record for page in self.connector.poll("items", cursor) for record in page.records]
        return {
            draft.subject: draft for record in records for draft in self.connector.translate(record.topic, record.body)
        }

    def levels(self, *keys: tuple[str, str]) -> dict[tuple[str, str], int | None]:
        pages = self.connector.snapshot("inventory_balance", list(keys) or None)
        return {(one.sku, one.location): one.on_hand for page in pages for one in page}

    def write(self, request: Write) -> Result:
        return self.connector.write(request).result

    def again(self, request: Write) -> Result:
        return self.connector.read_back(request).result


@pytest.fixture(params=["v2", "v4"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    clock = ManualClock(START, pace=0.02)
    given = Given(
        "",
        options={**OPTIONS, "orders_api": request.param},
        timeout=600,
        clock=clock,
        secrets={"user": USER, "password": PASSWORD},
    )
    erp = Erp(given.clock.now)
    app = create(erp)
    held = Held() if Held.at_hand() else None
    if held:
        app.wsgi_app = held.around(app.wsgi_app)  # type: ignore[method-assign]
    with hanging_up(app) as port:
        given.endpoint = f"http://127.0.0.1:{port}"
        connector = SapS4Connector(given.context())
        yield Bench(erp, connector, given, held)
        connector.close()
    assert held is None or held.broken == []


def order(ref: str, sku: str = "A", quantity: int = 2, **line: Any) -> Write:
    lines = [
        {"line": 1, "native_id": "1", "sku": sku, "location": HERE, "quantity": quantity, "unit_price": "12.50", **line}
    ]
    payload = {"ref": ref, "native_id": f"o/{ref}", "placed_at": AT, "currency": "USD", "lines": lines}
    return Write("sales_order", ref, f"key-{ref}", payload, ref)


def shipment(name: str, ref: str, quantity: int = 2, sku: str = "A") -> Write:
    lines = [{"sku": sku, "quantity": quantity}]
    payload = {"shipment": name, "order_ref": ref, "location": HERE, "shipped_at": AT, "lines": lines}
    return Write("item_fulfillment", name, f"key-{name}", payload, name)


def receipt(name: str, quantity: int = 5, *more: str) -> Write:
    lines = [{"sku": sku, "quantity": quantity} for sku in ("A", *more)]
    payload = {"receipt": name, "purchase_order": "P-1", "location": HERE, "received_at": AT, "lines": lines}
    return Write("item_receipt", name, f"key-{name}", payload, name)


def sale(ref: str, quantity: int) -> Write:
    payload = {
        "ref": ref,
        "location": HERE,
        "sku": "A",
        "quantity": quantity,
        "unit_price": "1",
        "currency": "USD",
        "sold_at": AT,
    }
    return Write("cash_sale", ref, f"key-{ref}", payload, ref)


def posting(name: str, debit: str = "25.00") -> Write:
    lines = [
        {"account": "1100", "debit": debit, "credit": "0", "memo": "A & B"},
        {"account": "4000", "debit": "0", "credit": "25.00", "memo": ""},
    ]
    payload = {"posting_key": name, "document": name, "business_date": "2026-11-27", "currency": "USD", "lines": lines}
    return Write("journal_entry", name, f"key-{name}", payload, name)


def told(outcome: Outcome) -> tuple[Result, str]:
    return outcome.result, outcome.detail


# --- reading ---
@pytest.mark.parametrize("most", [0, 70])
def test_stock_is_read_whole_also_from_a_gateway_that_gives_shorter_pages(bench: Bench, most: int) -> None:
    for n in range(603):
        bench.erp.keep(f"SKU-{n:04}", HERE, n)
    bench.erp.keep("SKU-0001", "1010/101B", 9)
    bench.erp.most = most
    assert bench.levels() == {(f"SKU-{n:04}", HERE): n for n in range(603)}
    assert bench.levels(("SKU-0007", HERE), ("SKU-0001", "1010/101B")) == {("SKU-0007", HERE): 7}


def test_stock_is_what_lies_there_and_is_the_companys_own(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 5)
    bench.erp.keep("A", HERE, 2, kind="02")
    bench.erp.keep("A", HERE, 1, kind="07")
    bench.erp.keep("A", HERE, 9, kind="06")
    assert bench.levels() == {("A", HERE): 8}


@pytest.mark.parametrize(("kind", "quantity"), [("01", 1.5), ("ZZ", 1)])
def test_a_fraction_and_a_stock_type_that_is_new_are_never_a_number(bench: Bench, kind: str, quantity: float) -> None:
    bench.erp.keep("A", HERE, quantity, kind=kind)
    with pytest.raises(UnreadableError, match="breaks its contract"):
        bench.levels()


def test_a_material_number_is_the_same_with_its_zeros_and_without(bench: Bench) -> None:
    assert [external(one) for one in ("000000000000004711", "4711", "A-007", "0" * 40)] == [
        "4711",
        "4711",
        "A-007",
        "0",
    ]
    bench.erp.keep("4711", HERE, 3)
    bench.erp.padded = True
    assert bench.levels() == bench.levels(("4711", HERE)) == {("4711", HERE): 3}
    assert bench.drafts().keys() == {"4711"}
    assert bench.write(order("#1", "4711")) is Result.DELIVERED


def test_products_are_read_with_their_cost_and_by_what_changed(bench: Bench) -> None:
    bench.erp.describe("A", "Article A", "12.34")
    bench.erp.describe("B", "Article B", "1.00", sold=False)
    found = {sku: parse(draft.type, draft.data) for sku, draft in bench.drafts().items()}
    assert {sku: (one.title, one.unit_cost, one.active) for sku, one in found.items()} == {  # type: ignore[attr-defined]
        "A": ("Article A", Decimal("12.34"), True), "B": ("Article B", Decimal("1.00"), False),
    }  # fmt: skip
    bench.given.clock.advance(3600)
    bench.erp.describe("B", "Article B", "2.00")
    cursor = list(bench.connector.poll("items", None))[-1].cursor
    assert bench.drafts(cursor).keys() == {"B"}


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"Product": "A", "LastChangeDateTime": "yesterday", "names": [], "values": []}']
)
def test_a_product_that_breaks_the_contract_is_refused_by_name(bench: Bench, body: bytes) -> None:
    with pytest.raises(BadInputError):
        bench.connector.translate("items", body)


# --- orders ---
def test_an_order_is_booked_once_also_when_the_answer_is_lost(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 5)
    asked = order("#1'O")
    bench.erp.lost = 1
    assert bench.again(asked) is Result.ABSENT
    assert bench.write(asked) is Result.UNKNOWN
    assert bench.again(asked) is Result.ALREADY_DELIVERED
    assert bench.write(asked) is Result.ALREADY_DELIVERED
    [booked] = bench.erp.books.orders.values()
    assert (booked["PurchaseOrderByCustomer"], booked["TotalNetAmount"]) == ("#1'O", Decimal("25.00"))


def test_goods_whose_tax_a_marketplace_remits_are_booked_as_not_taxed(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 5)
    gone = {"amount": "1.70", "remitter": "marketplace", "withheld": "1.70"}
    connector = SapS4Connector(
        replace(bench.given.context(), codes=GivenCodes({"tax_code": {"0": "marketplace_remitted"}}))
    )
    asked, plain = order("#1", tax=gone), order("#2", tax={"amount": "1.70", "remitter": "retailer"})
    assert connector.write(plain).result is Result.DELIVERED
    assert "marketplace_remitted" in bench.connector.write(asked).detail, "no code of SAP's stands for it"
    assert "remits some" in connector.write(order("#3", tax={**gone, "remitter": "both", "withheld": "1"})).detail
    held = connector.write(asked)
    connector.close()
    if bench.given.options["orders_api"] == "v4":
        assert (held.result, "orders_api" in held.detail) == (Result.REJECTED, True)
        assert len(bench.erp.books.orders) == 1
    else:
        assert held.result is Result.DELIVERED
        taxed = {one["PurchaseOrderByCustomer"]: one["to_Item"] for one in bench.erp.books.orders.values()}
        assert [one.get("ProductTaxClassification1") for one in taxed["#1"]] == ["0"]
        assert [one.get("ProductTaxClassification1") for one in taxed["#2"]] == [None]


def test_another_customers_order_of_the_same_reference_is_not_ours(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 5)
    bench.erp.parties.add("20200002")
    bench.write(order("#1"))
    bench.given.options["sold_to_party"] = "20200002"
    assert bench.again(order("#1")) is Result.ABSENT


def test_a_warning_beside_a_success_is_told_and_is_none_of_an_error(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 1)
    assert told(bench.connector.write(order("#1"))) == (
        Result.DELIVERED,
        "Item 10: requested quantity is not available",
    )


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (order("#1", "NONE"), "Material NONE is not defined"),
        (order("#1", location="1010/XXXX"), "Storage location XXXX does not exist"),
        (order("#1", location="1010"), "map it to plant and storage location"),
        (order("#" + "1" * 35), "more than 35 characters"),
    ],
)
def test_a_refusal_is_told_in_saps_words_or_before_anything_is_sent(bench: Bench, asked: Write, names: str) -> None:
    bench.erp.keep("A", HERE, 5)
    refused = bench.connector.write(asked)
    assert refused.result is Result.REJECTED
    assert names in refused.detail
    assert not bench.erp.books.orders


def test_a_lack_of_an_option_is_named(bench: Bench) -> None:
    del bench.given.options["division"]
    assert "options.division" in bench.connector.write(order("#1")).detail


def test_what_a_user_works_on_waits_and_is_no_fault_of_the_document(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 5)
    bench.erp.lock_up("A")
    locked = bench.connector.write(order("#1"))
    assert (locked.result, locked.retry_after) == (Result.UNAVAILABLE, 30)
    assert "locked by user JDOE" in locked.detail
    bench.erp.let_go()
    assert bench.write(order("#1")) is Result.DELIVERED


def test_a_session_that_is_over_is_opened_anew(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 5)
    bench.write(order("#1"))
    bench.erp.forget()
    assert bench.write(order("#2")) is Result.DELIVERED


def test_a_wrong_password_is_no_fault_of_the_document(bench: Bench) -> None:
    bench.given.secrets["password"] = "another-secret"
    other = SapS4Connector(bench.given.context())
    outcome = other.write(order("#1"))
    assert outcome.result is Result.UNAVAILABLE
    assert "another-secret" not in str(outcome)
    with pytest.raises(UnavailableError, match="check the secrets"):
        other.ping()
    other.close()


def test_a_gateway_that_is_busy_throttles(bench: Bench) -> None:
    bench.erp.throttled = 2
    with pytest.raises(ThrottledError):
        bench.connector.ping()
    outcome = bench.connector.write(order("#1"))
    assert (outcome.result, outcome.retry_after) == (Result.THROTTLED, 5)


# --- several orders ---
def test_several_orders_are_booked_by_two_requests_and_one_that_is_refused_keeps_none_of_the_others(
    bench: Bench,
) -> None:
    for sku in ("A", "L"):
        bench.erp.keep(sku, HERE, 50)
    bench.write(order("#1"))
    bench.erp.lock_up("L")
    asked = [order("#1"), order("#2"), order("#3", "NONE"), order("#4", "L"), order("#5")]
    outcomes = bench.connector.write_many(asked)
    assert [one.result for one in outcomes] == [
        Result.ALREADY_DELIVERED, Result.DELIVERED, Result.REJECTED, Result.UNAVAILABLE, Result.DELIVERED,
    ]  # fmt: skip
    assert "Material NONE" in outcomes[2].detail
    assert sorted(bench.erp.effects["orders"]) == ["#1", "#2", "#5"]
    assert bench.held is None or len(bench.held.used) >= 2


def test_a_batch_whose_answer_is_lost_leaves_each_order_to_be_read_back(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 50)
    bench.connector.write_many([order("#0")])
    asked = [order("#1"), order("#2", "NONE")]
    bench.erp.lost = 2
    with pytest.raises((UnknownOutcomeError, UnavailableError)):
        bench.connector.write_many(asked)
    bench.erp.lost = 0
    assert [bench.again(one) for one in asked] == [Result.ABSENT, Result.ABSENT]
    assert [one.result for one in bench.connector.write_many(asked)] == [Result.DELIVERED, Result.REJECTED]


def test_all_orders_that_bear_our_reference_are_named_by_reading_back(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 50)
    bench.write(order("#1"))
    bench.write(order("#10"))
    number, row = next(one for one in bench.erp.books.orders.items() if one[1]["PurchaseOrderByCustomer"] == "#1")
    assert bench.connector.read_back(order("#1")).effects == (number,)
    bench.erp.books.orders["9000000"] = {**row, "SalesOrder": "9000000"}
    assert set(bench.connector.read_back(order("#1")).effects) == {number, "9000000"}


# --- deliveries ---
def test_a_shipment_leaves_once_also_when_any_one_of_its_answers_is_lost(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 100)
    bench.write(order("#1", quantity=10))
    for at in range(4):
        asked = shipment(f"S{at}", "#1")
        _lose_answer(bench, asked, at)
        assert bench.write(asked) in (Result.DELIVERED, Result.ALREADY_DELIVERED)
        assert bench.again(asked) is Result.ALREADY_DELIVERED
    assert sorted(bench.erp.effects["deliveries"]) == ["S0", "S1", "S2", "S3"]
    assert len(bench.erp.books.deliveries) == 4
    assert bench.erp.books.stock["A", "1010", "101A", "01"] == 92


def _lose_answer(bench: Bench, asked: Write, at: int) -> None:
    """Lose the answer of the change that comes after so many others: creation, naming, picking, goods issue."""
    steps = iter(range(at + 1))
    erp = bench.erp
    original = erp.__class__

    class Losing(original):  # type: ignore[misc, valid-type]
        @property
        def lost(self) -> int:
            return int(next(steps, None) == at)

        @lost.setter
        def lost(self, value: int) -> None:
            """Nothing is counted."""

    erp.__class__ = Losing
    assert bench.write(asked) is Result.UNKNOWN
    erp.__class__ = original
    erp.lost = 0


def test_a_shipment_that_overtakes_its_order_waits_for_it(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 5)
    early = bench.connector.write(shipment("S1", "#1"))
    assert early.result is Result.UNAVAILABLE
    assert "not in SAP yet" in early.detail
    bench.write(order("#1"))
    assert bench.write(shipment("S1", "#1")) is Result.DELIVERED


def test_two_shipments_of_an_order_are_two_deliveries_and_no_more_leaves_than_was_ordered(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 50)
    bench.write(order("#1", quantity=4))
    assert [bench.write(shipment(name, "#1")) for name in ("S1", "S2")] == [Result.DELIVERED] * 2
    over = bench.connector.write(shipment("S3", "#1"))
    assert over.result is Result.REJECTED
    assert "less left to ship" in over.detail


def test_a_delivery_that_saps_own_run_made_is_taken_and_not_made_again(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 50)
    bench.write(order("#1"))
    [booked] = bench.erp.books.orders
    item = {"ReferenceSDDocument": booked, "ReferenceSDDocumentItem": "10", "ActualDeliveryQuantity": "2"}
    bench.erp.deliver({"to_DeliveryDocumentItem": [item]})
    assert bench.write(shipment("S1", "#1")) is Result.DELIVERED
    assert len(bench.erp.books.deliveries) == 1


def test_goods_that_are_not_there_do_not_leave_and_the_delivery_stays_for_the_next_try(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 1)
    bench.write(order("#1"))
    refused = bench.connector.write(shipment("S1", "#1"))
    assert refused.result is Result.REJECTED
    assert "Deficit" in refused.detail
    assert bench.again(shipment("S1", "#1")) is Result.ABSENT
    bench.erp.keep("A", HERE, 5)
    assert bench.write(shipment("S1", "#1")) is Result.DELIVERED
    assert len(bench.erp.books.deliveries) == 1


# --- goods movements ---
def test_goods_are_moved_once_also_when_the_answer_is_lost(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 10)
    returned = replace(receipt("R1", 3), entity="inventory_adjustment")
    returned = replace(returned, payload={**returned.payload, "return_ref": "R1", "order_ref": "#1"})
    for asked, left in (
        (receipt("R1"), 15),
        (returned, 18),
        (sale("ST1/c/123456789012345", 2), 16),
        (sale("ST1/c/2", -1), 17),
    ):
        bench.erp.lost = 1
        assert bench.again(asked) is Result.ABSENT
        assert bench.write(asked) is Result.UNKNOWN
        assert bench.again(asked) is Result.ALREADY_DELIVERED
        assert bench.write(asked) is Result.ALREADY_DELIVERED
        assert bench.levels() == {("A", HERE): left}


def test_of_a_document_whose_one_item_is_refused_nothing_is_moved(bench: Bench) -> None:
    bench.erp.keep("A", HERE, 10)
    refused = bench.connector.write(receipt("R1", 5, "NONE"))
    assert refused.result is Result.REJECTED
    assert "The material NONE does not exist" in refused.detail
    assert bench.levels() == {("A", HERE): 10}


def test_documents_of_two_kinds_with_one_reference_are_not_taken_for_each_other() -> None:
    marks = {mark(kind, "1") for kind in ("item_receipt", "inventory_adjustment", "cash_sale")}
    assert len(marks) == 3
    assert all(len(one) == 16 and one == one.upper() for one in marks)


# --- journal entries ---
def test_a_posting_is_waited_for_and_is_posted_once(bench: Bench) -> None:
    bench.erp.busy = 3
    asked = posting("order/1/revenue")
    assert bench.again(asked) is Result.ABSENT
    assert bench.write(asked) is Result.DELIVERED
    assert bench.write(asked) is Result.ALREADY_DELIVERED
    assert bench.erp.effects["entries"] == ["order/1/revenue"]
    assert [(row["GLAccount"], row["AmountInTransactionCurrency"]) for row in bench.erp.books.entries] == [
        ("1100", Decimal("25.00")), ("4000", Decimal("-25.00")),
    ]  # fmt: skip
    assert bench.erp.books.entries[0]["DocumentItemText"] == "A & B"


def test_a_posting_that_stays_in_the_queue_is_in_doubt_until_the_ledger_shows_it(bench: Bench) -> None:
    bench.erp.busy = 100
    outcome = bench.connector.write(posting("order/1/revenue"))
    assert outcome.result is Result.UNKNOWN
    assert AWAITED in outcome.evidence
    assert outcome.retry_after == 600
    bench.erp.queue = [(0, message, entry) for _, message, entry in bench.erp.queue]
    assert bench.again(posting("order/1/revenue")) is Result.ALREADY_DELIVERED


def test_a_posting_that_fails_in_the_queue_is_absent_and_its_message_is_named(bench: Bench) -> None:
    assert bench.write(posting("order/1/revenue", "24.00")) is Result.UNKNOWN
    [failed] = bench.erp.failed
    read = bench.connector.read_back(posting("order/1/revenue", "24.00"))
    assert read.result is Result.ABSENT
    assert failed["message"] in read.detail


def test_a_message_that_does_not_fit_the_service_is_refused_with_its_fault(bench: Bench) -> None:
    asked = posting("order/1/revenue")
    refused = bench.connector.write(replace(asked, payload={**asked.payload, "business_date": ""}))
    assert refused.result is Result.REJECTED
    assert "no DocumentDate" in refused.detail


@pytest.mark.parametrize("entity", ["sales_order", "item_receipt", "journal_entry"])
def test_a_message_of_another_type_is_refused_before_anything_is_sent(bench: Bench, entity: str) -> None:
    outcome = bench.connector.write(Write(entity, "x", "k", {"nothing": "of it"}, "x"))
    assert outcome.result is Result.REJECTED
    assert "correct the flow" in outcome.detail
