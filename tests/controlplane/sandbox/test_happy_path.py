"""One order's whole life across all systems, brought along by the test in the plane's place."""

import base64
import hashlib
import hmac
import json

from tests.controlplane.sandbox.client import Client, Listener

SKU = "0007-BLK-M"
FULFIL = """mutation ($f: FulfillmentInput!) { fulfillmentCreate(fulfillment: $f) {
  fulfillment { id status displayStatus totalQuantity trackingInfo { number } } userErrors { field message } } }"""


def test_everything_agrees_before_anybody_acts(sandbox: Client) -> None:
    row = sandbox.truth(SKU)
    assert (row["wms_on_hand"], row["erp_on_hand"], row["shop_available"], row["ats"]) == (40, 40, 38, 38)


def test_an_order_lives_through_shop_warehouse_and_erp(sandbox: Client, listener: Listener) -> None:
    name = sandbox.order((SKU, 3))
    assert sandbox.truth(SKU)["shop_available"] == 35
    taken = sandbox.bring_to_warehouse(name, (SKU, 3))
    assert taken["data"]["order_create"]["order"]["fulfillment_status"] == "allocated"
    sales_order = {
        "custbody_business_ref": name,
        "location": {"refName": "WH1"},
        "item": {"items": [{"item": {"externalId": SKU}, "quantity": 3, "rate": "39.90"}]},
    }
    assert sandbox.put("salesOrder", name, sales_order).status_code == 204
    sandbox.advance("2026-11-27T06:10:00Z")
    (shipment,) = [e for e in sandbox.journal("document") if e["doc"] == "shipment"]
    assert (shipment["order_ref"], shipment["expected_targets"]) == (name, ["shop", "erp"])

    query = "{ shipments { data(first: 5) { edges { node { id tracking_number line_items { sku quantity } } } } } }"
    told = sandbox.wms(query)["data"]["shipments"]["data"]["edges"][0]["node"]
    assert told["line_items"] == [{"sku": SKU, "quantity": 3}]
    found = sandbox.shop("{ orders(first: 5) { nodes { name fulfillmentOrders(first: 5) { nodes { id status } } } } }")
    fulfilment_order = found["data"]["orders"]["nodes"][0]["fulfillmentOrders"]["nodes"][0]["id"]
    given = {
        "lineItemsByFulfillmentOrder": [{"fulfillmentOrderId": fulfilment_order}],
        "trackingInfo": {"number": told["tracking_number"], "company": "UPS"},
    }
    assert sandbox.shop(FULFIL, f=given)["data"]["fulfillmentCreate"]["userErrors"] == []
    item_fulfilment = sales_order | {"custbody_business_ref": shipment["ref"], "createdFrom": {"externalId": name}}
    assert sandbox.put("itemFulfillment", shipment["ref"], item_fulfilment).status_code == 204

    row = sandbox.truth(SKU)
    assert (row["wms_on_hand"], row["erp_on_hand"], row["shop_available"], row["ats"]) == (37, 37, 35, 35)
    effects = {(e["system"], e["doc"], e["ref"]): e["ordinal"] for e in sandbox.journal("effect")}
    assert effects == {
        ("wms", "order", name): 1,
        ("erp", "order", name): 1,
        ("shop", "shipment", shipment["ref"]): 1,
        ("erp", "shipment", shipment["ref"]): 1,
    }


def test_webhooks_are_signed_and_tell_of_each_change(sandbox: Client, listener: Listener) -> None:
    name = sandbox.order((SKU, 1))
    sandbox.bring_to_warehouse(name, (SKU, 1))
    sandbox.advance("2026-11-27T06:10:00Z")
    assert {"orders/create", "inventory_levels/update", "Order Allocated", "Shipment Update"} <= set(listener.topics())
    for system, head, body in listener.got:
        header = {"shop": "X-Shopify-Hmac-Sha256", "wms": "X-Shiphero-Hmac-Sha256"}[system]
        secret = sandbox.secret(f"{system}_webhook_secret").encode()
        assert head[header] == base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()
    order = next(json.loads(body) for _, head, body in listener.got if head.get("X-Shopify-Topic") == "orders/create")
    assert (order["name"], order["line_items"][0]["sku"]) == (name, SKU)
    assert order["email"].endswith("@example.com")
    assert {e["fate"] for e in sandbox.journal("webhook")} == {"sent"}


def test_the_incident_tool_keeps_what_it_is_told(sandbox: Client) -> None:
    event = {"dedup_key": "inc-1", "event_action": "trigger", "payload": {"summary": "stock is wrong"}}
    refused = sandbox.http.post("/pager/events", json=event)
    head = {"Authorization": f"Bearer {sandbox.secret('pager_token')}"}
    taken = sandbox.http.post("/pager/events", json=event, headers=head)
    assert (refused.status_code, taken.status_code) == (401, 202)
    assert [page["dedup_key"] for page in sandbox.control("GET", "/pager").json()] == ["inc-1"]
