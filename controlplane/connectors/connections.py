"""The connectors of the systems in the registry: made when first asked for, and anew when their policies change."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from controlplane import plugins
from controlplane.clock import Clock, SystemClock
from controlplane.connectors.codes import codes_for
from controlplane.connectors.contract import Connector, Context, Manifest
from controlplane.connectors.network import Resolve, look_up
from controlplane.connectors.numbers import StoredNumbers
from controlplane.connectors.own import refuse_place, refuse_reference
from controlplane.connectors.redaction import Redactor
from controlplane.connectors.references import Referring, told_by
from controlplane.connectors.vault import Vault
from controlplane.errors import NotFoundError, SecretNotGivenError, SettingsError, TrueupError
from controlplane.registry import Snapshot
from controlplane.settings import Settings
from controlplane.settings import resolve_secret as resolve_local
from controlplane.store import Store
from rules.addresses import SANDBOX, Pair, literal_refusal
from rules.canonical import digest
from rules.policy.kinds import System, SystemSpec
from rules.policy.lengths import LONGEST_TIMEOUT

LOOKED = timedelta(seconds=1)
"""How often the values of a system's secrets are looked at; a file is read for it, Vault has a time of its own."""
RETIRED = timedelta(hours=1)
"""After this no request of a connector that was replaced is under way any more."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMS = "env:NAME, file:NAME or vault:MOUNT/PATH#FIELD"


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
    values: Mapping[str, str]
    """What its secrets were when it was made."""
    references: tuple[str, ...]
    looked_at: datetime
    """When its secrets were last looked at."""


class Connections:
    """One connector per system, made anew when its policies or the values of its secrets change. Safe to use from several threads."""

    def __init__(
        self,
        registry: Policies,
        settings: Settings,
        clock: Clock,
        resolve: Resolve = look_up,
        store: Store | None = None,
    ) -> None:
        """`store`: where numbers are kept; without it nothing is written that has to be numbered."""
        self._store = store
        self._registry, self._settings, self._clock, self._resolve = registry, settings, clock, resolve
        self._vault = Vault(settings.vault_addr, settings.vault_namespace, clock)
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._made: dict[str, _Made] = {}
        self._retired: list[tuple[datetime, Connector]] = []
        self._hidden: dict[str, Redactor] = {}
        self._refused_at: dict[str, datetime] = {}

    def get(self, name: str, at: Snapshot | None = None) -> Connector:
        """Return the connector of a system as its policies stand now, or stood when `at` was taken.

        Raises NotFoundError for an unknown system or plugin, SettingsError when a secret or a placeholder of the
        endpoint cannot be resolved.
        """
        snapshot = at or self._registry.snapshot()
        held = self._made.get(name)
        if held and held.version == snapshot.version and not self._is_due(held):
            return held.connector
        with self._lock:
            turn = self._turns.setdefault(name, threading.Lock())
        if held and held.version == snapshot.version:
            if not turn.acquire(blocking=False):
                return held.connector  # another thread looks at the secrets, which may take a while
        else:
            turn.acquire()
        try:
            return self._current(snapshot, name)
        finally:
            turn.release()

    def hears(self, name: str) -> bool:
        """Say whether the connector of a system takes webhooks at all; for that neither it nor its secrets are needed."""
        connector: type[Connector] = plugins.load("connectors", self._registry.snapshot().systems[name].spec.connector)
        return connector.receive is not Connector.receive

    def refused(self, name: str) -> None:
        """Note that a system refused its credentials: its secrets are looked up anew at the next `get`, once a second at most."""
        now = self._clock.now()
        with self._lock:
            last, held = self._refused_at.get(name), self._made.get(name)
            if held is None or (last is not None and timedelta(0) <= now - last < LOOKED):
                return
            self._refused_at[name] = now
        for reference in held.references:
            self._vault.forget(reference)
        held.looked_at = EPOCH

    def close(self) -> None:
        """Close every connector that was made."""
        with self._lock:
            for connector in [
                *(one for _, one in self._retired),
                *(made.connector for made in list(self._made.values())),
            ]:
                connector.close()
            self._retired.clear()
            self._made.clear()

    def manifests(self) -> dict[str, Manifest]:
        """Return plugin name -> manifest of all connectors that are installed, in the registry or not."""
        return {name: connector.manifest for name, connector in plugins.load_all("connectors")}

    def _is_due(self, held: _Made) -> bool:
        return not timedelta(0) <= self._clock.now() - held.looked_at < LOOKED

    def _current(self, snapshot: Snapshot, name: str) -> Connector:
        """Called by one thread at a time for each system."""
        held, fingerprint = self._made.get(name), _fingerprint(snapshot, name)
        same = held is not None and held.fingerprint == fingerprint
        if held is not None and same and not self._is_due(held):
            held.version = snapshot.version
            return held.connector
        now, values = self._clock.now(), self._values(snapshot, name)
        if held is not None and same and held.values == values:
            held.version, held.looked_at = snapshot.version, now
            return held.connector
        try:
            connector = self._make(snapshot, name)
        except TrueupError:
            self._retire(name)  # what it was made of is there no more
            raise
        self._retire(name)
        references = tuple(snapshot.systems[name].spec.secrets.values())
        self._made[name] = _Made(connector, snapshot.version, fingerprint, values, references, now)
        return connector

    def _values(self, snapshot: Snapshot, name: str) -> dict[str, str]:
        """Return the secrets that can be resolved now; which are needed the connector knows."""
        spec = snapshot.systems[name].spec
        secret, found = self._secrets(name, spec), {}
        for wanted in spec.secrets:
            with suppress(SettingsError):
                found[wanted] = secret(wanted)
        return found

    def _secrets(self, name: str, spec: SystemSpec) -> Callable[[str], str]:
        """What is resolved is learnt at once, and hidden from then on, also when it is no secret any more."""
        resolve, hidden = secrets_of(name, spec, self._settings, self._vault), self._hidden.setdefault(name, Redactor())
        return lambda wanted: hidden.learn(resolve(wanted))

    def _retire(self, name: str) -> None:
        """Take a connector out of use. Others may be in the middle of a request with it, so it is closed much later."""
        now, held = self._clock.now(), self._made.pop(name, None)
        with self._lock:
            over = [one for at, one in self._retired if not timedelta(0) <= now - at < RETIRED]
            self._retired = [(at, one) for at, one in self._retired if timedelta(0) <= now - at < RETIRED]
            if held:
                self._retired.append((now, held.connector))
        for connector in over:
            connector.close()

    def _make(self, snapshot: Snapshot, name: str) -> Connector:
        spec = snapshot.systems[name].spec
        connector: type[Connector] = plugins.load("connectors", spec.connector)
        context = context_of(snapshot, name, self._settings, self._clock, self._resolve)
        watched = replace(
            context, secret=self._secrets(name, spec), hidden=self._hidden[name], refused=lambda: self.refused(name),
            numbers=StoredNumbers(self._store, self._clock, name) if self._store else context.numbers,
        )  # fmt: skip
        naming = spec.naming
        return Referring(connector(watched), naming, told_by(self._store, name)) if naming else connector(watched)


def context_of(snapshot: Snapshot, name: str, settings: Settings, clock: Clock, resolve: Resolve = look_up) -> Context:
    """Return what the policies give the connector of a system. Raises SettingsError for an unknown placeholder, and the plane's own."""
    spec = snapshot.systems[name].spec
    endpoint, internal = resolve_endpoint(spec.endpoint, settings), pairs_of(spec, settings)
    refuse_place(name, endpoint, spec.options, settings)
    refused = literal_refusal(endpoint, internal)
    return Context(
        system=name,
        endpoint=endpoint,
        options=spec.options,
        secret=secrets_of(name, spec, settings),
        codes=codes_for(snapshot, name),
        clock=clock,
        timeout=min(spec.timeout, LONGEST_TIMEOUT).total_seconds(),
        concurrency=spec.concurrency,
        rate=spec.rate,
        given=frozenset(spec.secrets),
        internal=internal,
        resolve=resolve,
        personal=snapshot.personal_of(name),
        blocked=f"System '{name}': nothing is sent: {refused}" if refused else "",
    )


def pairs_of(spec: SystemSpec, settings: Settings) -> frozenset[Pair]:
    """Return the places that a System policy states, the sandbox's own filled in from the settings."""
    sandbox = settings.sandbox_url.partition("://")[2]
    return frozenset(Pair.read(sandbox if text == SANDBOX else text) for text in spec.internal)


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


def secrets_of(system: str, spec: SystemSpec, settings: Settings, vault: Vault | None = None) -> Callable[[str], str]:
    """Return a function from a secret's name to its value, resolved at each call so that a new value is picked up."""

    def secret(name: str) -> str:
        reference = spec.secrets.get(name)
        if reference is None:
            raise SecretNotGivenError(f"System '{system}' needs the secret '{name}'; add it to spec.secrets as {FORMS}")
        return resolve_secret(f"the secret '{name}' of System '{system}'", reference, settings, vault)

    return secret


def resolve_secret(what: str, reference: str, settings: Settings, vault: Vault | None = None) -> str:
    """Return the value behind a reference of a System. Raises SettingsError naming the reference, never a value.

    As for the settings, and `vault:PATH#FIELD`, kept for a while by the `vault` that is given, and asked for where none is.
    """
    refuse_reference(what, reference, settings)
    if not reference.startswith("vault:"):
        return resolve_local(what, reference, settings, FORMS)
    value = _from_vault(what, reference, settings, vault)
    if not value:
        raise SettingsError(f"{what} ({reference}) is empty; set it in Vault")
    return value


def _from_vault(what: str, reference: str, settings: Settings, vault: Vault | None) -> str:
    if not settings.vault_addr or not settings.vault_token:
        raise SettingsError(f"{what} ({reference}) is in Vault; set TRUEUP_VAULT_ADDR and TRUEUP_VAULT_TOKEN")
    asked = vault or Vault(settings.vault_addr, settings.vault_namespace, SystemClock())
    try:
        return asked.read(reference, lambda: resolve_local("TRUEUP_VAULT_TOKEN", settings.vault_token, settings))
    except SettingsError as error:
        raise SettingsError(f"{what} ({reference}) {error}") from None
