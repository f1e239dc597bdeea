"""The newest observations, verdicts and incidents in Prometheus' text format, read from committed rows; and this process's meters.

Labels are bounded: they come from policy names and fixed bands, never from keys of the business. An unknown value is
NaN, for leaving it out would let the last one stand.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from controlplane.clock import Clock
from controlplane.health.observations import INDICATORS, NEWEST_WITHIN, Newest, newest
from controlplane.registry import Registry, Snapshot
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.telemetry import Meters
from rules.slo import State

CONTENT_TYPE = CONTENT_TYPE_LATEST
CACHED = timedelta(seconds=1)
FAST = 1
"""Of gzip's levels the one that costs least; the text repeats itself, so that it shrinks all the same."""
RESERVED = {"quantile": "percentile", "le": "at_most"}
"""Names of labels that Prometheus keeps for its own kinds of metric, and what they are called instead."""
UNITS = {"seconds": "_seconds", "share": "_ratio", "count": "", "money": "", "state": ""}


class Page:
    """What `/metrics` of one plane answers. Safe to ask from several threads."""

    def __init__(self, store: Store, clock: Clock, registry: Registry, meters: Meters) -> None:
        self._store, self._clock, self._registry, self._meters = store, clock, registry, meters
        self._lock = threading.Lock()
        self._made: tuple[datetime, bytes, bytes] | None = None

    def body(self, *, compressed: bool = False) -> bytes:
        """Return the exposition; one made less than a second ago is given again, and nothing is read for it.

        `compressed`: as gzip, which is what Prometheus asks for; a few kilobytes instead of hundreds.
        """
        with self._lock:
            now = self._clock.now()
            if self._made is None or not timedelta(0) <= now - self._made[0] < CACHED:
                rows = CollectorRegistry(auto_describe=False)
                rows.register(_Rows(self._store, now, self._registry.snapshot()))
                plain = generate_latest(rows) + generate_latest(self._meters.registry)
                self._made = (now, plain, gzip.compress(plain, FAST, mtime=0))
            _, plain, small = self._made
            return small if compressed else plain


class _Rows(Collector):
    """Reads one consistent view of the rows for one exposition."""

    def __init__(self, store: Store, now: datetime, snapshot: Snapshot) -> None:
        self._store = store
        self._now = now
        self._snapshot = snapshot

    def describe(self) -> list[Any]:
        """Describe nothing beforehand, so that registering reads no rows."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one family per indicator, then verdicts, incidents and the registry."""
        with self._store.read() as conn:
            seen = newest(conn, self._now - NEWEST_WITHIN)
            verdicts = _verdicts(conn, self._snapshot)
            incidents = _incidents(conn)
        yield from _indicators(seen, self._now)
        yield from _service_levels(verdicts)
        yield incidents
        yield _gauge("trueup_registry_version", "Version of the registry in force", self._snapshot.version)


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _indicators(seen: list[Newest], now: datetime) -> Iterator[GaugeMetricFamily]:
    ages = GaugeMetricFamily(
        "trueup_observation_age_seconds", "Age of the newest observation of an indicator", labels=["indicator"]
    )
    for name in sorted({one.indicator for one in seen}):
        mine = [one for one in seen if one.indicator == name]
        yield _family(name, mine)
        ages.add_metric([name], (now - max(one.at for one in mine)).total_seconds())
    yield ages


def _family(name: str, seen: list[Newest]) -> GaugeMetricFamily:
    known = INDICATORS.get(name)
    labels = sorted({label for one in seen for label in one.labels})
    shown = [RESERVED.get(label, label) for label in labels]
    family = GaugeMetricFamily(
        f"trueup_{name}{UNITS[known.unit] if known else ''}",
        known.help if known else "Observed by a probe of a plugin",
        labels=shown,
    )
    for one in seen:
        value = float("nan") if one.value is None else one.value
        family.add_metric([one.labels.get(label, "") for label in labels], value)
    return family


def _verdicts(conn: Connection, snapshot: Snapshot) -> list[Any]:
    v = t.verdict.c
    found = [
        conn.execute(select(t.verdict).where(v.service_level == name).order_by(v.at.desc()).limit(1)).one_or_none()
        for name in sorted(snapshot.service_levels)
    ]
    return [row for row in found if row is not None]


def _service_levels(verdicts: list[Any]) -> Iterator[GaugeMetricFamily]:
    label = ["service_level"]
    budget = GaugeMetricFamily(
        "trueup_error_budget_left_ratio", "Signed share of the error budget that is left", labels=label
    )
    covered = GaugeMetricFamily("trueup_coverage_ratio", "Observed / expected slices of the window", labels=label)
    state = GaugeMetricFamily(
        "trueup_service_level_state", "1 for the state that the promise is in", labels=[*label, "state"]
    )
    for row in verdicts:
        budget.add_metric([row.service_level], float("nan") if row.budget_left is None else row.budget_left)
        covered.add_metric([row.service_level], row.coverage)
        for name in State:
            state.add_metric([row.service_level, name], float(row.state == name))
    yield from (budget, covered, state)


def _incidents(conn: Connection) -> GaugeMetricFamily:
    i = t.incident.c
    family = GaugeMetricFamily("trueup_incidents_open", "Open incidents", labels=["severity"])
    query = select(i.severity, func.count()).where(i.open_key.is_not(None)).group_by(i.severity)
    found = {str(severity): int(count) for severity, count in conn.execute(query)}
    for severity in ("page", "ticket"):
        family.add_metric([severity], found.get(severity, 0))
    return family
