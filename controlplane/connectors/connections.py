"""The connectors of the systems in the registry: made when first asked for, and anew when their policies change."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane import plugins
from controlplane.clock import Clock
from controlplane.connectors.codes import codes_for
from controlplane.connectors.contract import Connector, Context, Manifest
from controlplane.errors import NotFoundError, SettingsError
from controlplane.registry import Snapshot
from controlplane.settings import Settings, resolve_secret
from rules.canonical import digest
from rules.policy.kinds import System, SystemSpec


class Policies(Protocol):
    """What connections ask of the registry."""

    def snapshot(self) -> Snapshot:
        """Return what governs now."""
        ...


@dataclass(slots=True)
class _Made:
    connector: Connector
    version: int
    fingerprint: str


class Connections:
    """One connector per system. Safe to use from several threads."""

    def __init__(self, registry: Policies, settings: Settings, clock: Clock) -> None:
        self._registry, self._settings, self._clock = registry, settings, clock
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}
        self._retired: list[Connector] = []

    def get(self, name: str, at: Snapshot | None = None) -> Connector:
        """Return the connector of a system as its policies stand now, or stood when `at` was taken.

        Raises NotFoundError for an unknown system or plugin, SettingsError when a secret or a placeholder of the
        endpoint cannot be resolved.
        """
        snapshot = at or self._registry.snapshot()
        with self._lock:
            held = self._made.get(name)
            if held and held.version == snapshot.version:
                return held.connector
            fingerprint = _fingerprint(snapshot, name)
            if held and held.fingerprint == fingerprint:
                held.version = snapshot.version
                return held.connector
            connector = self._make(snapshot, name)
            if held:
                # other threads may be in the middle of a request with it, so it is closed at the end only
                self._retired.append(held.connector)
            self._made[name] = _Made(connector, snapshot.version, fingerprint)
            return connector

    def close(self) -> None:
        """Close every connector that was made."""
        with self._lock:
            for connector in [*self._retired, *(made.connector for made in self._made.values())]:
                connector.close()
            self._retired.clear()
            self._made.clear()

    def manifests(self) -> dict[str, Manifest]:
        """Return plugin name -> manifest of all connectors that are installed, in the registry or not."""
        return {name: connector.manifest for name, connector in plugins.load_all("connectors")}

    def _make(self, snapshot: Snapshot, name: str) -> Connector:
        spec = snapshot.systems[name].spec
        connector: type[Connector] = plugins.load("connectors", spec.connector)
        context = Context(
            system=name,
            endpoint=resolve_endpoint(spec.endpoint, self._settings),
            options=spec.options,
            secret=secrets_of(name, spec, self._settings),
            codes=codes_for(snapshot, name),
            clock=self._clock,
            timeout=spec.timeout.total_seconds(),
            concurrency=spec.concurrency,
            rate=spec.rate,
            given=frozenset(spec.secrets),
            personal=snapshot.personal_of(name),
        )
        return connector(context)


def _fingerprint(snapshot: Snapshot, name: str) -> str:
    system: System | None = snapshot.systems.get(name)
    if system is None:
        raise NotFoundError(f"no system '{name}' in the registry; there are: {', '.join(snapshot.systems) or 'none'}")
    mappings: dict[str, Any] = {key: spec.model_dump(mode="json") for key, spec in snapshot.mapping_codes(name).items()}
    return digest({"system": system.model_dump(mode="json"), "mappings": mappings})


def resolve_endpoint(endpoint: str, settings: Settings) -> str:
    """Fill in ${SANDBOX} and ${HOME}. Raises SettingsError for any other placeholder."""
    known = {"SANDBOX": settings.sandbox_url, "HOME": str(settings.home)}

    def fill(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise SettingsError(
                f"the endpoint '{endpoint}' has the placeholder ${{{match[1]}}}; use ${{SANDBOX}} or ${{HOME}}"
            )
        return known[match[1]]

    return re.sub(r"\$\{([^}]*)\}", fill, endpoint)


def secrets_of(system: str, spec: SystemSpec, settings: Settings) -> Callable[[str], str]:
    """Return a function from a secret's name to its value, resolved at each call so that a new value is picked up.

    A reference is `env:NAME` or `file:NAME` in the secrets folder of the settings.
    """

    def secret(name: str) -> str:
        reference = spec.secrets.get(name)
        if reference is None:
            raise SettingsError(
                f"System '{system}' needs the secret '{name}'; add it to spec.secrets as env:NAME or file:NAME"
            )
        return resolve_secret(f"the secret '{name}' of System '{system}'", reference, settings)

    return secret
