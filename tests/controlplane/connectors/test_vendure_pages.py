"""Vendure's lists over many pages, from a server that answers as its Admin API does: sorted by id, taken by skip and take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.connectors.builtin.vendure.connector import VendureConnector
from controlplane.errors import UnavailableError, UnreadableError
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

COUNT = 250


class Shop:
    """A shop that has orders; `meanwhile` happens after each page that it gave."""

    def __init__(self) -> None:
        self.orders = [order(number) for number in range(1, COUNT + 1)]
        self.taken: list[tuple[int, int]] = []
        self.filters: list[Any] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.breaks_at: Reply | None = None

    def answer(self, asked: Asked) -> Reply:
        told = json.loads(asked.body)
        if "login" in told["query"]:
            return Reply(
                body={"data": {"login": {"__typename": "CurrentUser"}}},
                headers={"vendure-auth-token": "token-of-a-session"},
            )
        variables = told["variables"]
        skip, take = variables["skip"], variables["take"]
        if self.breaks_at is not None and skip:
            return self.breaks_at
        self.taken.append((skip, take))
        self.filters.append(variables["filter"])
        found = {"totalItems": len(self.orders), "items": self.orders[skip : skip + take]}
        self.meanwhile()
        return Reply(body={"data": {"orders": found}})


def order(number: int) -> dict[str, Any]:
    line = {
        "id": f"{number}", "orderPlacedQuantity": 1, "proratedUnitPrice": 1000, "proratedUnitPriceWithTax": 1190, "taxRate": 19,
        "taxLines": [], "productVariant": {"sku": "A"},
    }  # fmt: skip
    return {
        "id": f"{number}", "code": f"C{number}", "state": "PaymentSettled", "orderPlacedAt": "2026-11-27T05:00:00Z",
        "updatedAt": f"2026-11-27T05:{number // 60:02}:{number % 60:02}Z", "currencyCode": "EUR", "shippingAddress": None, "lines": [line],
    }  # fmt: skip


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def connector(shop: Shop, scripted: Callable[[Callable[[Asked], Reply]], ScriptedServer]) -> Iterator[VendureConnector]:
    secrets = {"user": "superadmin", "password": "a-long-password"}
    given = Given(scripted(shop.answer).url, options={"locations": ["WH1"]}, secrets=secrets, timeout=20)
    made = VendureConnector(given.context())
    yield made
    made.close()


def codes(connector: VendureConnector, cursor: dict[str, Any] | None = None) -> tuple[list[str], dict[str, Any]]:
    pages = list(connector.poll("orders", cursor))
    return [str(json.loads(record.body)["code"]) for page in pages for record in page.records], pages[-1].cursor


def test_every_page_of_orders_is_read_and_the_cursor_moves_at_the_end(connector: VendureConnector, shop: Shop) -> None:
    pages = list(connector.poll("orders", None))
    assert [len(page.records) for page in pages] == [100, 100, 50, 0]
    assert shop.taken == [(0, 100), (100, 100), (200, 100)]
    assert [page.cursor for page in pages[:-1]] == [{}, {}, {}]
    assert pages[-1].cursor == {"since": shop.orders[-1]["updatedAt"]}


def test_an_order_that_is_placed_in_the_middle_of_a_walk_is_read_and_none_is_left_out(
    connector: VendureConnector, shop: Shop
) -> None:
    shop.meanwhile = lambda: shop.orders.append(order(len(shop.orders) + 1))
    found, _ = codes(connector)
    assert len(found) == len(set(found))
    assert {f"C{number}" for number in range(1, COUNT + 1)} <= set(found)


def test_a_walk_goes_on_from_its_cursor_with_overlap(connector: VendureConnector, shop: Shop) -> None:
    _, cursor = codes(connector)
    codes(connector, cursor)
    assert shop.filters[0] == {}
    assert shop.filters[-1]["updatedAt"]["after"] < cursor["since"]


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [(Reply(503), UnavailableError), (Reply(body={"data": {"orders": {"items": []}}}), UnreadableError)],
)
def test_a_walk_that_breaks_off_moves_no_cursor(
    connector: VendureConnector, shop: Shop, reply: Reply, wanted: type[Exception]
) -> None:
    shop.breaks_at = reply
    pages = connector.poll("orders", {"since": "2026-11-20T00:00:00+00:00"})
    assert next(pages).cursor == {"since": "2026-11-20T00:00:00+00:00"}
    with pytest.raises(wanted):
        list(pages)
