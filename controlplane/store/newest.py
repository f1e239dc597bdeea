"""Ids go on behind those that are kept already, also when the clock was put back while nobody worked."""

from __future__ import annotations

import re

from sqlalchemy import func, select

from controlplane.clock import Clock
from controlplane.store import tables as t
from controlplane.store.engine import Store
from controlplane.store.types import EPOCH
from rules.ids import MILLISECOND, milliseconds_of, not_before

OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def go_on_behind_newest(store: Store, clock: Clock) -> None:
    """Let no new id sort before the newest message, delivery or record of intake: their order is the order of their ids."""
    with store.read() as connection:
        newest = [
            connection.execute(select(func.max(table.c.id))).scalar_one_or_none()
            for table in (t.intake, t.message, t.delivery)
        ]
    latest = max((milliseconds_of(one) for one in newest if one and OURS.fullmatch(one)), default=0)
    if latest > (clock.now() - EPOCH) // MILLISECOND:
        not_before(latest + 1)
