"""What shop, warehouse and ERP show of an order, as comparisons read it: at the sandbox's vendors, from placed to shipped."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from controlplane.connectors.contract import Connector, Entry, UnsupportedError
from controlplane.connectors.references import Referring
from rules.orders import stage
from rules.references import Naming
from tests.controlplane.connectors.conftest import Retailer, write_of

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"
ENTITIES = {"shop": "orders", "wms": "orders", "erp": "sales_orders"}


def placed(retailer: Retailer) -> str:
    """An order that the warehouse and the ERP were told of."""
    name = retailer.sandbox.order((SKU, 2), (OTHER, 1))
    draft = next(draft for draft in retailer.drafts("shop", "orders") if draft.subject == name)
    retailer.connector("wms").write(write_of("order", draft, key=f"delivery-{name}"))
    retailer.connector("erp").write(write_of("sales_order", draft, key=f"delivery-{name}"))
    return name


def listed(connector: Connector, entity: str, subjects: list[str] | None = None) -> dict[str, Entry]:
    return {entry.subject: entry for page in connector.entries(entity, subjects) for entry in page}


@pytest.mark.parametrize("system", ENTITIES)
def test_an_order_is_listed_and_open_until_something_of_it_has_left(retailer: Retailer, system: str) -> None:
    name = placed(retailer)
    connector, entity = retailer.connector(system), ENTITIES[system]
    entry = listed(connector, entity)[name]
    assert stage(str(entry.fields["state"])) == "open"
    assert entry.fields.get("shipped", 0) == 0
    assert entry.read_from <= entry.read_to
    assert listed(connector, entity, [name, "#999999"]).keys() == {name}
    assert listed(connector, entity, ["#999999"]) == {}


def test_what_the_warehouse_ships_shows_there_then_where_it_is_told(retailer: Retailer) -> None:
    name = placed(retailer)
    retailer.advance(3600)
    shipped = [draft for draft in retailer.drafts("wms", "shipments") if draft.data["order_ref"] == name]
    wms = listed(retailer.connector("wms"), "orders")[name]
    assert (stage(str(wms.fields["state"])), wms.fields["shipped"]) == ("shipped", 3)
    for draft in shipped:
        retailer.connector("shop").write(write_of("fulfillment", draft, key=f"shop-{draft.subject}"))
    shop = listed(retailer.connector("shop"), "orders")[name]
    assert (stage(str(shop.fields["state"])), shop.fields["shipped"]) == ("shipped", 3)
    assert stage(str(listed(retailer.connector("erp"), "sales_orders")[name].fields["state"])) == "open"
    for draft in shipped:
        retailer.connector("erp").write(write_of("item_fulfillment", draft, key=f"erp-{draft.subject}"))
    assert stage(str(listed(retailer.connector("erp"), "sales_orders")[name].fields["state"])) == "shipped"


def test_only_what_came_to_be_there_since_is_asked_for(retailer: Retailer) -> None:
    first = placed(retailer)
    retailer.advance(7200)
    second = placed(retailer)
    since = retailer.clock.now() - timedelta(hours=1)
    found = {entry.subject for page in retailer.connector("shop").entries("orders", None, since) for entry in page}
    assert second in found
    assert first not in found


def test_orders_of_a_shop_with_a_prefix_are_told_and_asked_for_by_the_planes_references(retailer: Retailer) -> None:
    name = placed(retailer)
    shop = Referring(retailer.connector("shop"), Naming(documents="US-", orders="US-"), lambda *_: False)
    assert listed(shop, "orders", [f"US-{name}"]).keys() == {f"US-{name}"}
    assert f"US-{name}" in listed(shop, "orders")


def test_the_shop_tells_what_an_article_costs_and_whether_it_is_sold(retailer: Retailer) -> None:
    shop = retailer.connector("shop")
    found = listed(shop, "products")
    assert {SKU, OTHER} <= found.keys()
    assert isinstance(found[SKU].fields["price"], Decimal)
    assert found[SKU].fields["price"] > 0
    assert found[SKU].fields["active"] == "yes"
    erp = listed(retailer.connector("erp"), "items")
    assert erp.keys() == found.keys()
    assert erp[SKU].fields == {"active": "yes"}
    assert listed(retailer.connector("erp"), "items", [SKU]).keys() == {SKU}
    few = listed(shop, "products", [SKU, "NOTHING"])
    assert {sku: entry.fields for sku, entry in few.items()} == {SKU: found[SKU].fields}


def test_a_connector_that_lists_nothing_says_so(retailer: Retailer) -> None:
    with pytest.raises(UnsupportedError, match="does not list 'items'"):
        list(retailer.connector("wms").entries("items"))
