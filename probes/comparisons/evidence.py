"""What the ledger knows of each key: loaded in a fixed number of queries, then looked up by key."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select

from controlplane.clock import Clock
from controlplane.connectors.contract import UnmappedError
from controlplane.errors import ConnectorError, SettingsError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery.effects import STOCK_SIGN
from rules.comparison.explain import Owed, Shown
from rules.outcomes import DeliveryState

Key = tuple[str, str]
"""SKU and location."""
UNREAD = (ConnectorError, UnmappedError, SettingsError)
"""What a side that cannot be read raises: a system that does not answer, a code without translation, a secret that is missing."""
LOOKS = 50
LOOK_EVERY = 0.1
"""Seconds of the clock between two looks."""
TOGETHER = 500
SENT = (DeliveryState.SENDING, DeliveryState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The ledger's side of a comparison, as of one read transaction."""

    positions: dict[Key, Row[Any]]
    changes: dict[Key, list[Row[Any]]]
    levels: dict[tuple[str, str, Key], int]
    effects: dict[tuple[str, str, Key], list[Row[Any]]]
    owed: dict[tuple[str, Key], list[Row[Any]]]
    prices: dict[str, tuple[Decimal | None, str]]
    backlog: dict[str, datetime]
    """System -> since when records of it wait to be translated or processed."""
    now: datetime
    reasons: dict[str, str]
    """Delivery that waits in quarantine -> the reason code of its case."""
    held: dict[tuple[str, str], str]
    """(system, subject) of what waits in quarantine before it was processed -> the reason code of its case."""

    def heard(self, key: Key, since: datetime) -> set[tuple[int, int]]:
        """Return what the ledger took for (on hand, available) at any time since the reading began."""
        position = self.positions.get(key)
        if position is None:
            return set()
        pairs = {(position.on_hand, position.available)}
        history = self.changes.get(key, [])
        pairs |= {(row.on_hand, row.available) for row in history if row.changed_at >= since}
        before = [row for row in history if row.changed_at < since]
        if before:
            pairs.add((before[-1].on_hand, before[-1].available))
        return pairs

    def told_by(self, key: Key) -> str | None:
        """Return the message that a key was last heard of by: figures that come back later are not the same gap."""
        position = self.positions.get(key)
        return None if position is None else str(position.message_id)

    def shown(self, system: str, field: str, key: Key, since: datetime) -> Shown:
        """Return what the ledger says a target may have shown since the reading began."""
        place = (system, field, key)
        moved = tuple(row.delta for row in self.effects.get(place, []) if row.latest >= since)
        owed = self._offers(system, key) if field == "available" else self._documents(system, key)
        return Shown(self.levels.get(place), (), owed, moved)

    def _documents(self, system: str, key: Key) -> tuple[Owed, ...]:
        return tuple(
            self._owed(row, delta) for row in self.owed.get((system, key), []) if (delta := books_delta(row, key))
        )

    def _offers(self, system: str, key: Key) -> tuple[Owed, ...]:
        shown = self.levels.get((system, "available", key), 0)
        found = []
        for row in self.owed.get((system, key), []):
            delta = int(row.payload["quantity"]) - shown
            found.append(self._owed(row, delta))
            shown += delta
        return tuple(found)

    def _owed(self, row: Row[Any], delta: int) -> Owed:
        return owed(row, delta, self.now, self.reasons)


def owed(row: Row[Any], delta: int, now: datetime, reasons: Mapping[str, str]) -> Owed:
    """Return an open delivery as the rules take it."""
    return Owed(
        row.id, row.message_id, delta, sent=row.state in SENT, overdue=row.promise_at < now,
        held=row.state == DeliveryState.QUARANTINED, reason=reasons.get(row.id, ""),
    )  # fmt: skip


def reasons(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, str]:
    """Return delivery -> reason code of the case that holds it, for those that wait in quarantine."""
    held = [row.id for row in rows if row.state == DeliveryState.QUARANTINED]
    q = t.quarantine.c
    found: dict[str, str] = {}
    for at in range(0, len(held), TOGETHER):
        query = select(q.delivery_id, q.reason_code).where(
            q.delivery_id.in_(held[at : at + TOGETHER]), q.state.in_(("waiting", "corrected"))
        )
        found |= {row.delivery_id: row.reason_code for row in connection.execute(query)}
    return found


def books_delta(row: Row[Any], key: Key) -> int:
    """Return how a document changes the books of a key."""
    if row.entity not in STOCK_SIGN or row.payload.get("location") != key[1]:
        return 0
    lines = row.payload.get("lines") or [row.payload]
    return STOCK_SIGN[row.entity] * sum(int(line["quantity"]) for line in lines if line["sku"] == key[0])


def load(connection: Connection, systems: Sequence[str], since: datetime, now: datetime) -> Evidence:
    """Load the evidence for readings that began at `since` or later."""
    positions = connection.execute(select(t.stock_position)).all()
    changes = connection.execute(
        select(t.stock_change).where(t.stock_change.c.changed_at >= since).order_by(t.stock_change.c.id)
    ).all()
    levels = connection.execute(select(t.target_level).where(t.target_level.c.system.in_(systems))).all()
    effects = connection.execute(
        select(t.target_effect)
        .where(t.target_effect.c.system.in_(systems), t.target_effect.c.latest >= since)
        .order_by(t.target_effect.c.id)
    ).all()
    d = t.delivery.c
    open_ = connection.execute(select(t.delivery).where(d.target.in_(systems), t.is_open).order_by(d.id)).all()
    products = connection.execute(select(t.product)).all()
    return Evidence(
        positions={(row.sku, row.location): row for row in positions},
        changes=_by_key(changes),
        levels={(row.system, row.field, (row.sku, row.location)): row.value for row in levels},
        effects=_by_place(effects),
        owed=_by_target(open_),
        backlog=backlog(connection, now),
        prices={row.sku: (row.unit_price or row.unit_cost, row.currency) for row in products},
        now=now,
        reasons=reasons(connection, open_),
        held=_held(connection, systems),
    )


def catch_up(store: Store, clock: Clock, until: datetime) -> None:
    """Wait, a few seconds at most, until what was taken in by then has been processed: it belongs to the evidence."""
    pause = threading.Event()
    for _ in range(LOOKS):
        with store.read() as connection:
            if not backlog(connection, until):
                return
        clock.wait(pause, LOOK_EVERY)


def backlog(connection: Connection, until: datetime) -> dict[str, datetime]:
    """Return, per system, since when records taken in by then wait to be translated or processed."""
    i, m = t.intake.c, t.message.c
    new = select(i.system, func.min(i.received_at)).where(t.among(i.state, "new"), i.received_at <= until)
    accepted = select(m.source, func.min(m.accepted_at)).where(t.among(m.state, "accepted"), m.accepted_at <= until)
    new, accepted = new.group_by(i.system), accepted.group_by(m.source)
    found: dict[str, datetime] = {}
    for system, since in [*connection.execute(new).all(), *connection.execute(accepted).all()]:
        found[system] = min(since, found.get(system, since))
    return found


def _held(connection: Connection, systems: Sequence[str]) -> dict[tuple[str, str], str]:
    q = t.quarantine.c
    waiting = (q.system.in_(systems), q.stage == "process", q.state.in_(("waiting", "corrected")))
    rows = connection.execute(select(q.system, q.subject, q.reason_code).where(*waiting).order_by(q.id))
    return {(row.system, row.subject): row.reason_code for row in rows}


def _by_key(rows: Sequence[Row[Any]]) -> dict[Key, list[Row[Any]]]:
    found: dict[Key, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[(row.sku, row.location)].append(row)
    return found


def _by_place(rows: Sequence[Row[Any]]) -> dict[tuple[str, str, Key], list[Row[Any]]]:
    found: dict[tuple[str, str, Key], list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[(row.system, row.field, (row.sku, row.location))].append(row)
    return found


def _by_target(rows: Sequence[Row[Any]]) -> dict[tuple[str, Key], list[Row[Any]]]:
    found: dict[tuple[str, Key], list[Row[Any]]] = defaultdict(list)
    for row in rows:
        if row.entity == "available":
            found[(row.target, (row.payload["sku"], row.payload["location"]))].append(row)
        elif row.entity in STOCK_SIGN:
            lines = row.payload.get("lines") or [row.payload]
            for sku in sorted({line["sku"] for line in lines}):
                found[(row.target, (sku, row.payload["location"]))].append(row)
    return found
