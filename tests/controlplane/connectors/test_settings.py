"""How systems are set, read back from the sandbox through their connectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controlplane.connectors.contract import Connector, Setting, UnsupportedError
from controlplane.errors import UnavailableError
from rules.settings import Standing, standing
from tests.controlplane.connectors.conftest import PlainCodes, Retailer

SHOP_TOPICS = ("orders/create", "orders/updated", "inventory_levels/update", "fulfillments/create", "refunds/create")


def stands(connector: Connector) -> dict[str, Standing]:
    return {one.name: standing(one.promised, one.actual) for one in connector.settings()}


def the(connector: Connector, name: str) -> Setting:
    [found] = [one for one in connector.settings() if one.name == name]
    return found


def promising(connector: Connector, **options: Any) -> Connector:
    """The same system under a policy with other options."""
    context = replace(connector.context, options={**connector.context.options, **options})
    return type(connector)(context)


def test_the_sandbox_s_shop_is_set_as_its_policy_promises(retailer: Retailer) -> None:
    found = stands(retailer.connector("shop"))
    assert set(found) == {
        "currency", "time zone", "API version 2026-04", "location WH1", *(f"webhook {topic}" for topic in SHOP_TOPICS)
    }  # fmt: skip
    assert set(found.values()) == {Standing.SAME}


def test_the_sandbox_s_warehouse_is_set_as_its_policy_promises(retailer: Retailer) -> None:
    connector = retailer.connector("wms")
    found = stands(connector)
    assert set(found) == {"location WH1", *(f"webhook {topic}" for topic in connector.manifest.receives)}
    assert set(found.values()) == {Standing.SAME}


def test_the_erp_tells_currency_and_locations_and_its_time_zone_is_unknown(retailer: Retailer) -> None:
    assert stands(retailer.connector("erp")) == {
        "base currency": Standing.SAME,
        "location WH1": Standing.SAME,
        "location ST1": Standing.SAME,
        "location ST2": Standing.SAME,
        "time zone": Standing.UNKNOWN,
    }


def test_a_subscription_that_is_gone_at_the_shop_is_told_with_its_remedy_and_tells_nothing_any_more(
    retailer: Retailer,
) -> None:
    found = retailer.sandbox.shop("{ webhookSubscriptions(first: 9, topics: [ORDERS_CREATE]) { nodes { id uri } } }")
    [one] = found["data"]["webhookSubscriptions"]["nodes"]
    gone = "mutation ($id: ID!) { webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { message } } }"
    assert retailer.sandbox.shop(gone, id=one["id"])["data"]["webhookSubscriptionDelete"]["userErrors"] == []
    again = retailer.sandbox.shop(gone, id=one["id"])["data"]["webhookSubscriptionDelete"]
    assert again["userErrors"] == [{"message": "Webhook subscription does not exist"}]
    setting = the(retailer.connector("shop"), "webhook orders/create")
    assert setting.actual == "told to nobody"
    assert "webhookSubscriptionCreate" in setting.remedy
    assert stands(retailer.connector("shop"))["webhook orders/updated"] is Standing.SAME
    retailer.sandbox.order(("0007-BLK-M", 1))
    retailer.advance(5)
    assert "orders/create" not in retailer.heard.topics()


def test_a_webhook_that_was_deleted_at_the_warehouse_is_told(retailer: Retailer) -> None:
    gone = 'mutation { webhook_delete(data: {name: "Shipment Update", shop_name: "x"}) { request_id } }'
    assert "errors" not in retailer.sandbox.wms(gone)
    assert the(retailer.connector("wms"), "webhook Shipment Update").actual == "told to nobody"
    assert "errors" in retailer.sandbox.wms(gone)


def test_a_policy_that_says_the_address_of_its_webhooks_is_held_to_the_whole_of_it(retailer: Retailer) -> None:
    heard = f"{retailer.heard.url}/hooks/shop"
    assert stands(promising(retailer.connector("shop"), webhook_url=heard))["webhook orders/create"] is Standing.SAME
    other = the(
        promising(retailer.connector("shop"), webhook_url="https://ours.example/hooks/shop"), "webhook orders/create"
    )
    assert (other.promised, other.actual) == ("https://ours.example/hooks/shop", heard)


def test_options_that_the_shop_does_not_bear_out_differ(retailer: Retailer) -> None:
    connector = promising(retailer.connector("shop"), currency="EUR", time_zone="Europe/Berlin")
    assert (the(connector, "currency").promised, the(connector, "currency").actual) == ("EUR", "USD")
    assert (the(connector, "time zone").promised, the(connector, "time zone").actual) == ("Europe/Berlin", "Etc/UTC")


def test_locations_that_are_not_there_differ_and_one_without_a_mapping_is_unknown(retailer: Retailer) -> None:
    for system, code in (("shop", "gid://shopify/Location/1"), ("wms", "WH9"), ("erp", "77")):
        connector = promising(retailer.connector(system), locations=[code])
        unmapped = the(connector, f"location {code}")
        assert (unmapped.actual, "no Mapping policy" in unmapped.note) == (None, True)
        plain = type(connector)(replace(connector.context, codes=PlainCodes()))
        assert the(plain, f"location {code}").actual == "not there"


def test_without_a_webhook_secret_no_webhooks_are_promised(retailer: Retailer) -> None:
    context = replace(retailer.connector("shop").context, given=frozenset({"access_token"}))
    assert not [name for name in stands(type(retailer.connector("shop"))(context)) if name.startswith("webhook")]


def test_what_cannot_be_read_is_an_error_and_what_is_never_told_is_unsupported(retailer: Retailer) -> None:
    with pytest.raises(UnsupportedError, match="cannot tell how its system is set"):
        retailer.connector("pager").settings()
    retailer.sandbox.fault(kind="down", target="shop", until="10m")
    retailer.advance(1)
    with pytest.raises(UnavailableError):
        retailer.connector("shop").settings()
