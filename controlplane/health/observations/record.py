"""Write observations, roll them up by minute, and forget them in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select

from controlplane.health.observations.model import Observation, series_key
from controlplane.store import tables as t
from rules.slo import aligned

MINUTE = timedelta(minutes=1)


def record(conn: Connection, observations: Sequence[Observation]) -> int:
    """Store the observations and bring the rollups of their minutes up to date; return how many were stored."""
    if not observations:
        return 0
    conn.execute(insert(t.sample), [_row(observation) for observation in observations])
    roll_up(conn, {(seen.indicator, aligned(seen.at, MINUTE)) for seen in observations})
    return len(observations)


def roll_up(conn: Connection, minutes: Iterable[tuple[str, datetime]]) -> None:
    """Compute the rollups of (indicator, minute) anew from the samples; repeating it changes nothing."""
    wanted: dict[datetime, set[str]] = {}
    for indicator, minute in minutes:
        wanted.setdefault(minute, set()).add(indicator)
    for minute, indicators in wanted.items():
        _roll_up_minute(conn, minute, indicators)


def prune(conn: Connection, before: datetime, rollups_before: datetime | None = None) -> tuple[int, int]:
    """Delete whole minutes of samples before one instant, and rollups before another; return how many of each."""
    samples = conn.execute(delete(t.sample).where(t.sample.c.at < aligned(before, MINUTE))).rowcount
    if rollups_before is None:
        return samples, 0
    return samples, conn.execute(delete(t.rollup).where(t.rollup.c.minute < rollups_before)).rowcount


def _row(seen: Observation) -> dict[str, Any]:
    return {
        "indicator": seen.indicator,
        "labels": dict(seen.labels),
        "series": series_key(seen.labels),
        "at": seen.at,
        "value": seen.value,
        "good": seen.good,
        "total": seen.total,
        "note": seen.note,
    }


def _roll_up_minute(conn: Connection, minute: datetime, indicators: set[str]) -> None:
    sample = t.sample.c
    rows = conn.execute(
        select(sample.indicator, sample.series, sample.value, sample.good, sample.total)
        .where(sample.at >= minute, sample.at < minute + MINUTE, sample.indicator.in_(indicators))
        .order_by(sample.at, sample.id)
    )
    groups: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((row.indicator, row.series), []).append(row)
    rollup = t.rollup.c
    names = or_(*(rollup.indicator == name for name in sorted(indicators)))
    conn.execute(delete(t.rollup).where(and_(names, _series_of(groups), rollup.minute == minute)))
    conn.execute(insert(t.rollup), [_summary(*key, minute, group) for key, group in groups.items()])


def _series_of(groups: dict[tuple[str, str], list[Any]]) -> Any:
    """Name the series, so that the primary key finds the rows."""
    return t.rollup.c.series.in_(sorted({series for _, series in groups}))


def _summary(indicator: str, series: str, minute: datetime, rows: list[Any]) -> dict[str, Any]:
    values = [row.value for row in rows if row.value is not None]
    counted = [row for row in rows if row.total is not None]
    return {
        "indicator": indicator,
        "series": series,
        "minute": minute,
        "count": len(rows),
        "unknown": sum(row.value is None and row.total is None for row in rows),
        "valued": len(values),
        "low": min(values, default=None),
        "high": max(values, default=None),
        "total_value": sum(values) if values else None,
        "last": rows[-1].value,
        "good": sum(row.good for row in counted) if counted else None,
        "total": sum(row.total for row in counted) if counted else None,
    }
