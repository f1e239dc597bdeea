"""The connector `sap_s4` stands the conformance suite where sales orders go by OData V4."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.connectors.builtin.sap_s4.bench import SapS4V4Bench

pytest_plugins = ["controlplane.connectors.conformance.pytest_plugin"]
CONFORMANCE = SapS4V4Bench


def test_conformance(conformance: Callable[[], None]) -> None:
    conformance()
