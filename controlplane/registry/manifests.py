"""What is installed: what the connectors declare, in the form the lint takes, which comparisons and archives there are.

Connectors stand above this room, so it knows their manifests by shape only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import Any, Protocol

from controlplane.plugins import load_all, registered
from rules.outcomes import Guarantee
from rules.policy.abilities import Check, Declared, Manifests
from rules.policy.keeping import LOCAL, protocol_of
from rules.policy.kinds import Comparison, Domain
from rules.policy.problems import Problem, problem
from rules.policy.reading import Entry, nearest


class DeclaredWrite(Protocol):
    """One thing that a connector writes."""

    @property
    def entity(self) -> str:
        """What it is called in flows."""
        ...

    @property
    def message_types(self) -> Sequence[str]:
        """What it is written from; none: anything."""
        ...

    @property
    def guarantee(self) -> Guarantee:
        """What the vendor does with the same write told twice."""
        ...

    @property
    def late_effect(self) -> float:
        """Seconds within which a write that was not answered may still take effect."""
        ...


class DeclaredRead(Protocol):
    """One thing that a connector reads."""

    @property
    def entity(self) -> str:
        """What it is called in flows and comparisons."""
        ...

    @property
    def snapshot(self) -> bool:
        """Whether it can be read whole."""
        ...

    @property
    def changes(self) -> bool:
        """Whether it can be polled."""
        ...

    @property
    def listing(self) -> str:
        """Of what sort the subjects are, of each of which can be read what it shows; empty where that cannot be."""
        ...


class Declaration(Protocol):
    """A connector's manifest, as far as the lint needs it."""

    @property
    def writes(self) -> Sequence[DeclaredWrite]:
        """Everything it writes."""
        ...

    @property
    def reads(self) -> Sequence[DeclaredRead]:
        """Everything it reads."""
        ...

    @property
    def secrets(self) -> Sequence[str]:
        """Names of its secrets."""
        ...

    @property
    def webhook_secrets(self) -> Sequence[str]:
        """Names of the secrets that only webhooks need."""
        ...

    @property
    def optional_secrets(self) -> Sequence[str]:
        """Names of the secrets that may be left out."""
        ...

    @property
    def options(self) -> Sequence[str]:
        """Keys of its options."""
        ...

    @property
    def schemes(self) -> Sequence[str]:
        """Schemes that an endpoint may have."""
        ...

    @property
    def check(self) -> Check | None:
        """What finds flaws in an endpoint and options, where something does."""
        ...

    @property
    def specific(self) -> Callable[[Mapping[str, Any]], Declaration | None] | None:
        """What reads the declaration of one system off its options, where they have it."""
        ...


def declared_connectors() -> Manifests | None:
    """Return connector name -> what it declares, of all connector plugins; None when there is no connector."""
    return {name: declared(connector.manifest) for name, connector in load_all("connectors")} or None


def declared(manifest: Declaration) -> Declared:
    """Return a manifest as the lint takes it."""
    return Declared(
        writes=frozenset((spec.entity, spec.guarantee) for spec in manifest.writes),
        takes={spec.entity: frozenset(spec.message_types) for spec in manifest.writes if spec.message_types},
        late_effects={spec.entity: timedelta(seconds=ceil(spec.late_effect)) for spec in manifest.writes},
        reads=frozenset(spec.entity for spec in manifest.reads if spec.changes),
        snapshots=frozenset(spec.entity for spec in manifest.reads if spec.snapshot),
        listings=frozenset(spec.entity for spec in manifest.reads if spec.listing),
        secrets=frozenset(manifest.secrets),
        webhook_secrets=frozenset(manifest.webhook_secrets),
        optional_secrets=frozenset(manifest.optional_secrets),
        options=frozenset(manifest.options),
        schemes=frozenset(manifest.schemes),
        check=manifest.check,
        specific=_specific(manifest.specific) if manifest.specific else None,
    )


def _specific(
    read: Callable[[Mapping[str, Any]], Declaration | None],
) -> Callable[[Mapping[str, Any]], Declared | None]:
    def of(options: Mapping[str, Any]) -> Declared | None:
        found = read(options)
        return declared(found) if found else None

    return of


def uninstalled(entries: Sequence[Entry]) -> list[Problem]:
    """Return a problem for each document that asks for what is not installed here."""
    return [*unknown_comparisons(entries), *unknown_archives(entries)]


def unknown_comparisons(entries: Iterable[Entry]) -> list[Problem]:
    """Return a problem for each Comparison whose kind no installed comparison plugin has."""
    known = sorted(registered("comparisons"))
    return [
        problem(
            entry.origin, "Comparison", entry.document.name, ("spec", "kind"),
            f"there is no comparison plugin '{entry.document.spec.kind}'",
            nearest(entry.document.spec.kind, known, "comparison plugins"),
        )
        for entry in entries
        if isinstance(entry.document, Comparison) and entry.document.spec.kind not in known
    ]  # fmt: skip


def unknown_archives(entries: Iterable[Entry]) -> list[Problem]:
    """Return a problem for each Domain whose archive has a protocol that fsspec cannot speak here."""
    found = []
    for entry in entries:
        protocol = protocol_of(entry.document.spec.retention.archive) if isinstance(entry.document, Domain) else ""
        if protocol not in LOCAL and (flaw := _unspoken(protocol)):
            place = ("spec", "retention", "archive")
            found.append(problem(entry.origin, "Domain", entry.document.name, place, *flaw))
    return found


def _unspoken(protocol: str) -> tuple[str, str] | None:
    """Return what is wrong with a protocol, and the remedy; None when files can be written by it."""
    from fsspec.registry import available_protocols, get_filesystem_class, registry

    known = sorted({*available_protocols(), *registry})
    if protocol not in known:
        return f"fsspec knows no protocol '{protocol}'", nearest(protocol, known, "protocols")
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        rule = f"what speaks '{protocol}' is not installed ({error})"
        return rule, "install it in the environment of the plane, or archive to another place"
    return None
