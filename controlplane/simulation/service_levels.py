"""A service level under two revisions: alerts gained, lost and shifted, and pages a week for each team."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, func, literal, select, type_coerce

from controlplane.health.evaluation.service_levels import objective
from controlplane.health.evaluation.windows import slices
from controlplane.registry import Snapshot
from controlplane.registry.simulation import Figure, Ground, Impact, Simulator
from controlplane.store import tables as t
from controlplane.store.types import EPOCH, MICROSECOND
from rules.policy.kinds import Document, ServiceLevel, ServiceLevelSpec
from rules.simulation.levels import Alert, History, alerts, moved
from rules.slo import closed_until, first_whole


def simulate(ground: Ground, before: Document | None, after: Document) -> Impact:
    """Judge the promise slice by slice, as the plane does when it runs."""
    old = before.spec if isinstance(before, ServiceLevel) else None
    if not isinstance(after, ServiceLevel):
        raise TypeError(after.kind)
    new = after.spec
    then, now = alerts_of(ground, old) if old else [], alerts_of(ground, new)
    changes = moved(then, now)
    count = Counter(one.how for one in changes)
    figures = [
        Figure("alerts", "alerts", len(then), len(now)),
        Figure("alerts gained", "alerts", 0, count["gained"]),
        Figure("alerts lost", "alerts", 0, count["lost"]),
        Figure("alerts shifted", "alerts", 0, count["shifted"]),
        Figure("time alerting", "hours", _hours(then), _hours(now)),
    ]
    since = _begins(ground, old, new)
    told = told_first(ground.snapshot, old) if old else (), told_first(ground.snapshot, new)
    for team in sorted({*told[0], *told[1]}):
        each = (
            _pages(found, team in mine, ground.until - since) for found, mine in zip((then, now), told, strict=True)
        )
        figures.append(Figure(f"pages for {team}", "pages a week", *each))
    rows = [_row(one.how, one.before, one.after) for one in changes if one.how != "same"]
    return Impact(figures, rows, _untold(ground, old, new), since)


def told_first(snapshot: Snapshot, spec: ServiceLevelSpec) -> tuple[str, ...]:
    """Return the teams that are told at once when the promise calls: those of the first steps of its escalation path."""
    path = snapshot.escalation_paths.get(spec.escalation)
    if path is None:
        return (spec.owner,)
    steps = path.spec.steps
    return tuple(dict.fromkeys(step.team for step in steps if step.after == steps[0].after))


def alerts_of(ground: Ground, spec: ServiceLevelSpec) -> list[Alert]:
    """Return when the promise would have called in the stretch, had it been in force all the time."""
    history = read(ground, spec)
    if history is None:
        return []
    return alerts(objective(spec, history.begins), history)


def read(ground: Ground, spec: ServiceLevelSpec) -> History | None:
    """Read what was counted, from the first observation in the stretch on; None where there is none."""
    key = ("history", spec.indicator, tuple(sorted(spec.labels.items())), spec.slice)
    if key not in ground.memory:
        ground.memory[key] = _read(ground, spec)
    found: History | None = ground.memory[key]
    return found


def _read(ground: Ground, spec: ServiceLevelSpec) -> History | None:
    since, until = first_whole(ground.since, spec.slice), closed_until(ground.until, spec.slice)
    seen_in = _seen(ground, spec, since, until)
    if not seen_in:
        return None
    first = min(seen_in)
    length = (until - EPOCH) // spec.slice - first
    good, total, observed = np.zeros(length), np.zeros(length), np.zeros(length)
    counted = slices(spec.indicator, spec.labels, spec.slice, since, until)
    mine = _series(ground, spec.indicator, spec.labels)
    for row in ground.conn.execute(counted.where(t.rollup.c.series.in_(mine))):
        at = row.number - first
        good[at], total[at], observed[at] = row.good, row.total, row.observed
    seen = np.zeros(length, bool)
    seen[np.array(seen_in) - first] = True
    return History(EPOCH + first * spec.slice, spec.slice, good, total, observed, seen)


def _seen(ground: Ground, spec: ServiceLevelSpec, since: datetime, until: datetime) -> list[int]:
    """Return the numbers of the slices in which anything of the indicator was observed."""
    key = ("seen", spec.indicator, spec.slice)
    if key not in ground.memory:
        minute = t.rollup.c.minute
        number = type_coerce(minute, BigInteger) // literal(spec.slice // MICROSECOND, BigInteger)
        of_indicator = (t.rollup.c.indicator == spec.indicator, minute >= since, minute < until)
        ground.memory[key] = list(ground.conn.scalars(select(number).distinct().where(*of_indicator)))
    found: list[int] = ground.memory[key]
    return found


def _series(ground: Ground, indicator: str, labels: Mapping[str, str]) -> list[str]:
    """Return the series with the labels: named one by one they are found by the key, and not by looking through all."""
    key = ("series", indicator)
    if key not in ground.memory:
        query = select(t.rollup.c.series).distinct().where(t.rollup.c.indicator == indicator)
        ground.memory[key] = list(ground.conn.scalars(query))
    wanted = {f"{name}={value}" for name, value in labels.items()}
    return [series for series in ground.memory[key] if wanted <= set(series.split(","))]


def _begins(ground: Ground, *specs: ServiceLevelSpec | None) -> datetime:
    """Return from when on something is known, for the first of them; the whole stretch where nothing is."""
    found = [history.begins for spec in specs if spec is not None and (history := read(ground, spec)) is not None]
    return max(ground.since, min(found, default=ground.since))


def _pages(found: list[Alert], theirs: bool, known: timedelta) -> float:
    """Pages a week, in the stretch that is known."""
    pages = sum(one.severity == "page" for one in found) if theirs else 0
    return round(pages * timedelta(weeks=1) / known, 2) if known else 0.0


def _hours(found: list[Alert]) -> float:
    return round(sum((one.until - one.since for one in found), timedelta(0)) / timedelta(hours=1), 2)


def _row(how: str, before: Alert | None, after: Alert | None) -> dict[str, Any]:
    return {"change": how, "before": _told(before), "after": _told(after)}


def _told(alert: Alert | None) -> dict[str, str] | None:
    if alert is None:
        return None
    return {"since": _iso(alert.since), "until": _iso(alert.until), "severity": alert.severity}


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def _untold(ground: Ground, old: ServiceLevelSpec | None, new: ServiceLevelSpec) -> list[str]:
    found = [
        "alerts for missing data are not replayed: they hang on how long nothing was known, whatever the tiers",
        "pages count for who is told at once; whom the later steps of an escalation path tell hangs on who answers",
    ]
    for spec in {one.escalation: one for one in (old, new) if one is not None}.values():
        if spec.escalation not in ground.snapshot.escalation_paths:
            found.append(f"there is no escalation path '{spec.escalation}': pages count for the owner, '{spec.owner}'")
    if old is not None and old.threshold != new.threshold:
        found.append("threshold: history keeps what was counted under the old one, so both are judged by that")
    query = select(func.min(t.rollup.c.minute)).where(t.rollup.c.indicator == new.indicator)
    first = ground.conn.scalar(query)
    if first is None:
        found.append(f"nothing was ever observed of {new.indicator}")
    elif first > ground.since:
        found.append(
            f"observations of {new.indicator} begin at {first:%Y-%m-%d %H:%M} UTC; before that nothing is known"
        )
    return found


SIMULATOR = Simulator(simulate, reads=("EscalationPath",))
