"""What the installed connectors declare they write, in the form the lint takes.

Connectors stand above this room, so it knows their manifests by shape only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def installed() -> Mapping[str, Declaration]:
    """Return the manifests of all connector plugins by name."""
    return {name: connector.manifest for name, connector in load_all("connectors")}


def declared_writes(manifests: Mapping[str, Declaration] | None = None) -> Manifests | None:
    """Return connector name -> (entity, guarantee), of the installed ones by default; None when there is no connector."""
    known = installed() if manifests is None else manifests
    found = {
        name: frozenset((spec.entity, spec.guarantee) for spec in manifest.writes) for name, manifest in known.items()
    }
    return found or None
