"""A replay goes through the ledger stretch by stretch, each in one short transaction.

It moves the replay's place, counts what became of the messages, and writes what is owed of them, together: killed at any
instant the replay goes on where it was, and nothing is done twice. It takes the lock under which messages are routed, so a
message is either routed before it is looked at, or later, as live traffic, by policies that are no older. What it writes takes
the way of all deliveries: same keys, order, limits, breaker and pauses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from controlplane import audit
from controlplane.clock import Clock
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.locks import lock_books, lock_targets
from controlplane.store.types import MICROSECOND
from controlplane.sync.engines.judging import Judge, Scope, Verdict
from controlplane.sync.engines.reopening import Again, reopen
from controlplane.sync.ledger.scan import Place, Stretch, Wanted, stretch
from controlplane.sync.processes.contract import Work
from controlplane.sync.routing import emit, owed
from rules import replay as rule
from rules.outcomes import Guarantee
from rules.policy.kinds import Flow
from rules.replay import Became

CHUNK = 100
"""Messages that one transaction looks at, at most."""
TOGETHER = 10
"""Messages that are judged together: after each such group it is seen whether there is time for another."""
TURN = 0.012
"""Wall seconds after which a transaction takes up no more messages: it stays under 20 ms."""
Counts = dict[str, dict[str, int]]
"""Target -> outcome -> how many messages."""


@dataclass(frozen=True, slots=True)
class CameTo:
    """What one stretch came to."""

    looked_at: int = 0
    goes_on: bool = False
    """More can be done now."""


@dataclass(slots=True)
class _Decided:
    place: Place | None
    paced_until: datetime | None
    counts: Counts
    verdicts: list[Verdict] = field(default_factory=list)
    """Those that are not written yet."""
    looked_at: int = 0
    full: bool = False
    """Enough is written ahead; the rest waits for time to pass."""


def some(
    store: Store,
    clock: Clock,
    seen: Row[Any],
    flow: Flow | None,
    work_in: Callable[[Connection], Work],
    guarantee: Callable[[str, str], Guarantee],
) -> CameTo:
    """Do the next stretch of a replay as it was `seen`; nothing when somebody else has gone on with it since."""
    with store.read() as connection:
        found = _next(connection, flow, seen) if flow else None
    with store.write() as connection:
        lock_books(connection)
        row = row_of(connection, seen.id)
        if row is None or row.state != "running" or (row.cursor, row.cursor_at) != (seen.cursor, seen.cursor_at):
            return CameTo()
        if flow is None or found is None:
            end(connection, clock, row.id, "plane", f"the flow '{row.flow}' is not in the registry any more")
            return CameTo()
        scope = Scope(row.id, flow, row.target, row.force)
        lock_targets(connection, scope.targets, alone=True)
        work = work_in(connection)
        decided = _decide(work, Judge(work, scope, guarantee), row, found)
        _keep(work, row, decided, done=found.last is None)
    return CameTo(decided.looked_at, goes_on=not decided.full and found.last is not None)


def _next(connection: Connection, flow: Flow, row: Row[Any]) -> Stretch:
    return stretch(connection, wanted_of(flow, row.since, row.until, row.subject), _place(row), CHUNK)


def _decide(work: Work, judge: Judge, row: Row[Any], found: Stretch) -> _Decided:
    """Judge and write group after group, each message that is sent at its time, until time or pace is used up."""
    began, decided = work.clock.stopwatch(), _Decided(_place(row), row.paced_until, _counts(row))
    for start in range(0, len(found.places), TOGETHER):
        group = found.places[start : start + TOGETHER]
        judged = judge.judge(group)
        for place in group:
            if not _take(work, decided, row, place, judged.get(place.id, [])):
                break
        _write(work, row, decided)
        if decided.full or (work.clock.stopwatch() - began) * work.clock.pace > TURN:
            return decided
    decided.place = found.last or decided.place
    return decided


def _take(work: Work, decided: _Decided, row: Row[Any], place: Place, verdicts: list[Verdict]) -> bool:
    """Take a message up; say no where it would have to be due later than may be written ahead."""
    if any(verdict.became in rule.CHANGES for verdict in verdicts):
        now = work.clock.now()
        at = rule.slot(decided.paced_until, row.rate, now)
        if at is None:
            decided.full = True
            return False
        decided.paced_until = rule.after_slot(at, row.rate)
        _schedule(verdicts, at - now)
    decided.verdicts += verdicts
    decided.looked_at += 1
    decided.place = place
    return True


def _schedule(verdicts: Sequence[Verdict], later: timedelta) -> None:
    """Let what is owed be due later than now, its budget and promise with it."""
    for verdict in verdicts:
        if verdict.owed is not None:
            for name in ("due_at", "deadline_at", "promise_at"):
                verdict.owed.row[name] += later // MICROSECOND


def _write(work: Work, row: Row[Any], decided: _Decided) -> None:
    """Write what the verdicts ask for, and count them as they turned out."""
    verdicts, decided.verdicts = decided.verdicts, []
    again = [Again(one.delivery, one.owed) for one in verdicts if one.delivery is not None and one.owed is not None]
    opened = reopen(work, again, row.asked_by, row.id)
    new = [one.owed for one in verdicts if one.owed is not None and one.delivery is None]
    owed.write(work.connection, new, work.clock.now())
    for one in verdicts:
        if one.draft is not None and one.cause is not None:
            emit(work, one.draft, one.cause.trace_id, one.message_id)
    count(decided.counts, [_turned_out(one, opened) for one in verdicts])


def _turned_out(one: Verdict, opened: set[str]) -> Verdict:
    if one.owed is None or one.delivery is None or one.delivery.id in opened:
        return one
    return Verdict(one.message_id, one.subject, one.target, Became.UNDER_WAY)


def _counts(row: Row[Any]) -> Counts:
    return {target: dict(each) for target, each in row.counts.items()}


def _keep(work: Work, row: Row[Any], decided: _Decided, *, done: bool) -> None:
    values: dict[str, Any] = {"counts": decided.counts, "paced_until": decided.paced_until}
    if decided.place:
        values |= {"cursor": decided.place.id, "cursor_at": decided.place.at}
    if done:
        values |= {"state": "done", "finished_at": work.clock.now()}
    work.connection.execute(update(t.replay).where(t.replay.c.id == row.id).values(**values))


# --- for all who deal with replays ---


def row_of(connection: Connection, replay_id: str) -> Row[Any] | None:
    """Return the row of a replay, or None."""
    return connection.execute(select(t.replay).where(t.replay.c.id == replay_id)).one_or_none()


def end(connection: Connection, clock: Clock, replay_id: str, actor: str, reason: str) -> None:
    """Cancel a replay that is running."""
    ended = update(t.replay).where(t.replay.c.id == replay_id)
    connection.execute(ended.values(state="cancelled", finished_at=clock.now()))
    audit.record(connection, clock, actor=actor, action="replay.cancel", subject=f"replay/{replay_id}", reason=reason)


def wanted_of(flow: Flow, since: datetime, until: datetime, subject: str | None) -> Wanted:
    """Return which messages of the ledger a replay of a flow is about."""
    return Wanted(flow.spec.source, flow.spec.message_types, since, until, subject)


def count(counts: Counts, verdicts: Sequence[Verdict]) -> None:
    """Add verdicts to the counts."""
    found = Counter((verdict.target, verdict.became.value) for verdict in verdicts)
    for (target, became), number in found.items():
        mine = counts.setdefault(target, {})
        mine[became] = mine.get(became, 0) + number


def _place(row: Row[Any]) -> Place | None:
    return Place(row.cursor_at, row.cursor) if row.cursor else None
