"""What the installed connectors declare they write, in the form the lint takes."""

from __future__ import annotations

from controlplane.plugins import load_all
from rules.policy.lint import Manifests


def declared_writes() -> Manifests | None:
    """Return connector name -> (entity, guarantee) of every connector plugin; None when no connector is installed."""
    found = {
        name: frozenset((spec.entity, spec.guarantee) for spec in connector.manifest.writes)
        for name, connector in load_all("connectors")
    }
    return found or None
