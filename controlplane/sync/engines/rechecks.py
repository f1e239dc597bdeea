"""Look once more, long after, for what was read back as absent and written again: its first write may have taken effect since.

No wait is long enough for every vendor, so what cannot be prevented is found out: some time after it was delivered the document is read
back again, twice, and where its target shows two of it, a person is told of both (`delivery.twice`). Only documents, only on targets
that can be asked, a few of a target at a time, and none while it is paused or asks to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, join, literal_column, or_, select

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Write
from controlplane.errors import TrueupError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery import systems, twice
from controlplane.sync.delivery.send import business_ref
from controlplane.sync.processes.contract import Work
from rules.doubt import LONGEST_LOOK, LOOKS, READ_BACK, look_again_after
from rules.ids import new_id
from rules.outcomes import DONE, REPEATABLE, Guarantee, Outcome

log = structlog.get_logger()
AT_ONCE = 20
"""Documents of one target that are looked up in one run."""
TOLD = DONE | REPEATABLE
"""Outcomes that say something; after others it is looked again with the next run."""


class Rechecks:
    """Finds out what took effect twice."""

    def __init__(
        self, store: Store, clock: Clock, connections: Connections, work: Callable[[Connection], Work]
    ) -> None:
        self._store, self._clock, self._connections, self._work = store, clock, connections, work

    def run(self) -> dict[str, int]:
        """Look up what is due; return how many documents were looked up, and how many there are twice."""
        looked = found = 0
        for target, looks in self._waiting().items():
            for row in self._due(target, looks):
                outcome = self._read_back(row)
                if outcome is None or outcome.result not in TOLD:
                    break  # it does not answer now: the next run asks again
                looked += 1
                found += self._note(row, outcome)
        return {"looked": looked, "twice": found}

    def _waiting(self) -> dict[str, dict[str, timedelta]]:
        """Return the targets that may be asked, with the late-effect time of each of their entities that something may be due of."""
        d, now = t.delivery.c, self._clock.now()
        found: dict[str, dict[str, timedelta]] = {}
        with self._store.read() as connection:
            kinds = connection.execute(
                select(d.target, d.entity).select_from(_WRITTEN_AGAIN).where(*_absent(now)).distinct()
            )
            for target, entity in kinds.all():
                late = self._late_effect(target, entity)
                if late is not None and not _rests(systems.state_of(connection, target), now):
                    found.setdefault(target, {})[entity] = late
        return found

    def _late_effect(self, target: str, entity: str) -> timedelta | None:
        """How late a write of an entity may take effect; None where nobody can look for it, or need not."""
        try:
            spec = self._connections.get(target).manifest.write_spec(entity)
        except TrueupError:  # policy knows it no longer, or its secret is gone
            return None
        return timedelta(seconds=spec.late_effect) if spec.guarantee is Guarantee.READABLE else None

    def _due(self, target: str, late: dict[str, timedelta]) -> list[Row[Any]]:
        """Return what is to be looked up now of a target, longest absent first: what is not due, or of others, takes no place."""
        a, d, later = t.attempt.c, t.delivery.c, t.attempt.alias("later")
        looks = (
            select(func.count()).select_from(later)
            .where(later.c.delivery_id == d.id, later.c.kind == READ_BACK, later.c.finished_at > d.finished_at)
            .scalar_subquery()
        )  # fmt: skip
        now, absent = self._clock.now(), func.max(a.finished_at)
        is_due = [
            and_(d.entity == entity, looks == number, absent <= now - look_again_after(each, number))
            for entity, each in late.items() for number in range(len(LOOKS))
        ]  # fmt: skip
        query = (
            select(t.delivery).select_from(_WRITTEN_AGAIN).where(*_absent(now), d.target == target)
            .group_by(*t.delivery.columns).having(or_(*is_due)).order_by(absent).limit(AT_ONCE)
        )  # fmt: skip
        with self._store.read() as connection:
            return list(connection.execute(query))

    def _read_back(self, row: Row[Any]) -> Outcome | None:
        key = row.sent_key or row.idempotency_key
        ref = business_ref(row.payload, row.subject)
        write = Write(row.entity, row.subject, key, row.payload, ref, owed_since=row.created_at)
        try:
            return self._connections.get(row.target).read_back(write)
        except Exception as error:  # noqa: BLE001 - a defect of a plugin is no reason to look at nothing else
            log.warning("what was delivered could not be looked up again", target=row.target, error=str(error))
            return None

    def _note(self, row: Row[Any], outcome: Outcome) -> bool:
        now = self._clock.now()
        attempt = {
            "id": new_id(now), "delivery_id": row.id, "number": row.attempts, "kind": READ_BACK, "system": row.target,
            "flow": row.flow, "started_at": now, "finished_at": now, "outcome": outcome.result.value,
            "detail": f"looked up again: {outcome.detail}", "retry_revision": row.retry_revision,
        }  # fmt: skip
        written = twice.Written(row.id, row.target, row.flow, row.entity, row.subject, row.message_id, row.payload)
        with self._store.write() as connection:
            connection.execute(insert(t.attempt).values(**attempt))
            return twice.is_twice(outcome) and twice.hold(self._work(connection), written, outcome)


_WRITTEN_AGAIN = join(t.attempt, t.delivery, t.attempt.c.delivery_id == t.delivery.c.id)


def _absent(now: datetime) -> list[ColumnElement[bool]]:
    """What was absent once and was delivered after that, of the time in which it is looked up."""
    a, d = t.attempt.c, t.delivery.c
    lately = (a.finished_at > now - 2 * LONGEST_LOOK, a.finished_at <= d.finished_at)
    return [a.outcome == literal_column("'absent'"), *lately, d.state == "delivered", ~d.coalesce]


def _rests(state: Row[Any] | None, now: datetime) -> bool:
    """Whether a target is paused or asks to wait."""
    return state is not None and bool(state.paused_at or (state.blocked_until and state.blocked_until > now))
