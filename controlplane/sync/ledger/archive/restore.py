"""Put archived rows back as what they are: history. They are processed and sent already, so nothing is done with them again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Table, select

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import BadInputError, ConflictError, TrueupError
from controlplane.registry import Registry
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.place import Place, inside
from controlplane.sync.ledger.archive import columns, part, records
from controlplane.sync.ledger.archive.families import kept_in
from controlplane.sync.ledger.archive.part import MANIFEST, ROOT, TABLES, Manifest
from controlplane.sync.ledger.archive.turns import Turns
from rules.ids import fact
from rules.policy.keeping import LONGEST
from rules.policy.kinds import format_duration, parse_duration

TURN_BYTES = 2**20
"""About how many bytes one transaction puts back, at most."""
KEPT = timedelta(days=30)
"""For how long rows that were put back stay, unless the caller says otherwise."""
OPEN: dict[str, frozenset[str]] = {
    "message": frozenset({"accepted"}), "intake": frozenset({"new"}), "quarantine": frozenset({"waiting", "corrected"}),
    "delivery": frozenset({"pending", "sending", "unknown", "quarantined"}),
}  # fmt: skip
"""States in which something would be done with a row."""
OF: dict[str, tuple[str, str]] = {
    "messages": ("accepted_at", "subject"), "raw": ("received_at", "id"), "attempts": ("finished_at", "delivery_id"),
    "cases": ("opened_at", "subject"),
}  # fmt: skip
"""Kind -> the columns that time and subject are told by; of raw records and attempts through the store's other rows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a part is asked for; None: all."""

    since: datetime | None = None
    until: datetime | None = None
    """Not included."""
    subject: str | None = None

    @classmethod
    def read(cls, since: Any, until: Any, subject: Any) -> Wanted:
        """Return what somebody wrote. Raises BadInputError."""
        return cls(_instant("since", since), _instant("until", until), str(subject) if subject else None)

    @property
    def all(self) -> bool:
        """Whether everything is asked for."""
        return self.since is None and self.until is None and self.subject is None

    def told(self, asked_by: str) -> dict[str, Any]:
        """Return it as the table keeps it."""
        found = {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }
        return found | {"asked_by": asked_by}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Wanted:
        """Read what the table keeps."""
        since, until = (datetime.fromisoformat(told[name]) if told[name] else None for name in ("since", "until"))
        return cls(since, until, told["subject"])


def how_long(given: Any) -> timedelta:
    """Return for how long rows are to stay that are put back. Raises BadInputError."""
    try:
        kept = parse_duration(given) if given else KEPT
    except ValueError as error:
        raise BadInputError(f"keep: {error}") from None
    if not timedelta(0) < kept <= LONGEST:
        raise BadInputError(
            f"keep: {format_duration(kept)} is not between a second and a hundred years; write for instance 30d"
        )
    return kept


def _instant(name: str, given: Any) -> datetime | None:
    if not given:
        return None
    try:
        found = datetime.fromisoformat(str(given))
    except ValueError:
        raise BadInputError(f"{name}: {given!r} is not an instant; write it as 2026-03-02T09:00:00Z") from None
    if found.tzinfo is None:
        raise BadInputError(f"{name}: {given!r} has no zone, so nobody knows which instant it is; add Z or an offset")
    return found


@dataclass(slots=True)
class PutBack:
    """What was put back of one part."""

    rows: Counter[str] = field(default_factory=Counter)
    """By table, without those that were there."""
    there: int = 0
    """Rows that were there already."""

    def told(self, state: str, at: datetime, error: str = "") -> dict[str, Any]:
        """Return it as the table keeps it. `state`: done, stopped (the rest follows with the next run) or failed."""
        return {"at": at.isoformat(), "state": state, "rows": dict(self.rows), "there": self.there, "error": error}


class Restorer:
    """Puts parts back, in small transactions beside the traffic."""

    def __init__(self, store: Store, clock: Clock, registry: Registry, stopping: threading.Event | None = None) -> None:
        self._store, self._clock, self._registry = store, clock, registry
        self._turns = Turns(store, clock, stopping or threading.Event())

    def ask(self, uri: str, wanted: Wanted, kept: timedelta, actor: str) -> str:
        """Note that a part is to be put back and for how long; `run` does it. Return the id of its row.

        Raises BadInputError for a place that is no archive of a policy or holds no part, ConflictError while the part's rows are being
        deleted, UnavailableError when the archive does not answer.
        """
        uri = uri.rstrip("/").removesuffix(f"/{MANIFEST}")
        place = self._known(uri)
        found = part.read_manifest(place)
        if found is None:
            raise BadInputError(f"there is no part of an archive at {uri}; list them with `trueup ledger parts`")
        asked, until = wanted.told(actor), self._clock.now() + kept
        with self._store.write() as connection:
            row = records.find(connection, uri)
            if row is None:
                row = records.begin(connection, self._clock, **records.adopted(found[0], uri))
            elif row.state != "done":
                raise ConflictError(f"the rows of {uri} are being deleted just now; ask again when it is done")
            records.change(connection, row.id, restored_until=until, restore=asked, restored=None)
            audit.record(
                connection, self._clock, actor=actor, action="ledger.restore", subject=f"archive/{row.id}",
                after=asked | {"uri": uri, "kept_until": until.isoformat()},
            )  # fmt: skip
        return str(row.id)

    def _known(self, uri: str) -> Place:
        """Only what policy names as an archive, or what was archived from here, is opened."""
        domains = self._registry.snapshot().domains.values()
        archives = sorted({domain.spec.retention.archive for domain in domains} - {""})
        with self._store.read() as connection:
            recorded = records.find(connection, uri)
        if recorded is None and not inside(uri, archives):
            raise BadInputError(
                f"{uri} lies in no archive that a Domain policy names ({', '.join(archives) or 'none does'}); copy the part "
                "into one, keeping its folders"
            )
        return Place(uri)

    def run(self) -> dict[str, Any]:
        """Put back all that was asked for; return the rows by table, and how many were there already, of all parts together.

        What came of each part stands in its own row (`restored`). Raises BadInputError for a part that is damaged: nothing of it is
        put back, and the wish is dropped; UnavailableError when an archive does not answer: the wish stays for the next run. The
        other parts are put back all the same. A wish that the end of the process cut short stays, too.
        """
        with self._store.read() as connection:
            rows = records.asked(connection)
        put, there, faults = Counter[str](), 0, list[TrueupError]()
        for row in rows:
            if self._turns.stopped:
                break
            one = PutBack()
            try:
                self._put_back(row, one)
            except TrueupError as error:
                faults.append(error)
                self._failed(row, one, error)
            else:
                self._ended(row, one)
            put += one.rows
            there += one.there
        if faults:
            raise faults[0]
        return {"parts": len(rows), "rows": dict(put), "there": there}

    def _ended(self, row: Row[Any], one: PutBack) -> None:
        now = self._clock.now()
        if self._turns.stopped:
            self._note(row, restored=one.told("stopped", now))
        else:
            self._note(row, restore=None, restored=one.told("done", now))

    def _failed(self, row: Row[Any], one: PutBack, error: TrueupError) -> None:
        told = one.told("failed", self._clock.now(), str(error))
        if isinstance(error, BadInputError):
            self._note(row, restore=None, restored_until=None, restored=told)
        else:
            self._note(row, restored=told)

    def _note(self, row: Row[Any], **values: Any) -> None:
        with self._store.write() as connection:
            records.change(connection, row.id, **values)

    def _put_back(self, row: Row[Any], so_far: PutBack) -> None:
        place = Place(row.uri)
        manifest, _ = part.verified(place, row.sha256)
        for table in _tables(manifest):
            _check(place, manifest, table)
        wanted = self._ids(place, manifest, Wanted.of(row.restore))
        for table in _tables(manifest):
            for rows in self._portions(place, table, manifest, wanted):
                if self._turns.stopped:
                    return
                if table is t.message:  # an older part has another form of it
                    rows = [row | {"fingerprint": fact(row["source"], row["dedupe_key"])} for row in rows]
                with self._turns.turn() as connection:
                    went_in = columns.insert(connection, table, rows)
                so_far.rows[table.name] += went_in
                so_far.there += len(rows) - went_in

    def _portions(
        self, place: Place, table: Table, manifest: Manifest, wanted: set[str] | None
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield rows as many as fit into the next transaction."""
        portion: list[dict[str, Any]] = []
        size = 0
        for one in _rows(place, table, manifest):
            if wanted is not None and one["id"] not in wanted:
                continue
            portion.append(one)
            size += columns.size(list(one.values()))
            if len(portion) >= self._turns.size or size >= TURN_BYTES:
                yield portion
                portion, size = [], 0
        if portion:
            yield portion

    def _ids(self, place: Place, manifest: Manifest, wanted: Wanted) -> set[str] | None:
        """Return the ids of all rows that are asked for; None: all."""
        if wanted.all:
            return None
        at, about = OF[manifest.kind]
        chosen = [
            (identity, subject)
            for identity, when, subject in part.rows(place, manifest, ROOT[manifest.kind], "id", at, about)
            if (wanted.since is None or when >= wanted.since) and (wanted.until is None or when < wanted.until)
        ]
        if wanted.subject is not None:
            chosen = self._about(manifest, chosen, wanted.subject)
        roots = {identity for identity, _ in chosen}
        return {identity for one in kept_in(place, manifest) if one.root in roots for identity in one.ids()}

    def _about(self, manifest: Manifest, chosen: Sequence[tuple[str, str]], subject: str) -> list[tuple[str, str]]:
        if manifest.kind in ("messages", "cases"):
            return [one for one in chosen if one[1] == subject]
        m, d = t.message.c, t.delivery.c
        raw = manifest.kind == "raw"
        query = select(m.intake_id).where(m.subject == subject) if raw else select(d.id).where(d.subject == subject)
        key = m.intake_id if raw else d.id
        found: set[str] = set()
        for start in range(0, len(chosen), 500):
            some = [other for _, other in chosen[start : start + 500]]
            with self._store.read() as connection:
                found |= set(connection.execute(query.where(key.in_(some))).scalars())
        return [one for one in chosen if one[1] in found]


def _tables(manifest: Manifest) -> list[Table]:
    return [TABLES[file.table] for file in manifest.files]


def _check(place: Place, manifest: Manifest, table: Table) -> None:
    """Raise BadInputError when a file is not of this schema, or holds rows that something would be done with."""
    for file in manifest.files:
        if file.table == table.name:
            columns.check(table, part.schema(place, file))
    if table.name in OPEN:
        for identity, state in part.rows(place, manifest, table, "id", "state"):
            if state in OPEN[table.name]:
                raise BadInputError(
                    f"{place.uri} holds {table.name} {identity} in the state '{state}', which is no history; "
                    "it was not written by `trueup ledger archive`"
                )


def _rows(place: Place, table: Table, manifest: Manifest) -> Iterable[dict[str, Any]]:
    for file in manifest.files:
        if file.table == table.name:
            for found in part.batches(place, file):
                yield from columns.rows_of(found)
