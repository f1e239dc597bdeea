"""Read observations back: whole series for figures, the newest of each series for rules and gauges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal, select

from controlplane.health.observations.model import read_series_key, series_key
from controlplane.store import tables as t
from rules.slo import aligned

MINUTE = timedelta(minutes=1)
NEWEST_WITHIN = timedelta(minutes=15)
"""A series without an observation for so long has no newest one any more."""


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket of a series. Everything is None where nothing was observed: a gap stays a gap."""

    at: datetime
    value: float | None
    """Mean of the values that were known. For a ratio over a longer step, divide good by total."""
    low: float | None = None
    high: float | None = None
    good: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest observation of one series."""

    indicator: str
    series: str
    labels: dict[str, str]
    at: datetime
    value: float | None
    good: int | None
    total: int | None
    note: str | None


def series(
    conn: Connection,
    indicator: str,
    labels: Mapping[str, str],
    since: datetime,
    until: datetime,
    step: timedelta = MINUTE,
) -> list[Point]:
    """Return one point per step of the aligned grid in [since, until), from the rollups by minute."""
    rollup = t.rollup.c
    rows = conn.execute(
        select(t.rollup)
        .where(rollup.indicator == indicator, rollup.series == series_key(labels))
        .where(rollup.minute >= aligned(since, step), rollup.minute < until)
        .order_by(rollup.minute)
    )
    buckets: dict[datetime, list[Any]] = {}
    for row in rows:
        buckets.setdefault(aligned(row.minute, step), []).append(row)
    points, at = [], aligned(since, step)
    while at < until:
        points.append(_point(at, buckets.get(at, [])))
        at += step
    return points


def series_of(conn: Connection, indicator: str, since: datetime) -> list[dict[str, str]]:
    """Return the labels of every series of an indicator that was observed since an instant."""
    rollup = t.rollup.c
    found = conn.scalars(select(rollup.series).where(rollup.indicator == indicator, rollup.minute >= since).distinct())
    return [read_series_key(key) for key in sorted(found)]


def newest(conn: Connection, since: datetime, indicator: str | None = None) -> list[Newest]:
    """Return the newest observation of each series that has one since the instant."""
    sample = t.sample.c
    last = select(func.max(sample.id)).where(sample.at >= since).group_by(sample.indicator, sample.series)
    if indicator is not None:
        last = last.where(sample.indicator == indicator)
    rows = conn.execute(select(t.sample).where(sample.id.in_(last)).order_by(sample.indicator, sample.series))
    return [
        Newest(row.indicator, row.series, row.labels, row.at, row.value, row.good, row.total, row.note) for row in rows
    ]


def last_at(conn: Connection, indicator: str) -> datetime | None:
    """Return when an indicator was last observed in any series; what was counted until then is counted."""
    found: datetime | None = conn.scalar(select(func.max(t.sample.c.at)).where(t.sample.c.indicator == indicator))
    return found


def with_labels(column: ColumnElement[str], labels: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """Return conditions that keep the series which have all of the labels."""
    padded = literal(",").concat(column).concat(",")
    return [padded.contains(f",{key}={value},", autoescape=True) for key, value in sorted(labels.items())]


def _point(at: datetime, rows: list[Any]) -> Point:
    known = [row for row in rows if row.total_value is not None]
    counted = [row for row in rows if row.total is not None]
    return Point(
        at=at,
        value=_mean(known),
        low=min((row.low for row in known), default=None),
        high=max((row.high for row in known), default=None),
        good=sum(row.good for row in counted) if counted else None,
        total=sum(row.total for row in counted) if counted else None,
    )


def _mean(rows: list[Any]) -> float | None:
    measured = sum(row.valued for row in rows)
    return sum(row.total_value for row in rows) / measured if measured else None
