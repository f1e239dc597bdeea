"""What may go: old, finished, and not the last that is known of anything. Asked when rows are chosen, and again as they are deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    null,
    or_,
    select,
    text,
    tuple_,
)

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.sync.ledger.archive.part import ROOT, Kind
from controlplane.sync.ledger.archive.scopes import Scope
from rules.model.messages import STATE_LIKE, STATE_OF

PAGE = 1000
"""Rows that are looked at in one read."""
AT: dict[Kind, Any] = {
    "raw": t.intake.c.received_at, "attempts": t.attempt.c.finished_at, "messages": t.message.c.accepted_at,
    "cases": t.quarantine.c.closed_at,
}  # fmt: skip
"""What tells the age of a row, in an index where there are many."""
Condition = ColumnElement[bool]
Position = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Guard:
    """What stays however old it is: rows that were put back by hand, and messages that a replay goes through."""

    restored: tuple[tuple[str, str, str], ...]
    """Kind, first and last id of the parts that were put back."""
    replayed: Condition
    """Messages that a running replay covers."""

    @classmethod
    def of(cls, connection: Connection, snapshot: Snapshot, now: datetime) -> Guard:
        """Return what has to stay at this moment."""
        a, r = t.archive.c, t.replay.c
        back = connection.execute(select(a.kind, a.from_id, a.to_id).where(a.restored_until > now)).all()
        running = connection.execute(select(t.replay).where(r.state == "running")).all()
        return cls(tuple((row.kind, row.from_id, row.to_id) for row in back), _covered(running, snapshot))

    def put_back(self, kind: Kind, column: Any) -> Condition:
        """Return a condition: the row with this id was put back by hand."""
        return or_(false(), *(column.between(first, last) for of, first, last in self.restored if of == kind))


def _covered(running: Iterable[Row[Any]], snapshot: Snapshot) -> Condition:
    m = t.message.c
    covered: list[Condition] = [false()]
    for row in running:
        terms: list[Condition] = [m.accepted_at >= row.since, m.accepted_at < row.until]
        if row.subject is not None:
            terms.append(m.subject == row.subject)
        flow = snapshot.flows.get(row.flow)
        if flow is not None:  # of a flow that is gone nobody knows what it carried: all of that time stays
            terms += [m.source == flow.spec.source, m.type.in_(flow.spec.message_types)]
        covered.append(and_(*terms))
    return or_(*covered)


# --- in which order rows are looked at ---


def candidates(connection: Connection, scope: Scope, after: Position | None) -> Sequence[Row[Any, Any, Any]]:
    """Return id, time and size in bytes of the next old rows of a scope, whether finished or not; empty at the end."""
    key, at = ROOT[scope.kind].c.id, AT[scope.kind]
    size = func.length(t.intake.c.body) if scope.kind == "raw" else literal(0)
    query = select(key, at.label("at"), size.label("size")).where(scope.where, at < scope.cutoff)
    if after is not None:
        query = query.where(at >= after[0], tuple_(at, key) > tuple_(literal(after[0], at.type), literal(after[1])))
    return connection.execute(query.order_by(at, key).limit(PAGE)).all()


# --- which of them may go ---


def finished(connection: Connection, kind: Kind, ids: Sequence[str], cutoff: datetime, guard: Guard) -> set[str]:
    """Return those of the rows with which nothing is left to do, all that happened to them lying before the cutoff."""
    key = ROOT[kind].c.id
    stays = or_(AT[kind].is_(None), AT[kind] >= cutoff, guard.put_back(kind, key), *_Stays(cutoff, guard).of(kind))
    found = set(connection.execute(select(key).where(key.in_(ids), ~stays)).scalars())
    return found - _newest(connection, found) if kind == "messages" else found


@dataclass(frozen=True, slots=True)
class _Stays:
    """What keeps a row of each kind."""

    cutoff: datetime
    guard: Guard

    def of(self, kind: Kind) -> list[Condition]:
        """Return conditions, each of which is enough."""
        found: list[Condition] = getattr(self, kind)()
        return found

    def attempts(self) -> list[Condition]:
        """Tries at what is owed still: they tell whether it may have taken effect."""
        a, d = t.attempt.c, t.delivery.c
        owed = or_(t.is_open, self.guard.put_back("messages", d.message_id))
        return [exists().where(d.id == a.delivery_id, owed)]

    def raw(self) -> list[Condition]:
        """Records that are not understood yet, or of which somebody or something still has to take care."""
        i, m, d, q = t.intake.c, t.message.c, t.delivery.c, t.quarantine.c
        owed = exists().where(d.message_id == m.id, t.is_open)
        held = exists().where(q.message_id == m.id, q.closed_at.is_(None))
        return [
            i.state == "new",
            exists().where(q.intake_id == i.id, q.closed_at.is_(None)),
            exists().where(m.intake_id == i.id, or_(m.state == "accepted", owed, held)),
        ]

    def messages(self) -> list[Condition]:
        """Messages that something is owed for or waits with, and those that say the last at a target."""
        m, d, q = t.message.c, t.delivery.c, t.quarantine.c
        later = t.delivery.alias("later")
        same = (later.c.target == d.target, later.c.order_key == d.order_key, later.c.entity == d.entity)
        last = ~exists().where(*same, text("later.coalesce"), later.c.id > d.id).correlate(t.delivery)
        owed = or_(t.is_open, d.finished_at.is_(None), d.finished_at >= self.cutoff)
        waits = or_(q.closed_at.is_(None), q.closed_at >= self.cutoff)
        return [
            m.state == "accepted",
            self.guard.replayed,
            exists().where(d.message_id == m.id, owed),
            exists().where(d.message_id == m.id, text("delivery.coalesce"), last),
            exists().where(q.message_id == m.id, waits),
            exists().where(d.message_id == m.id, q.delivery_id == d.id, waits),
        ]

    def cases(self) -> list[Condition]:
        """Cases of a message: they go with it."""
        q = t.quarantine.c
        return [q.message_id.is_not(None), q.delivery_id.is_not(None)]


def _newest(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Return those of the messages that are the last about a state: of them something else is still derived."""
    m = t.message.c
    states = select(m.id, m.type, m.source, m.subject).where(m.id.in_(list(ids)), m.type.in_(sorted(STATE_LIKE)))
    last: dict[tuple[str, ...], str] = {}
    for row in connection.execute(states.add_columns(_part_of_key()).order_by(m.id)):
        last[tuple(row[1:])] = row.id
    newer = t.message.alias("newer")
    same = (newer.c.subject == m.subject, newer.c.type == m.type, newer.c.source == m.source, newer.c.id > m.id)
    followed = exists().where(*same, _part_of_key(newer.c).is_not_distinct_from(_part_of_key())).correlate(t.message)
    # only the last of each key is looked up: the others are followed by it
    return set(connection.execute(select(m.id).where(m.id.in_(list(last.values())), ~followed)).scalars())


def _part_of_key(columns: Any = t.message.c) -> ColumnElement[Any]:
    """What of a message's data belongs to the key of its state, or NULL."""
    found: ColumnElement[Any] = null()
    for kind, name in STATE_OF.items():
        found = case((columns.type == kind, columns.data[name].as_string()), else_=found)
    return found
