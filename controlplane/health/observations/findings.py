"""Findings live: suspected, open, healing, healed or closed. A vanished key or an unread side closes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from controlplane.clock import Clock
from controlplane.health.observations.comparison import Compared, Judged, Key
from controlplane.store import tables as t
from rules.comparison.explain import CERTAIN, Cause, Finding
from rules.ids import new_id

LIVE = ("suspected", "open", "healing")
Place = tuple[str, str, str, str]
"""SKU, location, side, cause."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a comparison changed."""

    opened: tuple[str, ...]
    closed: tuple[str, ...]
    confirmed: frozenset[Key]
    """Keys that drift by an open finding, now that all is settled."""


def live(connection: Connection, comparison: str) -> dict[Place, Row[Any]]:
    """Return the findings of a comparison that are not settled, by place."""
    c = t.finding.c
    rows = connection.execute(select(t.finding).where(c.comparison == comparison, c.state.in_(LIVE))).all()
    return {(row.sku, row.location, row.side, row.cause): row for row in rows}


def waiting_keys(connection: Connection, clock: Clock, comparison: str, age: timedelta) -> list[Key]:
    """Return the keys whose suspicion is old enough to be confirmed, or whose healing has to be verified."""
    now = clock.now()
    return sorted(
        {
            (row.sku, row.location)
            for row in live(connection, comparison).values()
            if (row.state == "suspected" and now - row.first_seen_at >= age) or row.state == "healing"
        }
    )


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
    known = live(connection, comparison)
    desk = _Desk(connection, clock, comparison, run_id, promise, version)
    opened: list[str] = []
    closed: list[str] = []
    for judged in compared.judged:
        for finding in judged.findings:
            place = (*judged.key, finding.side, str(finding.cause))
            if finding.is_drift and desk.note(judged, finding, known.get(place)):
                opened.append(desk.last)
        closed += desk.close(judged, known)
    drifting = {place[:2] for place, row in live(connection, comparison).items() if row.state != "suspected"}
    return Settled(tuple(opened), tuple(closed), frozenset(drifting))


class _Desk:
    """Writes findings of one run."""

    def __init__(
        self, connection: Connection, clock: Clock, comparison: str, run_id: str, promise: timedelta, version: int
    ) -> None:
        self.connection = connection
        self.now = clock.now()
        self.comparison = comparison
        self.run_id = run_id
        self.promise = promise
        self.version = version
        self.last = ""

    def note(self, judged: Judged, finding: Finding, row: Row[Any] | None) -> bool:
        """Write a drift down; say whether it has become an open finding by this."""
        values = self._values(judged, finding)
        if row is None:
            return self._first(judged, finding, values)
        self.last = row.id
        if row.state != "suspected":
            # what healing has not mended, or what drifted anew meanwhile, is open again: it is healed anew, and paged
            self._update(row.id, values | {"state": "open"})
            return False
        if row.evidence.get("basis") != values["evidence"]["basis"]:
            self._update(row.id, values | {"first_seen_at": seen_at(judged, finding, self.now)})
            return False
        if self.now - row.first_seen_at < self.promise:
            return False
        self._update(row.id, values | {"state": "open", "confirmed_at": self.now})
        return True

    def _first(self, judged: Judged, finding: Finding, values: dict[str, Any]) -> bool:
        certain = finding.cause in CERTAIN and finding.delivery_id is not None
        self.last = new_id(self.now)
        self.connection.execute(
            insert(t.finding).values(
                id=self.last, comparison=self.comparison, sku=judged.key[0], location=judged.key[1],
                side=finding.side, cause=finding.cause, state="open" if certain else "suspected",
                first_seen_at=seen_at(judged, finding, self.now), confirmed_at=self.now if certain else None, **values,
            )
        )  # fmt: skip
        return certain

    def _update(self, finding_id: str, values: dict[str, Any]) -> None:
        self.connection.execute(update(t.finding).where(t.finding.c.id == finding_id).values(**values))

    def _values(self, judged: Judged, finding: Finding) -> dict[str, Any]:
        evidence = {**judged.evidence, "basis": judged.basis.get(finding.side, "")}
        return {
            "expected": list(finding.expected), "actual": finding.actual, "explanation": finding.explanation,
            "evidence": evidence, "message_id": finding.message_id, "money": _money(judged, finding),
            "currency": judged.currency, "run_id": self.run_id, "registry_version": self.version,
        }  # fmt: skip

    def close(self, judged: Judged, known: dict[Place, Row[Any]]) -> list[str]:
        """Close what this reading disproves."""
        verdicts = {finding.side: finding for finding in judged.findings}
        closed = []
        for (sku, location, side, cause), row in known.items():
            finding = verdicts.get(side)
            if (sku, location) == judged.key and finding and _disproves(finding, cause, row.state):
                state = "closed" if row.state == "suspected" else "healed"
                self._update(row.id, {"state": state, "closed_at": self.now})
                closed.append(row.id)
        return closed


def seen_at(judged: Judged, finding: Finding, now: datetime) -> datetime:
    """Return since when the difference is known to be there: when the rows that show it were read, not when all had been."""
    if finding.cause not in (Cause.CHANGED_AT_TARGET, Cause.NEVER_RECEIVED):
        return now
    rows = [level for level in judged.levels.values() if level is not None]
    own = judged.levels.get(finding.side)
    shown = [own] if own is not None and finding.cause is Cause.CHANGED_AT_TARGET else rows
    return min(now, max((level.read_to for level in shown), default=now))


def _disproves(finding: Finding, cause: str, state: str) -> bool:
    if finding.cause is Cause.INDETERMINATE or finding.cause == cause:
        return False
    in_flight_explains = state == "suspected" and finding.delivery_id is not None
    return finding.cause is not Cause.IN_FLIGHT or in_flight_explains


def _money(judged: Judged, finding: Finding) -> Decimal | None:
    if judged.unit_value is None or finding.actual is None or not finding.expected:
        return None
    units = min(abs(finding.actual - value) for value in finding.expected)
    return judged.unit_value * units
