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
from sqlalchemy import Connection, Row, func, insert, literal_column, select

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Write
from controlplane.errors import TrueupError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery import systems, twice
from controlplane.sync.delivery.send import business_ref
from controlplane.sync.processes.contract import Work
from rules.doubt import LONGEST_LOOK, LOOKS, READ_BACK, look_again_at
from rules.ids import new_id
from rules.outcomes import DONE, REPEATABLE, Guarantee, Outcome

log = structlog.get_logger()
AT_ONCE = 20
"""Documents of one target that are looked up in one run."""
CONSIDERED = 500
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
        for target, rows in self._candidates().items():
            for row in self._due(target, rows):
                outcome = self._read_back(row)
                if outcome is None or outcome.result not in TOLD:
                    break  # it does not answer now: the next run asks again
                looked += 1
                found += self._note(row, outcome)
        return {"looked": looked, "twice": found}

    def _candidates(self) -> dict[str, list[Row[Any]]]:
        """Return what was delivered after it had been absent and is to be looked up still, by target, longest absent first."""
        a, d, later = t.attempt.c, t.delivery.c, t.attempt.alias("later")
        looks = (
            select(func.count()).select_from(later)
            .where(later.c.delivery_id == d.id, later.c.kind == READ_BACK, later.c.finished_at > d.finished_at)
            .scalar_subquery()
        )  # fmt: skip
        absent = func.max(a.finished_at)
        since = self._clock.now() - 2 * LONGEST_LOOK
        query = (
            select(t.delivery, absent.label("absent_at"), looks.label("looks"))
            .join_from(t.attempt, t.delivery, a.delivery_id == d.id)
            .where(a.outcome == literal_column("'absent'"), a.finished_at > since, a.finished_at <= d.finished_at)
            .where(d.state == "delivered", ~d.coalesce, looks < len(LOOKS))
            .group_by(*t.delivery.columns).order_by(absent).limit(CONSIDERED)
        )  # fmt: skip
        found: dict[str, list[Row[Any]]] = {}
        with self._store.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.target, []).append(row)
        return found

    def _due(self, target: str, rows: list[Row[Any]]) -> list[Row[Any]]:
        with self._store.read() as connection:
            state, now = systems.state_of(connection, target), self._clock.now()
        if state is not None and (state.paused_at or (state.blocked_until and state.blocked_until > now)):
            return []
        return [row for row in rows if self._is_due(row, now)][:AT_ONCE]

    def _is_due(self, row: Row[Any], now: datetime) -> bool:
        try:
            spec = self._connections.get(row.target).manifest.write_spec(row.entity)
        except TrueupError:  # policy knows it no longer, or its secret is gone
            return False
        if spec.guarantee is not Guarantee.READABLE:
            return False
        return look_again_at(row.absent_at, timedelta(seconds=spec.late_effect), row.looks) <= now

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
