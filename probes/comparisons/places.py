"""When a side's reading came by the place of what it does not list, as far as the order of its rows tells."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from controlplane.connectors.contract import Level

Key = tuple[str, str]
Levels = Mapping[Key, Sequence[Level]]
"""Key -> its rows; the keys in the order in which they were read."""


class Places:
    """The places of keys in whole readings. Two sides that list a location's common keys in the same order have the same places."""

    def __init__(self, read: Mapping[str, Levels]) -> None:
        self._read = read
        self._ranks: dict[tuple[str, str], dict[str, int]] = {}
        self._listed: dict[tuple[str, str, str], tuple[list[int], list[datetime]]] = {}

    def passed(self, system: str, source: str, key: Key) -> datetime | None:
        """Return until when the row was read before which a side would have listed the key, as the source does.

        None where that cannot be told: the source does not list the key, the two list in different orders, or nothing follows.
        """
        rank = self._ranked(source, key[1]).get(key[0])
        if rank is None:
            return None
        ranks, times = self._in_order(system, source, key[1])
        at = bisect_right(ranks, rank)
        return times[at] if at < len(times) else None

    def _ranked(self, source: str, location: str) -> dict[str, int]:
        known = self._ranks.get((source, location))
        if known is None:
            mine = (sku for sku, at in self._read.get(source, {}) if at == location)
            known = self._ranks[source, location] = {sku: rank for rank, sku in enumerate(mine)}
        return known

    def _in_order(self, system: str, source: str, location: str) -> tuple[list[int], list[datetime]]:
        """Return the ranks of what both list, and until when each was read by the side; nothing where their orders differ."""
        known = self._listed.get((system, source, location))
        if known is None:
            ranked = self._ranked(source, location)
            common = [
                (ranked[sku], max(level.read_to for level in levels))
                for (sku, at), levels in self._read.get(system, {}).items()
                if at == location and sku in ranked
            ]
            same = all(before[0] < after[0] for before, after in pairwise(common))
            known = ([rank for rank, _ in common], [read for _, read in common]) if same else ([], [])
            self._listed[system, source, location] = known
        return known
