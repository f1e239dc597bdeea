"""The NetSuite connector against the sandbox's ERP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controlplane.connectors.builtin.netsuite import records, suiteql
from controlplane.connectors.builtin.netsuite.connector import NetSuiteConnector
from controlplane.connectors.contract import Write
from rules.model.messages import parse
from rules.outcomes import Result
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.conftest import Given, PlainCodes, Retailer, write_of

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"
LINES = [{"sku": SKU, "quantity": 2}]


def order_write(retailer: Retailer) -> Write:
    name = retailer.sandbox.order((SKU, 2), (OTHER, 1))
    draft = next(draft for draft in retailer.drafts("shop", "orders") if draft.subject == name)
    return write_of("sales_order", draft)


def document(entity: str, ref: str, /, **payload: Any) -> Write:
    return Write(entity, ref, f"delivery-{ref}", payload, ref)


def fulfilment(order: str) -> Write:
    at = "2026-11-27T06:10:00Z"
    return document(
        "item_fulfillment", "SHP-1", shipment="SHP-1", order_ref=order, location="WH1", shipped_at=at, lines=LINES
    )


def sale(quantity: int = 3) -> Write:
    return document(
        "cash_sale", "ST1/r/1", ref="ST1/r/1", location="ST1", sku=SKU, quantity=quantity, unit_price="9.90",
        currency="USD", sold_at="2026-11-27T06:10:00Z",
    )  # fmt: skip


def posting(credit: str = "10.00") -> Write:
    lines = [
        {"account": "1100", "debit": "10.00", "credit": "0", "memo": ""},
        {"account": "4000", "debit": "0", "credit": credit, "memo": ""},
    ]
    key = "shipment.shipped/SHP-1/revenue"
    return document(
        "journal_entry", key, posting_key=key, document="SHP-1", business_date="2026-11-27", currency="USD", lines=lines
    )


DOCUMENTS = {
    "receipt": document(
        "item_receipt", "R-1", receipt="R-1", purchase_order="PO-1", location="WH1", received_at="2026-11-27T06:10:00Z",
        lines=LINES,
    ),
    "return": document(
        "inventory_adjustment", "RMA-1", return_ref="RMA-1", order_ref="#1001", location="WH1",
        received_at="2026-11-27T06:10:00Z", lines=LINES,
    ),
    "till_sale": sale(),
    "posting": posting(),
}  # fmt: skip


def test_a_sales_order_takes_effect_once_however_often_it_is_put(retailer: Retailer) -> None:
    connector, request = retailer.connector("erp"), order_write(retailer)
    assert connector.read_back(request).result is Result.ABSENT
    first = connector.write(request)
    assert first.result is Result.DELIVERED
    assert first.native_id
    assert connector.write(request).result is Result.DELIVERED
    assert connector.read_back(request).result is Result.ALREADY_DELIVERED
    assert retailer.effects("erp", "order") == [(request.subject, 1)]


@pytest.mark.parametrize("doc", DOCUMENTS)
def test_each_document_is_found_under_its_business_reference(retailer: Retailer, doc: str) -> None:
    connector, request = retailer.connector("erp"), DOCUMENTS[doc]
    assert connector.write(request).result is Result.DELIVERED
    assert retailer.effects("erp", doc) == [(request.business_ref, 1)]
    assert connector.read_back(request).result is Result.ALREADY_DELIVERED


def test_a_message_that_a_record_is_not_made_from_is_rejected_before_anything_is_sent(retailer: Retailer) -> None:
    """A flow of an older version may name such a target; nothing took effect, so nothing is in doubt."""
    receipt = DOCUMENTS["receipt"]
    wrong = Write("journal_entry", receipt.subject, receipt.idempotency_key, receipt.payload, receipt.business_ref)
    outcome = retailer.connector("erp").write(wrong)
    assert (outcome.result, "it has no 'posting_key'" in outcome.detail) == (Result.REJECTED, True)
    assert "nothing was sent" in outcome.detail


def test_a_fulfilment_that_overtook_its_order_waits_for_it(retailer: Retailer) -> None:
    connector, order = retailer.connector("erp"), order_write(retailer)
    early = connector.write(fulfilment(order.subject))
    assert early.result is Result.UNAVAILABLE
    assert early.evidence["waits_for"].startswith(f"the sales order SO-{order.subject} is not in the ERP yet")
    connector.write(order)
    assert connector.write(fulfilment(order.subject)).result is Result.DELIVERED
    assert retailer.effects("erp", "shipment") == [("SHP-1", 1)]
    assert retailer.sandbox.truth(SKU)["erp_on_hand"] == 38


def test_an_unbalanced_posting_is_rejected_with_the_vendor_s_words(retailer: Retailer) -> None:
    outcome = retailer.connector("erp").write(posting(credit="9.00"))
    assert outcome.result is Result.REJECTED
    assert "balance" in outcome.detail


def test_goods_handed_back_at_the_till_need_a_person(retailer: Retailer) -> None:
    outcome = retailer.connector("erp").write(sale(quantity=-1))
    assert outcome.result is Result.REJECTED
    assert "hands back 1 units" in outcome.detail


def test_a_record_that_shows_another_write_of_ours_counts_as_absent(retailer: Retailer) -> None:
    connector, request = retailer.connector("erp"), sale()
    connector.write(request)
    corrected = Write(
        request.entity, request.subject, "delivery-2", {**request.payload, "quantity": 2}, request.business_ref
    )
    assert connector.read_back(corrected).result is Result.ABSENT


def test_a_lost_answer_is_unknown_and_the_read_back_finds_the_record(retailer: Retailer) -> None:
    retailer.sandbox.fault(kind="lost_response", target="erp", operation="write")
    connector = retailer.connector("erp")
    assert connector.write(sale()).result is Result.UNKNOWN
    assert connector.read_back(sale()).result is Result.ALREADY_DELIVERED


def test_a_page_of_some_proxy_is_no_success_whatever_its_status(bad_server: BadServer) -> None:
    """The vendor says 204 when it has the record; 200 comes from whoever stands in between."""
    bad_server.script(Habit(200, b"<html>sign in to the guest network</html>", Content_Type="text/html"))
    keys = dict.fromkeys(NetSuiteConnector.manifest.secrets, "of-no-account")
    connector = NetSuiteConnector(Given(bad_server.url, secrets=keys).context())
    outcome = connector.write(sale())
    connector.close()
    assert outcome.result is Result.UNKNOWN
    assert "204 is how it says that it has the record" in outcome.detail


def test_too_many_requests_are_throttling(retailer: Retailer) -> None:
    retailer.sandbox.fault(kind="throttled", target="erp")
    assert retailer.connector("erp").write(sale()).result is Result.THROTTLED


def test_balances_are_paged_by_key_without_loss_or_repetition(
    retailer: Retailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suiteql, "LIMIT", 5)
    levels = [level for page in retailer.connector("erp").snapshot("inventory_balance") for level in page]
    keys = [(level.sku, level.location) for level in levels]
    assert len(keys) == len(set(keys)) == 8 * 3
    on_hand = {level.location: level.on_hand for level in levels}
    assert on_hand == {"WH1": 40, "ST1": 20, "ST2": 20}
    assert levels[0].source_at == retailer.clock.now()


def test_balances_of_keys_are_read_alone(retailer: Retailer) -> None:
    keys = [(SKU, "WH1"), ("it's", "WH1")]
    levels = [level for page in retailer.connector("erp").snapshot("inventory_balance", keys) for level in page]
    assert [(level.sku, level.location) for level in levels] == [(SKU, "WH1")]


def test_items_are_polled_with_their_cost(retailer: Retailer) -> None:
    drafts = retailer.drafts("erp", "items")
    assert len(drafts) == 8
    item = next(draft for draft in drafts if draft.subject == SKU)
    described = parse("product.described", item.data)
    assert described.unit_cost is not None
    cursor = list(retailer.connector("erp").poll("items", None))[-1].cursor
    retailer.advance(3600)
    assert len(retailer.drafts("erp", "items", cursor)) == 8
    later = {"since": retailer.clock.now().isoformat()}
    assert retailer.drafts("erp", "items", later) == []


def test_an_item_that_the_erp_does_not_sell_any_more_is_told_as_inactive(retailer: Retailer) -> None:
    cursor = list(retailer.connector("erp").poll("items", None))[-1].cursor
    retailer.advance(3600)
    answer = retailer.sandbox.control("POST", "/item", {"sku": SKU, "active": False})
    assert answer.status_code == 200, answer.text
    told = {
        draft.subject: parse("product.described", draft.data).active
        for draft in retailer.drafts("erp", "items", cursor)
    }
    assert told.pop(SKU) is False
    assert set(told.values()) <= {True}
    before = {draft.dedupe_key for draft in retailer.drafts("erp", "items")}
    retailer.advance(60)
    retailer.sandbox.control("POST", "/item", {"sku": SKU, "active": True})
    fresh = [draft for draft in retailer.drafts("erp", "items") if draft.dedupe_key not in before]
    assert [(draft.subject, draft.data["active"]) for draft in fresh] == [(SKU, True)]


def test_a_sale_carries_its_tax_code_by_the_erps_own(retailer: Retailer) -> None:
    taxed = replace(sale(), payload={**sale().payload, "tax_code": "7"})
    assert retailer.connector("erp").write(taxed).result is Result.DELIVERED
    assert records.document("cash_sale", taxed.payload, PlainCodes()).body["item"]["items"][0]["taxCode"] == {"id": "7"}
    assert "taxCode" not in records.document("cash_sale", sale().payload, PlainCodes()).body["item"]["items"][0]


class Exempt(PlainCodes):
    """Codes of which one says that a marketplace remits the tax."""

    def theirs(self, entity: str, ours: str) -> str:
        return "-8" if ours == "marketplace_remitted" else ours


def test_what_a_marketplace_remits_the_tax_of_is_booked_under_the_code_that_books_none() -> None:
    gone = {"amount": "1.70", "remitter": "marketplace", "withheld": "1.70"}
    sold = {**sale().payload, "tax_code": "7", "tax": gone}
    assert records.document("cash_sale", sold, Exempt()).body["item"]["items"][0]["taxCode"] == {"id": "-8"}
    line = {"line": 1, "native_id": "1", "sku": SKU, "location": "WH1", "quantity": 1, "unit_price": "20.00"}
    order = {
        "ref": "#1", "native_id": "1", "placed_at": "2026-11-27T06:00:00+00:00", "currency": "USD",
        "lines": [{**line, "tax": gone}, {**line, "tax": {**gone, "remitter": "retailer", "withheld": "0"}}],
    }  # fmt: skip
    first, second = records.document("sales_order", order, Exempt()).body["item"]["items"]
    assert first["taxCode"] == {"id": "-8"}
    assert "taxCode" not in second


def test_without_a_code_for_it_an_order_of_a_marketplace_waits_and_is_not_booked(retailer: Retailer) -> None:
    gone = {"amount": "1.70", "remitter": "marketplace", "withheld": "1.70"}
    outcome = retailer.connector("erp").write(replace(sale(), payload={**sale().payload, "tax": gone}))
    assert outcome.result is Result.REJECTED
    assert outcome.evidence == {"unmapped": "tax_code", "code": "marketplace_remitted"}


def test_a_code_that_the_erp_does_not_know_is_named_in_the_outcome(retailer: Retailer) -> None:
    elsewhere = replace(sale(), payload={**sale().payload, "location": "ST9"})
    outcome = retailer.connector("erp").write(elsewhere)
    assert outcome.result is Result.REJECTED
    assert outcome.evidence == {"unmapped": "location", "code": "ST9"}


def test_ping_proves_the_signature(retailer: Retailer) -> None:
    retailer.connector("erp").ping()


def test_sql_literals_are_escaped() -> None:
    assert suiteql.text("it's") == "'it''s'"
