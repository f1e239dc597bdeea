"""Findings live: suspected, open, healing, accepted, healed or closed. A vanished key or an unread side closes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from controlplane.clock import Clock
from controlplane.errors import ConflictError, NotFoundError
from controlplane.health.observations.comparison import Compared, Judged
from controlplane.store import tables as t
from rules.comparison.explain import CERTAIN, Cause, Finding
from rules.comparison.moves import may_add_up
from rules.comparison.value import distance, kept
from rules.ids import new_id

LIVE = ("suspected", "open", "healing", "accepted")
OPEN = ("open", "healing")
"""Confirmed, and nobody has said that it may stay so."""
TOGETHER = 500
"""Rows that one statement names."""
PUT_OFF = "put_off"
"""Key of a suspicion's evidence: its confirmation was put off."""
SHOWN_BY_ONE = (Cause.CHANGED_AT_TARGET, Cause.UNIT)
"""What the side's own row shows."""
SHOWN_BY_ROWS = (*SHOWN_BY_ONE, Cause.NEVER_RECEIVED)
MANY = 12
"""Effects on one key of which all sums are tried."""
Place = tuple[str, str, str, str]
"""Subject, side, field, cause."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a comparison changed."""

    opened: tuple[str, ...]
    closed: tuple[str, ...]
    confirmed: frozenset[str]
    """Subjects that drift by a confirmed finding, now that all is settled."""
    accepted: frozenset[str] = frozenset()
    """Subjects of which every confirmed finding is accepted."""


def live(connection: Connection, comparison: str, subjects: Sequence[str] | None = None) -> dict[Place, Row[Any]]:
    """Return the findings of a comparison, or those of some subjects, that are not settled, by place."""
    c = t.finding.c
    mine = select(t.finding).where(c.comparison == comparison, c.state.in_(LIVE))
    some = [mine] if subjects is None else [mine.where(c.subject.in_(part)) for part in _parts(subjects)]
    rows = [row for query in some for row in connection.execute(query)]
    return {(row.subject, row.side, row.field, row.cause): row for row in rows}


def _parts(whole: Sequence[str]) -> Iterator[Sequence[str]]:
    return (whole[at : at + TOGETHER] for at in range(0, len(whole), TOGETHER))


def suspected(connection: Connection) -> frozenset[str]:
    """Return the comparisons that suspect something, or have healing to verify."""
    c = t.finding.c
    query = select(c.comparison).where(c.state.in_(("suspected", "healing"))).distinct()
    return frozenset(connection.execute(query).scalars())


def ripe_from(connection: Connection, since: datetime, promises: Mapping[str, timedelta]) -> dict[str, datetime]:
    """Return comparison -> when the next of its suspicions has stood for its promise, of those for which that is at `since` or later."""
    c = t.finding.c
    found = {}
    for name, promise in promises.items():
        mine = (c.comparison == name, c.state == "suspected", c.first_seen_at >= since - promise)
        first = connection.execute(select(func.min(c.first_seen_at)).where(*mine)).scalar()
        if first is not None:
            found[name] = first + promise
    return found


def waiting_subjects(
    connection: Connection, clock: Clock, comparison: str, age: timedelta, *, healed: bool = True
) -> list[str]:
    """Return the subjects whose suspicion is old enough to be confirmed, and with `healed` those whose healing has to be verified."""
    c = t.finding.c
    old = and_(c.state == "suspected", c.first_seen_at <= clock.now() - age)
    wanted = or_(c.state == "healing", old) if healed else old
    query = select(c.subject).where(c.comparison == comparison, wanted).distinct()
    return sorted(connection.execute(query).scalars())


def settle(
    connection: Connection,
    clock: Clock,
    comparison: str,
    run_id: str,
    compared: Compared,
    promise: timedelta,
    version: int,
) -> Settled:
    """Hold what was found against what is known: open, confirm, close. Returns the ids that opened and closed."""
    known = live(connection, comparison, [one.subject for one in compared.judged] if compared.partial else None)
    by_subject: dict[str, dict[Place, Row[Any]]] = {}
    for place, row in known.items():
        by_subject.setdefault(row.subject, {})[place] = row
    desk = _Desk(connection, clock, comparison, run_id, promise, version)
    opened: list[str] = []
    for judged in compared.judged:
        mine = by_subject.get(judged.subject, {})
        for finding in judged.findings:
            place = (judged.subject, finding.side, finding.field, str(finding.cause))
            if finding.is_drift and desk.note(judged, finding, mine.get(place)):
                opened.append(desk.last)
        desk.close(judged, mine)
    closed = desk.put_closed()
    after = _confirmed(connection, comparison)
    open_ = frozenset(subject for subject, state in after if state in OPEN)
    accepted = frozenset(subject for subject, state in after if state == "accepted") - open_
    return Settled(tuple(opened), tuple(closed), open_ | accepted, accepted)


def _confirmed(connection: Connection, comparison: str) -> Sequence[tuple[str, str]]:
    c = t.finding.c
    query = select(c.subject, c.state).where(c.comparison == comparison, c.state.in_((*OPEN, "accepted")))
    return [(row.subject, row.state) for row in connection.execute(query)]


def tell(connection: Connection, clock: Clock, finding_id: str, kind: str, actor: str, note: str = "") -> None:
    """Note a step of a finding's life."""
    now = clock.now()
    row = {"id": new_id(now), "finding_id": finding_id, "at": now, "kind": kind, "actor": actor, "note": note}
    connection.execute(insert(t.finding_event).values(**row))


def accept(connection: Connection, clock: Clock, finding_id: str, actor: str, note: str) -> None:
    """Live with a difference as it is: it is open again as soon as it moves. Raises NotFoundError, ConflictError."""
    row = get(connection, finding_id)
    if row.state not in ("suspected", "open"):
        raise ConflictError(
            f"finding '{finding_id}' is {row.state}; only one that is suspected or open can be accepted"
        )
    _put(connection, finding_id, {"state": "accepted", "accepted_by": actor, "note": note})
    tell(connection, clock, finding_id, "accepted", actor, note)


def reopen(connection: Connection, clock: Clock, finding_id: str, actor: str, note: str) -> None:
    """Take an acceptance back. Raises NotFoundError, ConflictError."""
    row = get(connection, finding_id)
    if row.state != "accepted":
        raise ConflictError(f"finding '{finding_id}' is {row.state}; only one that was accepted can be reopened")
    now = clock.now()
    confirmed = row.confirmed_at or now
    values = {"state": "open", "accepted_by": None, "note": None, "confirmed_at": confirmed, "changed_at": now}
    _put(connection, finding_id, values)
    tell(connection, clock, finding_id, "reopened", actor, note)


def get(connection: Connection, finding_id: str) -> Row[Any]:
    """Return a finding's row. Raises NotFoundError."""
    row = connection.execute(select(t.finding).where(t.finding.c.id == finding_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"no finding '{finding_id}'; list them with GET /api/v1/findings")
    return row


def _put(connection: Connection, finding_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(t.finding).where(t.finding.c.id == finding_id).values(**values))


class _Desk:
    """Writes findings of one run."""

    def __init__(
        self, connection: Connection, clock: Clock, comparison: str, run_id: str, promise: timedelta, version: int
    ) -> None:
        self.connection = connection
        self.clock = clock
        self.now = clock.now()
        self.comparison = comparison
        self.run_id = run_id
        self.promise = promise
        self.version = version
        self.last = ""
        self.closed: dict[str, list[str]] = {"closed": [], "healed": []}

    def note(self, judged: Judged, finding: Finding, row: Row[Any] | None) -> bool:
        """Write a drift down; say whether it has become an open finding by this."""
        values = self._values(judged, finding)
        if row is None:
            return self._first(judged, finding, values)
        self.last = row.id
        moved = row.evidence.get("basis") != values["evidence"]["basis"]
        if row.state == "suspected":
            anew = (moved and not self._grew(judged, finding, row)) or _closed_between(judged, finding, row)
            if not anew and self._is_put_off(judged, finding, row):
                return False
            seen = seen_at(judged, finding, self.now)
            earlier = not moved and finding.cause in SHOWN_BY_ONE and seen < row.first_seen_at
            return self._again(row, values, seen if anew or earlier else None)
        if moved:
            values |= {"changed_at": self.now}
        if row.state == "accepted":
            return self._accepted(row, values, moved)
        # what healing has not mended, or what drifted anew meanwhile, is open again: it is healed anew, and paged
        if row.state == "healing":
            self._tell("reopened", "it is still there after it was healed")
        elif moved:
            self._tell("moved", finding.explanation)
        _put(self.connection, row.id, values | {"state": "open"})
        return False

    def _first(self, judged: Judged, finding: Finding, values: dict[str, Any]) -> bool:
        certain = finding.cause in CERTAIN and finding.delivery_id is not None
        self.last = new_id(self.now)
        self.connection.execute(
            insert(t.finding).values(
                id=self.last, comparison=self.comparison, subject=judged.subject, field=finding.field,
                side=finding.side, cause=finding.cause, state="open" if certain else "suspected",
                first_seen_at=seen_at(judged, finding, self.now), confirmed_at=self.now if certain else None, **values,
            )
        )  # fmt: skip
        if certain:
            self._tell("opened", finding.explanation)
        return certain

    def _again(self, row: Row[Any], values: dict[str, Any], moved_at: datetime | None) -> bool:
        """Confirm a suspicion, or let it begin anew: what was seen first may have been what the ledger heard of since.

        `moved_at`: since when it is known instead. Before it was first seen where a reading that began earlier, and ended later, shows
        it too.
        """
        if moved_at is not None:
            _put(self.connection, row.id, values | {"first_seen_at": moved_at})
            return False
        if self.now - row.first_seen_at < self.promise:
            return False
        _put(self.connection, row.id, values | {"state": "open", "confirmed_at": self.now})
        self._tell("opened", values["explanation"])
        return True

    def _is_put_off(self, judged: Judged, finding: Finding, row: Row[Any]) -> bool:
        """Put a confirmation off, once and by half of the promise, where the source's row has changed since it was first seen.

        The gap that was seen first may have closed by itself, and what is told of the last change be on its way still.
        """
        ripe = self.now - row.first_seen_at >= self.promise
        if not ripe or PUT_OFF in row.evidence or not _changed_since(judged, finding, row):
            return False
        later = {"first_seen_at": self.now - self.promise / 2, "evidence": {**row.evidence, PUT_OFF: True}}
        _put(self.connection, row.id, later)
        return True

    def _grew(self, judged: Judged, finding: Finding, row: Row[Any]) -> bool:
        """Say whether what was changed at a target was only changed further: nothing heard or written since explains the first gap."""
        touched = judged.touched.get(finding.place)
        if finding.cause is not Cause.CHANGED_AT_TARGET or touched is None:
            return False
        return touched <= row.first_seen_at or not self._may_be_explained(row)

    def _may_be_explained(self, row: Row[Any]) -> bool:
        """Whether what the ledger heard or wrote of the key since it was first seen may be what it was off by then."""
        e = t.target_effect.c
        sku, _, location = row.subject.rpartition("@")
        since = select(e.cause, e.delta).where(
            e.system == row.side, e.field.in_(("available", "on_hand")), e.sku == sku, e.location == location,
            e.latest > row.first_seen_at,
        )  # fmt: skip
        effects = self.connection.execute(since.limit(MANY + 1)).all()
        if not effects or not isinstance(row.actual, int) or any(effect.cause != "event" for effect in effects):
            return True  # it was touched by what is not known, or by what put it right
        gaps = {row.actual - value for value in row.expected or () if isinstance(value, int)}
        return may_add_up([effect.delta for effect in effects], gaps, MANY)

    def _accepted(self, row: Row[Any], values: dict[str, Any], moved: bool) -> bool:
        if not moved:
            return False
        confirmed = row.confirmed_at or self.now
        gone = {"state": "open", "accepted_by": None, "note": None, "confirmed_at": confirmed}
        _put(self.connection, row.id, values | gone)
        self._tell("reopened", f"it moved since {row.accepted_by} accepted it: {values['explanation']}")
        return True

    def _tell(self, kind: str, note: str) -> None:
        tell(self.connection, self.clock, self.last, kind, self.comparison, note)

    def _values(self, judged: Judged, finding: Finding) -> dict[str, Any]:
        evidence = {**judged.evidence, "basis": judged.basis.get(finding.place, "")}
        return {
            "expected": [kept(value) for value in finding.expected], "actual": kept(finding.actual),
            "explanation": finding.explanation, "evidence": evidence, "message_id": finding.message_id,
            "money": _money(judged, finding), "currency": judged.currency, "run_id": self.run_id,
            "registry_version": self.version,
        }  # fmt: skip

    def close(self, judged: Judged, known: dict[Place, Row[Any]]) -> None:
        """Note what this reading disproves; `put_closed` closes it."""
        verdicts = {(finding.side, finding.field): finding for finding in judged.findings}
        for (_, side, field, cause), row in known.items():
            finding = verdicts.get((side, field))
            if finding and _disproves(finding, cause, row.state):
                self.closed["closed" if row.state == "suspected" else "healed"].append(row.id)
                self.last = row.id
                if row.state != "suspected":
                    self._tell("healed", finding.explanation)

    def put_closed(self) -> list[str]:
        """Close all that the readings disprove, in a few statements; return the ids."""
        for state, ids in self.closed.items():
            for part in _parts(ids):
                mine = update(t.finding).where(t.finding.c.id.in_(part))
                self.connection.execute(mine.values(state=state, closed_at=self.now))
        return [one for ids in self.closed.values() for one in ids]


def _closed_between(judged: Judged, finding: Finding, row: Row[Any]) -> bool:
    """Whether the gap at the source that was seen first may be closed, and this another: the ledger has heard of the key since that
    row was read, be it before it was judged, and the source shows another row by now.
    """
    heard = judged.touched.get(finding.side)
    return heard is not None and heard > row.first_seen_at and _changed_since(judged, finding, row)


def _changed_since(judged: Judged, finding: Finding, row: Row[Any]) -> bool:
    """Whether the source's own row is another than when it was first seen, by the version that the source gives it.

    One that is dated by the very instant of its reading has none.
    """
    if finding.cause is not Cause.NEVER_RECEIVED or finding.side != judged.source:
        return False
    before, now = ((one.get("read") or {}).get(finding.side) or {} for one in (row.evidence, judged.evidence))
    return now.get("source_at") not in (before.get("source_at"), now.get("read_from"))


def seen_at(judged: Judged, finding: Finding, now: datetime) -> datetime:
    """Return since when the difference is known to be there: when the rows that show it were read, not when all had been."""
    if finding.cause is Cause.MISSING:
        return min(now, judged.read_at.get(finding.side, now))
    if finding.cause not in SHOWN_BY_ROWS:
        return now
    rows = [level for level in judged.levels.values() if level is not None]
    own = judged.levels.get(finding.side)
    alone = finding.cause in SHOWN_BY_ONE or finding.side == judged.source
    shown = [own] if own is not None and alone else rows
    return min(now, max((level.read_to for level in shown), default=now))


def _disproves(finding: Finding, cause: str, state: str) -> bool:
    if finding.cause is Cause.INDETERMINATE or finding.cause == cause:
        return False
    in_flight_explains = state == "suspected" and finding.delivery_id is not None
    return finding.cause is not Cause.IN_FLIGHT or in_flight_explains


def _money(judged: Judged, finding: Finding) -> Decimal | None:
    if judged.unit_value is None:
        return None
    if finding.whole:
        return judged.unit_value
    units = distance(finding.actual, finding.expected)
    return None if units is None else judged.unit_value * units
