"""What a probe is given and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector
from controlplane.store.engine import Store
from rules.policy import kinds


class Promises(Protocol):
    """What health reads of a registry snapshot: documents by name, and the revision that is in force."""

    @property
    def version(self) -> int: ...
    @property
    def systems(self) -> Mapping[str, kinds.System]: ...
    @property
    def flows(self) -> Mapping[str, kinds.Flow]: ...
    @property
    def service_levels(self) -> Mapping[str, kinds.ServiceLevel]: ...
    @property
    def alert_rules(self) -> Mapping[str, kinds.AlertRule]: ...
    @property
    def comparisons(self) -> Mapping[str, kinds.Comparison]: ...
    @property
    def allocation_rules(self) -> Mapping[str, kinds.AllocationRule]: ...
    @property
    def escalation_paths(self) -> Mapping[str, kinds.EscalationPath]: ...
    def revision(self, kind: str, name: str) -> str:
        """Return the id of the revision in force."""
        ...


class Reach(Protocol):
    """What a probe needs of the connections."""

    def get(self, system_name: str) -> Connector:
        """Return the connector of a System policy."""
        ...


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured value.

    `value` None means that it could not be known, never zero. Ratios also carry `good` and `total`, the events they were
    made of, both None when unknown. `good=0, total=0` says that the probe looked and there was nothing to judge. What
    a service level adds up (stock_freshness, delivery_success) counts each event once; other ratios look back an hour.
    """

    indicator: str
    at: datetime
    value: float | None
    labels: Mapping[str, str] = field(default_factory=dict)
    good: int | None = None
    total: int | None = None
    note: str | None = None

    @property
    def unknown(self) -> bool:
        """Whether the observation says that nothing is known."""
        return self.value is None and self.total is None


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What a probe may use. It reads committed rows through the store and reaches systems through their connectors."""

    store: Store
    snapshot: Promises
    connections: Reach
    clock: Clock


def series_key(labels: Mapping[str, str]) -> str:
    """Return the labels as sorted `key=value` text; the name of a series within its indicator."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def read_series_key(series: str) -> dict[str, str]:
    """Return the labels that `series_key` wrote."""
    return dict(part.split("=", 1) for part in series.split(",") if part)
