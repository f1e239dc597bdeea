"""Re-drive what drifted: read the source again, or write the target again from what it really shows."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Level
from controlplane.sealing import Shield
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.locks import lock_books
from controlplane.store.types import EPOCH
from controlplane.sync.intake import take
from controlplane.sync.ledger.readings import readings
from controlplane.sync.processes import targets
from controlplane.sync.processes.contract import Work
from controlplane.sync.processes.inventory import offers
from controlplane.sync.processes.targets import STOCK_SIGN
from controlplane.sync.routing.run import emit
from rules.ids import new_id
from rules.outcomes import DeliveryState

TOGETHER = 50
"""Levels that one transaction takes for known: nobody who writes waits for the whole of a first reading."""
Key = tuple[str, str]


def delivered_since(connection: Connection, system: str, since: datetime) -> dict[Key, datetime]:
    """Return key -> when the last document that moves its books was delivered to a system, of those since then."""
    d = t.delivery.c
    query = select(d.payload, d.finished_at).where(
        d.finished_at.is_not(None), d.finished_at >= since, d.target == system, d.entity.in_(STOCK_SIGN),
        d.state == DeliveryState.DELIVERED,
    )  # fmt: skip
    found: dict[Key, datetime] = {}
    for payload, at in connection.execute(query.order_by(d.finished_at)):
        for line in payload.get("lines") or [payload]:
            found[str(line["sku"]), str(payload.get("location"))] = at
    return found


class Healing:
    """What a comparison may ask for; each goes the way of live traffic."""

    def __init__(
        self, store: Store, clock: Clock, connections: Connections, work: Callable[[Connection], Work],
        shield: Callable[[str], Shield],
    ) -> None:  # fmt: skip
        self.shield = shield
        self.store = store
        self.clock = clock
        self.connections = connections
        self.work = work

    def reread_source(self, system: str, entity: str, keys: Sequence[Key]) -> int:
        """Read the keys (sku, location) at the source and take the levels in; return how many were new. Raises ConnectorError."""
        levels = [level for page in self.connections.get(system).snapshot(entity, keys) for level in page]
        shield = self.shield(system)
        with self.store.write() as connection:
            return take(connection, self.clock, system, "read-back", readings(levels), shield)

    def rewrite_target(self, system: str, level: Level, cause: str) -> list[str]:
        """Take what a channel really shows for known and offer it what it ought to show; return the messages."""
        with self.store.write() as connection:
            work = self.work(connection)
            self._anchor(work, system, "available", level, level.available, cause)
            drafts = offers(work, [(level.sku, level.location)], f"{cause}:{new_id(self.clock.now())}")
            ids = [emit(work, draft, secrets.token_hex(16), None) for draft in drafts]
        return [message_id for message_id in ids if message_id]

    def anchor(self, system: str, field: str, levels: Sequence[Level], cause: str) -> int:
        """Take levels for known where nothing is known of the target yet; return how many.

        Not those of which something was delivered since they were read: whether it is in them cannot be known any more.
        """
        return sum(
            self._anchor_new(system, field, levels[at : at + TOGETHER], cause)
            for at in range(0, len(levels), TOGETHER)
        )  # fmt: skip

    def _anchor_new(self, system: str, field: str, levels: Sequence[Level], cause: str) -> int:
        with self.store.write() as connection:
            lock_books(connection)
            work = self.work(connection)
            moved = delivered_since(connection, system, min(level.read_from for level in levels))
            fresh = [
                x for x in levels
                if targets.level(work, system, field, x.sku, x.location) is None
                and x.read_from >= moved.get((x.sku, x.location), EPOCH)
            ]  # fmt: skip
            for level in fresh:
                value = level.on_hand if field == "on_hand" else level.available
                self._anchor(work, system, field, level, value, cause)
            return len(fresh)

    def _anchor(self, work: Work, system: str, field: str, level: Level, value: int | None, cause: str) -> None:
        if value is None:
            return
        key = (system, field, level.sku, level.location)
        targets.anchor(work, key, value, level.source_at or level.read_from, level.read_to, cause)

    def read_channel(self, system: str, entity: str = "levels") -> int:
        """Read all that a channel shows, before the first write to it; return how many levels were new to us."""
        levels = [level for page in self.connections.get(system).snapshot(entity) for level in page]
        return self.anchor(system, "available", levels, new_id(self.clock.now()))
