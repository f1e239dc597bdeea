"""The warehouse's API and its physics."""

from collections.abc import Callable

from tests.controlplane.sandbox.client import Client
from tests.controlplane.sandbox.conftest import QUIET, quiet

SKU = "0007-BLK-M"
STOCK = """query ($sku: String, $since: ISODateTime) {
  warehouse_products(warehouse_id: "WH1", sku: $sku, updated_from: $since) {
  request_id complexity data(first: 3) { pageInfo { hasNextPage endCursor }
  edges { node { sku on_hand allocated available backorder on_order updated_at } } } } }"""


def stock(sandbox: Client, **variables: str) -> list[dict[str, object]]:
    found = sandbox.wms(STOCK, **variables)["data"]["warehouse_products"]
    return [edge["node"] for edge in found["data"]["edges"]]


def test_stock_is_paged_and_filtered_by_change_time(sandbox: Client) -> None:
    page = sandbox.wms(STOCK)["data"]["warehouse_products"]
    assert (len(page["data"]["edges"]), page["data"]["pageInfo"]["hasNextPage"], page["complexity"]) == (3, True, 4)
    sandbox.advance("2026-11-27T06:05:00Z")
    sandbox.bring_to_warehouse("#1", (SKU, 4))
    (row,) = stock(sandbox, since="2026-11-27T06:05:00.000Z")
    expected = {"sku": SKU, "on_hand": 40, "allocated": 4, "available": 36, "backorder": 0, "on_order": 0}
    assert row == expected | {"updated_at": "2026-11-27T06:05:00.000Z"}


def test_the_same_order_sent_twice_is_shipped_twice(sandbox: Client) -> None:
    name = sandbox.order((SKU, 2))
    for _ in range(2):
        sandbox.bring_to_warehouse(name, (SKU, 2))
    sandbox.advance("2026-11-27T06:30:00Z")
    assert [e["ordinal"] for e in sandbox.journal("effect") if e["doc"] == "order"] == [1, 2]
    assert len([e for e in sandbox.journal("document") if e["doc"] == "shipment"]) == 2
    assert sandbox.truth(SKU)["wms_on_hand"] == 36


def test_an_order_it_was_not_given_is_never_shipped(sandbox: Client) -> None:
    sandbox.order((SKU, 2))
    sandbox.advance("2026-11-27T09:00:00Z")
    assert [e["doc"] for e in sandbox.journal("document")] == ["order"]
    assert sandbox.truth(SKU)["open_order_units"] == 2


def test_a_short_order_waits_until_goods_arrive(start: Callable[..., Client]) -> None:
    receipts = {"receipts": {"per_hour": 60, "quantity": [30, 30], "splits": 1}}
    sandbox = start(quiet(actors=receipts, retailer=QUIET["retailer"] | {"skus": 1}))
    only = "0001-WHT-L"
    sandbox.bring_to_warehouse("#1", (only, 50))
    (row,) = stock(sandbox, sku=only)
    assert (row["allocated"], row["backorder"]) == (40, 10)
    sandbox.advance("2026-11-27T07:00:00Z")
    (row,) = stock(sandbox, sku=only)
    assert row["backorder"] == 0
    assert [e["lines"][0]["quantity"] for e in sandbox.journal("document") if e["doc"] == "shipment"] == [50]


def test_split_orders_leave_in_two_shipments(start: Callable[..., Client]) -> None:
    warehouse = {"pick_seconds": [60, 60], "ship_seconds": [60, 60], "split_share": 1}
    sandbox = start(quiet(actors={"warehouse": warehouse}))
    sandbox.bring_to_warehouse("#1", (SKU, 3))
    sandbox.advance("2026-11-27T06:30:00Z")
    lines = [event["lines"][0]["quantity"] for event in sandbox.journal("document")]
    assert lines == [1, 2]


def test_returns_come_back_into_stock(start: Callable[..., Client]) -> None:
    sandbox = start(quiet(actors={"returns": {"share": 1, "after": ["5m", "5m"]}}))
    sandbox.bring_to_warehouse("#1", (SKU, 3))
    sandbox.advance("2026-11-27T06:30:00Z")
    assert [event["doc"] for event in sandbox.journal("document")] == ["shipment", "return"]
    assert sandbox.truth(SKU)["wms_on_hand"] == 38
    query = (
        '{ returns(date_from: "2026-11-27T06:00:00Z") { data { edges { node { id line_items { sku quantity } } } } } }'
    )
    (edge,) = sandbox.wms(query)["data"]["returns"]["data"]["edges"]
    assert edge["node"]["line_items"] == [{"sku": SKU, "quantity": 1}]


def test_receipts_name_their_purchase_order(start: Callable[..., Client]) -> None:
    sandbox = start(quiet(actors={"receipts": {"per_hour": 30, "quantity": [20, 20], "splits": 3}}))
    sandbox.advance("2026-11-27T07:00:00Z")
    query = """{ purchase_orders(updated_from: "2026-11-27T06:00:00Z") { data(first: 100) { edges { node { po_number
      line_items { quantity quantity_received } receipts { id sku quantity received_at } } } } } }"""
    orders = [edge["node"] for edge in sandbox.wms(query)["data"]["purchase_orders"]["data"]["edges"]]
    told = {receipt["id"] for order in orders for receipt in order["receipts"]}
    assert told == {e["ref"] for e in sandbox.journal("document") if e["doc"] == "receipt"}
    full = [order for order in orders if order["line_items"][0]["quantity_received"] == 20]
    assert full
    assert all(sum(r["quantity"] for r in order["receipts"]) == 20 for order in full)


def test_credits_run_out_inside_http_200_and_come_back(sandbox: Client) -> None:
    dear = STOCK.replace("first: 3", "first: 2000")
    answers = [sandbox.wms(dear) for _ in range(3)]
    assert answers[2]["errors"][0]["code"] == 30
    assert answers[2]["errors"][0]["time_remaining"].endswith("seconds")
    sandbox.advance("2026-11-27T06:02:00Z")
    assert "errors" not in sandbox.wms(dear)


def test_a_token_is_needed_and_lasts_28_days(sandbox: Client) -> None:
    assert sandbox.http.post("/wms/graphql", json={"query": STOCK}).status_code == 401
    assert sandbox.http.post("/wms/auth/refresh", json={"refresh_token": "wrong"}).status_code == 401
    stock(sandbox)
    sandbox.advance("2026-12-25T06:00:01Z")
    head = {"Authorization": f"Bearer {sandbox._token}"}
    assert sandbox.http.post("/wms/graphql", json={"query": STOCK}, headers=head).status_code == 401


def test_an_unknown_article_is_refused_inside_http_200(sandbox: Client) -> None:
    assert "NOPE" in sandbox.bring_to_warehouse("#1", ("NOPE", 1))["errors"][0]["message"]
