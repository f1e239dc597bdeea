"""Step functions over the journal's time: what a number was, and in which intervals two of them differed."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple, TypeVar

from controlplane.scenarios.judge.facts import Evidence, instant

Value = TypeVar("Value")


class Interval(NamedTuple):
    """From start to end; both instants are in it."""

    start: datetime
    end: datetime


class Timeline(list[tuple[datetime, int]]):
    """What a number was from each instant on, in order of time; the first entry holds from the beginning."""

    def at(self, when: datetime) -> int:
        """Return the value after all that happened up to and at that instant."""
        found = bisect_right(self, when, key=itemgetter(0))
        return self[max(0, found - 1)][1]


def timelines(evidence: Evidence, system: str, name: str, column: str) -> dict[str, Timeline]:
    """Return per key what a field was; `column` of the truth at the start says where it begins."""
    found: dict[str, Timeline] = defaultdict(Timeline)
    for row in evidence.at_start:
        if row[column] is not None:
            found[f"{row['sku']}@{row['location']}"].append((evidence.began, int(row[column])))
    for event in evidence.journal:
        if event["kind"] == "value" and (event["system"], event["field"]) == (system, name):
            key = f"{event['sku']}@{event['location']}"
            if key in found:
                found[key].append((instant(event["at"]), int(event["value"])))
    return found


def differing(
    breaks: Iterable[datetime], end: datetime, one: Callable[[datetime], Value], other: Callable[[datetime], Value]
) -> list[Interval]:
    """Return the intervals in which two step functions differ; `breaks` are all instants at which either moves."""
    found: list[Interval] = []
    since: datetime | None = None
    for when in sorted(set(breaks)):
        if one(when) != other(when):
            since = since or when
        elif since is not None:
            found.append(Interval(since, when))
            since = None
    return [*found, Interval(since, end)] if since is not None else found


def without(interval: Interval, others: Sequence[Interval]) -> list[Interval]:
    """Return what is left of an interval when the others are cut out of it."""
    left = [interval]
    for cut in others:
        left = [rest for piece in left for rest in _cut(piece, cut)]
    return left


def _cut(piece: Interval, cut: Interval) -> list[Interval]:
    if cut.end < piece.start or cut.start > piece.end:
        return [piece]
    parts = (Interval(piece.start, cut.start), Interval(cut.end, piece.end))
    return [part for part in parts if part.end > part.start]
