"""Every folder of vendors' files is read by a table of a test, or is of a connector that is to come: none is forgotten."""

from __future__ import annotations

import importlib.util

import pytest

from controlplane.connectors import catalogue
from controlplane.connectors.planned import PLANNED
from tests.controlplane.connectors.simulators import SPECS

TABLES = {
    "amazon-sp-api": "test_amazon_samples", "avalara": "test_described_samples", "magento": "test_described_samples",
    "sap-s4": "test_described_samples", "shopify": "test_shopify_samples", "square": "test_square_samples",
    "stripe": "test_stripe_samples", "x12": "test_x12_samples",
}  # fmt: skip
"""Folder -> the test that has each of its files in a table."""
OTHERS = {"alertmanager", "odcs", "openslo"}
"""Formats that the plane writes: tests of the registry and of deployment hold it against them."""
UNSPOKEN = {"edifact"}
"""Interchanges that no connector speaks, and none is planned that does."""
LATER = {
    "acumatica": "acumatica", "adyen": "adyen", "bigcommerce": "bigcommerce", "business-central": "business_central",
    "d365-fo": "dynamics365", "ebay": "ebay", "opsgenie": "opsgenie", "pagerduty": "pagerduty", "paypal": "paypal",
    "salesforce-commerce": "salesforce_commerce", "shipengine": "shipstation", "walmart": "walmart",
}  # fmt: skip
"""Folder -> the connector that is to come."""


@pytest.mark.skipif(not SPECS.is_dir(), reason=f"no vendor files at {SPECS}: set TRUEUP_SHARED")
def test_every_folder_is_in_a_table_or_is_known_to_be_in_none() -> None:
    folders = {path.name for path in SPECS.iterdir() if path.is_dir()}
    assert folders == TABLES.keys() | OTHERS | UNSPOKEN | LATER.keys()


def test_a_connector_that_has_come_has_its_folder_in_a_table() -> None:
    planned = {name for name, _, _ in PLANNED} - set(catalogue.shipped())
    assert set(LATER.values()) <= planned


@pytest.mark.parametrize("name", sorted(set(TABLES.values())))
def test_the_test_of_a_table_is_there(name: str) -> None:
    assert importlib.util.find_spec(f"tests.controlplane.connectors.{name}")
