"""What the ledger knows of keys: of all at once what is on its way, the rest for some hundred keys at a time."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, func, select

from controlplane.clock import Clock
from controlplane.connectors.contract import UnmappedError
from controlplane.errors import ConnectorError, SettingsError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.delivery.effects import STOCK_SIGN
from controlplane.sync.processes.inventory import unseen
from rules.comparison.explain import Owed, Shown
from rules.model.messages import stock_key
from rules.outcomes import DeliveryState

Key = tuple[str, str]
"""SKU and location."""
UNREAD = (ConnectorError, UnmappedError, SettingsError)
"""What a side that cannot be read raises: a system that does not answer, a code without translation, a secret that is missing."""
LOOKS = 50
LOOK_EVERY = 0.1
"""Seconds of the clock between two looks."""
TOGETHER = 1000
"""Keys whose evidence is loaded at once."""
FEWEST = 250
"""From so many on it is loaded where the location changes: of two locations every SKU is loaded twice."""
FIELDS = ("available", "on_hand")
OWED = ("id", "message_id", "target", "entity", "payload", "state", "promise_at")
"""What is looked at of a delivery."""
APART = timedelta(seconds=10)
"""How far the clocks of two machines of ours may be apart: what one sent so much after another had read was not there yet."""
SENT = (DeliveryState.SENDING, DeliveryState.UNKNOWN)
_P, _C, _V, _E = t.stock_position.c, t.stock_change.c, t.target_level.c, t.target_effect.c
POSITION = (
    _P.sku, _P.location, _P.on_hand, _P.allocated, _P.available, _P.in_transit, _P.source_at, _P.message_id, _P.updated_at,
)  # fmt: skip
CHANGE = (_C.sku, _C.location, _C.on_hand, _C.available)
LEVEL = (_V.sku, _V.location, _V.system, _V.field, _V.value, _V.updated_at)
EFFECT = (_E.sku, _E.location, _E.system, _E.field, _E.delta, _E.earliest, _E.latest, _E.cause)
"""What is looked at of each table: SKU and location first, so that `row[:2]` is the key."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is on its way as the sides have been read: it concerns keys of which nobody knows beforehand."""

    systems: Sequence[str]
    since: datetime
    """When the reading began."""
    now: datetime
    """When it ended."""
    backlog: dict[str, datetime]
    """System -> since when records of it wait to be translated or processed."""
    documents: dict[tuple[str, Key], list[Row[Any]]]
    """(System, key) -> the documents on their way there that move its books of it."""
    reasons: dict[str, str]
    """Document that waits in quarantine -> the reason code of its case."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The ledger's side of a comparison of some keys, as of one read transaction."""

    positions: dict[Key, Row[Any]]
    changes: dict[Key, list[Row[Any]]]
    """Those since the reading began and the last one before them, in their order."""
    unseen: dict[Key, int]
    """Units of orders that the position does not contain yet."""
    levels: dict[tuple[str, str, Key], int]
    touched: dict[tuple[str, str, Key], datetime]
    """(System, field, key) -> when its level changed last."""
    effects: dict[tuple[str, str, Key], list[Row[Any]]]
    owed: dict[tuple[str, Key], list[Row[Any]]]
    prices: dict[str, tuple[Decimal | None, str]]
    now: datetime
    reasons: dict[str, str]
    """Delivery that waits in quarantine -> the reason code of its case."""
    held: dict[tuple[str, str], str]
    """(system, subject) of what waits in quarantine before it was processed -> the reason code of its case."""

    def heard(self, key: Key) -> set[tuple[int, int]]:
        """Return what the ledger took for (on hand, available) at any time since the reading began."""
        position = self.positions.get(key)
        if position is None:
            return set()
        return {(row.on_hand, row.available) for row in (position, *self.changes.get(key, ()))}

    def told_by(self, key: Key) -> str | None:
        """Return the message that a key was last heard of by: figures that come back later are not the same gap."""
        position = self.positions.get(key)
        return None if position is None else str(position.message_id)

    def shown(self, system: str, field: str, key: Key, since: datetime, until: datetime) -> Shown:
        """Return what the ledger says a target may have shown when its row was read, from `since` to `until`."""
        place = (system, field, key)
        effects = [row for row in self.effects.get(place, []) if row.latest >= since]
        moved = tuple(row.delta for row in effects if not _sent_after(row, until))
        later = sum(row.delta for row in effects if _sent_after(row, until))
        owed = self._offers(system, key) if field == "available" else self._documents(system, key)
        return Shown(self.levels.get(place), (), owed, moved, later)

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


def _sent_after(effect: Row[Any], read: datetime) -> bool:
    """Say whether an effect is of a delivery that was sent so long after a row was read that it cannot be in it."""
    return bool(effect.cause == "delivery" and effect.earliest > read + APART)


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


def standing(connection: Connection, systems: Sequence[str], since: datetime, now: datetime) -> Standing:
    """Load what is on its way, for readings that began at `since` and ended at `now`."""
    d = t.delivery.c
    query = select(*(d[name] for name in OWED)).where(d.target.in_(systems), t.is_open, d.entity.in_(STOCK_SIGN))
    rows = connection.execute(query.order_by(d.id)).all()
    return Standing(
        systems, since, now, backlog(connection, now), _by_target(rows), reasons(connection, rows)
    )  # fmt: skip


def together(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """Yield the keys, given location by location, in parts whose evidence is loaded at once."""
    begin = 0
    for at, key in enumerate(keys):
        many = at - begin
        if many == TOGETHER or (many >= FEWEST and key[1] != keys[at - 1][1]):
            yield keys[begin:at]
            begin = at
    if keys:
        yield keys[begin:]


def load(connection: Connection, around: Standing, keys: Sequence[Key]) -> Evidence:
    """Load the evidence of some keys, at most `TOGETHER`, in a fixed number of queries."""
    wanted = set(keys)
    positions: Sequence[Any] = connection.execute(select(*POSITION).where(*_of(t.stock_position, keys))).all()
    levels: Sequence[Any] = connection.execute(
        select(*LEVEL).where(_V.system.in_(around.systems), _V.field.in_(FIELDS), *_of(t.target_level, keys))
    ).all()
    effects: Sequence[Any] = connection.execute(
        select(*EFFECT)
        .where(_E.system.in_(around.systems), _E.field.in_(FIELDS), *_of(t.target_effect, keys))
        .where(_E.latest >= around.since)
        .order_by(_E.id)
    ).all()
    offers = _offers_owed(connection, around.systems, keys)
    documents = {place: rows for place, rows in around.documents.items() if place[1] in wanted}
    return Evidence(
        positions={key: row for row in positions if (key := row[:2]) in wanted},
        changes=_changes(connection, around.since, keys),
        unseen=unseen(connection, keys),
        levels={(row.system, row.field, row[:2]): row.value for row in levels},
        touched={(row.system, row.field, row[:2]): row.updated_at for row in levels},
        effects=_by_place(effects),
        owed=documents | _by_target(offers),
        prices=_prices(connection, keys),
        now=around.now,
        reasons={**around.reasons, **reasons(connection, offers)},
        held=_held(connection, around.systems, keys),
    )


def _of(table: Table, keys: Sequence[Key]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return a condition that the keys' rows meet, along an index. With several locations others may meet it too."""
    skus, locations = {sku for sku, _ in keys}, {location for _, location in keys}
    return table.c.sku.in_(sorted(skus)), table.c.location.in_(sorted(locations))


def _changes(connection: Connection, since: datetime, keys: Sequence[Key]) -> dict[Key, list[Row[Any]]]:
    """Return what positions became since the reading began, after what they were then."""
    asked = select(*CHANGE).where(*_of(t.stock_change, keys), _C.changed_at >= since)
    rows: Sequence[Any] = connection.execute(asked.order_by(_C.id)).all()
    found = _by_key(rows)
    if found:
        last = select(func.max(_C.id)).where(*_of(t.stock_change, list(found)), _C.changed_at < since)
        before: Sequence[Any] = connection.execute(
            select(*CHANGE).where(_C.id.in_(last.group_by(_C.sku, _C.location)))
        ).all()
        for key, earlier in _by_key(before).items():
            found[key] = [*earlier, *found.get(key, ())]
    return found


def _offers_owed(connection: Connection, systems: Sequence[str], keys: Sequence[Key]) -> Sequence[Row[Any]]:
    d = t.delivery.c
    lines = d.order_key.in_([stock_key(*key) for key in keys])
    query = select(*(d[name] for name in OWED)).where(d.target.in_(systems), lines, t.is_open, d.entity == "available")
    return connection.execute(query.order_by(d.id)).all()


def offers_owed(connection: Connection, systems: Sequence[str]) -> list[Key]:
    """Return the keys of which an offer is on its way to one of the systems."""
    d = t.delivery.c
    query = select(d.subject).where(d.target.in_(systems), t.is_open, d.entity == "available").distinct()
    return [(sku, at) for sku, _, at in (found.rpartition("@") for found in connection.execute(query).scalars())]


def _prices(connection: Connection, keys: Sequence[Key]) -> dict[str, tuple[Decimal | None, str]]:
    p = t.product.c
    query = select(p.sku, p.unit_price, p.unit_cost, p.currency).where(p.sku.in_({sku for sku, _ in keys}))
    return {row.sku: (row.unit_price or row.unit_cost, row.currency) for row in connection.execute(query)}


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


def _held(connection: Connection, systems: Sequence[str], keys: Sequence[Key]) -> dict[tuple[str, str], str]:
    q = t.quarantine.c
    waiting = (q.system.in_(systems), q.stage == "process", q.state.in_(("waiting", "corrected")))
    mine = q.subject.in_([stock_key(*key) for key in keys])
    rows = connection.execute(select(q.system, q.subject, q.reason_code).where(*waiting, mine).order_by(q.id))
    return {(row.system, row.subject): row.reason_code for row in rows}


def _by_key(rows: Sequence[Any]) -> dict[Key, list[Row[Any]]]:
    found: dict[Key, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row[:2]].append(row)
    return found


def _by_place(rows: Sequence[Any]) -> dict[tuple[str, str, Key], list[Row[Any]]]:
    found: dict[tuple[str, str, Key], list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.system, row.field, row[:2]].append(row)
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
