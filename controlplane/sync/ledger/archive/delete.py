"""Delete in small transactions with a pause between them, so that traffic goes on; each looks again whether its rows may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, delete, select

from controlplane.clock import Clock
from controlplane.connectors import numbers
from controlplane.registry import Registry
from controlplane.store import tables as t
from controlplane.sync.ledger import seen, settled
from controlplane.sync.ledger.archive.families import MEMBERS, Family, families
from controlplane.sync.ledger.archive.finished import Guard, finished
from controlplane.sync.ledger.archive.part import ROOT, Kind
from controlplane.sync.ledger.archive.turns import Turns


@dataclass(slots=True)
class Deleted:
    """What came of a deletion."""

    rows: Counter[str] = field(default_factory=Counter)
    """Table -> rows."""
    held: int = 0
    """Families that something happened to since they were chosen: they stay."""
    whole: bool = True
    """False: it was stopped before the end."""


class Deletion:
    """Deletes families. Stopped at any instant, it leaves nothing that cannot be gone on with."""

    def __init__(self, turns: Turns, clock: Clock, registry: Registry) -> None:
        self._turns, self._clock, self._registry = turns, clock, registry

    def run(self, kind: Kind, chosen: Sequence[Family], cutoff: datetime, *, kept: bool) -> Deleted:
        """Delete what may go still. `kept`: the families are what an archive holds, and nothing but that is deleted."""
        told, place = Deleted(), 0
        while place < len(chosen) and not self._turns.stopped:
            size = self._turns.size
            with self._turns.turn() as connection:
                turn = _Turn(connection, kind, cutoff, self._guard(connection), kept)
                place += turn.take(chosen[place : place + size], size)
            told.rows += turn.rows
            told.held += turn.held
        told.whole = place == len(chosen)
        return told

    def _guard(self, connection: Connection) -> Guard:
        return Guard.of(connection, self._registry.snapshot_in(connection), self._clock.now())


class _Turn:
    """One transaction."""

    def __init__(self, connection: Connection, kind: Kind, cutoff: datetime, guard: Guard, kept: bool) -> None:
        self.connection, self.kind, self.cutoff, self.guard, self.kept = connection, kind, cutoff, guard, kept
        self.rows: Counter[str] = Counter()
        self.held = 0

    def take(self, waiting: Sequence[Family], most: int) -> int:
        """Delete the first of those that wait, up to so many rows; return how many are dealt with: gone, or to stay."""
        looked_at = waiting[: most if self.kind != "messages" else most // 2 + 1]
        there, may_go = self._look([one.root for one in looked_at])
        chosen: list[Family] = []
        room, dealt = most, 0
        for one in looked_at:
            now = may_go.get(one.root)
            if now is None or (self.kept and now.ids() - one.ids()):
                self.held += one.root in there
            elif now.size <= room:
                chosen.append(now)
                room -= now.size
            else:
                if not chosen:  # larger than a whole transaction: it goes in several
                    self._delete_some(now, most)
                break
            dealt += 1
        self._delete_all(chosen)
        return dealt

    def _look(self, roots: Sequence[str]) -> tuple[set[str], dict[str, Family]]:
        """Return which of the rows are there still, and the families, as they are now, of those that may go."""
        key = ROOT[self.kind].c.id
        there = list(self.connection.execute(select(key).where(key.in_(roots)).with_for_update()).scalars())
        may_go = finished(self.connection, self.kind, there, self.cutoff, self.guard)
        return set(there), {one.root: one for one in families(self.connection, self.kind, sorted(may_go))}

    def _delete_some(self, one: Family, most: int) -> None:
        """Delete the first rows of a family, those that belong to others before the others."""
        for name in MEMBERS:
            ids = getattr(one, name)[:most]
            self._delete(name, ids)
            most -= len(ids)

    def _delete_all(self, chosen: Sequence[Family]) -> None:
        for name in MEMBERS:
            self._delete(name, [identity for one in chosen for identity in getattr(one, name)])
        roots = [one.root for one in chosen]
        if roots and self.kind == "messages":
            seen.remember(self.connection, roots)
        self._delete(ROOT[self.kind].name, roots)

    def _delete(self, name: str, ids: Sequence[str]) -> None:
        if ids:
            if name == t.delivery.name:
                settled.remember(self.connection, ids)
                self.rows[t.control_number.name] += numbers.forget(self.connection, ids)
            table = t.metadata.tables[name]
            self.rows[name] += self.connection.execute(delete(table).where(table.c.id.in_(ids))).rowcount
