"""The connector `shopify` stands the conformance suite where it exports levels and articles in bulk."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.connectors.builtin.shopify.bench import ShopifyBulkBench

pytest_plugins = ["controlplane.connectors.conformance.pytest_plugin"]
CONFORMANCE = ShopifyBulkBench


def test_conformance(conformance: Callable[[], None]) -> None:
    conformance()
