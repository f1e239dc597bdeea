"""Series for figures, all on one time axis: indicators from the rollups, delivery latency from the deliveries themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import BigInteger, Connection, Float, cast, func, select, type_coerce

from controlplane.store import tables as t
from controlplane.store.types import EPOCH, MICROSECOND

AGGREGATE: dict[str, Literal["sum", "worst"]] = {
    "queue_depth": "sum",
    "queue_age": "worst",
    "order_backlog": "sum",
    "failed_messages": "sum",
    "oversell_rate": "worst",
    "mismatch_rate": "worst",
    "posting_failures": "worst",
    "drift_findings": "sum",
    "drift_recent": "sum",
    "drift_age": "worst",
}
"""How the series of one indicator become one line: counts are added, ages and shares show the worst."""


MINUTE = timedelta(minutes=1)
NARROWEST = 5 * MINUTE
"""An axis is at least so wide, however young the plane is."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A time axis: `since` to `until` in equal steps, aligned to the step."""

    since: datetime
    until: datetime
    step: timedelta
    began: datetime | None = None
    """The first observation of all, when it is newer than the window that was asked for."""

    @property
    def times(self) -> list[datetime]:
        """The start of each step."""
        return [self.since + n * self.step for n in range(int((self.until - self.since) / self.step))]

    def slot(self, at: datetime) -> int:
        """Return the number of the step that an instant falls into."""
        return int((at - self.since) / self.step)


Values = list[float | None]
"""One value per step of an axis; None where nothing is known."""


def axis(now: datetime, window: timedelta, steps: int = 60) -> Axis:
    """Return the axis of the newest steps, `steps` at most, that covers the window and contains the present.

    Steps are whole minutes, as the rollups are.
    """
    step = -(-window // (steps * MINUTE)) * MINUTE
    until = EPOCH + ((now - EPOCH) // step + 1) * step
    return Axis(until - -(-window // step) * step, until, step)


def known_axis(conn: Connection, now: datetime, window: timedelta) -> Axis:
    """Return the axis of a window, or of as much of it as there is while the plane is younger. One query.

    What was before the first observation is not shown as unknown: there was nothing that could have been known.
    """
    began = conn.execute(select(func.min(t.rollup.c.minute))).scalar()
    if began is None or now - began >= window:
        return axis(now, window)
    age = ((now - began) // MINUTE + 1) * MINUTE
    return replace(axis(now, max(age, NARROWEST)), began=began)


def trends(conn: Connection, over: Axis, indicators: Sequence[str] = tuple(AGGREGATE)) -> dict[str, Values]:
    """Return one line per indicator. One query. An indicator nobody observed is a line of None."""
    r = t.rollup.c
    known = cast(r.count - r.unknown, Float)
    rows = conn.execute(
        select(
            r.indicator,
            r.minute,
            func.sum(r.total_value / func.nullif(known, 0)).label("added"),
            func.max(r.high).label("worst"),
        )
        .where(r.minute >= over.since, r.minute < over.until, r.indicator.in_(indicators))
        .group_by(r.indicator, r.minute)
        .order_by(r.minute)
    )
    lines: dict[str, Values] = {name: [None] * len(over.times) for name in indicators}
    for row in rows:
        value = row.worst if AGGREGATE.get(row.indicator) == "worst" else row.added
        _put(lines[row.indicator], over.slot(row.minute), value)
    return lines


def _put(line: Values, slot: int, value: float | None) -> None:
    """Several minutes in one step: the highest is shown, so that a peak never disappears in a wide view."""
    before = line[slot]
    line[slot] = value if before is None or (value is not None and value > before) else before


@dataclass(frozen=True, slots=True)
class Latency:
    """Accepted to delivered, in seconds, per step of an axis."""

    mean: Values
    slowest: Values
    delivered: Values


def latency(conn: Connection, over: Axis, flow: str | None = None) -> Latency:
    """Return latency by the time that deliveries were finished: none in a step without any. One query."""
    d = t.delivery.c
    micros = over.step // MICROSECOND
    finished, created = type_coerce(d.finished_at, BigInteger), type_coerce(d.created_at, BigInteger)
    start = (over.since - EPOCH) // MICROSECOND
    slot = ((finished - start) // micros).label("slot")
    query = (
        select(slot, func.avg(finished - created), func.max(finished - created), func.count())
        .where(d.state == "delivered", d.finished_at >= over.since, d.finished_at < over.until)
        .group_by(slot)
    )
    if flow is not None:
        query = query.where(d.flow == flow)
    found = Latency(_blank(over), _blank(over), [0.0] * len(over.times))
    for number, mean, slowest, count in conn.execute(query):
        found.mean[number] = float(mean) / 1e6
        found.slowest[number] = float(slowest) / 1e6
        found.delivered[number] = float(count)
    return found


def _blank(over: Axis) -> Values:
    return [None] * len(over.times)


def newest_by_series(conn: Connection, indicator: str, now: datetime, within: timedelta) -> dict[str, Any]:
    """Return series -> the newest value (None: unknown) among those observed lately. One query."""
    r = t.rollup.c
    rows = conn.execute(
        select(r.series, r.last)
        .where(r.indicator == indicator, r.minute >= now - within, r.minute <= now)
        .order_by(r.minute)
    )
    return {row.series: row.last for row in rows}


def last_known(line: Values) -> float | None:
    """Return the newest value of a line, if one of its last three steps has one: older ones say nothing of now."""
    return next((value for value in reversed(line[-3:]) if value is not None), None)
