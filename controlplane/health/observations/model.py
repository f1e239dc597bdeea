"""What a probe is given and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.registry import Snapshot
from controlplane.store.engine import Store


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
    snapshot: Snapshot
    connections: Connections
    clock: Clock


def series_key(labels: Mapping[str, str]) -> str:
    """Return the labels as sorted `key=value` text; the name of a series within its indicator."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def read_series_key(series: str) -> dict[str, str]:
    """Return the labels that `series_key` wrote."""
    return dict(part.split("=", 1) for part in series.split(",") if part)
