"""The connector `sap_s4` stands the conformance suite."""

from __future__ import annotations

from collections.abc import Callable

pytest_plugins = ["controlplane.connectors.conformance.pytest_plugin"]
CONFORMANCE = "sap_s4"


def test_conformance(conformance: Callable[[], None]) -> None:
    conformance()
