"""What the ledger knows of keys: of all at once what is on its way, the rest for some hundred keys at a time."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, func, select

from controlplane.clock import Clock
from controlplane.connectors.contract import UnmappedError
from controlplane.errors import ConnectorError, SettingsError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.keyed import Keyed
from controlplane.store.types import instant, micros
from controlplane.sync.processes.inventory import unseen
from controlplane.sync.processes.targets import STOCK_SIGN
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
OWED = ("id", "message_id", "target", "entity", "payload", "state", "promise_at")
"""What is looked at of a delivery."""
APART = 10_000_000
"""Microseconds that the clocks of two machines of ours may be apart: what one sent so much after another had read was not there yet."""
SENT = (DeliveryState.SENDING, DeliveryState.UNKNOWN)
Field = tuple[str, str]
"""System, and the field of its that is compared."""


# Rows of the ledger stay as the database gives them, some ten of a key: the place of the key first, instants in microseconds.
Position = tuple[int, int, int, int, int, int, str, int]
"""Place, on hand, allocated, available, in transit, the source's instant, message, when it was heard."""
Heard = tuple[int, int, int]
"""Place, on hand, available."""
Shows = tuple[int, int, int]
"""Place, value, when it changed last."""
Effect = tuple[int, int, int, int, str]
"""Place, change, not before, not after, cause."""


class Delivery(NamedTuple):
    """An offer that its target still lacks."""

    id: str
    message_id: str
    target: str
    entity: str
    payload: Mapping[str, Any]
    state: str
    promise_at: datetime


_KEY = ("sku", "location")
_PLACE = "r.system = :system AND r.field = :field"
_HELD = ("on_hand", "allocated", "available", "in_transit", "source_at", "message_id", "updated_at")
_POSITIONS = Keyed("stock_position", _HELD, _KEY)
_CHANGES = Keyed("stock_change", ("on_hand", "available"), _KEY, "r.changed_at >= :since")
_BEFORE = Keyed("stock_change", ("max(r.id)",), _KEY, "r.changed_at < :since", each=True)
_SHOWS = Keyed("target_level", ("value", "updated_at"), _KEY, _PLACE)
_EFFECTS = Keyed("target_effect", ("delta", "earliest", "latest", "cause"), _KEY, f"{_PLACE} AND r.latest >= :since")
_OFFERS = Keyed("delivery", OWED, ("target", "order_key"), f"r.{t.OPEN} AND r.entity = 'available'")
_PRICES = Keyed("product", ("unit_price", "unit_cost", "currency"), ("sku",))


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
    held: dict[tuple[str, str], str]
    """(system, subject) of what waits in quarantine before it was processed -> the reason code of its case."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The ledger's side of a comparison of some keys, as of one read transaction."""

    positions: dict[Key, Position]
    changes: dict[Key, list[Heard]]
    """What (on hand, available) became since the reading began, and what they were before."""
    unseen: dict[Key, int]
    """Units of orders that the position does not contain yet."""
    levels: dict[Field, dict[Key, Shows]]
    effects: dict[Field, dict[Key, list[Effect]]]
    owed: dict[tuple[str, Key], Sequence[Row[Any] | Delivery]]
    prices: dict[str, tuple[Decimal | None, str]]
    now: datetime
    reasons: dict[str, str]
    """Delivery that waits in quarantine -> the reason code of its case."""

    def heard(self, key: Key) -> set[tuple[int, int]]:
        """Return what the ledger took for (on hand, available) at any time since the reading began."""
        position = self.positions.get(key)
        if position is None:
            return set()
        heard = {(position[1], position[3])}
        heard.update(change[1:] for change in self.changes.get(key, ()))
        return heard

    def told_by(self, key: Key) -> str | None:
        """Return the message that a key was last heard of by: figures that come back later are not the same gap."""
        position = self.positions.get(key)
        return None if position is None else position[6]

    def heard_at(self, key: Key) -> datetime | None:
        """Return when a key was last heard of."""
        position = self.positions.get(key)
        return None if position is None else instant(position[7])

    def shown(self, system: str, field: str, key: Key, since: datetime, until: datetime) -> Shown:
        """Return what the ledger says a target may have shown when its row was read, from `since` to `until`."""
        place = (system, field)
        shows = self.levels[place].get(key)
        moved: list[int] = []
        later = 0
        if effects := self.effects[place].get(key):
            begun, sent_after = _micros(since), _micros(until) + APART
            for _, delta, earliest, latest, cause in effects:
                if latest >= begun:
                    if earliest > sent_after and cause == "delivery":  # it cannot be in the row
                        later += delta
                    else:
                        moved.append(delta)
        owed: tuple[Owed, ...] = ()
        if waits := self.owed.get((system, key)):
            owed = self._offers(waits, shows) if field == "available" else self._documents(waits, key)
        return Shown(None if shows is None else shows[1], (), owed, tuple(moved), later)

    def touched(self, place: Field, key: Key) -> datetime | None:
        """Return when the ledger's picture of a target changed last; None where it has none."""
        shows = self.levels[place].get(key)
        return None if shows is None else instant(shows[2])

    def delivered(self, place: Field, key: Key) -> int | None:
        """Return what a target shows after all that was delivered to it; None where nothing is known of it."""
        shows = self.levels[place].get(key)
        return None if shows is None else shows[1]

    def _documents(self, waits: Sequence[Row[Any] | Delivery], key: Key) -> tuple[Owed, ...]:
        return tuple(self._owed(row, delta) for row in waits if (delta := books_delta(row, key)))

    def _offers(self, waits: Sequence[Row[Any] | Delivery], shows: Shows | None) -> tuple[Owed, ...]:
        before = 0 if shows is None else shows[1]
        found = []
        for row in waits:
            delta = int(row.payload["quantity"]) - before
            found.append(self._owed(row, delta))
            before += delta
        return tuple(found)

    def _owed(self, row: Row[Any] | Delivery, delta: int) -> Owed:
        return owed(row, delta, self.now, self.reasons)


_micros = lru_cache(1024)(micros)
"""Rows of a page share their instants."""


def owed(row: Row[Any] | Delivery, delta: int, now: datetime, reasons: Mapping[str, str]) -> Owed:
    """Return an open delivery as the rules take it."""
    return Owed(
        row.id, row.message_id, delta, sent=row.state in SENT, overdue=row.promise_at < now,
        held=row.state == DeliveryState.QUARANTINED, reason=reasons.get(row.id, ""),
    )  # fmt: skip


def reasons(connection: Connection, rows: Sequence[Row[Any] | Delivery]) -> dict[str, str]:
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


def books_delta(row: Row[Any] | Delivery, key: Key) -> int:
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
        systems, since, now, backlog(connection, now), _by_target(rows), reasons(connection, rows), _held(connection, systems)
    )  # fmt: skip


def together(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """Yield the keys in parts whose evidence is loaded at once."""
    for at in range(0, len(keys), TOGETHER):
        yield keys[at : at + TOGETHER]


def load(
    connection: Connection, around: Standing, keys: Sequence[Key], asked: Mapping[Field, Sequence[Key]]
) -> Evidence:
    """Load the evidence of some keys, at most `TOGETHER`, in a fixed number of queries.

    `asked`: target and its field -> those of the keys that it is held against.
    """
    wanted, since = set(keys), micros(around.since)
    offers = _offers_owed(connection, asked)
    documents = {place: rows for place, rows in around.documents.items() if place[1] in wanted}
    return Evidence(
        positions=_each(_POSITIONS.rows(connection, keys), keys),
        changes=_changes(connection, since, keys),
        unseen=unseen(connection, keys),
        levels={place: _levels(connection, place, some) for place, some in asked.items()},
        effects={place: _effects(connection, place, some, since) for place, some in asked.items()},
        owed={**documents, **_by_target(offers)},
        prices=_prices(connection, keys),
        now=around.now,
        reasons={**around.reasons, **reasons(connection, offers)},
    )


def _levels(connection: Connection, place: Field, keys: Sequence[Key]) -> dict[Key, Shows]:
    return _each(_SHOWS.rows(connection, keys, system=place[0], field=place[1]), keys)


def _effects(connection: Connection, place: Field, keys: Sequence[Key], since: int) -> dict[Key, list[Effect]]:
    rows = _EFFECTS.rows(connection, keys, system=place[0], field=place[1], since=since)
    return _all(rows, keys)


def _changes(connection: Connection, since: int, keys: Sequence[Key]) -> dict[Key, list[Heard]]:
    """Return what positions became since the reading began, after what they were then."""
    found = _all(_CHANGES.rows(connection, keys, since=since), keys)
    changed = list(found)
    before = {row[1]: changed[row[0]] for row in _BEFORE.rows(connection, changed, since=since) if row[1] is not None}
    if before:
        c = t.stock_change.c
        asked = select(c.id, c.on_hand, c.available).where(c.id.in_(before))
        for number, on_hand, available in connection.execute(asked):
            found[before[number]].append((0, on_hand, available))
    return found


def _offers_owed(connection: Connection, asked: Mapping[Field, Sequence[Key]]) -> list[Delivery]:
    places = [
        (system, stock_key(*key)) for (system, field), keys in asked.items() if field == "available" for key in keys
    ]
    found = sorted((row[1:] for row in _OFFERS.rows(connection, places)), key=itemgetter(0))
    return [_offer(*row) for row in found]


def _offer(number: str, message: str, target: str, entity: str, payload: Any, state: str, promise_at: int) -> Delivery:
    """Return an offer from a row of it: SQLite gives its payload as text."""
    told = orjson.loads(payload) if isinstance(payload, str) else payload
    return Delivery(number, message, target, entity, told, state, instant(promise_at))


def offers_owed(connection: Connection, systems: Sequence[str]) -> list[Key]:
    """Return the keys of which an offer is on its way to one of the systems."""
    d = t.delivery.c
    query = select(d.subject).where(d.target.in_(systems), t.is_open, d.entity == "available").distinct()
    return [(sku, at) for sku, _, at in (found.rpartition("@") for found in connection.execute(query).scalars())]


def _prices(connection: Connection, keys: Sequence[Key]) -> dict[str, tuple[Decimal | None, str]]:
    skus = [(sku,) for sku in dict.fromkeys(sku for sku, _ in keys)]
    rows = _PRICES.rows(connection, skus)
    return {skus[at][0]: (_amount(price) or _amount(cost), currency) for at, price, cost, currency in rows}


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


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


def _each(rows: Sequence[Any], keys: Sequence[Any]) -> dict[Any, Any]:
    """Return the rows, of which a key has one at most, by their keys."""
    return {keys[row[0]]: row for row in rows}


def _all(rows: Sequence[Any], keys: Sequence[Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        found[keys[row[0]]].append(row)
    return found


def _by_target(rows: Sequence[Any]) -> dict[tuple[str, Key], list[Any]]:
    found: dict[tuple[str, Key], list[Any]] = defaultdict(list)
    for row in rows:
        if row.entity == "available":
            found[(row.target, (row.payload["sku"], row.payload["location"]))].append(row)
        elif row.entity in STOCK_SIGN:
            lines = row.payload.get("lines") or [row.payload]
            for sku in sorted({line["sku"] for line in lines}):
                found[(row.target, (sku, row.payload["location"]))].append(row)
    return found
