"""Shopify: sales of its tills, refunds, and the movements and payouts of its payments account."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from controlplane.connectors.builtin.shopify import money
from controlplane.connectors.builtin.shopify.connector import ShopifyConnector
from controlplane.connectors.contract import Connector, Draft, Inbound
from controlplane.connectors.network import look_up
from controlplane.errors import BadInputError, RejectedError, UnreadableError
from rules.model.messages import OrderPlaced, PaymentRecorded, SaleRecorded, SettlementChanged, parse
from tests.controlplane.connectors.conftest import Given, Retailer
from tests.controlplane.connectors.scripted import Reply
from tests.controlplane.connectors.test_shopify_levels import SECRETS, Begin

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"


def shop(retailer: Retailer, **options: Any) -> Connector:
    given = Given(
        f"{retailer.sandbox.url}/shop",
        {name: retailer.sandbox.secret(f"shop_{name}") for name in ("access_token", "webhook_secret")},
        {"locations": ["WH1"], **options}, clock=retailer.clock, timeout=10.0, resolve=look_up,
    )  # fmt: skip
    return ShopifyConnector(given.context())


def polled(connector: Connector, entity: str, cursor: dict[str, Any] | None = None) -> list[Draft]:
    records = [record for page in connector.poll(entity, cursor) for record in page.records]
    return [draft for record in records for draft in connector.translate(record.topic, record.body)]


def do(retailer: Retailer, what: str, **told: Any) -> dict[str, Any]:
    answer = retailer.sandbox.control("POST", f"/shop/{what}", told)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def told(retailer: Retailer, connector: Connector, topic: str) -> list[Draft]:
    records = [
        connector.receive(Inbound({name.lower(): value for name, value in headers.items()}, body))
        for source, headers, body in retailer.heard.got
        if source == "shop" and headers.get("X-Shopify-Topic") == topic
    ]
    return [draft for record in records for draft in connector.translate(record.topic, record.body)]


# --- tills ---
def test_what_a_till_hands_over_is_a_sale_of_its_store_and_no_order_to_send(retailer: Retailer) -> None:
    goods = [{"sku": SKU, "quantity": 2}, {"sku": OTHER, "quantity": 1}]
    name = do(retailer, "sale", store="ST1", lines=goods)["order"]
    online = retailer.sandbox.order((SKU, 1))
    retailer.advance(5)
    connector = shop(retailer)
    by_poll, by_hook = polled(connector, "orders"), told(retailer, connector, "orders/create")
    assert sorted(by_poll, key=lambda one: one.subject) == sorted(by_hook, key=lambda one: one.subject)
    sales = [parse(one.type, one.data) for one in by_poll if one.type == "sale.recorded"]
    assert [(sale.ref, sale.location, sale.sku, sale.quantity) for sale in sales if isinstance(sale, SaleRecorded)] == [
        (f"{name}/1", "gid://shopify/Location/80000000101", SKU, 2),
        (f"{name}/2", "gid://shopify/Location/80000000101", OTHER, 1),
    ]
    assert [one.subject for one in by_poll if one.type == "order.placed"] == [online]


def test_an_order_that_a_till_takes_to_be_sent_names_its_store_and_one_online_names_none(retailer: Retailer) -> None:
    sent = do(retailer, "sale", store="ST2", lines=[{"sku": SKU, "quantity": 1}], ships=True)["order"]
    online = retailer.sandbox.order((SKU, 1))
    orders = {one.subject: parse(one.type, one.data) for one in polled(shop(retailer), "orders")}
    found = {name: one.store for name, one in orders.items() if isinstance(one, OrderPlaced)}
    assert found == {sent: "gid://shopify/Location/80000000102", online: None}


def test_a_till_s_order_without_its_store_waits_for_a_person(retailer: Retailer) -> None:
    do(retailer, "sale", store="ST1", lines=[{"sku": SKU, "quantity": 1}])
    connector = shop(retailer)
    record = next(iter(connector.poll("orders", None))).records[0]
    body = json.loads(record.body) | {"retailLocation": None}
    with pytest.raises(BadInputError, match="does not say in which store"):
        connector.translate("orders", json.dumps(body).encode())


# --- refunds ---
def test_a_refund_told_by_webhook_and_by_poll_is_the_same_fact_and_only_its_id_is_kept(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    do(retailer, "refund", order=name, amount="12.50", gateway="paypal")
    retailer.advance(5)
    connector = shop(retailer)
    by_poll, by_hook = polled(connector, "refunds"), told(retailer, connector, "refunds/create")
    assert by_poll == by_hook
    [draft] = by_poll
    paid = parse(draft.type, draft.data)
    assert isinstance(paid, PaymentRecorded)
    assert (paid.kind, paid.amount, paid.net, paid.order_ref, paid.native_kind) == (
        "refund", Decimal("-12.50"), Decimal("-12.50"), name, "REFUND (paypal)",
    )  # fmt: skip
    assert paid.about.startswith("gid://shopify/OrderTransaction/")
    bodies = [body for _, headers, body in retailer.heard.got if headers.get("X-Shopify-Topic") == "refunds/create"]
    assert b"was not happy" in bodies[0]
    head = next(h for _, h, b in retailer.heard.got if b == bodies[0])
    kept = connector.receive(Inbound({k.lower(): v for k, v in head.items()}, bodies[0])).body
    assert set(json.loads(kept)) == {"id", "admin_graphql_api_id"}


def test_a_refund_of_shopify_payments_is_told_once_by_its_balance(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    do(retailer, "refund", order=name, amount="5.00")
    connector = shop(retailer)
    assert polled(connector, "refunds") == []
    moved = [parse(one.type, one.data) for one in polled(connector, "balance_transactions")]
    assert [(one.kind, one.amount) for one in moved if isinstance(one, PaymentRecorded) and one.kind == "refund"] == [
        ("refund", Decimal("-5.00"))
    ]


def test_a_gateway_whose_own_connector_tells_its_money_is_left_to_it(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    do(retailer, "refund", order=name, amount="5.00", gateway="paypal")
    do(retailer, "refund", order=name, amount="1.00", gateway="klarna")
    found = polled(shop(retailer, gateways_elsewhere=["paypal"]), "refunds")
    assert [draft.data["native_kind"] for draft in found] == ["REFUND (klarna)"]


def test_a_refund_that_is_pending_is_told_when_it_was_carried_out(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 1))
    made = do(retailer, "refund", order=name, amount="5.00", gateway="paypal", status="PENDING")["refund"]
    connector = shop(retailer)
    pages = list(connector.poll("refunds", None))
    assert polled(connector, "refunds") == []
    retailer.advance(3600)
    do(retailer, "settle", refund=made)
    assert len(polled(connector, "refunds", pages[-1].cursor)) == 1


def test_goods_that_a_refund_puts_back_are_told_only_where_the_shop_is_of_record_for_them(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    do(retailer, "refund", order=name, quantity=1, restock_type="RETURN")
    do(retailer, "refund", order=name, quantity=1, restock_type="NO_RESTOCK")
    assert polled(shop(retailer), "refunds") == []
    [back] = polled(shop(retailer, returns=True), "refunds")
    assert (back.type, back.data["order_ref"], back.data["lines"]) == (
        "return.received",
        name,
        [{"sku": SKU, "quantity": 1}],
    )
    parse(back.type, back.data)
    assert int(retailer.sandbox.truth(SKU)["shop_available"]) == 37


def test_a_refund_that_was_taken_back_is_named(retailer: Retailer) -> None:
    body = b'{"id": 1, "admin_graphql_api_id": "gid://shopify/Refund/1"}'
    with pytest.raises(BadInputError, match="no refund gid://shopify/Refund/1"):
        shop(retailer).translate("refunds/create", body)


def test_a_refund_with_more_lines_than_a_page_is_unreadable_and_never_a_smaller_one(scripted: Begin) -> None:
    more = {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": "x"}}
    node = {"id": "gid://shopify/Refund/1", "refundLineItems": more, "transactions": more}
    server = scripted(lambda _: Reply(body={"data": {"nodes": [node]}}))
    connector = ShopifyConnector(Given(server.url, SECRETS).context())
    with pytest.raises(UnreadableError, match="more refundLineItems than a page holds"):
        connector.translate("refunds/create", b'{"admin_graphql_api_id": "gid://shopify/Refund/1"}')


# --- the payments account ---
def test_each_movement_has_its_gross_fee_and_net_and_the_order_that_it_is_of(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 2))
    retailer.advance(60)
    do(retailer, "payout")
    found = [parse(one.type, one.data) for one in polled(shop(retailer), "balance_transactions")]
    moved = [one for one in found if isinstance(one, PaymentRecorded)]
    assert [(one.kind, one.order_ref) for one in moved] == [("charge", name), ("payout", "")]
    charge, paid_out = moved
    assert charge.fee == (charge.amount * Decimal("0.029") + Decimal("0.30")).quantize(Decimal("0.01"))
    assert charge.net == charge.amount - charge.fee == -paid_out.net


def test_a_payout_that_was_paid_and_failed_later_is_two_facts(retailer: Retailer) -> None:
    retailer.sandbox.order((SKU, 2))
    number = do(retailer, "payout")["payout"]
    connector = shop(retailer)
    first = list(connector.poll("payouts", None))
    facts = polled(connector, "payouts")
    for status in ("PAID", "FAILED"):
        retailer.advance(86400 * 3)
        do(retailer, "payout", payout=number, status=status)
        facts += polled(connector, "payouts", first[-1].cursor)
    read = [parse(one.type, one.data) for one in facts]
    assert [one.state for one in read if isinstance(one, SettlementChanged)] == ["pending", "paid", "failed"]
    assert len({one.dedupe_key for one in facts}) == 3
    do(retailer, "payout", payout=number, status="IN_TRANSIT")
    with pytest.raises(BadInputError, match="no state that is known"):
        connector.translate(
            "payouts", json.dumps({"id": "p", "status": "LOST", "issuedAt": "2026-11-27T06:00:00Z"}).encode()
        )


def test_a_payout_that_takes_money_from_the_bank_is_negative(retailer: Retailer) -> None:
    name = retailer.sandbox.order((SKU, 1))
    do(retailer, "payout")
    do(retailer, "refund", order=name, amount="5.00")
    do(retailer, "payout")
    amounts = sorted(Decimal(one.data["amount"]) for one in polled(shop(retailer), "payouts"))
    assert amounts[0] == Decimal("-5.00")
    assert amounts[1] > 0


def test_a_shop_without_a_payments_account_is_told_by_name_and_is_not_empty(scripted: Begin) -> None:
    server = scripted(lambda _: Reply(body={"data": {"shopifyPaymentsAccount": None}}))
    connector = ShopifyConnector(Given(server.url, SECRETS).context())
    with pytest.raises(RejectedError, match="has no Shopify Payments"):
        list(connector.poll("balance_transactions", None))


def test_a_type_of_movement_that_is_not_known_is_other_and_a_test_is_nothing() -> None:
    node = {
        "id": "gid://shopify/ShopifyPaymentsBalanceTransaction/1", "type": "SHOP_CASH_CREDIT", "test": False,
        "transactionDate": "2026-11-27T06:00:00Z", "associatedOrder": None, "associatedPayout": {"id": None},
        "sourceOrderTransactionId": None, "fee": {"amount": "0.0", "currencyCode": "USD"},
        "amount": {"amount": "2.5", "currencyCode": "USD"}, "net": {"amount": "2.5", "currencyCode": "USD"},
    }  # fmt: skip
    [draft] = money.movement(node)
    assert (draft.data["kind"], draft.data["native_kind"]) == ("other", "SHOP_CASH_CREDIT")
    parse(draft.type, draft.data)
    assert money.movement({**node, "test": True}) == []


def test_a_movement_that_breaks_the_contract_waits_for_a_person(retailer: Retailer) -> None:
    for body in (b"{}", b'{"id": "1", "type": "CHARGE", "transactionDate": "x", "amount": {"amount": "much"}}'):
        with pytest.raises(BadInputError, match="breaks the shop's contract"):
            shop(retailer).translate("balance_transactions", body)
