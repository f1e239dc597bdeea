"""What is drilled: a system, the flow that writes to it, and whether that may be done at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from controlplane import plugins
from controlplane.client import PlaneClient
from controlplane.clock import Clock
from controlplane.connectors.connections import context_of
from controlplane.connectors.contract import Connector, Context, Manifest
from controlplane.errors import BadInputError, ForbiddenError, NotFoundError
from controlplane.registry import Snapshot
from controlplane.settings import Settings
from rules.policy import kinds as k

LABEL = "environment"
HARMLESS = ("sandbox", "test", "staging")
"""Values of the label `environment` with which a System may be drilled."""


@dataclass(frozen=True, slots=True)
class Target:
    """A system and the flow whose writes to it are drilled."""

    system: k.System
    flow: k.Flow
    entity: str

    def message_type(self, manifest: Manifest) -> str:
        """Return the type of the messages that are written: of the flow's, the first that the entity is written from."""
        writes = manifest.write_spec(self.entity).message_types
        return next((kind for kind in self.flow.spec.message_types if kind in writes), self.flow.spec.message_types[0])


def target_of(policies: Snapshot, system: str, flow: str) -> Target:
    """Return what is to be drilled. Raises NotFoundError naming what there is."""
    if system not in policies.systems:
        raise NotFoundError(f"there is no System '{system}'; there are: {', '.join(policies.systems) or 'none'}")
    if flow not in policies.flows:
        raise NotFoundError(f"there is no Flow '{flow}'; there are: {', '.join(policies.flows) or 'none'}")
    found = policies.flows[flow]
    entities = [target.entity for target in found.spec.targets if target.system == system]
    if not entities:
        writing = [name for name, one in policies.flows.items() if system in {t.system for t in one.spec.targets}]
        raise NotFoundError(
            f"the Flow '{flow}' writes nothing to '{system}'; flows that do: {', '.join(writing) or 'none'}"
        )
    return Target(policies.systems[system], found, entities[0])


def refuse_production(system: k.System) -> None:
    """Raise ForbiddenError unless the System policy says that this is no production system."""
    environment = system.metadata.labels.get(LABEL, "")
    if environment in HARMLESS or "${SANDBOX}" in system.spec.endpoint:
        return
    told = f"its label {LABEL} is '{environment}'" if environment else f"it has no label {LABEL}"
    raise ForbiddenError(
        f"System '{system.name}' may be production ({told}, and its endpoint is not ${{SANDBOX}}); a drill writes hundreds of "
        f"made-up documents to it. Drill a test tenant, whose policy has metadata.labels.{LABEL} {', '.join(HARMLESS[:-1])} or "
        f"{HARMLESS[-1]}; or insist with --force"
    )


def connector_of(
    policies: Snapshot, system: k.System, settings: Settings, clock: Clock, at_once: int, meter: Callable[[], None]
) -> Connector:
    """Make the system's connector without our own limits on it, or they would be measured instead of the system.

    Raises NotFoundError for an unknown plugin, SettingsError for a secret that cannot be resolved.
    """
    make: Callable[[Context], Connector] = plugins.load("connectors", system.spec.connector)
    context = context_of(policies, system.name, settings, clock)
    return make(replace(context, concurrency=at_once, rate=None, meter=meter))


def policies_of_plane(settings: Settings) -> Snapshot:
    """Return the policies in force at the running plane, over its API. Raises as PlaneClient does."""
    plane = PlaneClient(settings)
    rows: list[dict[str, Any]] = plane.get("policies")["policies"]
    documents: dict[tuple[str, str], k.Document] = {}
    for row in rows:
        found = plane.get(f"policies/{row['kind']}/{row['name']}")["policy"]["document"]
        documents[row["kind"], row["name"]] = k.KINDS[row["kind"]].model_validate(found)
    return Snapshot(1, MappingProxyType(documents), MappingProxyType({}))


def parse_rates(text: str) -> tuple[float, ...]:
    """Read `1,2,4`, `2:10:2` (from, to, step) or `1:64` (doubling), in writes a second. Raises BadInputError saying what is taken."""
    try:
        rates = _listed(text) if "," in text or ":" not in text else _ranged([float(part) for part in text.split(":")])
    except ValueError:
        rates = []
    if not rates or len(rates) > 50 or not all(0 < rate < math.inf for rate in rates):
        raise BadInputError(
            f"--rate {text}: give rates above 0 in writes a second, at most 50 of them: a list 1,2,4, a range FROM:TO:STEP, or "
            "FROM:TO, which doubles"
        )
    return tuple(sorted(set(rates)))


def _listed(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _ranged(parts: list[float]) -> list[float]:
    if len(parts) not in (2, 3) or parts[0] <= 0 or (len(parts) == 3 and parts[2] <= 0):
        raise ValueError(parts)
    rates: list[float] = []
    rate = parts[0]
    while rate <= parts[1] * (1 + 1e-9) and len(rates) <= 50:
        rates.append(rate)
        rate = rate + parts[2] if len(parts) == 3 else rate * 2
    return rates
