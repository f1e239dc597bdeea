"""Items written to the sandbox's shop: by bulk operations, looked at first, each with an outcome of its own."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.connector import TOGETHER, ShopifyConnector
from controlplane.connectors.builtin.shopify.levels import FEW
from controlplane.connectors.contract import Connector, Write
from controlplane.errors import ThrottledError, UnavailableError, UnknownOutcomeError
from rules.outcomes import Outcome, Result
from tests.controlplane.connectors.conftest import START, Given, Retailer

SKU = "0007-BLK-M"
ASK = """
query($q: String!) { productVariants(first: 250, query: $q) { nodes { id sku price product { id title status handle } } } }"""
MANY = 60


def item(
    sku: str, price: str | None = "12.34", title: str = "", currency: str = "USD", *, active: bool = True
) -> Write:
    payload = {
        "sku": sku, "title": title or f"Article {sku}", "unit_cost": None, "unit_price": price, "currency": currency, "active": active,
    }  # fmt: skip
    return Write("product", sku, f"key-{sku}-{price}-{title}", payload, sku)


def items(count: int, price: str = "12.34") -> list[Write]:
    return [item(f"NEW-{number:04d}", price) for number in range(count)]


def put(retailer: Retailer, *requests: Write) -> list[Outcome]:
    return retailer.connector("shop").write_many(requests)


def shown(retailer: Retailer, sku: str) -> list[tuple[str, str, str]]:
    nodes = retailer.sandbox.shop(ASK, q=f"sku:'{sku}'")["data"]["productVariants"]["nodes"]
    return [(one["product"]["title"], one["price"], one["product"]["status"]) for one in nodes]


def written(retailer: Retailer) -> list[str]:
    return [event["sku"] for event in retailer.sandbox.journal("product")]


def test_many_items_are_made_by_one_bulk_operation_each_with_an_outcome(retailer: Retailer) -> None:
    found = put(retailer, *items(MANY))
    assert {one.result for one in found} == {Result.DELIVERED}
    assert len({one.evidence["bulk_operation"] for one in found}) == 1
    assert len({one.native_id for one in found}) == MANY
    assert shown(retailer, "NEW-0042") == [("Article NEW-0042", "12.34", "ACTIVE")]


def test_only_what_changed_is_written(retailer: Retailer) -> None:
    put(retailer, *items(MANY))
    assert {one.result for one in put(retailer, *items(MANY))} == {Result.ALREADY_DELIVERED}
    assert len(written(retailer)) == MANY
    changed = [item(f"NEW-{number:04d}", "9.99") for number in range(5)]
    outcomes = put(retailer, *changed, *items(MANY)[5:], item("NEW-9999"))
    assert [one.result for one in outcomes].count(Result.DELIVERED) == 6
    assert sorted(written(retailer)[MANY:]) == [*(f"NEW-{number:04d}" for number in range(5)), "NEW-9999"]
    assert shown(retailer, "NEW-0003") == [("Article NEW-0003", "9.99", "ACTIVE")]


def test_an_item_that_the_shop_has_is_changed_and_keeps_its_stock_and_its_variant(retailer: Retailer) -> None:
    before = retailer.sandbox.shop(ASK, q=f"sku:'{SKU}'")["data"]["productVariants"]["nodes"][0]
    stock = retailer.sandbox.truth(SKU)["shop_available"]
    [outcome] = put(retailer, item(SKU, "1.05", "Cap"))
    assert (outcome.result, outcome.native_id) == (Result.DELIVERED, before["id"])
    assert shown(retailer, SKU) == [("Cap", "1.05", "ACTIVE")]
    assert retailer.sandbox.truth(SKU)["shop_available"] == stock
    name = retailer.sandbox.order((SKU, 1))
    [order] = retailer.drafts("shop", "orders")
    assert (order.subject, order.data["lines"][0]["unit_price"]) == (name, "1.05")


def test_what_is_not_sold_any_more_is_archived_and_comes_back(retailer: Retailer) -> None:
    put(retailer, item(SKU, active=False))
    assert shown(retailer, SKU)[0][2] == "ARCHIVED"
    assert put(retailer, item(SKU, active=False))[0].result is Result.ALREADY_DELIVERED
    put(retailer, item(SKU))
    assert shown(retailer, SKU)[0][2] == "ACTIVE"


def test_what_cannot_be_shown_is_refused_by_name_and_its_neighbours_are_written(retailer: Retailer) -> None:
    poison = [
        item("NEW-EUR", currency="EUR"),
        item("NEW-HALF", "0.005"),
        item("NEW-FREE", None),
        item("NEW-LONG", title="x" * 300),
    ]
    found = put(retailer, *poison, *items(MANY))
    assert [one.result for one in found[:4]] == [Result.REJECTED] * 4
    assert {one.result for one in found[4:]} == {Result.DELIVERED}
    told = [one.detail for one in found[:4]]
    assert "priced in EUR" in told[0]
    assert "sells in USD" in told[0]
    assert "0.005 USD" in told[1]
    assert "has no price" in told[2]
    assert "too long" in told[3]
    assert not set(written(retailer)) & {"NEW-EUR", "NEW-HALF", "NEW-FREE", "NEW-LONG"}


def test_a_handle_of_somebody_else_is_not_taken(retailer: Retailer) -> None:
    put(retailer, item("Some Sku!"))
    handles = [
        one["product"]["handle"]
        for one in retailer.sandbox.shop(ASK, q="sku:'Some Sku!'")["data"]["productVariants"]["nodes"]
    ]
    assert handles[0].startswith("some-sku-")
    [refused] = put(retailer, item(handles[0]))
    assert refused.result is Result.REJECTED
    assert "another product under the handle" in refused.detail
    assert shown(retailer, "Some Sku!") == [("Article Some Sku!", "12.34", "ACTIVE")]


def test_a_lost_answer_leaves_the_outcome_unknown_and_reading_back_tells_what_came_of_it(retailer: Retailer) -> None:
    requests = items(MANY)
    fault = retailer.sandbox.fault(kind="lost_response", target="shop", operation="bulkOperationRunMutation")
    with pytest.raises(UnknownOutcomeError):
        put(retailer, *requests)
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    connector = retailer.connector("shop")
    for _ in range(3):
        connector.ping()  # the operation gets on, whether or not anybody asks for it
    assert {connector.read_back(request).result for request in requests[:5]} == {Result.ALREADY_DELIVERED}
    assert {one.result for one in put(retailer, *requests)} == {Result.ALREADY_DELIVERED}
    assert len(written(retailer)) == MANY


def test_what_is_lost_before_the_operation_starts_changed_nothing(retailer: Retailer) -> None:
    fault = retailer.sandbox.fault(kind="lost_response", target="shop", operation="stagedUploadsCreate")
    with pytest.raises(UnavailableError):
        put(retailer, *items(MANY))
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert written(retailer) == []
    assert retailer.connector("shop").read_back(item("NEW-0001")).result is Result.ABSENT


def test_an_operation_is_waited_for_though_the_shop_breaks_down_meanwhile(retailer: Retailer) -> None:
    retailer.sandbox.fault(kind="error", target="shop", operation="bulkOperation", status=502, probability=0.5)
    assert {one.result for one in put(retailer, *items(MANY))} == {Result.DELIVERED}


def test_a_shop_that_runs_as_many_operations_as_it_can_is_asked_later(retailer: Retailer) -> None:
    idle = ["{}"] * 5000
    for _ in range(5):
        assert retailer.sandbox.start_bulk(idle, documents.SET_PRODUCT)["userErrors"] == []
    with pytest.raises(ThrottledError, match="as many bulk operations as it can") as raised:
        put(retailer, *items(MANY))
    assert raised.value.retry_after > 0
    for _ in range(20):
        retailer.connector("shop").ping()
    assert put(retailer, *items(MANY))[0].result is Result.DELIVERED


def test_a_full_batch_is_written(retailer: Retailer) -> None:
    found = put(retailer, *items(TOGETHER))
    assert [one.result for one in found] == [Result.DELIVERED] * TOGETHER


# --- read in bulk ---


def bulk(retailer: Retailer) -> ShopifyConnector:
    """The retailer's shop, whose articles are exported; time goes by as fast as it is waited for."""
    given = Given(
        f"{retailer.sandbox.url}/shop",
        {"access_token": retailer.sandbox.secret("shop_access_token"), "webhook_secret": "w" * 20},
        {"locations": [], "snapshot": "bulk"}, timeout=5000.0, clock=ManualClock(START, pace=0.001),
    )  # fmt: skip
    return ShopifyConnector(given.context())


def articles(connector: Connector, subjects: list[str] | None = None) -> dict[str, dict[str, object]]:
    return {entry.subject: dict(entry.fields) for page in connector.entries("products", subjects) for entry in page}


def operations(retailer: Retailer) -> list[dict[str, str]]:
    asked = retailer.sandbox.shop("{ bulkOperations(first: 20) { nodes { id status query } } }")
    found: list[dict[str, str]] = asked["data"]["bulkOperations"]["nodes"]
    return found


def test_articles_exported_in_bulk_are_those_that_pages_bring(retailer: Retailer) -> None:
    put(retailer, *items(MANY), item(SKU, active=False))
    exported = articles(bulk(retailer))
    assert exported == articles(retailer.connector("shop"))
    assert exported["NEW-0003"] == {"price": Decimal("12.34"), "active": "yes"}
    assert exported[SKU]["active"] == "no"


def test_few_articles_are_searched_for_and_many_are_taken_out_of_an_export(retailer: Retailer) -> None:
    assert set(articles(bulk(retailer), [SKU, "NONE"])) == {SKU}
    assert operations(retailer) == []
    assert set(articles(bulk(retailer), [SKU, *(f"NONE-{number}" for number in range(FEW))])) == {SKU}
    assert len(operations(retailer)) == 1


def test_an_export_that_was_interrupted_is_waited_for_and_not_begun_anew(retailer: Retailer) -> None:
    begun = retailer.sandbox.shop(documents.RUN_BULK_QUERY, query=documents.EVERY_PRODUCT)
    name = begun["data"]["bulkOperationRunQuery"]["bulkOperation"]["id"]
    [entry, *_] = next(iter(bulk(retailer).entries("products")))
    assert [one["id"] for one in operations(retailer)] == [name]
    assert START - timedelta(minutes=1) < entry.read_from < START, "when it was begun, not when it was found"
    assert articles(bulk(retailer)), "one that is over is no reading of now"
    assert len(operations(retailer)) == 2


def test_another_query_that_runs_is_left_alone(retailer: Retailer) -> None:
    retailer.sandbox.shop(documents.RUN_BULK_QUERY, query=documents.EVERY_LEVEL)
    assert articles(bulk(retailer))
    assert {one["query"] for one in operations(retailer)} == {documents.EVERY_LEVEL, documents.EVERY_PRODUCT}
