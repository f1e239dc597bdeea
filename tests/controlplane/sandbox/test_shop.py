"""The shop's API: compare-and-set with idempotency, limits, searches, fulfilments."""

from typing import Any

import pytest

from tests.controlplane.sandbox.client import SET, Client

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"
FULFIL = """mutation ($f: FulfillmentInput!) { fulfillmentCreate(fulfillment: $f) {
  fulfillment { id totalQuantity } userErrors { field message } } }"""


def codes(answer: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in answer["data"]["inventorySetQuantities"]["userErrors"]]


def test_a_matching_change_from_sets_available_and_moves_on_hand_along(sandbox: Client) -> None:
    answer = sandbox.set_stock(SKU, 30, 38, "k1")
    changes = answer["data"]["inventorySetQuantities"]["inventoryAdjustmentGroup"]["changes"]
    assert [(change["name"], change["delta"]) for change in changes] == [("available", -8), ("on_hand", -8)]
    query = """query ($id: ID!, $at: ID!) { inventoryItem(id: $id) { inventoryLevel(locationId: $at) {
      quantities(names: ["available", "on_hand", "committed"]) { name quantity } } } }"""
    level = sandbox.shop(query, id=sandbox.item_id(SKU), at=sandbox.location_id())["data"]["inventoryItem"][
        "inventoryLevel"
    ]
    assert {q["name"]: q["quantity"] for q in level["quantities"]} == {"available": 30, "on_hand": 30, "committed": 0}


def test_a_stale_change_from_is_refused_and_changes_nothing(sandbox: Client) -> None:
    sandbox.order((SKU, 1))
    assert codes(sandbox.set_stock(SKU, 30, 38, "k1")) == ["CHANGE_FROM_QUANTITY_STALE"]
    assert sandbox.truth(SKU)["shop_available"] == 37


def test_null_opts_out_of_the_comparison(sandbox: Client) -> None:
    assert codes(sandbox.set_stock(SKU, 5, None, "k1")) == []
    assert sandbox.truth(SKU)["shop_available"] == 5


def test_the_same_key_replays_the_first_answer_without_effect(sandbox: Client) -> None:
    first = sandbox.set_stock(SKU, 30, 38, "k1")
    sandbox.order((SKU, 2))
    again = sandbox.set_stock(SKU, 30, 38, "k1")
    assert again["data"] == first["data"]
    assert sandbox.truth(SKU)["shop_available"] == 28


def test_a_key_used_for_something_else_or_after_a_failure_is_refused(sandbox: Client) -> None:
    sandbox.set_stock(SKU, 30, 38, "k1")
    assert codes(sandbox.set_stock(SKU, 31, 38, "k1")) == ["IDEMPOTENCY_KEY_PARAMETER_MISMATCH"]
    sandbox.set_stock(SKU, 1, 1, "k2")
    assert codes(sandbox.set_stock(SKU, 1, 1, "k2")) == ["IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"]


def test_without_the_directive_nothing_is_done(sandbox: Client) -> None:
    bare = SET.replace(" @idempotent(key: $key)", "").replace(", $key: String!", "")
    line = {"inventoryItemId": sandbox.item_id(SKU), "locationId": sandbox.location_id(), "quantity": 1}
    given = {"name": "available", "reason": "correction", "quantities": [line | {"changeFromQuantity": 38}]}
    answer = sandbox.shop(bare, input=given)
    assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert answer["data"] == {"inventorySetQuantities": None}
    assert sandbox.truth(SKU)["shop_available"] == 38


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "damaged"}, "INVALID_NAME"),
        ({"reason": "because"}, "INVALID_REASON"),
        ({"referenceDocumentUri": "no uri"}, "INVALID_REFERENCE_DOCUMENT"),
    ],
)
def test_bad_headers_are_named(sandbox: Client, change: dict[str, Any], code: str) -> None:
    assert codes(sandbox.set_stock(SKU, 30, 38, "k1", **change)) == [code]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"inventoryItemId": "gid://shopify/InventoryItem/1"}, "INVALID_INVENTORY_ITEM"),
        ({"locationId": "gid://shopify/Location/1"}, "INVALID_LOCATION"),
        ({"quantity": 1_000_000_001}, "INVALID_QUANTITY_TOO_HIGH"),
        ({"quantity": -1_000_000_001}, "INVALID_QUANTITY_TOO_LOW"),
    ],
)
def test_bad_lines_are_named(sandbox: Client, change: dict[str, Any], code: str) -> None:
    line = {"inventoryItemId": sandbox.item_id(SKU), "locationId": sandbox.location_id(), "quantity": 1}
    quantities = [line | {"changeFromQuantity": None} | change]
    given = {"name": "available", "reason": "correction", "quantities": quantities}
    assert codes(sandbox.shop(SET, input=given, key="k")) == [code]


def test_two_lines_for_one_level_are_both_refused(sandbox: Client) -> None:
    line = {
        "inventoryItemId": sandbox.item_id(SKU),
        "locationId": sandbox.location_id(),
        "quantity": 1,
        "changeFromQuantity": None,
    }
    given = {"name": "available", "reason": "correction", "quantities": [line, line]}
    assert codes(sandbox.shop(SET, input=given, key="k")) == ["NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR"] * 2


def test_an_order_beyond_available_is_a_lost_sale(sandbox: Client) -> None:
    sandbox.set_stock(SKU, 1, None, "k1")
    answer = sandbox.control("POST", "/order", {"lines": [{"sku": SKU, "quantity": 2}]})
    assert answer.status_code == 409
    assert [event["skus"] for event in sandbox.journal("lost_sale")] == [[SKU]]


def test_units_sold_beyond_the_physical_stock_are_journalled(sandbox: Client) -> None:
    sandbox.set_stock(SKU, 50, None, "k1")
    name = sandbox.order((SKU, 45))
    assert [(e["order"], e["units"]) for e in sandbox.journal("oversold")] == [(name, 5)]


def test_orders_are_searched_sorted_and_paged(sandbox: Client) -> None:
    names = [sandbox.order((SKU, 1)) for _ in range(3)]
    sandbox.advance("2026-11-27T06:05:00Z")
    late = sandbox.order((OTHER, 1))
    query = """query ($q: String, $after: String) { orders(first: 2, after: $after, query: $q, sortKey: UPDATED_AT) {
      nodes { name } pageInfo { hasNextPage endCursor } } }"""
    page = sandbox.shop(query)["data"]["orders"]
    rest = sandbox.shop(query, after=page["pageInfo"]["endCursor"])["data"]["orders"]
    assert [node["name"] for node in page["nodes"] + rest["nodes"]] == [*names, late]
    assert (page["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    fresh = sandbox.shop(query, q="updated_at:>='2026-11-27T06:05:00Z'")["data"]["orders"]["nodes"]
    named = sandbox.shop(query, q=f"name:{names[1]}")["data"]["orders"]["nodes"]
    assert (fresh, named) == ([{"name": late}], [{"name": names[1]}])


def test_levels_can_be_read_by_their_change_time(sandbox: Client) -> None:
    sandbox.advance("2026-11-27T06:05:00Z")
    sandbox.set_stock(SKU, 30, 38, "k1")
    query = """query ($at: ID!, $q: String) { location(id: $at) { inventoryLevels(first: 50, query: $q) {
      nodes { item { sku } updatedAt } } } }"""
    found = sandbox.shop(query, at=sandbox.location_id(), q="updated_at:>'2026-11-27T06:00:00Z'")
    assert found["data"]["location"]["inventoryLevels"]["nodes"] == [
        {"item": {"sku": SKU}, "updatedAt": "2026-11-27T06:05:00Z"}
    ]


def test_the_cost_bucket_throttles_inside_http_200_and_refills_with_time(sandbox: Client) -> None:
    dear = (
        "{ a: orders(first: 250) { nodes { lineItems(first: 250) { nodes { variant { inventoryItem { id } } } } } } }"
    )
    answers = [sandbox.shop(dear) for _ in range(4)]
    assert "errors" not in answers[0]
    status = answers[0]["extensions"]["cost"]["throttleStatus"]
    assert (status["maximumAvailable"], status["restoreRate"]) == (2000, 100)
    sandbox.fault(kind="throttled", target="shop")
    throttled = sandbox.shop(dear)
    assert throttled["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert throttled["extensions"]["cost"]["actualQueryCost"] is None


def test_a_real_shortage_of_points_is_journalled_and_passes(sandbox: Client) -> None:
    dear = (
        "{ "
        + " ".join(f"a{n}: inventoryItems(first: 250) {{ nodes {{ id variant {{ id }} }} }}" for n in range(90))
        + " }"
    )
    answer = sandbox.shop(dear)
    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert [event["system"] for event in sandbox.journal("throttled")] == ["shop"]


def test_a_fulfilment_takes_only_what_remains(sandbox: Client) -> None:
    sandbox.order((SKU, 3))
    query = """{ orders(first: 1) { nodes { fulfillmentOrders(first: 1) {
      nodes { id lineItems(first: 5) { nodes { id } } } } } } }"""
    found = sandbox.shop(query)["data"]["orders"]["nodes"][0]["fulfillmentOrders"]["nodes"][0]
    line = found["lineItems"]["nodes"][0]["id"]

    def fulfil(quantity: int, order: str = found["id"]) -> list[str]:
        lines = [{"fulfillmentOrderId": order, "fulfillmentOrderLineItems": [{"id": line, "quantity": quantity}]}]
        answer = sandbox.shop(FULFIL, f={"lineItemsByFulfillmentOrder": lines})["data"]["fulfillmentCreate"]
        return [problem["message"] for problem in answer["userErrors"]]

    assert fulfil(4) == ["Invalid fulfillment order line item quantity requested."]
    assert fulfil(0) == ["Quantity must be greater than 0"]
    assert fulfil(1, "gid://shopify/FulfillmentOrder/1") == ["Fulfillment order does not exist."]
    assert fulfil(2) == []
    assert sandbox.truth(SKU)["shop_committed"] == 1
    assert fulfil(1) == []
    assert fulfil(1)[0].endswith("has an unfulfillable status= closed.")


@pytest.mark.parametrize("named", ["tracking", "shipment", "nothing"])
def test_a_fulfilment_is_journalled_under_its_shipment(sandbox: Client, named: str) -> None:
    name = sandbox.order((SKU, 2))
    sandbox.bring_to_warehouse(name, (SKU, 2))
    sandbox.advance("2026-11-27T06:10:00Z")
    query = "{ shipments { data { edges { node { id tracking_number } } } } }"
    (edge,) = sandbox.wms(query)["data"]["shipments"]["data"]["edges"]
    numbers = {"tracking": edge["node"]["tracking_number"], "shipment": edge["node"]["id"], "nothing": None}
    orders = "{ orders(first: 1) { nodes { fulfillmentOrders(first: 1) { nodes { id } } } } }"
    found = sandbox.shop(orders)["data"]["orders"]["nodes"][0]["fulfillmentOrders"]["nodes"][0]["id"]
    given = {"lineItemsByFulfillmentOrder": [{"fulfillmentOrderId": found}], "trackingInfo": {"number": numbers[named]}}
    sandbox.shop(FULFIL, f=given)
    assert [e["ref"] for e in sandbox.journal("effect") if e["system"] == "shop"] == [edge["node"]["id"]]


def test_setting_what_is_there_already_changes_and_tells_nothing(sandbox: Client) -> None:
    answer = sandbox.set_stock(SKU, 38, 38, "k1")
    assert answer["data"]["inventorySetQuantities"]["inventoryAdjustmentGroup"]["changes"] == []
    assert sandbox.advance("2026-11-27T06:00:00Z")["webhooks_pending"] == 0


def test_a_wrong_token_is_refused(sandbox: Client) -> None:
    path = "/shop/admin/api/2026-04/graphql.json"
    assert sandbox.http.post(path, json={"query": "{ shop { name } }"}).status_code == 401
