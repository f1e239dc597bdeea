"""The ERP's API: signatures, SuiteQL's habits, documents and their effects."""

import threading
import time
from typing import Any

import pytest

from tests.controlplane.sandbox.client import REST, Client

SKU = "0007-BLK-M"
BALANCES = """SELECT i.itemid, l.name, b.quantityonhand, b.quantityavailable FROM InventoryBalance b
  JOIN item i ON i.id = b.item JOIN location l ON l.id = b.location"""


def goods(ref: str, quantity: int, **more: Any) -> dict[str, Any]:
    items = [{"item": {"externalId": SKU}, "quantity": quantity, "location": {"id": "1"}}]
    return {"custbody_business_ref": ref, "item": {"items": items}} | more


def detail(answer: Any) -> str:
    return str(answer.json()["o:errorDetails"][0]["detail"])


def test_balances_come_as_strings_page_by_page(sandbox: Client) -> None:
    page = sandbox.suiteql(f"{BALANCES} ORDER BY i.itemid, l.name", limit=10)
    assert (page["count"], page["hasMore"], page["totalResults"]) == (10, True, 24)
    row = {k: v for k, v in page["items"][2].items() if k != "links"}
    assert row == {"itemid": "0001-WHT-L", "name": "WH1", "quantityonhand": "40", "quantityavailable": "40"}


def test_without_order_by_rows_come_in_another_order_each_time(sandbox: Client) -> None:
    pages = [[row["itemid"] + row["name"] for row in sandbox.suiteql(BALANCES)["items"]] for _ in range(2)]
    assert pages[0] != pages[1]
    assert sorted(pages[0]) == sorted(pages[1])


def test_nulls_are_left_out_and_transactions_can_be_joined(sandbox: Client) -> None:
    sandbox.put("itemReceipt", "RCV-1", goods("RCV-1", 5))
    text = """SELECT t.id, t.type, t.status, t.externalid, l.quantity FROM transaction t
      JOIN transactionline l ON l.transaction = t.id
      WHERE t.lastmodifieddate >= TO_TIMESTAMP('2026-11-27', 'YYYY-MM-DD')"""
    (row,) = sandbox.suiteql(text)["items"]
    assert {k: row.get(k) for k in ("type", "status", "externalid", "quantity")} == {
        "type": "ItemRcpt",
        "status": None,
        "externalid": "RCV-1",
        "quantity": "5",
    }
    assert "status" not in row


@pytest.mark.parametrize(
    "text", ["SELECT nonsense FROM item", "DELETE FROM item", "ATTACH 'x' AS y", "SELECT 1; SELECT 2"]
)
def test_bad_or_writing_sql_is_refused(sandbox: Client, text: str) -> None:
    answer = sandbox.erp("POST", "/query/v1/suiteql", {"q": text})
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad Request")


def test_suiteql_wants_the_transient_preference_and_small_pages(sandbox: Client) -> None:
    body = {"q": "SELECT id FROM item"}
    assert sandbox.erp("POST", "/query/v1/suiteql", body, Prefer="none").status_code == 400
    assert sandbox.erp("POST", "/query/v1/suiteql?limit=1001", body).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"oauth_token": "another"},
        {"oauth_timestamp": "1000000000"},
        {"oauth_signature_method": "HMAC-SHA1"},
        {"realm": ""},
    ],
)
def test_a_wrong_signature_is_refused(sandbox: Client, changed: dict[str, str]) -> None:
    path = f"{REST}/record/v1/salesOrder/eid:1"
    head = {"Authorization": sandbox.erp_header("GET", path, **changed)}
    assert sandbox.http.get(path, headers=head).status_code == 401


def test_a_nonce_is_good_once_and_only_for_its_request(sandbox: Client) -> None:
    path = f"{REST}/record/v1/salesOrder/eid:1"
    head = {"Authorization": sandbox.erp_header("GET", path)}
    assert [sandbox.http.get(path, headers=head).status_code for _ in range(2)] == [404, 401]
    moved = {"Authorization": sandbox.erp_header("GET", path)}
    assert sandbox.http.get(path + "2", headers=moved).status_code == 401


def test_each_document_moves_stock_its_own_way(sandbox: Client) -> None:
    def on_hand() -> int:
        return int(sandbox.truth(SKU)["erp_on_hand"])

    assert sandbox.put("itemReceipt", "r", goods("RCV-1", 5)).status_code == 204
    assert on_hand() == 45
    sandbox.put("cashSale", "c", goods("ST1/1/1", 2))
    assert on_hand() == 43
    adjustment = {
        "inventory": {"items": [{"item": {"refName": SKU}, "location": {"refName": "WH1"}, "adjustQtyBy": 1}]}
    }
    sandbox.put("inventoryAdjustment", "a", adjustment | {"custbody_business_ref": "RET-1"})
    assert on_hand() == 44
    sandbox.put("salesOrder", "#1001", goods("#1001", 4))
    assert (on_hand(), sandbox.truth(SKU)["erp_available"]) == (44, 40)
    sandbox.put("itemFulfillment", "s", goods("SHP-1", 3, createdFrom={"externalId": "#1001"}))
    assert (on_hand(), sandbox.truth(SKU)["erp_available"]) == (41, 40)
    docs = [(event["doc"], event["ref"], event["ordinal"]) for event in sandbox.journal("effect")]
    assert docs == [
        ("receipt", "RCV-1", 1),
        ("till_sale", "ST1/1/1", 1),
        ("return", "RET-1", 1),
        ("order", "#1001", 1),
        ("shipment", "SHP-1", 1),
    ]


def test_upserting_again_replaces_and_only_a_change_counts_again(sandbox: Client) -> None:
    for quantity in (5, 5, 7):
        sandbox.put("itemReceipt", "r", goods("RCV-1", quantity))
    assert sandbox.truth(SKU)["erp_on_hand"] == 47
    assert [event["ordinal"] for event in sandbox.journal("effect")] == [1, 2]


def test_the_same_business_document_under_another_external_id_is_applied_twice(sandbox: Client) -> None:
    for external_id in ("one", "two"):
        sandbox.put("itemReceipt", external_id, goods("RCV-1", 5))
    assert [event["ordinal"] for event in sandbox.journal("effect")] == [1, 2]
    assert sandbox.truth(SKU)["erp_on_hand"] == 50


def test_unknown_goods_places_and_orders_are_refused(sandbox: Client) -> None:
    wrong = {"item": {"items": [{"item": {"externalId": "NOPE"}, "quantity": 1, "location": {"id": "1"}}]}}
    nowhere = {"item": {"items": [{"item": {"externalId": SKU}, "quantity": 1, "location": {"id": "9"}}]}}
    orphan = goods("SHP-1", 1, createdFrom={"externalId": "#9"})
    answers = [sandbox.put("itemReceipt", "a", wrong), sandbox.put("itemReceipt", "b", nowhere)]
    answers.append(sandbox.put("itemFulfillment", "c", orphan))
    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert ["item" in detail(answers[0]), "location" in detail(answers[1]), "sales order" in detail(answers[2])] == [
        True
    ] * 3
    assert sandbox.journal("effect") == []


def test_more_than_the_order_holds_cannot_be_fulfilled(sandbox: Client) -> None:
    sandbox.put("salesOrder", "#1001", goods("#1001", 2))
    source = {"externalId": "#1001"}
    assert sandbox.put("itemFulfillment", "s1", goods("SHP-1", 2, createdFrom=source)).status_code == 204
    assert sandbox.put("itemFulfillment", "s1", goods("SHP-1", 2, createdFrom=source)).status_code == 204
    assert sandbox.put("itemFulfillment", "s2", goods("SHP-2", 1, createdFrom=source)).status_code == 400


def test_a_journal_entry_balances_and_names_known_accounts(sandbox: Client) -> None:
    def post(account: str, credit: str) -> int:
        lines = [{"account": {"id": "2100"}, "debit": "10.00"}, {"account": {"id": account}, "credit": credit}]
        body = {"custbody_business_ref": "SHP-1", "line": {"items": lines}}
        return sandbox.put("journalEntry", f"je-{account}-{credit}", body).status_code

    assert (post("4000", "9.99"), post("9999", "10.00"), post("4000", "10.00")) == (400, 400, 204)
    assert [(event["doc"], event["ref"]) for event in sandbox.journal("effect")] == [("posting", "SHP-1")]


def test_a_record_can_be_read_back_by_external_id(sandbox: Client) -> None:
    sandbox.put("salesOrder", "#1001", goods("#1001", 2))
    found = sandbox.erp("GET", "/record/v1/salesOrder/eid:%231001")
    assert (found.json()["externalId"], found.json()["custbody_business_ref"]) == ("#1001", "#1001")
    assert sandbox.erp("GET", "/record/v1/salesOrder/eid:%231002").status_code == 404


def test_more_than_fifteen_at_once_are_too_many(sandbox: Client) -> None:
    sandbox.fault(kind="latency", target="erp", seconds=400)
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(sandbox.erp("GET", "/record/v1/salesOrder/eid:1").status_code))
        for _ in range(18)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert (codes.count(429) >= 1, codes.count(404) >= 15) == (True, True)
    assert sandbox.journal("throttled")[0]["system"] == "erp"
