"""Items of a real Vendure, and of a real Tryton that are carried there: in a channel of their own, which is taken away afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.builtin.tryton.connector import TrytonConnector
from controlplane.connectors.builtin.vendure.connector import VendureConnector
from controlplane.connectors.contract import Write
from controlplane.store import Store
from rules.outcomes import Result
from tests.controlplane.sync.catalogue import SECRETS, Planed, pack
from tests.integration.real.systems import Server, Shop
from tests.integration.real.test_tryton import make
from tests.integration.real.vendure import connector_of

pytestmark = pytest.mark.timeout(900)
PREFIX = f"PB{os.getpid()}"
ZONES = "{ zones { items { id } } }"
OPEN = """
mutation($i: CreateChannelInput!) { createChannel(input: $i) {
  ... on Channel { id token } ... on ErrorResult { errorCode message } } }"""
SHUT = "mutation($id: ID!) { deleteChannel(id: $id) { result message } }"
OURS = """
query($skip: Int!, $take: Int!, $p: String!) { products(options: {skip: $skip, take: $take, filter: {slug: {contains: $p}}}) {
  totalItems items { id slug name variants { sku name price enabled } } } }"""
GONE = "mutation($ids: [ID!]!) { deleteProducts(ids: $ids) { result message } }"
BARE = "mutation($i: CreateProductInput!) { createProduct(input: $i) { id } }"


def ours(connector: VendureConnector) -> list[dict[str, Any]]:
    return [row for rows, _ in connector._api.pages(OURS, p=PREFIX.lower()) for row in rows]


@pytest.fixture(scope="module")
def euros(shop: Shop) -> Iterator[str]:
    """The token of a channel that sells for euros, whose items are taken away with it."""
    plain = connector_of(shop)
    zones, _ = plain._api.ask(ZONES)
    zone = zones["items"][0]["id"]
    asked = {
        "code": PREFIX.lower(), "token": f"{PREFIX}-token", "defaultLanguageCode": "en", "pricesIncludeTax": False,
        "defaultCurrencyCode": "EUR", "availableCurrencyCodes": ["EUR"], "defaultTaxZoneId": zone, "defaultShippingZoneId": zone,
    }  # fmt: skip
    made, _, refused = plain._api.tell(OPEN, i=asked)
    assert not refused
    try:
        yield str(made["token"])
    finally:
        left = [row["id"] for row in ours(plain)]
        if left:
            plain._api.tell(GONE, ids=left)
        plain._api.tell(SHUT, id=made["id"])
        plain.close()


@pytest.fixture
def connector(shop: Shop, euros: str) -> Iterator[VendureConnector]:
    made = connector_of(shop, channel=euros)
    yield made
    made.close()


def item(name: str, price: str | None = "12.34", title: str = "", currency: str = "EUR", active: bool = True) -> Write:
    sku = f"{PREFIX}-{name}"
    payload = {
        "sku": sku, "title": title or f"Article {name}", "unit_cost": None, "unit_price": price, "currency": currency, "active": active,
    }  # fmt: skip
    return Write("product", sku, f"key-{sku}-{price}-{title}", payload, sku)


def results(connector: VendureConnector, *requests: Write) -> list[Result]:
    return [outcome.result for outcome in connector.write_many(requests)]


def shown(connector: VendureConnector, name: str) -> list[tuple[str, str, int, bool]]:
    sku = f"{PREFIX}-{name}"
    variants = [(row, one) for row in ours(connector) for one in row["variants"] if one["sku"] == sku]
    return [(row["name"], one["name"], one["price"], one["enabled"]) for row, one in variants]


def test_items_are_made_together_and_told_again_they_are_not_written(connector: VendureConnector) -> None:
    told = [item(f"a{number}", f"{number}.50") for number in range(1, 13)]
    assert connector.read_back(told[0]).result is Result.ABSENT
    assert results(connector, *told) == [Result.DELIVERED] * 12
    assert shown(connector, "a7") == [("Article a7", "Article a7", 750, True)]
    assert results(connector, *told) == [Result.ALREADY_DELIVERED] * 12
    assert connector.read_back(told[0]).result is Result.ALREADY_DELIVERED


def test_only_what_changed_is_written_and_the_slug_stays(connector: VendureConnector) -> None:
    assert results(connector, item("b1"), item("b2"), item("b3")) == [Result.DELIVERED] * 3
    slugs = {row["slug"] for row in ours(connector)}
    changed = [item("b1", "12.35"), item("b2", title="Renamed"), item("b3", active=False)]
    assert results(connector, *changed, item("b4")) == [Result.DELIVERED] * 4
    assert results(connector, *changed, item("b4")) == [Result.ALREADY_DELIVERED] * 4
    assert shown(connector, "b1") == [("Article b1", "Article b1", 1235, True)]
    assert shown(connector, "b2") == [("Renamed", "Renamed", 1234, True)]
    assert shown(connector, "b3") == [("Article b3", "Article b3", 1234, False)]
    assert {row["slug"] for row in ours(connector)} - slugs == {f"{PREFIX}-b4".lower()}


def test_what_cannot_be_shown_is_refused_by_name_and_its_neighbours_are_written(connector: VendureConnector) -> None:
    dollars, half, unpriced = item("c1", currency="USD"), item("c2", "1.005"), item("c3", None)
    found = connector.write_many([dollars, half, unpriced, item("c4")])
    assert [one.result for one in found] == [*[Result.REJECTED] * 3, Result.DELIVERED]
    assert "priced in USD" in found[0].detail
    assert "sells in EUR" in found[0].detail
    assert "1.005 EUR" in found[1].detail
    assert "has no price" in found[2].detail
    assert [shown(connector, name) for name in ("c1", "c2", "c3")] == [[], [], []]


def test_a_price_that_is_not_told_is_left_as_it_is(connector: VendureConnector) -> None:
    assert results(connector, item("d1", "5.00")) == [Result.DELIVERED]
    assert connector.write(item("d1", None, title="Unpriced")).result is Result.DELIVERED
    assert shown(connector, "d1") == [("Unpriced", "Unpriced", 500, True)]


def test_a_product_that_was_left_without_its_variant_is_taken_further(connector: VendureConnector) -> None:
    sku = f"{PREFIX}-e1"
    told = {
        "enabled": True,
        "translations": [{"languageCode": "en", "name": "x", "slug": sku.lower(), "description": ""}],
    }
    connector._api.tell(BARE, i=told)
    assert connector.read_back(item("e1")).result is Result.ABSENT
    assert results(connector, item("e1"), item("e2")) == [Result.DELIVERED] * 2
    assert [row["slug"] for row in ours(connector) if row["slug"].startswith(sku.lower())] == [sku.lower()]
    results(connector, item("e1"))
    assert shown(connector, "e1") == [("Article e1", "Article e1", 1234, True)]


def stocked(erp: TrytonConnector, prices: dict[str, str]) -> list[int]:
    """Make items of these codes in the ERP; return their templates, to be taken away."""
    told = [
        {
            "name": f"Article {code}", "type": "goods", "default_uom": 1, "list_price": {"__class__": "Decimal", "decimal": price},
            "products": [["create", [{"suffix_code": code}]]],
        }
        for code, price in prices.items()
    ]  # fmt: skip
    found, _ = erp._rpc.tell("model.product.template.create", told, {"company": 1})
    return [int(one) for one in found]


def test_items_of_the_erp_are_carried_into_the_shop_and_then_only_the_price_that_changed(
    shop: Shop, euros: str, server: Server, connector: VendureConnector, sqlite_store: Store, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in {**SECRETS, "TRYTON_PASSWORD": server.password, "VENDURE_PASSWORD": shop.password}.items():
        monkeypatch.setenv(name, value)
    codes = [f"{PREFIX}-T{number}" for number in range(1, 21)]
    erp = make(server)
    templates = stocked(erp, {code: f"{number}.05" for number, code in enumerate(codes, 1)})
    policies = pack(
        tmp_path, "EUR", mapping={code: code for code in codes}, options={"vendure": {"channel": euros}}, tryton=server.url,
        vendure=shop.url,
    )  # fmt: skip
    plane = Planed(sqlite_store, tmp_path, policies, start=datetime.now(UTC))
    try:
        plane.sync.poll("catalogue")
        plane.run()
        assert plane.deliveries("vendure") == {"delivered": 20}
        assert [shown(connector, f"T{number}")[0][2] for number in (1, 20)] == [105, 2005]

        price = {"__class__": "Decimal", "decimal": "9.99"}
        erp._rpc.tell("model.product.template.write", [templates[4]], {"list_price": price}, {"company": 1})
        plane.sync.poll("catalogue")
        plane.run()
        assert plane.deliveries("vendure") == {"delivered": 21}
        assert shown(connector, "T5") == [(f"Article {codes[4]}", f"Article {codes[4]}", 999, True)]
    finally:
        erp._rpc.tell("model.product.template.delete", templates, {})
        erp.close()
        plane.close()
