"""Count good and total over windows of the rollups, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Float, Select, cast, func, literal, select, type_coerce

from controlplane.health.observations import with_labels
from controlplane.store import tables as t
from controlplane.store.types import MICROSECOND
from rules.slo import Count, Tally


def counter(conn: Connection, indicator: str, labels: Mapping[str, str], size: timedelta) -> Count:
    """Return a function that counts the series with these labels in [since, until).

    A slice in which only some of its series were known is observed in part: in the share of the observations that were known.
    """

    def count(since: datetime, until: datetime) -> Tally:
        each = slices(indicator, labels, size, since, until).subquery()
        row = conn.execute(select(func.sum(each.c.good), func.sum(each.c.total), func.sum(each.c.observed))).one()
        return Tally(int(row[0] or 0), int(row[1] or 0), float(row[2] or 0))

    return count


def slices(indicator: str, labels: Mapping[str, str], size: timedelta, since: datetime, until: datetime) -> Select[Any]:
    """Return the query for what was counted in [since, until): number of the slice since the epoch, good, total, observed share."""
    rollup = t.rollup.c
    number = type_coerce(rollup.minute, BigInteger) // literal(size // MICROSECOND, BigInteger)
    known = rollup["count"] - rollup.unknown
    observed = cast(func.sum(known), Float) / func.sum(rollup["count"])
    return (
        select(
            number.label("number"),
            func.coalesce(func.sum(rollup.good), 0).label("good"),
            func.coalesce(func.sum(rollup.total), 0).label("total"),
            observed.label("observed"),
        )
        .where(rollup.indicator == indicator, *with_labels(rollup.series, labels))
        .where(rollup.minute >= since, rollup.minute < until)
        .group_by(number)
    )
