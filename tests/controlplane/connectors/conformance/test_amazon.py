"""The connector `amazon` stands the conformance suite."""

from __future__ import annotations

from collections.abc import Callable

pytest_plugins = ["controlplane.connectors.conformance.pytest_plugin"]
CONFORMANCE = "amazon"


def test_conformance(conformance: Callable[[], None]) -> None:
    conformance()
