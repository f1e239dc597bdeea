"""Shopify: levels exported in bulk, and of many keys with one request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.shopify.connector import ShopifyConnector
from controlplane.connectors.builtin.shopify.exports import PATIENCE, with_parents
from controlplane.connectors.contract import Connector, Level
from controlplane.connectors.jobs import JobRunningError
from controlplane.errors import ConnectorError, RejectedError, ThrottledError, UnavailableError, UnreadableError
from tests.controlplane.connectors.conftest import START, Given, Retailer
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
SKU, OTHER = "0007-BLK-M", "0001-WHT-L"
SECRETS = {"access_token": "a" * 20, "webhook_secret": "b" * 20}


def bulk(retailer: Retailer) -> Connector:
    """The retailer's shop, whose levels are exported; time goes by as fast as it is waited for."""
    location = retailer.sandbox.location_id()
    given = Given(
        f"{retailer.sandbox.url}/shop",
        {"access_token": retailer.sandbox.secret("shop_access_token"), "webhook_secret": "w" * 20},
        {"locations": [location], "snapshot": "bulk"}, timeout=5000.0, clock=ManualClock(START, pace=0.001),
    )  # fmt: skip
    return ShopifyConnector(given.context())


def levels(connector: Connector, keys: list[tuple[str, str]] | None = None) -> list[Level]:
    return [level for page in connector.snapshot("levels", keys) for level in page]


def test_levels_exported_in_bulk_are_those_that_pages_bring(retailer: Retailer) -> None:
    paged = levels(retailer.connector("shop"))
    exported = levels(bulk(retailer))
    assert {(one.sku, one.available, one.on_hand, one.source_at) for one in exported} == {
        (one.sku, one.available, one.on_hand, one.source_at) for one in paged
    }
    assert len(exported) == 8
    assert all(START <= one.read_from <= one.read_to for one in exported)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        ("FAILED", "TIMEOUT", UnavailableError),
        ("FAILED", "INTERNAL_SERVER_ERROR", UnavailableError),
        ("FAILED", "ACCESS_DENIED", RejectedError),
        ("CANCELED", None, UnavailableError),
        ("EXPIRED", None, UnavailableError),
    ],
)
def test_an_export_that_does_not_end_well_is_a_failed_reading(
    scripted: Begin, status: str, code: str | None, error: type[ConnectorError]
) -> None:
    shop = Shop(
        {"status": status, "errorCode": code, "objectCount": "1", "url": None, "partialDataUrl": "http://x/part"}
    )
    with pytest.raises(error):
        levels(shop.connector(scripted))
    assert not shop.fetched, "a part of the data is left alone"


class Shop:
    """Begins one operation; answers each look at it alike; has one file."""

    def __init__(self, operation: dict[str, Any], file: bytes = b"", refusal: dict[str, Any] | None = None) -> None:
        self.operation, self.file, self.refusal = operation, file, refusal
        self.fetched, self.cancelled, self.status = 0, 0, 200

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            self.fetched += 1
            return Reply(self.status, self.file)
        text = asked.json()["query"]
        if "RunBulkQuery" in text:
            begun = None if self.refusal else {"id": "gid://shopify/BulkOperation/1", "status": "CREATED"}
            errors = [self.refusal] if self.refusal else []
            return Reply(body={"data": {"bulkOperationRunQuery": {"bulkOperation": begun, "userErrors": errors}}})
        if "CancelBulk" in text:
            self.cancelled += 1
            return Reply(body={"data": {"bulkOperationCancel": {"bulkOperation": None, "userErrors": []}}})
        return Reply(body={"data": {"bulkOperation": self.operation}})

    def connector(self, scripted: Begin, *locations: str) -> Connector:
        server = scripted(self)
        if self.operation.get("url") == "here":
            self.operation["url"] = f"{server.url}/files/1.jsonl?signature=abcdefghij"
        given = Given(
            server.url, SECRETS, {"locations": list(locations or ("L1",)), "snapshot": "bulk"},
            timeout=5000.0, clock=ManualClock(START, pace=0.001),
        )  # fmt: skip
        return ShopifyConnector(given.context())


def done(objects: int, **more: Any) -> dict[str, Any]:
    return {"status": "COMPLETED", "errorCode": None, "objectCount": str(objects), "url": "here"} | more


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def level(item: str, place: str, available: int) -> dict[str, Any]:
    quantities = [{"name": "available", "quantity": available, "updatedAt": "2026-11-27T05:00:00Z"}]
    return {"id": f"{item}/{place}", "location": {"id": place}, "quantities": quantities, "__parentId": item}


def test_a_level_may_come_before_its_item_and_other_locations_are_left_out(scripted: Begin) -> None:
    file = lines(
        level("i2", "L1", 7), {"id": "i1", "sku": "A"}, level("i1", "L1", 5), level("i1", "L2", 9), level("i1", "L9", 1),
        {"id": "i2", "sku": "B"}, {"id": "i3", "sku": None}, level("i3", "L1", 3),
    )  # fmt: skip
    found = levels(Shop(done(8), file).connector(scripted, "L1", "L2"))
    assert sorted((one.sku, one.location, one.available) for one in found) == [
        ("A", "L1", 5),
        ("A", "L2", 9),
        ("B", "L1", 7),
    ]


def test_a_file_with_fewer_objects_than_the_shop_counted_is_a_failed_reading(scripted: Begin) -> None:
    shop = Shop(done(3), lines({"id": "i1", "sku": "A"}, level("i1", "L1", 5)))
    with pytest.raises(UnavailableError, match="2 objects of 3"):
        levels(shop.connector(scripted))


def test_a_level_without_its_item_is_a_failed_reading() -> None:
    with pytest.raises(UnreadableError, match="belongs to i9"):
        list(with_parents(iter([level("i9", "L1", 5)])))


def test_a_damaged_line_is_named_by_its_number(scripted: Begin) -> None:
    shop = Shop(done(2), lines({"id": "i1", "sku": "A"}) + b'{"id": "i1/L1", "loc')
    with pytest.raises(UnreadableError, match="line 2 is not JSON"):
        levels(shop.connector(scripted))


def test_a_shop_without_items_exports_no_file_and_one_that_hides_it_is_a_failed_reading(scripted: Begin) -> None:
    assert levels(Shop(done(0, url=None)).connector(scripted)) == []
    with pytest.raises(UnavailableError, match="0 objects of 4"):
        levels(Shop(done(4, url=None)).connector(scripted))


def test_an_address_that_has_run_out_is_asked_for_anew_later(scripted: Begin) -> None:
    shop = Shop(done(1), b"<Error><Code>ExpiredToken</Code></Error>")
    shop.status = 400
    with pytest.raises(UnavailableError, match="cannot be had any more") as caught:
        levels(shop.connector(scripted))
    assert "abcdefghij" not in str(caught.value.evidence)


def test_a_shop_that_runs_as_many_operations_as_it_can_throttles(scripted: Begin) -> None:
    busy = {"field": None, "message": "in progress", "code": "OPERATION_IN_PROGRESS"}
    with pytest.raises(ThrottledError):
        levels(Shop({}, refusal=busy).connector(scripted))
    with pytest.raises(RejectedError, match="INVALID"):
        levels(Shop({}, refusal=busy | {"code": "INVALID"}).connector(scripted))


def test_an_operation_that_takes_too_long_is_cancelled_so_that_its_place_is_free(scripted: Begin) -> None:
    shop = Shop({"status": "RUNNING", "objectCount": "10", "url": None})
    with pytest.raises(JobRunningError, match=f"{PATIENCE:g} s"):
        levels(shop.connector(scripted))
    assert shop.cancelled == 1


# --- many keys with one request ---
def test_many_keys_are_read_with_two_requests_and_what_is_gone_is_left_out(retailer: Retailer, scripted: Begin) -> None:
    skus = sorted({one.sku for one in levels(retailer.connector("shop"))})
    asked = []

    def pass_on(one: Asked) -> Reply:
        asked.append(one.json()["query"].split("(")[0].split()[1])
        head = {"X-Shopify-Access-Token": retailer.sandbox.secret("shop_access_token")}
        return Reply(body=retailer.sandbox.http.post(f"/shop{one.path}", content=one.body, headers=head).content)

    location = retailer.sandbox.location_id()
    given = Given(scripted(pass_on).url, SECRETS, {"locations": [location]}, timeout=10.0)
    connector = ShopifyConnector(given.context())
    found = levels(connector, [(sku, location) for sku in [*skus, "no-such"]])
    assert sorted(one.sku for one in found) == skus
    assert asked == ["ItemsBySku", "LevelsOf"]
    levels(connector, [(SKU, location)])
    assert asked[2:] == ["LevelsOf"], "ids are kept"


def test_an_item_that_was_deleted_is_looked_up_anew_at_the_next_turn(scripted: Begin) -> None:
    ids = iter(["gid://1", "gid://2"])

    def answer(one: Asked) -> Reply:
        told = one.json()
        if "ItemsBySku" in told["query"]:
            page = {"nodes": [{"id": next(ids), "sku": "A"}], "pageInfo": {"hasNextPage": False, "endCursor": None}}
            return Reply(body={"data": {"inventoryItems": page}})
        node = {"id": "gid://2", "sku": "A", "inventoryLevel": level("i", "L1", 4)}
        return Reply(
            body={"data": {"nodes": [node if name == "gid://2" else None for name in told["variables"]["ids"]]}}
        )

    connector = ShopifyConnector(Given(scripted(answer).url, SECRETS, {"locations": ["L1"]}).context())
    assert levels(connector, [("A", "L1")]) == []
    assert [one.available for one in levels(connector, [("A", "L1")])] == [4]


def test_one_sku_of_several_items_is_refused_by_name(scripted: Begin) -> None:
    twice = [{"id": "gid://1", "sku": "A"}, {"id": "gid://2", "sku": "A"}, {"id": "gid://3", "sku": "a"}]
    page = {"nodes": twice, "pageInfo": {"hasNextPage": False, "endCursor": None}}
    server = scripted(lambda _: Reply(body={"data": {"inventoryItems": page}}))
    connector = ShopifyConnector(Given(server.url, SECRETS, {"locations": ["L1"]}).context())
    with pytest.raises(RejectedError, match="2 items with the SKU A"):
        levels(connector, [("A", "L1")])


def test_an_answer_of_another_length_is_unreadable(scripted: Begin) -> None:
    def answer(one: Asked) -> Reply:
        if "ItemsBySku" in one.json()["query"]:
            page = {"nodes": [{"id": "gid://1", "sku": "A"}], "pageInfo": {"hasNextPage": False, "endCursor": None}}
            return Reply(body={"data": {"inventoryItems": page}})
        return Reply(body={"data": {"nodes": []}})

    connector = ShopifyConnector(Given(scripted(answer).url, SECRETS, {"locations": ["L1"]}).context())
    with pytest.raises(UnreadableError, match="another number"):
        levels(connector, [("A", "L1")])
