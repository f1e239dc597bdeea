"""Whole snapshots as the plane reads them in a scenario: they take their time, and beside it a plain diff is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import cast

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Connector, Level
from controlplane.registry import Snapshot
from controlplane.scenarios.judge.facts import Difference, TruthRow
from rules.policy.kinds import ComparisonSpec

LEAST = 1.0
"""Seconds of the clock that are passed at once: pages that take less are passed together."""


class PacedConnections:
    """Connections whose whole snapshots take `seconds` of the clock from the first page to the last; all else is the inner's.

    The rows are those of the instant that each page was asked for; time passes between pages, by `passing`. How many rows
    there will be is told by the snapshot before it, and before the first by `expect`; else that takes no time.
    """

    def __init__(self, inner: Connections, clock: Clock, seconds: float, naive: NaiveDiff) -> None:
        self.inner, self.seconds, self.naive, self.clock = inner, seconds, naive, clock
        self.passing: Callable[[float], None] = lambda _: None
        self._rows: dict[str, int] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def expect(self, truth: Sequence[TruthRow]) -> None:
        """Say how much the systems will show, by the rows of everybody's books."""
        for side in self.naive.spec.sides:
            mine = {*side.locations} or {*self.naive.spec.locations}
            self._rows[side.system] = sum(1 for row in truth if row["location"] in mine)

    def get(self, name: str, at: Snapshot | None = None) -> Connector:
        """Return the inner's connector, its snapshots paced."""
        return cast("Connector", _Paced(self, name, self.inner.get(name, at)))

    def pages(self, name: str, pages: Iterator[list[Level]]) -> Iterator[list[Level]]:
        """Yield the pages with time between them, and hand them on to the plain diff when all are read."""
        began, owed, passed = self.clock.now(), 0.0, 0.0
        levels: list[Level] = []
        expected = self._rows.get(name, 0)
        for page in pages:
            levels += page
            owed += self.seconds * len(page) / expected if expected else 0.0
            if owed >= LEAST and passed < self.seconds:
                self.passing(owed)
                passed, owed = passed + owed, 0.0
            yield page
        self._rows[name] = len(levels)
        self.naive.take(name, levels, began, self.clock.now())


class _Paced:
    """A connector of which only whole snapshots are paced."""

    def __init__(self, owner: PacedConnections, name: str, inner: Connector) -> None:
        self._owner, self._name, self._inner = owner, name, inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the levels; a targeted reading takes no time."""
        pages = self._inner.snapshot(entity, keys)
        return pages if keys is not None else self._owner.pages(self._name, pages)


class NaiveDiff:
    """What a peer would say: rows of the sides put side by side, each unequal key a difference."""

    def __init__(self, spec: ComparisonSpec, safety: int) -> None:
        """`safety`: what stays back of what the warehouse has free; a diff of tables would be told of it too."""
        self.spec, self.safety = spec, safety
        self.differences: list[Difference] = []
        self._read: dict[str, tuple[dict[tuple[str, str], Level], datetime]] = {}

    def take(self, system: str, levels: Sequence[Level], began: datetime, ended: datetime) -> None:
        """Keep one side; with the last of them, compare."""
        mine = {(level.sku, level.location): level for level in levels if level.location in self.spec.locations}
        self._read[system] = (mine, began)
        if all(side.system in self._read for side in self.spec.sides):
            since = min(at for _, at in self._read.values())
            self.differences += self._compare(since, ended)
            self._read.clear()

    def _compare(self, began: datetime, ended: datetime) -> Iterator[Difference]:
        rows = {system: mine for system, (mine, _) in self._read.items()}
        for sku, location in sorted({key for mine in rows.values() for key in mine}):
            record = self.spec.source_of(location)
            source = rows[record].get((sku, location))
            for side in self.spec.sides_at(location):
                level = rows[side.system].get((sku, location))
                if side.system != record and self._differs(side.field, source, level):
                    yield Difference(f"{sku}@{location}", side.system, began, ended)

    def _differs(self, field: str, source: Level | None, level: Level | None) -> bool:
        if source is None or level is None:
            return True
        if field == "on_hand":
            return level.on_hand != source.on_hand
        return source.available is None or level.available != max(0, source.available - self.safety)
