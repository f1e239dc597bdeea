"""Samples and rollups. Probes write them, everybody reads them; a value that is not known is None."""

from controlplane.health.observations.model import (
    Observation,
    ProbeContext,
    read_series_key,
    series_key,
)
from controlplane.health.observations.record import prune, record, roll_up
from controlplane.health.observations.series import (
    NEWEST_WITHIN,
    Newest,
    Point,
    last_at,
    newest,
    series,
    series_of,
    with_labels,
)
from rules.indicators import INDICATORS, Indicator

__all__ = [
    "INDICATORS",
    "NEWEST_WITHIN",
    "Indicator",
    "Newest",
    "Observation",
    "Point",
    "ProbeContext",
    "last_at",
    "newest",
    "prune",
    "read_series_key",
    "record",
    "roll_up",
    "series",
    "series_key",
    "series_of",
    "with_labels",
]
