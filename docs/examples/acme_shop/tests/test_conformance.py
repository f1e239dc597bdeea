"""The conformance suite as tests: one for each check."""

from __future__ import annotations

from collections.abc import Callable

pytest_plugins = ["controlplane.connectors.conformance.pytest_plugin"]
CONFORMANCE = "acme_shop"


def test_conformance(conformance: Callable[[], None]) -> None:
    conformance()
