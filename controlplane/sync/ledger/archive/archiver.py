"""What retention does: choose, write, read back, delete; and go on where an earlier run was ended.

    chosen -> `archive` row (writing) -> files, manifest -> read back -> (written) -> rows deleted -> (done)

Ended at any instant, the next run finds the row and goes on from the part itself. Rows are deleted only on account of a part
that was read back, and only those that it holds.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row

from controlplane.clock import Clock
from controlplane.errors import BadInputError, TrueupError, UnavailableError
from controlplane.registry import Registry
from controlplane.store import Store
from controlplane.store.lease import Lease
from controlplane.store.place import Place
from controlplane.sync.ledger.archive import part, records
from controlplane.sync.ledger.archive.delete import Deleted, Deletion
from controlplane.sync.ledger.archive.families import Family, families, kept_in, tables_of
from controlplane.sync.ledger.archive.finished import Guard, Position, candidates, finished
from controlplane.sync.ledger.archive.scopes import Scope, scopes
from controlplane.sync.ledger.archive.turns import Turns
from rules.ids import new_id

log = structlog.get_logger()
PART_ROWS, PART_BYTES = 50_000, 256 * 2**20
"""A part is written when so many rows, or about so many bytes of bodies, are chosen."""
LEASE = "archive"
LASTING = timedelta(minutes=5)


@dataclass(slots=True)
class Report:
    """What a run did."""

    parts: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Table -> rows deleted."""
    held: int = 0
    faults: list[str] = field(default_factory=list)
    elsewhere: bool = False
    """Another process was at it."""
    whole: bool = True

    def add(self, deleted: Deleted) -> None:
        """Count a deletion in."""
        self.rows += deleted.rows
        self.held += deleted.held
        self.whole = self.whole and deleted.whole

    def told(self) -> dict[str, Any]:
        """Return it for a run's detail. Raises UnavailableError when an archive was not to be had."""
        said = {
            "parts": self.parts, "rows": dict(self.rows), "held": self.held, "elsewhere": self.elsewhere,
            "whole": self.whole,
        }  # fmt: skip
        if self.faults:
            raise UnavailableError(f"{'; '.join(self.faults)} (what else was due is done: {said})")
        return said


class Archiver:
    """Holds the store to what the policies say of retention. One run at a time, in whichever process."""

    def __init__(
        self, store: Store, clock: Clock, registry: Registry, stopping: threading.Event | None = None,
        part_rows: int = PART_ROWS,
    ) -> None:  # fmt: skip
        """`stopping`: set when the process ends; a run stops after the transaction that is under way."""
        self._store, self._clock, self._registry = store, clock, registry
        self._turns = Turns(store, clock, stopping or threading.Event())
        self._deletion = Deletion(self._turns, clock, registry)
        self._part_rows = part_rows
        self._owner = new_id(clock.now())
        self._lease = self._claim()
        self._swept: dict[tuple[str, str], datetime] = {}
        """Kind and rows -> the cutoff up to which all was looked at: until it moves, a day later, there is nothing new."""

    def run(self, *, anew: bool = False) -> dict[str, Any]:
        """Archive and delete what is due; return what was done. `anew`: look at all old rows again, looked at today or not.

        Raises UnavailableError when an archive could not be used; what the other policies ask for is done all the same.
        """
        report = Report()
        self._lease = self._claim()
        if not self._lease.hold():
            report.elsewhere = True
            return report.told()
        try:
            self._go_on(report)
            for scope in self._due(anew):
                if self._turns.stopped or not self._lease.hold():
                    report.whole = False
                    break
                self._guarded(report, scope.about, lambda scope=scope: self._sweep(scope, report))
        finally:
            self._lease.release()
        return report.told()

    def _claim(self) -> Lease:
        return Lease(self._store, self._clock, LEASE, self._owner, LASTING)

    def _guarded(self, report: Report, what: str, step: Any) -> None:
        """Do one thing; what goes wrong with an archive is told at the end, and keeps nothing else from being done."""
        try:
            step()
        except TrueupError as error:
            log.warning("retention", what=what, error=str(error))
            report.faults.append(str(error))

    # --- what is due ---

    def plan(self) -> list[Scope]:
        """Return whose rows are old from when on, and where they go."""
        snapshot = self._registry.snapshot()
        with self._store.read() as connection:
            return list(scopes(connection, snapshot, self._clock.now()))

    def _due(self, anew: bool) -> list[Scope]:
        return [one for one in self.plan() if anew or self._swept.get((one.kind, one.about)) != one.cutoff]

    def _sweep(self, scope: Scope, report: Report) -> None:
        before = report.whole
        report.whole = True
        if scope.archive:
            self._archive(scope, report)
        else:
            self._discard(scope, report)
        if report.whole:
            self._swept[scope.kind, scope.about] = scope.cutoff
        report.whole = report.whole and before

    def _chosen(self, scope: Scope) -> Iterator[tuple[list[Family], int]]:
        """Yield families that may go, a page at a time, and how many bytes their bodies take."""
        after: Position | None = None
        while not self._turns.stopped:
            with self._store.read() as connection:
                page = candidates(connection, scope, after)
                if not page:
                    return
                guard = Guard.of(connection, self._registry.snapshot_in(connection), self._clock.now())
                may_go = finished(connection, scope.kind, [row.id for row in page], scope.cutoff, guard)
                chosen = [row for row in page if row.id in may_go]
                members = families(connection, scope.kind, [row.id for row in chosen])
            after = (page[-1].at, page[-1].id)
            if members:
                yield members, sum(row.size for row in chosen)

    # --- with nothing kept ---

    def _discard(self, scope: Scope, report: Report) -> None:
        seen: list[str] = []
        deleted: Counter[str] = Counter()
        for members, _ in self._chosen(scope):
            gone = self._deletion.run(scope.kind, members, scope.cutoff, kept=False)
            report.add(gone)
            deleted += gone.rows
            ids = [one.root for one in members]
            seen = [min(ids + seen), max(ids + seen)]
        if deleted:
            with self._store.write() as connection:
                row = records.begin(connection, self._clock, **self._about(scope, seen, dict(deleted), ""))
                records.done(connection, self._clock, row.id)

    # --- through a part ---

    def _archive(self, scope: Scope, report: Report) -> None:
        gathered: list[Family] = []
        size = 0
        for members, length in self._chosen(scope):
            gathered += members
            size += length
            if sum(one.size for one in gathered) >= self._part_rows or size >= PART_BYTES:
                self._part(scope, gathered, report)
                gathered, size = [], 0
        if gathered and not self._turns.stopped:
            self._part(scope, gathered, report)

    def _part(self, scope: Scope, members: Sequence[Family], report: Report) -> None:
        ids = {name: found for name, found in tables_of(scope.kind, members) if found}
        roots = ids[part.ROOT[scope.kind].name]
        name = part.name_of(roots, (identity for found in ids.values() for identity in found))
        place, there = self._place(f"{scope.archive.rstrip('/')}/{scope.domain}/{scope.kind}/{name}", ids)
        self._lease.hold()
        with self._store.write() as connection:
            counts = {table: len(found) for table, found in ids.items()}
            row = records.begin(connection, self._clock, **self._about(scope, roots, counts, place.uri))
        if not there:
            about = {name: getattr(row, name) for name in ("id", "kind", "domain", "cutoff", "from_id", "to_id")}
            part.write(self._store, place, about | {"made_at": self._clock.now()}, ids)
        self._finish(row, place, report)

    def _place(self, uri: str, ids: Mapping[str, Sequence[str]]) -> tuple[Place, bool]:
        """Return where these rows go, and whether they are there already: a database from a back-up may not know that."""
        for number in itertools.count(1):
            place = Place(uri if number == 1 else f"{uri}_{number}")
            found = part.read_manifest(place)
            if found is None:
                return place, False
            if part.holds(self._store, place, found[0], ids):
                return place, True
        raise AssertionError("numbers do not end")

    def _about(self, scope: Scope, roots: Sequence[str], tables: dict[str, int], uri: str) -> dict[str, Any]:
        return {
            "kind": scope.kind, "domain": scope.domain, "from_id": roots[0], "to_id": roots[-1],
            "rows": sum(tables.values()), "tables": tables, "uri": uri, "cutoff": scope.cutoff, "state": "writing",
        }  # fmt: skip

    def _finish(self, row: Row[Any], place: Place, report: Report) -> None:
        """Read a part back, and delete what it holds."""
        manifest, sha256 = part.verified(place, row.sha256)
        with self._store.write() as connection:
            records.written(connection, row.id, manifest, sha256)
        deleted = self._deletion.run(manifest.kind, kept_in(place, manifest), row.cutoff, kept=True)
        report.add(deleted)
        if deleted.whole:
            report.parts += 1
            with self._store.write() as connection:
                records.done(connection, self._clock, row.id)

    # --- where an earlier run was ended ---

    def _go_on(self, report: Report) -> None:
        with self._store.write() as connection:
            records.expire(connection, self._clock.now())
        with self._store.read() as connection:
            begun = records.unfinished(connection)
        for row in begun:
            self._guarded(report, row.uri, lambda row=row: self._resume(row, report))

    def _resume(self, row: Row[Any], report: Report) -> None:
        place = Place(row.uri)
        if row.state == "writing" and not self._whole(place):
            place.remove()  # none of its rows is deleted, so they are chosen anew
            with self._store.write() as connection:
                records.drop(connection, row.id)
            return
        self._finish(row, place, report)

    def _whole(self, place: Place) -> bool:
        try:
            part.verified(place)
        except BadInputError:
            return False
        return True
