"""What is measured and judged, as lists: indicators, observations, the verdicts on service levels, runs of comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, select

from controlplane.errors import NotFoundError
from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.views.narrowing import ALL, Narrow
from controlplane.views.overview import Level, latest_runs, levels
from controlplane.views.paging import FIRST, Order, Part, Stretch, part

Row = Mapping[str, Any]
LATELY = timedelta(days=1)
"""An indicator that was not observed for so long is not listed any more; its minutes are there still."""
NEWEST = Stretch(50)
"""Verdicts and findings that are shown with what they belong to."""
INDICATORS = Order("indicators", (t.rollup.c.indicator, t.rollup.c.series), newest_first=False)
MINUTES = Order("minutes of an indicator", (t.rollup.c.minute, t.rollup.c.series))
OBSERVATIONS = Order("observations", (t.sample.c.at, t.sample.c.id))
VERDICTS = Order("verdicts", (t.verdict.c.id,))


@dataclass(frozen=True, slots=True)
class Indicator:
    """One series of an indicator as it was seen last."""

    indicator: str
    series: str
    minute: datetime
    last: float | None
    """None: what was seen is that nothing is known."""
    unknown: int
    count: int


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """A service level as it stands, as it was promised, and its newest verdicts."""

    standing: Level
    policy: dict[str, Any]
    verdicts: list[Row]


def indicators(conn: Connection, now: datetime, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Indicator]:
    """Return every series that was observed within a day, by name, with what was seen last. One query."""
    r = t.rollup.c
    seen = select(r.indicator, r.series, func.max(r.minute).label("minute")).where(r.minute >= now - LATELY)
    last = seen.where(*narrow.of(t.rollup)).group_by(r.indicator, r.series).subquery()
    same = and_(*(r[name] == last.c[name] for name in ("indicator", "series", "minute")))
    fields = [r[name] for name in Indicator.__dataclass_fields__]
    return part(conn, select(*fields).join(last, same), INDICATORS, stretch, lambda row: Indicator(**row))


def minutes(conn: Connection, indicator: str, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return the minutes of an indicator, the newest first. Two queries. Raises NotFoundError for one that nobody observed."""
    r = t.rollup.c
    if conn.execute(select(r.minute).where(r.indicator == indicator).limit(1)).first() is None:
        raise NotFoundError(f"no indicator '{indicator}' was observed; list them with GET /api/v1/indicators")
    wanted = (r.indicator == indicator, *narrow.of(t.rollup, r.minute))
    return part(conn, select(t.rollup).where(*wanted), MINUTES, stretch, dict)


def observations(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return single observations, the newest first; they are kept for less long than the minutes. One query."""
    return part(conn, select(t.sample).where(*narrow.of(t.sample, t.sample.c.at)), OBSERVATIONS, stretch, dict)


def verdicts(conn: Connection, narrow: Narrow = ALL, stretch: Stretch = FIRST) -> Part[Row]:
    """Return verdicts on service levels, the newest first. One query."""
    wanted = narrow.of(t.verdict, t.verdict.c.at, by_id=True)
    return part(conn, select(t.verdict).where(*wanted), VERDICTS, stretch, dict)


def service_level(conn: Connection, promises: Snapshot, name: str, now: datetime) -> ServiceLevel:
    """Return one service level. Two queries. Raises NotFoundError naming those there are."""
    if name not in promises.service_levels:
        known = ", ".join(promises.service_levels) or "none"
        raise NotFoundError(f"no ServiceLevel '{name}' in the registry; there are: {known}")
    standing = next(one for one in levels(conn, promises, now) if one.name == name)
    past = verdicts(conn, Narrow({"service_level": name}), NEWEST).rows
    return ServiceLevel(standing, promises.service_levels[name].model_dump(mode="json"), past)


def comparison(conn: Connection, promises: Snapshot, name: str) -> Row:
    """Return one comparison as promised, its newest run over all keys, and how many findings are open by cause.

    Two queries. Raises NotFoundError naming those there are.
    """
    if name not in promises.comparisons:
        known = ", ".join(promises.comparisons) or "none"
        raise NotFoundError(f"no Comparison '{name}' in the registry; there are: {known}")
    f = t.finding.c
    unsettled = (f.comparison == name, f.state.in_(("suspected", "open", "healing")))
    by_cause = conn.execute(select(f.cause, func.count()).where(*unsettled).group_by(f.cause).order_by(f.cause))
    return {
        "comparison": promises.comparisons[name].model_dump(mode="json"), "run": latest_runs(conn).get(name),
        "open": {row[0]: row[1] for row in by_cause},
    }  # fmt: skip


def comparison_run(conn: Connection, run_id: str) -> Row:
    """Return one run of a comparison. Raises NotFoundError."""
    row = conn.execute(select(t.comparison_run).where(t.comparison_run.c.id == run_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no run '{run_id}' of a comparison; list them with GET /api/v1/comparisons")
    return dict(row)
