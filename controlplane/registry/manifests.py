"""What the installed connectors declare they write, in the form the lint takes.

Connectors stand above this room, so it knows their manifests by shape only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from controlplane.plugins import load_all
from rules.outcomes import Guarantee
from rules.policy.lint import Manifests


class DeclaredWrite(Protocol):
    """One thing that a connector writes."""

    @property
    def entity(self) -> str:
        """What it is called in flows."""
        ...

    @property
    def guarantee(self) -> Guarantee:
        """What the vendor does with the same write told twice."""
        ...


class Declaration(Protocol):
    """A connector's manifest, as far as the lint needs it."""

    @property
    def writes(self) -> Sequence[DeclaredWrite]:
        """Everything it writes."""
        ...


def declared_writes() -> Manifests | None:
    """Return connector name -> (entity, guarantee) of all connector plugins; None when there is no connector."""
    return {name: _writes(connector.manifest) for name, connector in load_all("connectors")} or None


def _writes(manifest: Declaration) -> frozenset[tuple[str, Guarantee]]:
    return frozenset((spec.entity, spec.guarantee) for spec in manifest.writes)
